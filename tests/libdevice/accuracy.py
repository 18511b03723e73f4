"""How far the math library's functions are from the truth: `python -m tests.libdevice.accuracy [--values N] [--out FILE]`."""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np

from tests.libdevice.functions import FUNCTIONS, Function
from tests.libdevice.harness import Array, compiled

FLOAT = {np.float64: (53, -1074), np.float32: (24, -149)}  # bits, exponent of the least number


def draw(function: Function, dtype: Any, count: int, seed: int = 1) -> list[Array]:
    """Arguments from the function's intervals: half of them evenly, half by their logarithms, and the edges."""
    random = np.random.default_rng(seed)
    out: list[Array] = []
    for at, domains in enumerate(function.domains):
        parts = []
        for low, high in domains:
            if dtype is np.float32:
                low, high = max(low, -3e38), min(high, 3e38)
            n = count // len(domains)
            if at == 0 and function.first_is_integer:
                parts.append(random.integers(int(low), int(high), n).astype(np.float64))
                continue
            even = random.uniform(low, high, n)
            largest = max(abs(low), abs(high))
            logarithmic = largest * 2.0 ** -random.uniform(0, 40, n // 2) * random.choice([-1.0, 1.0], n // 2)
            even[: n // 2] = np.where((logarithmic >= low) & (logarithmic <= high), logarithmic, even[: n // 2])
            parts.append(even)
        values = np.concatenate(parts)
        random.shuffle(values)
        is_integer = at == 0 and function.first_is_integer
        out.append(values.astype(np.int32) if is_integer else values.astype(dtype))
    n = min(map(len, out))
    return [a[:n] for a in out]


def error_in_ulp(dtype: Any, got: float, want: Any) -> float:
    """The distance in units in the last place of the true value."""
    bits, least = FLOAT[dtype]
    largest = mp.mpf(2) ** (1024 if bits == 53 else 128)
    if mp.isnan(want):
        return 0.0 if math.isnan(got) else math.inf
    if abs(want) >= largest * (1 - mp.mpf(2) ** -(bits + 1)):  # overflows
        nearly = abs(got) > largest / 2 * (1 - mp.mpf(2) ** -bits)
        return 0.0 if math.isinf(got) and (got > 0) == (want > 0) else 1.0 if nearly else math.inf
    if not math.isfinite(got):
        return 1.0 if math.isinf(got) and abs(want) > largest * (1 - mp.mpf(2) ** -(bits - 1)) else math.inf
    exponent = max(int(mp.floor(mp.log(abs(want), 2))) - bits + 1, least) if want != 0 else least
    return float(abs(mp.mpf(got) - want) / mp.mpf(2) ** exponent)


def measure(function: Function, dtype: Any, count: int) -> tuple[float, tuple[float, ...]]:
    """The largest error in ulp, and where. Where an absolute bound is kept, an error counts as the function's bound at most."""
    name = f"__nv_{function.name}{'f' if dtype is np.float32 else ''}"
    arguments = draw(function, dtype, count)
    got = compiled(name, *arguments)[0].view(dtype)
    bound, absolute = function.ulp[dtype is np.float32], (function.absolute or (0.0, 0.0))[dtype is np.float32]
    worst, where = 0.0, tuple(float(a[0]) for a in arguments)
    with mp.workdps(40):
        for i, value in enumerate(got.astype(np.float64)):
            operands = [int(a[i]) if a.dtype == np.int32 else float(a[i]) for a in arguments]
            try:
                want = function.meaning(*operands)
            except (ValueError, ZeroDivisionError):
                continue  # a pole
            if isinstance(want, mp.mpc):
                continue
            error = error_in_ulp(dtype, float(value), want)
            if error > bound and absolute and abs(want - float(value)) <= absolute:
                continue
            if error > worst:
                worst, where = error, tuple(map(float, operands))
    return worst, where


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.libdevice.accuracy")
    parser.add_argument("--values", type=int, default=2000)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows: dict[str, list[tuple[float, float]]] = {}
    for function in FUNCTIONS:
        if options.only and function.name not in options.only:
            continue
        for dtype in (np.float64, np.float32):
            begin = time.process_time()
            worst, where = measure(function, dtype, options.values)
            bound = function.ulp[dtype is np.float32]
            rows.setdefault(function.name, []).append((worst, bound))
            mark = "" if worst <= bound else "  <-- beyond"
            seconds = time.process_time() - begin
            line = f"{function.name:14} {np.dtype(dtype).name} {worst:10.3f} of {bound:4} at {where} {seconds:.1f} s{mark}"
            print(line, file=sys.stderr, flush=True)
    if options.out:
        options.out.write_text(page(rows, options.values), encoding="utf-8")


def page(rows: dict[str, list[tuple[float, float]]], values: int) -> str:
    """docs/math-library.md."""
    lines = [
        "# The math library",
        "",
        "Generated by `python -m tests.libdevice.accuracy --out docs/math-library.md`. The `__nv_*` functions that front ends leave open "
        "(libdevice's names) are our own: C in `src/libdevice/`, compiled to the PTX that is checked in as "
        "`src/anywarp/ptx/math_library.ptx` (`python src/libdevice/build.py`, with clang 14 or later; `fit.py` there computes every "
        "coefficient). A module gets the functions that it declares and does not define; they are inlined and become vector code.",
        "",
        f"Largest errors found in units in the last place, over {values} arguments each (compiled code against mpmath), and the largest "
        "that CUDA's documentation allows. Single precision is computed in double. What is exact (conversions, rounded arithmetic, fmod, "
        "remainder, bits) has tests of its own in `tests/libdevice`. Of Bessel functions, errors count that are larger than the "
        "absolute bound that the documentation gives for large arguments.",
        "",
        "| function | double | allowed | single | allowed |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, measured in sorted(rows.items()):
        doubles, floats = measured[::2], measured[1::2]
        d, f = max(doubles), max(floats)
        lines.append(f"| `{name}` | {d[0]:.2f} | {d[1]:g} | {f[0]:.2f} | {f[1]:g} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
