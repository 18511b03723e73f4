"""Pairs of f32 in a 64-bit register, and f32 arithmetic with f16 or bf16 operands (PTX ISA 9.7.3.3 to 9.7.3.6 and 9.7.5).

A register of `.f32x2` arrives as raw i64; as a vector of twice as many floats it goes through the code of the scalar instruction.
Operands of half precision become f32 without error, so mixed arithmetic is f32 arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from anywarp.isa import floating_point_rounding as rounding
from anywarp.isa import ieee
from anywarp.isa.base import OperandType, instruction
from anywarp.isa.floating_point import ROUNDING, FloatingPoint

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V


class Packed(FloatingPoint):
    """What the instructions on `.f32x2` share."""

    since = (8, 6)
    target = 100
    modifiers = {"rnd": ROUNDING}
    types = {"d": "f32x2", "a": "f32x2", "b": "f32x2", "c": "f32x2"}

    def operand_type(self, name: str) -> OperandType:
        return "f32x2"

    def halves(self, compute: Callable[..., int], *operands: int) -> int:
        low = self.plain(compute, *(x & 0xFFFFFFFF for x in operands))
        return self.plain(compute, *(x >> 32 for x in operands)) << 32 | low

    def pairs(self, g: Emitter, compute: Callable[..., V], *operands: V) -> V:
        same = g.same_lanes(*operands)
        n = same[0].n
        return g.reinterpret(self.vector(g, compute, *(g.reinterpret(x, "float", 2 * n) for x in same)), "i64", n)


@instruction
class AddPacked(Packed):
    """add.f32x2: two sums"""

    syntax = "add{.rnd}{.ftz}.f32x2 d, a, b"
    section = "9.7.3.3"

    def reference(self, a: int, b: int) -> int:
        return self.halves(ieee.F32.add, a, b)

    def lower(self, g: Emitter, a: V, b: V) -> V:
        return self.pairs(g, rounding.add, a, b)


@instruction
class SubtractPacked(Packed):
    """sub.f32x2: two differences"""

    syntax = "sub{.rnd}{.ftz}.f32x2 d, a, b"
    section = "9.7.3.4"

    def reference(self, a: int, b: int) -> int:
        return self.halves(ieee.F32.subtract, a, b)

    def lower(self, g: Emitter, a: V, b: V) -> V:
        return self.pairs(g, rounding.subtract, a, b)


@instruction
class MultiplyPacked(Packed):
    """mul.f32x2: two products"""

    syntax = "mul{.rnd}{.ftz}.f32x2 d, a, b"
    section = "9.7.3.5"

    def reference(self, a: int, b: int) -> int:
        return self.halves(ieee.F32.multiply, a, b)

    def lower(self, g: Emitter, a: V, b: V) -> V:
        return self.pairs(g, rounding.multiply, a, b)


@instruction
class FusedMultiplyAddPacked(Packed):
    """fma.f32x2: a * b + c twice, each rounded once"""

    syntax = "fma.rnd{.ftz}.f32x2 d, a, b, c"
    section = "9.7.3.6"

    def reference(self, a: int, b: int, c: int) -> int:
        return self.halves(ieee.F32.fused_multiply_add, a, b, c)

    def lower(self, g: Emitter, a: V, b: V, c: V) -> V:
        return self.pairs(g, rounding.fused_multiply_add, a, b, c)


class Mixed(FloatingPoint):
    """What f32 arithmetic with operands of half precision shares. The manual's examples write `.sat` last; both places are read."""

    since = (8, 6)
    target = 100
    modifiers = {"rnd": ROUNDING, "atype": "f16 bf16"}
    types = {"a": "atype"}
    atype: str

    def operand_type(self, name: str) -> OperandType:
        return self.atype if name in self.types else "f32"

    def widened(self, a: int) -> int:
        """A half-precision number as f32, exactly."""
        return ieee.convert(a, ieee.FORMATS[self.atype], ieee.F32)

    def widen(self, g: Emitter, a: V) -> V:
        if self.atype == "bf16":
            return g.bitcast(g.shl(g.zext(a, "i32"), g.const("i32", 16, a.n)), "float")
        return g.convert("fpext", g.bitcast(a, "half"), "float")


@instruction
class AddMixed(Mixed):
    """add.f32.f16, add.f32.bf16: a of half precision plus c"""

    syntax = ("add{.rnd}{.sat}.f32.atype d, a, c", "add{.rnd}.f32.atype.sat d, a, c")
    section = "9.7.5.1"

    def reference(self, a: int, c: int) -> int:
        return self.plain(ieee.F32.add, self.widened(a), c)

    def lower(self, g: Emitter, a: V, c: V) -> V:
        return self.vector(g, rounding.add, self.widen(g, a), c)


@instruction
class SubtractMixed(Mixed):
    """sub.f32.f16, sub.f32.bf16: a of half precision less c"""

    syntax = ("sub{.rnd}{.sat}.f32.atype d, a, c", "sub{.rnd}.f32.atype.sat d, a, c")
    section = "9.7.5.2"

    def reference(self, a: int, c: int) -> int:
        return self.plain(ieee.F32.subtract, self.widened(a), c)

    def lower(self, g: Emitter, a: V, c: V) -> V:
        return self.vector(g, rounding.subtract, self.widen(g, a), c)


@instruction
class FusedMultiplyAddMixed(Mixed):
    """fma.f32.f16, fma.f32.bf16: the product of two numbers of half precision plus c, rounded once"""

    syntax = ("fma.rnd{.sat}.f32.atype d, a, b, c", "fma.rnd.f32.atype.sat d, a, b, c")
    section = "9.7.5.3"
    types = {"a": "atype", "b": "atype"}

    def reference(self, a: int, b: int, c: int) -> int:
        return self.plain(ieee.F32.fused_multiply_add, self.widened(a), self.widened(b), c)

    def lower(self, g: Emitter, a: V, b: V, c: V) -> V:
        return self.vector(g, rounding.fused_multiply_add, self.widen(g, a), self.widen(g, b), c)
