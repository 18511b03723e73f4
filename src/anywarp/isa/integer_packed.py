"""Integer arithmetic on two 16-bit or four 8-bit numbers in a 32-bit register (PTX ISA 9.7.1, types u16x2 to s8x4).

A register's vector of 32 x i32 is read as 64 x i16 or 128 x i8, which is what AVX2 and its like have instructions for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anywarp.isa import types
from anywarp.isa.base import Lane, OperandType, instruction
from anywarp.isa.integer import clamp, number, pattern

if TYPE_CHECKING:
    from collections.abc import Callable

    from anywarp.lower.emit import Emitter, V

PAIRS = "u16x2 s16x2"
QUADS = "u8x4 s8x4"
NUMBERS: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "min": min,
    "max": max,
}


class _Packed(Lane):
    """An operation on each number of a register."""

    sat: bool = False
    relu: bool = False
    pair: str | None = None

    @property
    def element(self) -> str:
        """The type of one number: s16 of s16x2."""
        return str(self.type or self.pair).split("x")[0]

    def operand_type(self, name: str) -> OperandType:
        return str(self.type or self.pair)

    def reference(self, a: int, b: int) -> int:
        width, result = types.width(self.element), 0
        for shift in range(0, 32, width):
            value = NUMBERS[self.opcode[0]](number(a >> shift, self.element), number(b >> shift, self.element))
            value = clamp(value, self.element) if self.sat else max(value, 0) if self.relu else value
            result |= pattern(value, self.element) << shift
        return result

    def lower(self, g: Emitter, a: V, b: V) -> V:
        a, b = g.same_lanes(a, b)
        elem, count = f"i{types.width(self.element)}", 32 // types.width(self.element)
        x, y = g.reinterpret(a, elem, count * a.n), g.reinterpret(b, elem, count * a.n)
        sign, operation = ("s" if types.is_signed(self.element) else "u"), self.opcode[0]
        if operation in ("min", "max"):
            result = g.intrinsic(f"llvm.{sign}{operation}", x, y)
            if self.relu:
                result = g.intrinsic("llvm.smax", result, g.zero_like(result))
        else:
            result = g.intrinsic(f"llvm.{sign}{operation}.sat", x, y) if self.sat else g.binary(operation, x, y)
        return g.reinterpret(result, "i32", a.n)

    def check(self) -> str | None:
        return ".relu is for signed numbers" if self.relu and not types.is_signed(self.element) else None


@instruction
class AddPair(_Packed):
    """add: two sums of 16 bits"""

    syntax = "add.type d, a, b"
    modifiers = {"type": PAIRS}
    section = "9.7.1.1"
    since = (8, 0)
    target = 90


@instruction
class AddPacked(_Packed):
    """add: four sums of 8 bits; `.sat` clamps each sum, of 8 or 16 bits, to its type's range"""

    syntax = ("add{.sat}.type d, a, b", "add.sat.pair d, a, b")
    modifiers = {"type": QUADS, "pair": PAIRS}
    section = "9.7.1.1"
    since = (9, 2)
    target = 120


@instruction
class SubPacked(_Packed):
    """sub: four differences of 8 bits; `.sat` clamps each to its type's range"""

    syntax = "sub{.sat}.type d, a, b"
    modifiers = {"type": QUADS}
    section = "9.7.1.2"
    since = (9, 2)
    target = 120


@instruction
class MinimumPair(_Packed):
    """min: two minima of 16 bits; `.relu`: at least 0"""

    syntax = "min{.relu}.type d, a, b"
    modifiers = {"type": PAIRS}
    section = "9.7.1.12"
    since = (8, 0)
    target = 90


@instruction
class MinimumQuad(_Packed):
    """min: four minima of 8 bits; `.relu`: at least 0"""

    syntax = "min{.relu}.type d, a, b"
    modifiers = {"type": QUADS}
    section = "9.7.1.12"
    since = (9, 2)
    target = 120


@instruction
class MaximumPair(_Packed):
    """max: two maxima of 16 bits; `.relu`: at least 0"""

    syntax = "max{.relu}.type d, a, b"
    modifiers = {"type": PAIRS}
    section = "9.7.1.13"
    since = (8, 0)
    target = 90


@instruction
class MaximumQuad(_Packed):
    """max: four maxima of 8 bits; `.relu`: at least 0"""

    syntax = "max{.relu}.type d, a, b"
    modifiers = {"type": QUADS}
    section = "9.7.1.13"
    since = (9, 2)
    target = 120


@instruction
class NegateQuad(Lane):
    """neg: four numbers of 8 bits with their signs changed; -128 stays"""

    syntax = "neg.type d, a"
    modifiers = {"type": "s8x4"}
    section = "9.7.1.11"
    since = (9, 2)
    target = 120

    def reference(self, a: int) -> int:
        return sum((-(a >> shift) & 0xFF) << shift for shift in (0, 8, 16, 24))

    def lower(self, g: Emitter, a: V) -> V:
        return g.reinterpret(g.neg(g.reinterpret(a, "i8", 4 * a.n)), "i32", a.n)
