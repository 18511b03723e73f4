"""The correctly rounded elementary functions, against the C library's in f64 (whose own error cannot be seen in an f32, but near a tie)."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable

import pytest

from anywarp.isa import elementary
from anywarp.isa.ieee import F32

FUNCTIONS: list[tuple[Callable[[int], int], Callable[[float], float], float, float]] = [
    (elementary.exp2, lambda x: 2.0**x, -150.0, 127.9),
    (elementary.log2, math.log2, 1e-45, 3e38),
    (elementary.sin, math.sin, -1e6, 1e6),
    (elementary.cos, math.cos, -1e6, 1e6),
    (elementary.tanh, math.tanh, -12.0, 12.0),
    (elementary.reciprocal_square_root, lambda x: 1 / math.sqrt(x), 1e-45, 3e38),
]


def number(bits: int) -> float:
    return float(struct.unpack("<f", struct.pack("<I", bits))[0])


@pytest.mark.parametrize(("exact", "approximate", "low", "high"), FUNCTIONS, ids=lambda f: getattr(f, "__name__", ""))
def test_agrees_with_the_c_library(exact: Callable[[int], int], approximate: Callable[[float], float], low: float, high: float) -> None:
    generator = random.Random(11)
    checked = 0
    while checked < 800:
        bits = generator.getrandbits(32) if checked % 2 else (generator.randrange(100, 140) << 23) | generator.getrandbits(23)
        x = number(bits)
        if not low <= x <= high:
            continue
        checked += 1
        value = approximate(x)
        around = {struct.unpack("<I", struct.pack("<f", value * (1 + e)))[0] for e in (-1e-15, 0.0, 1e-15)}
        assert exact(bits) in around, f"{x!r}: {number(exact(bits))!r} is not {value!r}"


@pytest.mark.parametrize(("exact", "cases"), [
    (elementary.exp2, {0x7F800000: 0x7F800000, 0xFF800000: 0, 0x80000000: F32.one, 0x43000000: 0x7F800000, 0xC3150000: 1, 0xC3170000: 0}),
    (elementary.log2, {0: 0xFF800000, 0x80000000: 0xFF800000, 0xBF800000: F32.nan, F32.one: 0, 0x7F800000: 0x7F800000, 1: 0xC3150000}),
    (elementary.sin, {0: 0, 0x80000000: 0x80000000, 0x7F800000: F32.nan, 1: 1}),
    (elementary.cos, {0: F32.one, 0x80000000: F32.one, 0xFF800000: F32.nan}),
    (elementary.tanh, {0x7F800000: F32.one, 0xFF800000: 0xBF800000, 0x80000001: 0x80000001}),
    (elementary.reciprocal_square_root, {0: 0x7F800000, 0x80000000: 0xFF800000, 0x7F800000: 0, 0xBF800000: F32.nan}),
], ids=lambda f: getattr(f, "__name__", ""))  # fmt: skip
def test_special_values(exact: Callable[[int], int], cases: dict[int, int]) -> None:
    assert {a: exact(a) for a in cases} == cases
    assert exact(0x7FC00000) == F32.nan
