"""Random kernels, compiled code against the interpreter: `python -m fuzz.kernels --seconds 60 [--route jit] [--interpreter-only]`.

Prints what it did (kernels, instructions, how many of the possible opcodes were in them), so that a fuzzer that does nothing shows. A
difference is reduced to a small kernel and written to `fuzz/failures/`, with the command that runs it again. Exit status 1 if there was
one.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from anywarp.ptx import UnsupportedInstruction
from fuzz import opcodes as opcodes_module
from fuzz.kernel_generator import case_of, case_of_text, random_kernel
from fuzz.opcodes import pool
from fuzz.program import Kernel, Statement
from tests.kernels.differential import Outcome, Route, compare, interpret

FAILURES = Path(__file__).parent / "failures"
CORPUS = Path(__file__).parent / "corpus"  # failures that are mended: the tests run them
REDUCTION_SECONDS = 40


def verdict(kernel: Kernel, seed: int, route: Route | None) -> tuple[str, str, Outcome | None]:
    """(kind, text, outcome): kind is "" where all is well, "unsupported", or the class of what went wrong. Without a route the
    interpreter is compared with itself in another order of threads."""
    case = case_of(kernel, seed)
    try:
        if route is not None:
            return "", "", compare(case, route)
        first = interpret(case)
        case.options.seed = seed + 1
        second = interpret(case)
        if first.error or first.buffers != second.buffers:
            return "Order", first.error or "the result depends on the order of threads", first
        return "", "", first
    except UnsupportedInstruction as error:
        return "unsupported", error.message, None
    except Exception as error:
        if "OutOfFuel" in str(error):
            return "unsupported", "takes too long", None
        return f"{type(error).__name__}{_kind(str(error))}", f"{type(error).__name__}: {error}", None


def _kind(message: str) -> str:
    """What must stay the same while a failure is reduced: the last line of a traceback, without names and numbers."""
    last = message.strip().splitlines()[-1] if "Traceback" in message else "died" if "died of" in message else ""
    return re.sub(r"[%@]?\b[\w.]*\d[\w.]*", "", last)[:80]


def reduced(kernel: Kernel, still_fails: Callable[[Kernel], bool]) -> Kernel:
    """A kernel with as few statements as still fail: takes out statements, or puts a statement's bodies in its place."""
    deadline = time.monotonic() + REDUCTION_SECONDS
    changed = True
    while changed and time.monotonic() < deadline:
        changed = False
        if kernel.grid != (1, 1, 1):
            smaller = replace(kernel, grid=(1, 1, 1))
            if still_fails(smaller):
                kernel = smaller
        used = set(re.findall(r"\bf(\d+)[,;]", kernel.text()))
        for number in range(len(kernel.functions)):
            if str(number) not in used:
                kernel.functions[number].body.clear()
        for body in _bodies(kernel):
            at = 0
            step = max(1, len(body) // 2)
            while step and time.monotonic() < deadline:
                while at < len(body):
                    taken = body[at : at + step]
                    inner = [s for t in taken for b in t.bodies for s in b] if step == 1 else []
                    for replacement in ([], inner) if inner else ([],):
                        body[at : at + step] = replacement
                        if still_fails(kernel):
                            changed = True
                            break
                        body[at : at + len(replacement)] = taken
                    else:
                        at += step
                at, step = 0, step // 2
    return kernel


def _bodies(kernel: Kernel) -> list[list[Statement]]:
    found: list[list[Statement]] = []
    work = [kernel.body, *(f.body for f in kernel.functions)]
    while work:
        body = work.pop(0)
        found.append(body)
        work += [inner for statement in body for inner in statement.bodies]
    return found


def chosen_route(name: str | None) -> Route | None:
    from tests.kernels import routes

    found = [r for r in routes.available() if name is None or r.name == name]
    if name is not None and not found:
        sys.exit(f"no route '{name}'; there are {[r.name for r in routes.available()]}")
    return found[0] if found else None


def rerun(path: Path, route: Route | None) -> int:
    """Runs a kernel that a failure left, perhaps edited since. The exit status."""
    text = path.read_text()
    launch = re.search(r"seed (\d+), size (\d+); launch: grid \((.*?)\), block \((.*?)\)", text)
    if launch is None or route is None:
        sys.exit(f"{path} names no launch" if route else "no compiled route")
    grid, block = (tuple(int(n) for n in launch[i].split(",")) for i in (3, 4))
    case = case_of_text(text, grid, block, int(launch[1]))  # type: ignore[arg-type]
    try:
        compare(case, route)
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
        return 1
    print("agrees")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None, help="run the kernel of this seed only")
    parser.add_argument("--start", type=int, default=0, help="first seed")
    parser.add_argument("--size", type=int, default=20, help="statements of a kernel at most")
    parser.add_argument("--route", default=None)
    parser.add_argument("--interpreter-only", action="store_true")
    parser.add_argument("--keep-going", type=int, default=1, help="failures of different kinds to collect")
    parser.add_argument("--exclude", default=None, help="leave out the opcodes that this regular expression matches")
    parser.add_argument("--file", type=Path, default=None, help="run a kernel that a failure left")
    arguments = parser.parse_args()
    route = None if arguments.interpreter_only else chosen_route(arguments.route)
    if arguments.file is not None:
        return rerun(arguments.file, route)
    if arguments.exclude:
        opcodes_module.exclude(arguments.exclude)
    print(f"fuzzing {route.name if route else 'the interpreter alone'} with {len(pool())} opcodes", flush=True)
    deadline = time.monotonic() + arguments.seconds
    seed = arguments.start if arguments.seed is None else arguments.seed
    kernels = executed = 0
    opcodes: set[str] = set()
    unsupported: Counter[str] = Counter()
    failures: dict[str, str] = {}
    while time.monotonic() < deadline:
        kernel = random_kernel(seed, arguments.size)
        kind, text, outcome = verdict(kernel, seed, route)
        kernels += 1
        executed += outcome.executed if outcome else 0
        opcodes.update(re.findall(r"^(?:@\S+ )?([a-z][\w.:]+) ", kernel.text(), re.MULTILINE))
        if kind == "unsupported":
            unsupported[text] += 1
        elif kind and (kind not in failures or kind == "Difference"):
            began = time.monotonic()
            failures[kind if kind not in failures else f"{kind} of {seed}"] = _report(kernel, seed, kind, text, route, arguments.size)
            deadline += time.monotonic() - began  # reducing does not count
            if len(failures) >= arguments.keep_going:
                break
        seed += 1
        if arguments.seed is not None:
            break
    print(
        f"{kernels} kernels, {executed} instructions by the interpreter, {len(opcodes & {o.text for o in pool()})} of {len(pool())} opcodes"
    )
    for text, count in unsupported.most_common(10):
        print(f"not compiled yet, {count} kernels: {text}")
    return 1 if failures else 0


def _report(kernel: Kernel, seed: int, kind: str, text: str, route: Route | None, size: int) -> str:
    before = len(kernel.text().splitlines())
    small = reduced(kernel, lambda k: verdict(k, seed, route)[0] == kind)
    text = verdict(small, seed, route)[1] or text
    FAILURES.mkdir(exist_ok=True)
    path = FAILURES / f"{seed}.ptx"
    again = f"python -m fuzz.kernels --file {path}"
    head = [again, f"seed {seed}, size {size}; launch: grid {small.grid}, block {small.block}"]
    comment = "\n".join(f"// {line}" for line in [*head, *text.splitlines()])
    path.write_text(f"{comment}\n{small.text()}")
    print(f"seed {seed}: {text}\nreduced from {before} to {len(small.text().splitlines())} lines: {path}\nrun again: {again}", flush=True)
    return text


if __name__ == "__main__":
    sys.exit(main())
