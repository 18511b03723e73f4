"""Functions whose results are exact: rounded arithmetic, conversions, whole numbers, bits, parts of numbers. The expectations are
Python's own: fractions rounded once, integers, `math`."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.libdevice.harness import Array, compiled, signature

RNG = np.random.default_rng(7)
N = 96
ROUNDINGS = {"rn": 0, "rz": 1, "rd": 2, "ru": 3}


def doubles(low: int = -40, high: int = 40) -> Array:
    edges = [0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -2.5, 1e9 + 0.5, -(2.0**31), 2.0**31 - 1, 2.0**52 + 1, 3.0, 1 / 3, -7.25]
    return np.concatenate([edges, RNG.uniform(-1, 1, N - len(edges)) * 2.0 ** RNG.integers(low, high, N - len(edges))])


def floats() -> Array:
    return doubles().astype(np.float32)


def integers(dtype: Any) -> Array:
    info = np.iinfo(dtype)
    edges = [0, 1, 2, info.max, info.min, info.max - 1, 5, 1 << 20, (1 << 24) + 1]
    return np.array([*edges, *(int(v) for v in RNG.integers(info.min, info.max, N - len(edges), dtype=dtype, endpoint=True))], dtype)


def rounded(value: Fraction, bits: int, least: int, mode: str) -> float:
    """The float with so many bits, and none below 2^least, next to a number that is neither too large nor 0."""
    exponent = max(math.floor(math.log2(abs(value))) - bits - 1, least)
    while abs(value) >= Fraction(2) ** (exponent + bits):
        exponent += 1
    scaled = value / Fraction(2) ** exponent
    whole = {"rn": round, "rz": math.trunc, "rd": math.floor, "ru": math.ceil}[mode](scaled)
    return float(whole * Fraction(2) ** exponent)


FORMATS = {"f": (np.float32, 24, -149), "d": (np.float64, 53, -1074)}
ARITHMETIC: dict[str, Callable[..., Fraction | None]] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b if b else None,
    "rcp": lambda a: 1 / a if a else None,
}  # fmt: skip


@pytest.mark.parametrize("mode", ROUNDINGS)
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("operation", [*ARITHMETIC, "fma"])
def test_arithmetic_with_a_rounding(operation: str, kind: str, mode: str) -> None:
    dtype, bits, least = FORMATS[kind]
    name = {("fma", "f"): "fmaf", ("fma", "d"): "fma"}.get((operation, kind), kind + operation)
    count = 3 if operation == "fma" else 1 if operation == "rcp" else 2
    operands = [doubles().astype(dtype) for _ in range(count)]
    for array in operands[1:]:
        RNG.shuffle(array)
    got = compiled(f"__nv_{name}_{mode}", *operands)[0].view(dtype)
    for values, result in zip(zip(*operands), got):
        exact = [Fraction(float(v)) for v in values]
        want = exact[0] * exact[1] + exact[2] if operation == "fma" else ARITHMETIC[operation](*exact)
        if want is not None and want != 0:
            assert float(result) == rounded(want, bits, least, mode), values


@pytest.mark.parametrize("mode", ROUNDINGS)
@pytest.mark.parametrize("kind", FORMATS)
def test_square_root_with_a_rounding(kind: str, mode: str) -> None:
    dtype, bits, _ = FORMATS[kind]
    operands = np.abs(doubles()).astype(dtype)
    for value, result in zip(operands, compiled(f"__nv_{kind}sqrt_{mode}", operands)[0].view(dtype)):
        x, r = Fraction(float(value)), Fraction(float(result))
        if x == 0:
            assert r == 0
            continue
        step = Fraction(2) ** (math.floor(math.log2(float(r))) - bits + 1)
        if mode == "rn":
            assert (r - step / 2) ** 2 <= x <= (r + step / 2) ** 2
        elif mode == "ru":
            assert (r - step) ** 2 < x <= r**2
        else:
            assert r**2 <= x < (r + step) ** 2


WHOLE = {"int": (np.int32, np.int32), "uint": (np.uint32, np.uint32), "ll": (np.int64, np.int64), "ull": (np.uint64, np.uint64)}
TO_WHOLE: dict[str, Callable[[Fraction], int]] = {"rn": round, "rz": math.trunc, "rd": math.floor, "ru": math.ceil}


@pytest.mark.parametrize("mode", ROUNDINGS)
@pytest.mark.parametrize("to", WHOLE)
@pytest.mark.parametrize("source", ["float", "double"])
def test_floats_to_whole_numbers(source: str, to: str, mode: str) -> None:
    values = floats() if source == "float" else doubles()
    info = np.iinfo(WHOLE[to][0])
    got = compiled(f"__nv_{source}2{to}_{mode}", values)[0].view(WHOLE[to][0])
    for value, result in zip(values, got):
        want = min(max(TO_WHOLE[mode](Fraction(float(value))), info.min), info.max)
        assert int(result) == want, value


@pytest.mark.parametrize("mode", ROUNDINGS)
@pytest.mark.parametrize(("source", "to"), [(s, t) for s in WHOLE for t in ("float", "double")])
def test_whole_numbers_to_floats(source: str, to: str, mode: str) -> None:
    if to == "double" and source in ("int", "uint") and mode != "rn":
        return  # exact: there is only one
    dtype, bits, least = FORMATS[to[0]]
    values = integers(WHOLE[source][0])
    got = compiled(f"__nv_{source}2{to}_{mode}", values)[0].view(dtype)
    for value, result in zip(values, got):
        assert float(result) == (rounded(Fraction(int(value)), bits, least, mode) if value else 0.0), value


@pytest.mark.parametrize("mode", ROUNDINGS)
def test_double_to_float(mode: str) -> None:
    values = doubles()
    for value, result in zip(values, compiled(f"__nv_double2float_{mode}", values)[0].view(np.float32)):
        assert float(result) == (rounded(Fraction(value), 24, -149, mode) if value else 0.0), value


def _signed(bits: int, value: int) -> int:
    return (value + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


def _byte_perm(a: int, b: int, c: int) -> int:
    data = struct.pack("<ii", a, b)
    return int(struct.unpack("<i", bytes(data[c >> 4 * i & 7] for i in range(4)))[0])


I32, U32, I64, U64 = np.int32, np.uint32, np.int64, np.uint64
INTEGERS: list[tuple[str, Any, Callable[..., int]]] = [
    ("max", I32, max), ("min", I32, min), ("umax", U32, max), ("umin", U32, min), ("llmax", I64, max), ("llmin", I64, min),
    ("ullmax", U64, max), ("ullmin", U64, min), ("abs", I32, lambda a: _signed(32, abs(a))), ("llabs", I64, lambda a: _signed(64, abs(a))),
    ("mulhi", I32, lambda a, b: a * b >> 32), ("umulhi", U32, lambda a, b: a * b >> 32), ("mul64hi", I64, lambda a, b: a * b >> 64),
    ("umul64hi", U64, lambda a, b: a * b >> 64), ("hadd", I32, lambda a, b: a + b >> 1), ("rhadd", I32, lambda a, b: a + b + 1 >> 1),
    ("uhadd", U32, lambda a, b: a + b >> 1), ("urhadd", U32, lambda a, b: a + b + 1 >> 1),
    ("sad", I32, lambda a, b, c: _signed(32, abs(a - b) + c)), ("usad", U32, lambda a, b, c: (abs(a - b) + c) % 2**32),
    ("mul24", I32, lambda a, b: _signed(32, _signed(24, a) * _signed(24, b))),
    ("umul24", U32, lambda a, b: (a % 2**24) * (b % 2**24) % 2**32),
    ("clz", I32, lambda a: 32 - (a % 2**32).bit_length()), ("clzll", I64, lambda a: 64 - (a % 2**64).bit_length()),
    ("popc", I32, lambda a: bin(a % 2**32).count("1")), ("popcll", I64, lambda a: bin(a % 2**64).count("1")),
    ("ffs", I32, lambda a: (a & -a).bit_length()), ("ffsll", I64, lambda a: (a & -a).bit_length()),
    ("brev", I32, lambda a: _signed(32, int(f"{a % 2**32:032b}"[::-1], 2))),
    ("brevll", I64, lambda a: _signed(64, int(f"{a % 2**64:064b}"[::-1], 2))),
    ("byte_perm", I32, _byte_perm),
]  # fmt: skip


@pytest.mark.parametrize(("name", "dtype", "meaning"), INTEGERS, ids=[n for n, _, _ in INTEGERS])
def test_whole_numbers(name: str, dtype: Any, meaning: Callable[..., int]) -> None:
    operands = [integers(dtype) for _ in signature(f"__nv_{name}")[1]]
    for array in operands[1:]:
        RNG.shuffle(array)
    raw = compiled(f"__nv_{name}", *operands)[0]
    got = raw.view(np.int32 if raw.itemsize == 4 and dtype is not U32 else raw.dtype if dtype is not I64 or raw.itemsize == 4 else np.int64)
    for values, result in zip(zip(*operands), got):
        assert int(result) == meaning(*map(int, values)), values


def _bits(x: float) -> int:
    return int.from_bytes(struct.pack("<d", x), "little")


DOUBLES: list[tuple[str, Callable[..., float]]] = [
    ("fabs", abs), ("floor", math.floor), ("ceil", math.ceil), ("trunc", math.trunc), ("rint", round), ("nearbyint", round),
    ("sqrt", lambda a: math.sqrt(a)),
    ("round", lambda a: math.copysign(math.floor(abs(Fraction(a)) + Fraction(1, 2)), a)), ("fmod", math.fmod),
    ("remainder", math.remainder),
    ("copysign", math.copysign), ("fmax", max), ("fmin", min), ("fdim", lambda a, b: max(a - b, 0.0)),
    ("nextafter", lambda a, b: float(np.nextafter(a, b))),
    ("llrint", round), ("llround", lambda a: int(math.copysign(math.floor(abs(Fraction(a)) + Fraction(1, 2)), a))),
    ("signbitd", lambda a: _bits(a) >> 63), ("isnand", lambda a: 0), ("isinfd", lambda a: 0), ("isfinited", lambda a: 1),
    ("double2hiint", lambda a: _signed(32, _bits(a) >> 32)), ("double2loint", lambda a: _signed(32, _bits(a))),
    ("double_as_longlong", lambda a: _signed(64, _bits(a))),
    ("ilogb", lambda a: math.frexp(a)[1] - 1 if a else -(2**31)), ("logb", lambda a: math.frexp(a)[1] - 1.0 if a else -math.inf),
]  # fmt: skip


@pytest.mark.parametrize(("name", "meaning"), DOUBLES, ids=[n for n, _ in DOUBLES])
def test_doubles(name: str, meaning: Callable[..., float]) -> None:
    result_type, parameters = signature(f"__nv_{name}")
    operands = [doubles(-60, 60) if name in ("fmod", "remainder") else doubles() for _ in parameters]
    if name == "sqrt":
        operands = [np.abs(operands[0])]
    for array in operands[1:]:
        array[array == 0.0] = 3.0
        RNG.shuffle(array)
    if name in ("llrint", "llround", "double_as_longlong"):
        got = compiled(f"__nv_{name}", *operands)[0].view(np.int64)
    else:
        got = compiled(f"__nv_{name}", *operands)[0].view(np.float64 if result_type == "b64" else np.int32)
    for values, result in zip(zip(*operands), got):
        assert float(result) == float(meaning(*map(float, values))), values


@pytest.mark.parametrize("name", ["fmodf", "remainderf", "roundf", "floorf", "fdimf", "nextafterf", "ilogbf", "truncf"])
def test_floats(name: str) -> None:
    meaning = dict(DOUBLES)[name[:-1]]
    operands = [floats() for _ in signature(f"__nv_{name}")[1]]
    for array in operands[1:]:
        array[array == 0.0] = 3.0
        RNG.shuffle(array)
    raw = compiled(f"__nv_{name}", *operands)[0]
    got = raw.view(np.int32 if name == "ilogbf" else np.float32)
    for values, result in zip(zip(*operands), got):
        want = np.nextafter(*values) if name == "nextafterf" else np.float32(meaning(*map(float, values)))
        assert float(result) == float(want), values


def test_parts_of_numbers() -> None:
    values = np.array([0.0, 1.0, -0.75, 5e-324, 1e300, -3.5, math.pi, 1e-310, 2.0**52 + 0.5])
    mantissa, exponent = compiled("__nv_frexp", values, outputs=1)
    for v, m, e in zip(values, mantissa.view(np.float64), exponent):
        assert (m, int(e.astype(np.uint32).astype(np.int32))) == math.frexp(v)
    fraction, whole = (a.view(np.float64) for a in compiled("__nv_modf", values, outputs=1))
    for v, f, w in zip(values, fraction, whole):
        assert (f, w) == math.modf(v)
    powers = np.array([0, -1, 5, 1074, -700, 3, -2, -10, 900], np.int32)
    for v, n, r in zip(values, powers, compiled("__nv_ldexp", values, powers)[0].view(np.float64)):
        assert r == (math.inf if v and math.frexp(v)[1] + n > 1024 else math.ldexp(v, int(n)))
    sines, cosines = (a.view(np.float64) for a in compiled("__nv_sincos", values, outputs=2))
    for v, s, c in zip(values, sines, cosines):
        assert math.isclose(s, math.sin(v), rel_tol=1e-15) and math.isclose(c, math.cos(v), rel_tol=1e-15)


def test_quotients_of_remainders() -> None:
    a, b = doubles(-8, 8), np.abs(doubles(-3, 3)) + 0.25
    remainder, quotient = compiled("__nv_remquo", a, b, outputs=1)
    for x, y, r, q in zip(a, b, remainder.view(np.float64), quotient.astype(np.uint32).astype(np.int32)):
        assert r == math.remainder(x, y)
        exact = round(Fraction(x) / Fraction(y))
        assert (int(q) - exact) % 8 == 0 and (q >= 0) == (exact >= 0 or q == 0)


def test_halves() -> None:
    bits = np.arange(0, 0x7C00, 37, dtype=np.uint16)  # parameters of 16 bits travel in 32
    got = compiled("__nv_half2float", bits.astype(np.uint32))[0].view(np.float32)
    assert (got == bits.view(np.float16).astype(np.float32)).all()
    values = floats()
    with np.errstate(over="ignore"):
        assert (compiled("__nv_float2half_rn", values)[0] == values.astype(np.float16).view(np.uint16)).all()


def test_norms_of_arrays_in_memory() -> None:
    data = np.array([3.0, 4.0, 12.0, 84.0])
    counts = np.array([1, 2, 3, 4], np.int32)
    pointers = np.full(4, data.ctypes.data, np.uint64)
    assert list(compiled("__nv_norm", counts, pointers)[0].view(np.float64)) == [3.0, 5.0, 13.0, 85.0]
    assert list(compiled("__nv_rnorm", counts, pointers)[0].view(np.float64)) == [1 / 3, 0.2, 1 / 13, 1 / 85]


def test_not_a_number_from_a_string() -> None:
    assert np.isnan(compiled("__nv_nan", np.zeros(1, np.uint64))[0].view(np.float64)[0])
    assert np.isnan(compiled("__nv_nanf", np.zeros(1, np.uint64))[0].view(np.float32)[0])
