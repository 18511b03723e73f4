"""Half-precision arithmetic (PTX ISA 9.7.4): add, sub, mul, fma, neg, abs on f16, bf16 and pairs of them.

`HalfLane` is the base of every instruction on `.f16`, `.f16x2`, `.bf16` and `.bf16x2`: a declaration says what one
element means (`element`, on bit patterns) and how elements are computed (`code`, on i16 lanes); pairs are twice as
many lanes. Approximations are in `half_approximate`, minimum and maximum in `half_compare`; the vector code for
formats is in `lower/half.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anywarp.isa.base import Lane, instruction
from anywarp.isa.ieee import FORMATS, Format
from anywarp.isa.types import width

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V


class HalfLane(Lane):
    """Base: the same function of one or of two halves."""

    @property
    def format_name(self) -> str:
        """ "f16" or "bf16"."""
        return "bf16" if str(self.type).startswith("bf16") else "f16"

    @property
    def format(self) -> Format:
        return FORMATS[self.format_name]

    @property
    def is_pair(self) -> bool:
        return width(self.type) == 32

    def element(self, *operands: int) -> int:
        """The result's bit pattern for one element."""
        raise NotImplementedError

    def code(self, g: Emitter, *operands: V) -> V:
        """The vector code for elements: i16 values with equally many lanes."""
        raise NotImplementedError

    def reference(self, *operands: int) -> int:
        if not self.is_pair:
            return self.element(*operands)
        return self.element(*(x & 0xFFFF for x in operands)) | self.element(*(x >> 16 for x in operands)) << 16

    def lower(self, g: Emitter, *operands: V) -> V:
        values = g.same_lanes(*operands)
        if not self.is_pair:
            return self.code(g, *values)
        n = values[0].n
        return g.reinterpret(self.code(g, *(g.reinterpret(v, "i16", 2 * n) for v in values)), "i32", n)


class HalfArithmetic(HalfLane):
    """Base: an operation that rounds, with `.ftz` on operands and result, `.sat` or `.relu` on the result."""

    def check(self) -> str | None:
        if self.format_name == "bf16" and (getattr(self, "ftz", False) or getattr(self, "sat", False)):
            return "bf16 arithmetic has neither .ftz nor .sat"
        return None

    def operation(self, *operands: int) -> int:
        raise NotImplementedError

    def operation_code(self, g: Emitter, *operands: V) -> V:
        """The rounded result; its NaNs are 0x7fff."""
        raise NotImplementedError

    def element(self, *operands: int) -> int:
        f = self.format
        if self.ftz:
            operands = tuple(f.flush(x) for x in operands)
        result = self.operation(*operands)
        if self.ftz:
            result = f.flush(result)
        if self.sat:
            return f.saturate(result)
        if self.relu and result & 0x8000:
            return 0
        return result

    def code(self, g: Emitter, *operands: V) -> V:
        from anywarp.lower import half

        if self.ftz:
            operands = tuple(half.flush(g, x, self.format_name) for x in operands)
        result = self.operation_code(g, *operands)
        if self.ftz:
            result = half.flush(g, result, self.format_name)
        if self.sat:
            return half.saturate(g, result, self.format_name)
        return half.relu(g, result) if self.relu else result

    ftz: bool = False
    sat: bool = False
    relu: bool = False


TYPES = {"type": "f16 f16x2 bf16 bf16x2", "rnd": "rn"}


def through_f32(g: Emitter, instruction: HalfArithmetic, operation: str, a: V, b: V) -> V:
    """An f32 operation on two halves, rounded again to half: right for sums and products, since f32 has more than
    twice the bits plus two (Figueroa 1995); where the half result is subnormal the f32 sum is exact, and so is the
    f32 product down to the last middle between two bf16 numbers."""
    from anywarp.lower import half

    name = instruction.format_name
    x, y = half.to_f32(g, a, name), half.to_f32(g, b, name)
    return half.from_f32(g, g.binary(operation, x, y), name)


@instruction
class AddHalf(HalfArithmetic):
    """add: sum of two halves, or of two pairs"""

    syntax = ("add{.rnd}{.ftz}{.sat}.type d, a, b",)
    modifiers = TYPES
    section = "9.7.4.1"
    since = (4, 2)
    target = 53

    def operation(self, *operands: int) -> int:
        return self.format.add(operands[0], operands[1])

    def operation_code(self, g: Emitter, *operands: V) -> V:
        return through_f32(g, self, "fadd", *operands)


@instruction
class SubHalf(HalfArithmetic):
    """sub: difference of two halves, or of two pairs"""

    syntax = "sub{.rnd}{.ftz}{.sat}.type d, a, b"
    modifiers = TYPES
    section = "9.7.4.2"
    since = (4, 2)
    target = 53

    def operation(self, *operands: int) -> int:
        return self.format.subtract(operands[0], operands[1])

    def operation_code(self, g: Emitter, *operands: V) -> V:
        return through_f32(g, self, "fsub", *operands)


@instruction
class MulHalf(HalfArithmetic):
    """mul: product of two halves, or of two pairs"""

    syntax = "mul{.rnd}{.ftz}{.sat}.type d, a, b"
    modifiers = TYPES
    section = "9.7.4.3"
    since = (4, 2)
    target = 53

    def operation(self, *operands: int) -> int:
        return self.format.multiply(operands[0], operands[1])

    def operation_code(self, g: Emitter, *operands: V) -> V:
        return through_f32(g, self, "fmul", *operands)


OUT_OF_BOUNDS = 0x7FF7
"""The NaN that a tensor copy fills in for elements out of bounds, in 16-bit formats. The manual names it without
giving its value; this one is what public tests measured on Hopper- and Blackwell-class GPUs."""


@instruction
class FmaHalf(HalfArithmetic):
    """fma: product and sum of halves, or of pairs, rounded once; `.oob` gives +0 where a factor is the out-of-bounds
    NaN"""

    syntax = ("fma.rnd{.ftz}{.sat}.type d, a, b, c", "fma.rnd{.ftz}.relu.type d, a, b, c", "fma.rnd.oob{.sat}.type d, a, b, c",
              "fma.rnd.oob.relu.type d, a, b, c")  # fmt: skip
    modifiers = TYPES
    section = "9.7.4.4"
    since = (4, 2)
    target = 53
    oob: bool

    def element(self, *operands: int) -> int:
        if self.oob and OUT_OF_BOUNDS in operands[:2]:
            return 0
        return super().element(*operands)

    def operation(self, *operands: int) -> int:
        a, b, c = operands
        return self.format.fused_multiply_add(a, b, c)

    def code(self, g: Emitter, *operands: V) -> V:
        result = super().code(g, *operands)
        if not self.oob:
            return result
        a, b, _ = operands
        marker = g.const("i16", OUT_OF_BOUNDS, a.n)
        outside = g.or_(g.icmp("eq", a, marker), g.icmp("eq", b, marker))
        return g.select(outside, g.const("i16", 0, a.n), result)

    def operation_code(self, g: Emitter, *operands: V) -> V:
        from anywarp.lower import half

        a, b, c = operands
        return half.fma(g, a, b, c, self.format_name)


class HalfSign(HalfLane):
    """Base of neg and abs: a change of the sign bit, NaNs included (the manual leaves NaN results open)."""

    ftz: bool = False

    def check(self) -> str | None:
        return "bf16 has no .ftz here" if self.ftz and self.format_name == "bf16" else None

    def flushed(self, a: int) -> int:
        return self.format.flush(a) if self.ftz else a

    def flushed_code(self, g: Emitter, a: V) -> V:
        from anywarp.lower import half

        return half.flush(g, a, self.format_name) if self.ftz else a


@instruction
class NegHalf(HalfSign):
    """neg: a half, or a pair, with the other sign"""

    syntax = "neg{.ftz}.type d, a"
    modifiers = TYPES
    section = "9.7.4.5"
    since = (6, 0)
    target = 53

    def element(self, *operands: int) -> int:
        return self.flushed(operands[0]) ^ 0x8000

    def code(self, g: Emitter, *operands: V) -> V:
        a = self.flushed_code(g, operands[0])
        return g.xor(a, g.const("i16", 0x8000, a.n))


@instruction
class AbsHalf(HalfSign):
    """abs: a half, or a pair, without its sign"""

    syntax = "abs{.ftz}.type d, a"
    modifiers = TYPES
    section = "9.7.4.6"
    since = (6, 5)
    target = 53

    def element(self, *operands: int) -> int:
        return self.flushed(operands[0]) & 0x7FFF

    def code(self, g: Emitter, *operands: V) -> V:
        a = self.flushed_code(g, operands[0])
        return g.and_(a, g.const("i16", 0x7FFF, a.n))
