"""Broken PTX through the whole compiler but LLVM: `python -m fuzz.broken_modules --seconds 60 [FILE ...]`.

Tokens of real modules are left out, doubled, exchanged with others of the module or of any module, numbers changed, lines left out, and the
text cut off. Each result must compile or be refused by a `PtxError` that names its line, in bounded time and memory. What else happens is
printed with its seed, once for each place in the compiler, and the text is kept in a folder. Exit status 1 if there was any.
"""

from __future__ import annotations

import argparse
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from types import FrameType

from anywarp import pipeline
from anywarp.codegen import llvm
from anywarp.ir.build import build
from anywarp.lower.kernel import lower
from anywarp.ptx import PtxError

ROOT = Path(__file__).parents[1]
FILES = [*sorted((ROOT / "tests/kernels/programs").glob("*.ptx")), *sorted((ROOT / "tests/ptx/data").glob("*.ptx"))]
SECONDS = 30  # of CPU time for one module
MEMORY = 4 << 30  # bytes that this process may have
TOKEN = re.compile(r"//[^\n]*|[.%$]?[\w$]+|[^\s\w]")
NUMBERS = ("0", "1", "-1", "7", "33", "0xffffffff", "0x100000000", "99999999999999999999", "0f7F800000", "1.5")


class Placeless(Exception):
    """A module was refused without a line."""


class Hangs(Exception):
    """A module took longer than it may."""


def broken(texts: list[str], generator: random.Random) -> str:
    """A module's text with a few mistakes."""
    text = generator.choice(texts)
    if generator.randrange(30) == 0:
        return text[: generator.randrange(len(text))]
    spans = [match.span() for match in TOKEN.finditer(text) if not match[0].startswith("//")]
    if not spans:
        return text
    if generator.randrange(3):
        return _polite(text, spans, generator)
    edits: dict[int, str] = {}
    for _ in range(1 + generator.randrange(4)):
        at = generator.randrange(len(spans))
        start, end = spans[at]
        other = text[slice(*generator.choice(spans))]
        if generator.randrange(4) == 0:
            foreign = generator.choice(texts)
            begin = generator.randrange(len(foreign))
            match = TOKEN.search(foreign, begin)
            other = match[0] if match else ""
        kind = generator.randrange(5)
        if text[start].isdigit() and kind < 2:
            other = generator.choice(NUMBERS)
        edits[at] = {0: "", 1: other, 2: other, 3: f"{text[start:end]} {text[start:end]}", 4: f"{text[start:end]} {other}"}[kind]
    for at in sorted(edits, reverse=True):
        start, end = spans[at]
        text = text[:start] + edits[at] + text[end:]
    if generator.randrange(8) == 0:
        lines = text.split("\n")
        at = generator.randrange(len(lines))
        del lines[at : at + 1 + generator.randrange(3)]
        text = "\n".join(lines)
    return text


def _polite(text: str, spans: list[tuple[int, int]], generator: random.Random) -> str:
    """Mistakes that leave the grammar alone: a name, a modifier or a number for another of its kind, lines left out, doubled, exchanged."""
    kinds: dict[str, list[str]] = {}
    for start, end in spans:
        kinds.setdefault(_kind(text[start]), []).append(text[start:end])
    chosen = sorted({generator.randrange(len(spans)) for _ in range(1 + generator.randrange(3))}, reverse=True)
    for start, end in (spans[at] for at in chosen):
        kind = _kind(text[start])
        if kind:
            other = generator.choice(NUMBERS) if kind == "0" and generator.randrange(2) else generator.choice(kinds[kind])
            text = text[:start] + other + text[end:]
    if generator.randrange(3) == 0:
        lines = text.split("\n")
        at, to = generator.randrange(len(lines)), generator.randrange(len(lines))
        line = lines.pop(at)
        if generator.randrange(2):
            lines.insert(to, line)
            if generator.randrange(2):
                lines.insert(at, line)
        text = "\n".join(lines)
    return text


def _kind(character: str) -> str:
    return "0" if character.isdigit() else "a" if character.isalpha() or character in "_$" else character if character in ".%" else ""


def outcome(text: str, with_llvm: bool = False) -> str:
    """ "" where a module compiles, "refused" where it is refused with a line; whatever else happens is an exception."""
    try:
        module = pipeline.read_module(text)
        for function in list(module.functions.values()):
            if function.kind == "entry" and function.body is not None:
                lowered = lower(build(module, function.name), "line")
                if with_llvm:
                    llvm.parse(lowered.text)
    except PtxError as error:
        if not error.line:
            raise Placeless(error.message) from error
        return "refused"
    return ""


def _late(number: int, frame: FrameType | None) -> None:
    raise Hangs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--start", type=int, default=0, help="first seed")
    parser.add_argument("--seed", type=int, default=None, help="only this one; prints the whole traceback")
    parser.add_argument("files", nargs="*", type=Path, help="modules to break in place of those of the tests")
    arguments = parser.parse_args()
    texts = [path.read_text() for path in arguments.files or FILES]
    texts = [re.sub(r"\.section[^{}]*\{[^}]*\}", "", text) for text in texts if len(text) < 200_000]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGVTALRM, _late)
    folder = Path(tempfile.mkdtemp(prefix="broken-ptx-"))
    counts: Counter[str] = Counter()
    found: Counter[str] = Counter()
    deadline = time.monotonic() + arguments.seconds
    seed = arguments.start if arguments.seed is None else arguments.seed
    while time.monotonic() < deadline:
        text = broken(texts, random.Random(seed))
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        try:
            kind = outcome(text, seed % 8 == 0)
            counts[kind or "compiles"] += 1
        except Exception as error:
            if arguments.seed is not None:
                traceback.print_exc()
            frames = traceback.extract_tb((error.__cause__ or error).__traceback__)
            place = next((f for f in reversed(frames) if "anywarp" in f.filename), frames[-1])
            key = f"{type(error).__name__} at {place.filename.split('anywarp/')[-1]}:{place.lineno} ({place.name})"
            if key not in found:
                path = folder / f"{seed}.ptx"
                path.write_text(text)
                print(f"seed {seed}: {key}: {str(error)[:160]!r}; {path}", flush=True)
            found[key] += 1
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        seed += 1
        if arguments.seed is not None:
            break
    print(f"{sum(counts.values()) + sum(found.values())} modules: {dict(counts)}; {sum(found.values())} failures at {len(found)} places")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
