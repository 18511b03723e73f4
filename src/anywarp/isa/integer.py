"""Integer arithmetic (PTX ISA 9.7.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anywarp.isa import types
from anywarp.isa.base import Lane, OperandType, instruction
from anywarp.isa.shape import Shape

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V

INTEGERS = "u16 u32 u64 s16 s32 s64"


def signed(value: int, width: int) -> int:
    """The two's complement reading of an unsigned bit pattern."""
    return value - (1 << width) if value >> (width - 1) & 1 else value


@instruction
class Add(Lane):
    """add: sum of two integers; `.sat` clamps to the range of s32"""

    syntax = ("add.type d, a, b", "add{.sat}.s32 d, a, b")
    modifiers = {"type": "u16 u32 u64 s16 s64 u16x2 s16x2"}
    section = "9.7.1.1"

    def operand_type(self, name: str) -> OperandType:
        return self.type or "s32"

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> tuple[int, int] | None:
        a, b = operands
        if self.sat or types.width(str(self.operand_type("d"))) == 32 and "x2" in str(self.type):
            return None
        return a.stride + b.stride, min(a.multiple, b.multiple)

    def reference(self, a: int, b: int) -> int:
        if self.sat:
            return max(-(1 << 31), min((1 << 31) - 1, signed(a, 32) + signed(b, 32))) & 0xFFFFFFFF
        if self.type in ("u16x2", "s16x2"):
            return ((a & 0xFFFF) + (b & 0xFFFF)) & 0xFFFF | (((a >> 16) + (b >> 16)) & 0xFFFF) << 16
        return (a + b) & ((1 << types.width(self.type or "s32")) - 1)

    def lower(self, g: Emitter, a: V, b: V) -> V:
        if self.sat:
            return g.intrinsic("llvm.sadd.sat", a, b)
        if self.type in ("u16x2", "s16x2"):
            a, b = g.same_lanes(a, b)
            return g.reinterpret(g.add(g.reinterpret(a, "i16", 2 * a.n), g.reinterpret(b, "i16", 2 * b.n)), "i32", a.n)
        return g.add(a, b)


@instruction
class MulWide(Lane):
    """mul.wide: the whole product of two integers, twice as wide"""

    syntax = "mul.wide.type d, a, b"
    modifiers = {"type": "u16 u32 s16 s32"}
    section = "9.7.1.3"

    def operand_type(self, name: str) -> OperandType:
        return f"{self.type[0]}{2 * types.width(self.type)}" if name == "d" else self.type

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> tuple[int, int] | None:
        return product_stride(operands, constants, types.width(self.type) if types.is_signed(self.type) else None)

    def no_wrap(self, g: Emitter, operands: tuple[Shape, ...], bases: tuple[V, ...]) -> V | None:
        return widening_holds(g, operands, bases, types.is_signed(self.type))

    def reference(self, a: int, b: int) -> int:
        w = types.width(self.type)
        if types.is_signed(self.type):
            a, b = signed(a, w), signed(b, w)
        return a * b & ((1 << 2 * w) - 1)

    def lower(self, g: Emitter, a: V, b: V) -> V:
        wide = f"i{2 * a.bits}"
        is_signed = types.is_signed(self.type)
        return g.mul(g.resize(a, wide, is_signed), g.resize(b, wide, is_signed))


def product_stride(
    operands: tuple[Shape, ...], constants: tuple[int | None, ...], signed_width: int | None = None
) -> tuple[int, int] | None:
    """The rule for a product where one factor is a constant: (stride, multiple). `signed_width` reads the constant as signed."""
    (a, b), (x, y) = operands, constants
    if x is not None:
        a, b, x, y = b, a, y, x
    if y is None:
        return (0, min(a.multiple * b.multiple, 1 << 30)) if a.stride == 0 and b.stride == 0 else None
    factor = signed(y, signed_width) if signed_width else y
    return a.stride * factor, min(a.multiple * (factor & -factor), 1 << 30) if factor else 1 << 30


def widening_holds(g: Emitter, operands: tuple[Shape, ...], bases: tuple[V, ...], is_signed: bool) -> V | None:
    """An i1: no lane of the affine operands wraps when it is widened. None where their `multiple` proves it."""
    result: V | None = None
    for shape, base in zip(operands, bases):
        reach = shape.stride * (shape.row_lanes - 1)
        if shape.stride == 0 or 0 <= reach < shape.multiple:
            continue
        # wraps where base + reach leaves the type's range; all rows must hold
        if is_signed:
            limit = (1 << (base.bits - 1)) - 1 - reach if reach > 0 else -(1 << (base.bits - 1)) - reach
            holds = g.icmp("sle" if reach > 0 else "sge", base, g.const(base.elem, limit, base.n))
        else:
            limit = (1 << base.bits) - 1 - reach if reach > 0 else -reach
            holds = g.icmp("ule" if reach > 0 else "uge", base, g.const(base.elem, limit, base.n))
        if holds.n > 1:
            holds = g.intrinsic("llvm.vector.reduce.and", holds, result="i1", lanes=1)
        result = holds if result is None else g.and_(result, holds)
    return result
