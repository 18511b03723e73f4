"""Where the elements of matrix fragments lie, and what a matrix product is, exactly: the plain meaning of `mma`.

Positions are those of the manual's formulas (PTX ISA 9.7.14.5, "Matrix Fragments for mma..."): for lane and element number, row and
column. All dense shapes but m8n8k4 with f16 follow one formula, `row_column`, in which only the number of elements in a 32-bit
register (`per`) differs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any

from anywarp.isa import types
from anywarp.isa.ieee import FORMATS, Format, Number

Lanes = dict[int, tuple[Any, ...]]
Position = tuple[int, int]

# element type: its bits inside a register, and the type of the register
ELEMENTS: dict[str, tuple[int, str]] = {
    "f16": (16, "f16x2"), "bf16": (16, "b32"), "tf32": (32, "b32"), "f32": (32, "f32"), "f64": (64, "f64"), "s32": (32, "s32"),
    "s8": (8, "b32"), "u8": (8, "b32"), "s4": (4, "b32"), "u4": (4, "b32"), "b1": (1, "b32"),
    "fp4": (4, "b32"),  # e2m1 without a container, as the .kind::mxf4 and .kind::mxf4nvf4 have it
    "e4m3": (8, "b32"), "e5m2": (8, "b32"), "e3m2": (8, "b32"), "e2m3": (8, "b32"), "e2m1": (8, "b32"),
}  # fmt: skip


@cache
def dimensions(shape: str) -> tuple[int, int, int]:
    """(16, 8, 32) for "m16n8k32"."""
    match = re.fullmatch(r"m(\d+)n(\d+)k(\d+)", shape)
    assert match, shape
    return int(match[1]), int(match[2]), int(match[3])


def registers(type: str, elements: int) -> tuple[str, int]:
    """The vector operand that holds so many elements of a matrix, spread over 32 lanes."""
    bits, register = ELEMENTS[type]
    return register, elements // 32 * bits // types.width(register)


def row_column(matrix: str, rows: int, type: str, lane: int, i: int) -> Position:
    """Row and column of element i of a lane's fragment of A ("a", of `rows` rows), B or C and D ("c")."""
    group, thread = lane >> 2, lane & 3
    if matrix == "c":
        return group + 8 * (i >> 1), 2 * thread + (i & 1)
    per = max(1, 32 // ELEMENTS[type][0])  # elements in a register
    register, j = divmod(i, per)
    if matrix == "b":
        return thread * per + j + 4 * per * register, group
    down = register & 1 if rows == 16 else 0
    along = register >> 1 if rows == 16 else register
    return group + 8 * down, thread * per + j + 4 * per * along


def elements(type: str, fragment: tuple[int, ...]) -> Iterable[int]:
    """The bit patterns of a fragment's elements, in order."""
    bits, register = ELEMENTS[type]
    for word in fragment:
        for j in range(types.width(register) // bits):
            yield word >> bits * j & ((1 << bits) - 1)


def pack(type: str, values: list[int]) -> tuple[int, ...]:
    """The registers that hold the elements."""
    bits, register = ELEMENTS[type]
    per = types.width(register) // bits
    return tuple(sum(v << bits * j for j, v in enumerate(values[i : i + per])) for i in range(0, len(values), per))


def is_float(type: str) -> bool:
    return type in FORMATS or type == "fp4"


@lru_cache(maxsize=1 << 16)
def number(type: str, bits: int) -> Number:
    """The exact value of a float element; e2m1 lies in the middle of its 8-bit container."""
    if type == "tf32":
        return FORMATS["tf32"].decode(bits >> 13)
    if type == "fp4":
        return FORMATS["e2m1"].decode(bits)
    if type == "e2m1":
        bits = bits >> 2 & 15
    elif type in ("e3m2", "e2m3"):
        bits &= 63
    return FORMATS[type].decode(bits)


def integer(type: str, bits: int) -> int:
    """The value of an integer element."""
    width = int(type[1:])
    return bits - (1 << width) if type[0] == "s" and bits >> (width - 1) else bits


def integer_element(types: tuple[str, str, str, str], a: list[int], b: list[int], c: int, is_saturating: bool) -> int:
    """An element of an integer product: wrapped, or clamped to the range of s32."""
    total = integer("s32", c) + sum(integer(types[0], x) * integer(types[1], y) for x, y in zip(a, b))
    if is_saturating:
        total = max(-(1 << 31), min((1 << 31) - 1, total))
    return total & 0xFFFFFFFF


def sum_of_products(products: list[tuple[Number, Number]], addend: Number) -> Number:
    """`addend` plus all products, exact; a NaN or an infinity as IEEE has it in any order. An exact zero is +0 unless all terms are -0."""
    infinite: set[int] = set()
    terms: list[tuple[int, int, int]] = []
    for x, y in [*products, (addend, None)]:
        if x.is_nan or (y is not None and y.is_nan):
            return Number("nan", 0)
        sign = x.sign ^ (y.sign if y is not None else 0)
        if x.is_infinite or (y is not None and y.is_infinite):
            if x.is_zero or (y is not None and y.is_zero):
                return Number("nan", 0)
            infinite.add(sign)
        elif y is None:
            terms.append((sign, x.significand, x.exponent))
        else:
            terms.append((sign, x.significand * y.significand, x.exponent + y.exponent))
    if infinite:
        return Number("nan", 0) if len(infinite) == 2 else Number("inf", infinite.pop())
    low = min(e for _, _, e in terms)
    total = sum((-m if sign else m) << (e - low) for sign, m, e in terms)
    if total == 0:
        return Number("finite", int(all(sign for sign, _, _ in terms)))
    return Number("finite", int(total < 0), abs(total), low)


def rounded(format: Format, x: Number) -> int:
    """The nearest number of a format."""
    if x.is_nan:
        return format.nan
    if x.is_infinite:
        return format.signed(x.sign, format.infinity)
    return format.round(x.sign, x.significand, x.exponent, "rn")
