"""Sizes and places of variables, and the bytes that initialisers stand for (PTX ISA 4 and 5)."""

from __future__ import annotations

import bisect
import math
import struct
from collections.abc import Callable
from fractions import Fraction

from anywarp.isa import types
from anywarp.ptx import tree
from anywarp.reference.errors import Unsupported

_BYTES = {"texref": 8, "samplerref": 8, "surfref": 8, "mbarrier": 8, "pred": 1, "b128": 16, "f16x2": 4, "bf16x2": 4, "bf16": 2, "tf32": 4}


def type_bytes(type: str) -> int:
    """The size of one element of a fundamental type in memory."""
    known = _BYTES.get(type)
    if known:
        return known
    digits = type.lstrip("busf")
    if not digits.isdigit():
        raise Unsupported(f"a variable of type .{type}")
    return max(1, int(digits) // 8)


def element_bytes(variable: tree.Variable) -> int:
    """One array element: the vector where it is one (a v3 takes the room of a v4)."""
    return type_bytes(variable.type) * (4 if variable.vector == 3 else variable.vector)


def variable_bytes(variable: tree.Variable) -> int:
    """The whole size; 0 for an array whose size the launch decides."""
    size = element_bytes(variable)
    for dimension in variable.dimensions:
        size *= dimension
    if variable.dimensions[:1] == (0,) and variable.initializer:
        inner = element_bytes(variable)
        for dimension in variable.dimensions[1:]:
            inner *= dimension
        total = len(variable.initializer) * type_bytes(variable.type)
        size = -(-total // inner) * inner
    return size


def variable_alignment(variable: tree.Variable) -> int:
    return variable.alignment or element_bytes(variable)


def is_dynamic(variable: tree.Variable) -> bool:
    """`.extern .shared x[]`: the launch decides its size."""
    return variable.space == "shared" and variable.linkage == "extern" and variable.dimensions[:1] in ((0,), ())


class Offsets:
    """Places variables one after the other, each aligned."""

    def __init__(self, start: int = 0) -> None:
        self.bytes = start

    def place(self, variable: tree.Variable) -> int:
        alignment = variable_alignment(variable)
        at = -(-self.bytes // alignment) * alignment
        self.bytes = at + variable_bytes(variable)
        return at


def initial_bytes(variable: tree.Variable, address_of: Callable[[tree.Symbol], int]) -> bytes:
    """The contents of a variable when its module is loaded."""
    out = bytearray()
    size = type_bytes(variable.type)
    for item in variable.initializer or ():
        out += _initial(item, variable.type, size, address_of)
    return bytes(out.ljust(variable_bytes(variable), b"\0"))


def _initial(item: tree.Initial, type: str, size: int, address_of: Callable[[tree.Symbol], int]) -> bytes:
    if isinstance(item, tree.Symbol):
        value = address_of(item)
    elif isinstance(item, tree.MaskedSymbol):
        shift = (item.mask & -item.mask).bit_length() - 1
        value = (address_of(item.symbol) & item.mask) >> shift
    elif isinstance(item, tree.Float):
        value = constant_bits(item, type)
    else:
        value = float_bits(float(item.value), 8 * size) if type in ("f32", "f64") else item.value
    return (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def constant_bits(constant: tree.Integer | tree.Float, type: str) -> int:
    """The bit pattern of a constant as an operand of a type: floats are rounded to the type, integers are bits and wrap."""
    width = types.width(type)
    if isinstance(constant, tree.Integer):
        return constant.value & ((1 << width) - 1)
    if constant.width == width or width not in (16, 32, 64):
        return constant.bits & ((1 << width) - 1)
    if constant.width == 32:
        value: float = struct.unpack("<f", struct.pack("<I", constant.bits))[0]
    else:
        value = struct.unpack("<d", struct.pack("<Q", constant.bits))[0]
    return bfloat_bits(value) if type == "bf16" else float_bits(value, width)


def bfloat_bits(value: float) -> int:
    """A number rounded to bf16, the upper half of an f32, to nearest even."""
    if value != value:
        return 0x7FFF

    def number(bits: int) -> Fraction:  # what infinity stands for in rounding is the power of two behind the largest number
        return Fraction(2) ** 128 if bits >= 0x7F80 else Fraction(struct.unpack("<f", struct.pack("<I", bits << 16))[0])

    sign = 0x8000 if math.copysign(1, value) < 0 else 0
    if math.isinf(value):
        return sign | 0x7F80
    size = abs(Fraction(value))
    below = bisect.bisect_right(range(0x7F80), size, key=number) - 1
    distance = 2 * size - number(below) - number(below + 1)
    return sign | (below + (distance > 0 or (distance == 0 and below & 1)))


def float_bits(value: float, width: int) -> int:
    """A number rounded to a binary float of 16, 32 or 64 bits, to nearest even."""
    code, fitting = {16: ("<e", "<H"), 32: ("<f", "<I"), 64: ("<d", "<Q")}[width]
    try:
        packed = struct.pack(code, value)
    except OverflowError:  # Python's way to say that the result is infinite
        packed = struct.pack(code, float("inf") if value > 0 else float("-inf"))
    bits: int = struct.unpack(fitting, packed)[0]
    return bits
