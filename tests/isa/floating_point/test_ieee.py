"""The exact arithmetic behind the references, against Python's floats and fractions: what it says must not rest on itself."""

from __future__ import annotations

import math
import random
import struct
from fractions import Fraction

import pytest

from anywarp.isa.ieee import E2M1, E4M3, F16, F32, F64, Format, convert

ONE = 0x3FF0 << 48
EDGES = (0, 1, 2, (1 << 52) - 1, 1 << 52, ONE, ONE + 1, ONE - 1, 0x7FEFFFFFFFFFFFFF, 0x7FF0 << 48, 0x7FF8 << 48)


def number(bits: int) -> float:
    return float(struct.unpack("<d", struct.pack("<Q", bits))[0])


def pattern(value: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


def samples(count: int) -> list[int]:
    generator = random.Random(20261124)
    near_one = [(0x3FF + generator.randrange(-60, 60)) << 52 | generator.getrandbits(52) for _ in range(count)]
    return [x | generator.getrandbits(1) << 63 for x in [*EDGES, *near_one, *(generator.getrandbits(63) for _ in range(count))]]


def same(f: Format, got: int, want: int) -> bool:
    return got == want or (f.is_nan(got) and f.is_nan(want))


def test_f64_operations_agree_with_the_machine() -> None:
    values = samples(60)
    for a in values:
        for b in values:
            x, y = number(a), number(b)
            assert same(F64, F64.add(a, b), pattern(x + y)), (hex(a), hex(b))
            assert same(F64, F64.subtract(a, b), pattern(x - y)), (hex(a), hex(b))
            assert same(F64, F64.multiply(a, b), pattern(x * y)), (hex(a), hex(b))
            if y != 0:
                assert same(F64, F64.divide(a, b), pattern(x / y)), (hex(a), hex(b))
        if x >= 0:
            assert same(F64, F64.square_root(a), pattern(math.sqrt(x)))


def test_conversions_agree_with_the_machine() -> None:
    for a in samples(400):
        try:
            (want,) = struct.unpack("<I", struct.pack("<f", number(a)))
        except OverflowError:
            want = F32.signed(a >> 63, F32.infinity)
        assert same(F32, convert(a, F64, F32), want), hex(a)


def fraction(f: Format, bits: int) -> Fraction:
    x = f.decode(bits)
    return (-1 if x.sign else 1) * x.significand * Fraction(2) ** x.exponent


@pytest.mark.parametrize("f", [F16, E4M3, E2M1], ids=lambda f: f.name)
def test_directed_results_enclose_the_exact_one(f: Format) -> None:
    generator = random.Random(7)
    finite = [bits for bits in range(1 << f.width) if f.decode(bits).kind == "finite"]
    largest = fraction(f, f.largest)
    for _ in range(3000):
        a, b, c = (generator.choice(finite) for _ in range(3))
        exact = fraction(f, a) * fraction(f, b) + fraction(f, c)
        if abs(exact) > largest:
            continue
        down, up, to_zero, nearest = (f.fused_multiply_add(a, b, c, mode) for mode in ("rm", "rp", "rz", "rn"))
        assert fraction(f, down) <= exact <= fraction(f, up)
        steps = f.order(up) - f.order(down) - (exact != 0 and fraction(f, down) < 0 < fraction(f, up))
        assert steps <= 1 or exact == 0, (a, b, c)
        assert to_zero == (up if exact < 0 else down) or exact == 0
        assert abs(fraction(f, nearest) - exact) == min(abs(fraction(f, down) - exact), abs(fraction(f, up) - exact))


@pytest.mark.parametrize(("mode", "sign"), [("rn", 0), ("rz", 0), ("rp", 0), ("rm", 1)])
def test_exact_zero_has_the_sign_of_its_rounding_mode(mode: str, sign: int) -> None:
    assert F32.add(F32.one, F32.negate(F32.one), mode) == sign << 31
    assert F32.fused_multiply_add(F32.one, F32.one, F32.negate(F32.one), mode) == sign << 31
    assert F32.add(F32.sign_bit, F32.sign_bit, mode) == F32.sign_bit


@pytest.mark.parametrize(("mode", "positive", "negative"), [("rn", 0x7F800000, 0xFF800000), ("rz", 0x7F7FFFFF, 0xFF7FFFFF),
                                                            ("rm", 0x7F7FFFFF, 0xFF800000), ("rp", 0x7F800000, 0xFF7FFFFF)])  # fmt: skip
def test_overflow_goes_where_the_rounding_mode_points(mode: str, positive: int, negative: int) -> None:
    assert F32.add(F32.largest, F32.largest, mode) == positive
    assert F32.add(F32.negate(F32.largest), F32.negate(F32.largest), mode) == negative


def test_flush_and_saturate() -> None:
    assert [F32.flush(x) for x in (1, 0x80000001, 0x00800000, 0x7FFFFFFF)] == [0, 0x80000000, 0x00800000, 0x7FFFFFFF]
    assert [F32.saturate(x) for x in (0x40000000, 0x80000000, 0xBF800000, 0x7FFFFFFF, 0x3F000000)] == [F32.one, 0, 0, 0, 0x3F000000]
