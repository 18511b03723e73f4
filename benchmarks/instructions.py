"""`python -m benchmarks.instructions [--only TEXT] [--slowest N] [--math]`: how many lanes a nanosecond of one core each instruction does.

Every group of the instruction tests (`tests/isa/**/*.ptx`) whose instruction works on registers is compiled as the tests do it: a loop
that loads 32 lanes of each operand from the cache, executes, stores the results. CPU time, the least of several rounds. What LLVM
takes apart lane by lane stands out by a factor of ten or more against its neighbours; beside it stands the loop that a C++ programmer
writes, where there is one (natural_instructions.py). `--math`: functions of the math library in a kernel of
their own, with what a C++ programmer writes for them beside it (`g++ -O3 -march=native`, and with `-ffast-math`, which calls glibc's
vector functions).
"""

from __future__ import annotations

import ctypes
import math
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from anywarp.codegen import llvm as codegen
from benchmarks import natural_instructions
from tests.isa import case_format
from tests.isa.lane_harness import CaseFailure, Code, Subject, registers, resolve
from tests.libdevice import harness

ROOT = Path(__file__).parent.parent
BLOCKS = 256  # warps in a call
ROUNDS = 5
MATH = (
    *("expf", "logf", "sinf", "cosf", "tanf", "powf", "tanhf", "exp2f", "erff", "cbrtf", "rsqrtf"),
    *("exp", "log", "sin", "pow", "atan2", "erf"),
)
C_NAMES = {"rsqrtf": "1.0f / std::sqrt({0})"}  # where C++ has no function of that name


def least(run: Callable[[], None], calls: int) -> float:
    """CPU nanoseconds of one call."""
    run()
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.thread_time_ns()
        for _ in range(calls):
            run()
        best = min(best, (time.thread_time_ns() - begin) / calls)
    return best


def subjects(only: str) -> list[Subject]:
    """One group for each opcode of the tests that has register operands only."""
    found: dict[str, Subject] = {}
    for path in sorted((ROOT / "tests" / "isa").rglob("*.ptx")):
        for group in case_format.parse(path.read_text(encoding="utf-8")):
            if group.mnemonic in found or only not in group.mnemonic or not group.runs:
                continue
            try:
                found[group.mnemonic] = resolve(group)
            except case_format.FormatError:
                continue  # a form that must be rejected
    return list(found.values())


def time_instruction(subject: Subject, natural: Callable[..., None] | None) -> tuple[float, float]:
    """Lanes a nanosecond, ours and the C++ loop's (0 where there is none)."""
    code = Code(codegen.feature_set())
    sources, results = registers(subject.sources), registers(subject.results)
    name = code.function(subject, [32] * len(sources), 32, None, False)
    engine = code.compile()
    random = np.random.default_rng(5)
    arrays: list[Any] = []
    for operand, _ in sources:
        size = operand.storage_bytes
        if operand.element in ("f32", "f64"):
            arrays.append(random.uniform(0.5, 8.0, BLOCKS * 32).astype(np.float32 if size == 4 else np.float64))
        elif operand.element == "pred":
            arrays.append(random.integers(0, 2, BLOCKS * 32).astype(np.uint8))
        elif operand.name == "membermask":
            arrays.append(np.full(BLOCKS * 32, 0xFFFFFFFF, np.uint32))
        else:
            arrays.append(random.integers(0, 256, BLOCKS * 32 * size).astype(np.uint8))
    if subject.group.opcode[0] in ("div", "rem") and sources[-1][1][0] in "us":
        arrays[-1] |= 1  # C++'s loop would trap
    arrays += [np.zeros(BLOCKS * 32 * operand.storage_bytes, np.uint8) for operand, _ in results]
    arrays.append(np.full(BLOCKS, 0xFFFFFFFF, np.uint32))
    addresses = [a.ctypes.data for a in arrays]
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(addresses), ctypes.c_uint64)(engine.get_function_address(name))
    ours = BLOCKS * 32 / least(lambda: function(*addresses, BLOCKS), 20)
    if natural is None:
        return ours, 0.0
    pointers = [ctypes.c_void_p(address) for address in addresses[:-1]]
    return ours, BLOCKS * 32 / least(lambda: natural(*pointers, ctypes.c_long(BLOCKS * 32)), 20)


def instructions(only: str, slowest: int, console: Console) -> None:
    rates: list[tuple[float, str, float]] = []
    chosen = subjects(only)
    with tempfile.TemporaryDirectory() as folder:
        loops = natural_instructions.compile_loops(chosen, Path(folder))
        for subject in chosen:
            name = subject.group.mnemonic
            try:
                ours, natural = time_instruction(subject, loops.get(name))
            except (CaseFailure, AttributeError, TypeError, ValueError) as error:
                console.print(f"{name}: not measured ({type(error).__name__})", style="dim")
            else:
                rates.append((ours, name, natural))
    products = sorted((rate / 32 * math.prod(shape), name, 0.0) for rate, name, _ in rates if (shape := matrix_shape(name)))
    rates = sorted(each for each in rates if not matrix_shape(each[1]))
    for unit, found in (("lanes/ns", rates), ("products/ns", products)):
        if found:
            table = Table("instruction", unit, "C++", "times C++", title=f"{len(found)} instructions, one core; the slowest first")
            for rate, name, natural in found[:slowest] if slowest else found:
                table.add_row(name, f"{rate:.2f}", *((f"{natural:.2f}", f"{rate / natural:.2f}") if natural else ("", "")))
            console.print(table)
            console.print(f"median {found[len(found) // 2][0]:.2f} {unit}")
    beside = sorted((rate / natural, name, rate, natural) for rate, name, natural in rates if natural)
    if beside:
        table = Table("instruction", "lanes/ns", "C++", "times C++", title=f"{len(beside)} beside C++; the farthest behind first")
        for ratio, name, rate, natural in beside[:slowest] if slowest else beside:
            table.add_row(name, f"{rate:.2f}", f"{natural:.2f}", f"{ratio:.2f}")
        console.print(table)
        console.print(f"median {beside[len(beside) // 2][0]:.2f} times C++; {sum(r < 0.5 for r, *_ in beside)} below half")


def matrix_shape(name: str) -> tuple[int, ...]:
    """m, n and k of a matrix product, whose work is not that of 32 lanes; () for all else."""
    found = re.search(r"^w?mma\..*?\bm(\d+)n(\d+)k(\d+)\b", name)
    return tuple(map(int, found.groups())) if found else ()


def _natural(flags: str, folder: Path) -> ctypes.CDLL:
    """The loops as C++ has them."""
    lines = ["#include <cmath>"]
    for name in MATH:
        type, count = ("float", 1) if name.endswith("f") and name != "erf" else ("double", 1)
        count = 2 if name in ("powf", "pow", "atan2") else 1
        arguments = ["a[i]", "b[i]"][:count]
        stem = name[:-1] if type == "float" else name
        value = C_NAMES.get(name, f"std::{stem}({', '.join(arguments)})").format(*arguments)
        lines.append(f'extern "C" void loop_{name}(const {type}* a, const {type}* b, {type}* d, long n) {{')
        lines.append(f"  for (long i = 0; i < n; ++i) d[i] = {value};\n}}")
    source, library = folder / "loops.cpp", folder / f"loops{abs(hash(flags))}.so"
    source.write_text("\n".join(lines))
    subprocess.run(["g++", *flags.split(), "-fPIC", "-shared", "-o", library, source], check=True)
    return ctypes.CDLL(str(library))


def math_functions(console: Console) -> None:
    n = 1 << 20
    table = Table("function", "lanes/ns", "C++", "C++ -ffast-math", title="math library, one core (lanes/ns; larger is better)")
    with tempfile.TemporaryDirectory() as folder:
        peers = [_natural(f"-O3 -march=native{more}", Path(folder)) for more in ("", " -ffast-math")]
        for name in MATH:
            full = f"__nv_{name}"
            dtype = np.float32 if harness.signature(full)[1][0] == "b32" else np.float64
            random = np.random.default_rng(2)
            a, b = (random.uniform(0.1, 6.0, n).astype(dtype) for _ in range(2))
            operands = [a, b][: len(harness.signature(full)[1])]
            program = harness.program(full, 0)
            out = np.zeros(n, dtype)
            arguments: list[tuple[str, object]] = [("Q", v.ctypes.data) for v in (*operands, out)]
            ours = least(partial(program.run, "k", (n // 128, 1, 1), (128, 1, 1), [*arguments, ("I", n)]), 2)
            row = [f"{n / ours:.2f}"]
            for peer in peers:
                loop = getattr(peer, f"loop_{name}")
                pointers = [ctypes.c_void_p(v.ctypes.data) for v in (a, b, out)]
                row.append(f"{n / least(partial(loop, *pointers, ctypes.c_long(n)), 2):.2f}")
            table.add_row(name, *row)
    console.print(table)


def main(
    only: Annotated[str, typer.Option(help="opcodes that hold this text")] = "",
    slowest: Annotated[int, typer.Option(help="show so many (0: all)")] = 60,
    math_library: Annotated[bool, typer.Option("--math", help="the math library instead of instructions")] = False,
) -> None:
    console = Console(width=120)
    if math_library:
        math_functions(console)
    else:
        instructions(only, slowest, console)


if __name__ == "__main__":
    typer.run(main)
