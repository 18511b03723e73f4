"""Integer arithmetic (PTX ISA 9.7.1): sums, products, absolute values, minima and maxima of scalars.

The rest of the chapter stands beside: `integer_packed` (two 16-bit or four 8-bit numbers in a register), `integer_division`,
`integer_bits` (counting, finding and moving bits), `integer_dot` (dp2a, dp4a, carry-less products).
Most addresses are made by the instructions here, so they carry the rules that keep values affine (`stride`; see shape.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anywarp.isa import types
from anywarp.isa.base import Lane, OperandType, instruction
from anywarp.isa.shape import Shape

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V

INTEGERS = "u16 u32 u64 s16 s32 s64"
LARGEST_MULTIPLE = 1 << 30


def signed(value: int, width: int) -> int:
    """The two's complement reading of an unsigned bit pattern."""
    return value - (1 << width) if value >> (width - 1) & 1 else value


def number(value: int, type: str) -> int:
    """What a bit pattern means as a number of an integer type (its upper bits may be anything)."""
    width = types.width(type)
    value &= (1 << width) - 1
    return signed(value, width) if types.is_signed(type) else value


def pattern(value: int, type: str) -> int:
    """The bit pattern of a number, wrapped to the type's width."""
    return value & ((1 << types.width(type)) - 1)


def limits(type: str) -> tuple[int, int]:
    """The least and the largest number of an integer type."""
    width = types.width(type)
    return (-(1 << width - 1), (1 << width - 1) - 1) if types.is_signed(type) else (0, (1 << width) - 1)


def clamp(value: int, type: str) -> int:
    """`.sat`: the nearest number of the type."""
    low, high = limits(type)
    return max(low, min(high, value))


# ------------------------------------------------------------------------------------------------------------ sums


@instruction
class Add(Lane):
    """add: sum of two integers; `.sat` clamps to the range of s32"""

    syntax = ("add.type d, a, b", "add.sat.stype d, a, b")
    modifiers = {"type": INTEGERS, "stype": "s32"}
    section = "9.7.1.1"

    def operand_type(self, name: str) -> OperandType:
        return str(self.type or "s32")

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> tuple[int, int] | None:
        a, b = operands
        return None if self.sat else (a.stride + b.stride, min(a.multiple, b.multiple))

    def reference(self, a: int, b: int) -> int:
        if self.sat:
            return pattern(clamp(number(a, "s32") + number(b, "s32"), "s32"), "s32")
        return pattern(a + b, self.type)

    def lower(self, g: Emitter, a: V, b: V) -> V:
        return g.intrinsic("llvm.sadd.sat", a, b) if self.sat else g.add(a, b)

    sat: bool


@instruction
class AddSaturatingUnsigned(Lane):
    """add.sat.u32: sum, at most the largest u32"""

    syntax = "add.sat.type d, a, b"
    modifiers = {"type": "u32"}
    section = "9.7.1.1"
    since = (9, 2)
    target = 120

    def reference(self, a: int, b: int) -> int:
        return min(a + b, 0xFFFFFFFF)

    def lower(self, g: Emitter, a: V, b: V) -> V:
        return g.intrinsic("llvm.uadd.sat", a, b)


@instruction
class Sub(Lane):
    """sub: difference of two integers; `.sat` clamps to the range of s32"""

    syntax = ("sub.type d, a, b", "sub.sat.stype d, a, b")
    modifiers = {"type": INTEGERS, "stype": "s32"}
    section = "9.7.1.2"

    def operand_type(self, name: str) -> OperandType:
        return str(self.type or "s32")

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> tuple[int, int] | None:
        a, b = operands
        return None if self.sat else (a.stride - b.stride, min(a.multiple, b.multiple))

    def reference(self, a: int, b: int) -> int:
        if self.sat:
            return pattern(clamp(number(a, "s32") - number(b, "s32"), "s32"), "s32")
        return pattern(a - b, self.type)

    def lower(self, g: Emitter, a: V, b: V) -> V:
        return g.intrinsic("llvm.ssub.sat", a, b) if self.sat else g.sub(a, b)

    sat: bool


@instruction
class Negate(Lane):
    """neg: the number with its sign changed; the least number is its own negative"""

    syntax = "neg.type d, a"
    modifiers = {"type": "s16 s32 s64"}
    section = "9.7.1.11"

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> tuple[int, int] | None:
        return -operands[0].stride, operands[0].multiple

    def reference(self, a: int) -> int:
        return pattern(-number(a, self.type), self.type)

    def lower(self, g: Emitter, a: V) -> V:
        return g.neg(a)


@instruction
class Absolute(Lane):
    """abs: absolute value; the least number is its own"""

    syntax = "abs.type d, a"
    modifiers = {"type": "s16 s32 s64"}
    section = "9.7.1.10"

    def reference(self, a: int) -> int:
        return pattern(abs(number(a, self.type)), self.type)

    def lower(self, g: Emitter, a: V) -> V:
        return g.flag_intrinsic("llvm.abs", a, False)


@instruction
class SumOfAbsoluteDifferences(Lane):
    """sad: |a - b| + c"""

    syntax = "sad.type d, a, b, c"
    modifiers = {"type": INTEGERS}
    section = "9.7.1.7"

    def reference(self, a: int, b: int, c: int) -> int:
        return pattern(abs(number(a, self.type) - number(b, self.type)) + c, self.type)

    def lower(self, g: Emitter, a: V, b: V, c: V) -> V:
        sign = "s" if types.is_signed(self.type) else "u"
        larger, smaller = g.intrinsic(f"llvm.{sign}max", a, b), g.intrinsic(f"llvm.{sign}min", a, b)
        return g.add(g.sub(larger, smaller), c)


class _Extremum(Lane):
    """min and max."""

    modifiers = {"type": INTEGERS, "stype": "s32"}
    relu: bool

    def operand_type(self, name: str) -> OperandType:
        return str(self.type or "s32")

    def reference(self, a: int, b: int) -> int:
        type = str(self.operand_type("d"))
        value = (min if self.opcode[0] == "min" else max)(number(a, type), number(b, type))
        return pattern(max(value, 0) if self.relu else value, type)

    def lower(self, g: Emitter, a: V, b: V) -> V:
        sign = "s" if types.is_signed(str(self.operand_type("d"))) else "u"
        value = g.intrinsic(f"llvm.{sign}{self.opcode[0]}", a, b)
        return g.intrinsic("llvm.smax", value, g.zero_like(value)) if self.relu else value


@instruction
class Minimum(_Extremum):
    """min: the smaller number; `.relu` (PTX 8.0, sm_90): at least 0"""

    syntax = ("min.type d, a, b", "min.relu.stype d, a, b")
    section = "9.7.1.12"


@instruction
class Maximum(_Extremum):
    """max: the larger number; `.relu` (PTX 8.0, sm_90): at least 0"""

    syntax = ("max.type d, a, b", "max.relu.stype d, a, b")
    section = "9.7.1.13"


# -------------------------------------------------------------------------------------------------------- products


@instruction
class MulWide(Lane):
    """mul.wide: the whole product of two integers, twice as wide"""

    syntax = "mul.wide.type d, a, b"
    modifiers = {"type": "u16 u32 s16 s32"}
    section = "9.7.1.3"

    def operand_type(self, name: str) -> OperandType:
        return wide(self.type) if name == "d" else str(self.type)

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> tuple[int, int] | None:
        return product_stride(operands, constants, types.width(self.type) if types.is_signed(self.type) else None)

    def no_wrap(self, g: Emitter, operands: tuple[Shape, ...], bases: tuple[V, ...]) -> V | None:
        return widening_holds(g, operands, bases, types.is_signed(self.type))

    def reference(self, a: int, b: int) -> int:
        return pattern(number(a, self.type) * number(b, self.type), wide(self.type))

    def lower(self, g: Emitter, a: V, b: V) -> V:
        return wide_product(g, a, b, types.is_signed(self.type))


@instruction
class Mul(Lane):
    """mul.lo, mul.hi: the lower or upper half of the product"""

    syntax = "mul.mode.type d, a, b"
    modifiers = {"mode": "lo hi", "type": INTEGERS}
    section = "9.7.1.3"
    mode: str

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> tuple[int, int] | None:
        return product_stride(operands, constants) if self.mode == "lo" else None

    def reference(self, a: int, b: int) -> int:
        product = number(a, self.type) * number(b, self.type)
        return pattern(product >> (types.width(self.type) if self.mode == "hi" else 0), self.type)

    def lower(self, g: Emitter, a: V, b: V) -> V:
        return g.mul(a, b) if self.mode == "lo" else high_product(g, a, b, types.is_signed(self.type))


@instruction
class MadWide(Lane):
    """mad.wide: the whole product plus a number twice as wide"""

    syntax = "mad.wide.type d, a, b, c"
    modifiers = {"type": "u16 u32 s16 s32"}
    section = "9.7.1.4"

    def operand_type(self, name: str) -> OperandType:
        return wide(self.type) if name in ("d", "c") else str(self.type)

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> tuple[int, int] | None:
        return plus(
            product_stride(operands[:2], constants[:2], types.width(self.type) if types.is_signed(self.type) else None), operands[2]
        )

    def no_wrap(self, g: Emitter, operands: tuple[Shape, ...], bases: tuple[V, ...]) -> V | None:
        return widening_holds(g, operands[:2], bases[:2], types.is_signed(self.type))

    def reference(self, a: int, b: int, c: int) -> int:
        return pattern(number(a, self.type) * number(b, self.type) + c, wide(self.type))

    def lower(self, g: Emitter, a: V, b: V, c: V) -> V:
        return g.add(wide_product(g, a, b, types.is_signed(self.type)), c)


@instruction
class Mad(Lane):
    """mad.lo, mad.hi: half of the product, plus a number; `.sat` clamps that sum to the range of s32"""

    syntax = ("mad.mode.type d, a, b, c", "mad.hi.sat.s32 d, a, b, c")
    modifiers = {"mode": "lo hi", "type": INTEGERS}
    section = "9.7.1.4"
    mode: str | None
    sat: bool

    def operand_type(self, name: str) -> OperandType:
        return str(self.type or "s32")

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> tuple[int, int] | None:
        return plus(product_stride(operands[:2], constants[:2]), operands[2]) if self.mode == "lo" else None

    def reference(self, a: int, b: int, c: int) -> int:
        type = str(self.operand_type("d"))
        product = number(a, type) * number(b, type)
        if self.mode == "lo":
            return pattern(product + c, type)
        total = number(product >> types.width(type), type) + number(c, type)
        return pattern(clamp(total, type) if self.sat else total, type)

    def lower(self, g: Emitter, a: V, b: V, c: V) -> V:
        if self.mode == "lo":
            return g.add(g.mul(a, b), c)
        high = high_product(g, a, b, types.is_signed(str(self.operand_type("d"))))
        return g.intrinsic("llvm.sadd.sat", high, c) if self.sat else g.add(high, c)


class _Product24(Lane):
    """mul24 and mad24: only the low 24 bits of the factors count."""

    mode: str | None
    sat: bool

    def product(self, a: int, b: int) -> int:
        type = str(self.operand_type("d"))
        if types.is_signed(type):
            a, b = signed(a & 0xFFFFFF, 24), signed(b & 0xFFFFFF, 24)
        else:
            a, b = a & 0xFFFFFF, b & 0xFFFFFF
        return a * b if self.mode == "lo" else a * b >> 16

    def lower_product(self, g: Emitter, a: V, b: V) -> V:
        is_signed = types.is_signed(str(self.operand_type("d")))
        a, b = _low_24(g, a, is_signed), _low_24(g, b, is_signed)
        if self.mode == "lo":
            return g.mul(a, b)
        return g.trunc(g.lshr(wide_product(g, a, b, is_signed), g.const("i64", 16)), "i32")


def _low_24(g: Emitter, a: V, is_signed: bool) -> V:
    if is_signed:
        return g.ashr(g.shl(a, g.const("i32", 8)), g.const("i32", 8))
    return g.and_(a, g.const("i32", 0xFFFFFF))


@instruction
class Mul24(_Product24):
    """mul24: the lower or upper 32 bits of the 48-bit product of 24-bit numbers"""

    syntax = "mul24.mode.type d, a, b"
    modifiers = {"mode": "lo hi", "type": "u32 s32"}
    section = "9.7.1.5"

    def reference(self, a: int, b: int) -> int:
        return pattern(self.product(a, b), self.type)

    def lower(self, g: Emitter, a: V, b: V) -> V:
        return self.lower_product(g, a, b)


@instruction
class Mad24(_Product24):
    """mad24: mul24 plus a 32-bit number; `.sat` clamps that sum to the range of s32"""

    syntax = ("mad24.mode.type d, a, b, c", "mad24.hi.sat.s32 d, a, b, c")
    modifiers = {"mode": "lo hi", "type": "u32 s32"}
    section = "9.7.1.6"

    def operand_type(self, name: str) -> OperandType:
        return str(self.type or "s32")

    def reference(self, a: int, b: int, c: int) -> int:
        type = str(self.operand_type("d"))
        total = number(self.product(a, b), type) + number(c, type)
        return pattern(clamp(total, type) if self.sat else total, type)

    def lower(self, g: Emitter, a: V, b: V, c: V) -> V:
        product = self.lower_product(g, a, b)
        return g.intrinsic("llvm.sadd.sat", product, c) if self.sat else g.add(product, c)


def wide(type: str) -> str:
    """The type twice as wide."""
    return f"{type[0]}{2 * types.width(type)}"


def wide_product(g: Emitter, a: V, b: V, is_signed: bool) -> V:
    """The whole product, in elements twice as wide."""
    elem = f"i{2 * a.bits}"
    return g.mul(g.resize(a, elem, is_signed), g.resize(b, elem, is_signed))


def high_product(g: Emitter, a: V, b: V, is_signed: bool) -> V:
    """The upper half of the product. For 64 bits a scalar has an instruction; vectors do without 128-bit elements, which LLVM would
    take apart lane by lane: four 32 x 32-bit products (vpmuludq)."""
    if a.bits < 64 or max(a.n, b.n) == 1:
        return g.trunc(g.lshr(wide_product(g, a, b, is_signed), g.const(f"i{2 * a.bits}", a.bits)), a.elem)
    low, half = g.const("i64", 0xFFFFFFFF), g.const("i64", 32)
    a0, a1, b0, b1 = g.and_(a, low), g.lshr(a, half), g.and_(b, low), g.lshr(b, half)
    middle = g.add(g.mul(a0, b1), g.lshr(g.mul(a0, b0), half))  # neither this sum nor the next can wrap
    other = g.add(g.mul(a1, b0), g.and_(middle, low))
    high = g.add(g.add(g.mul(a1, b1), g.lshr(middle, half)), g.lshr(other, half))
    if is_signed:  # the signed reading is 2^64 less where the sign bit is set
        sign = g.const("i64", 63)
        high = g.sub(high, g.add(g.and_(g.ashr(a, sign), b), g.and_(g.ashr(b, sign), a)))
    return high


# ---------------------------------------------------------------------------------------------------- shape rules


def product_stride(
    operands: tuple[Shape, ...], constants: tuple[int | None, ...], signed_width: int | None = None
) -> tuple[int, int] | None:
    """The rule for a product where one factor is a constant: (stride, multiple). `signed_width` reads the constant as signed."""
    (a, b), (x, y) = operands, constants
    if x is not None:
        a, b, x, y = b, a, y, x
    if y is None:
        return (0, min(a.multiple * b.multiple, LARGEST_MULTIPLE)) if a.stride == 0 and b.stride == 0 else None
    factor = signed(y, signed_width) if signed_width else y
    return a.stride * factor, min(a.multiple * (factor & -factor), LARGEST_MULTIPLE) if factor else LARGEST_MULTIPLE


def plus(product: tuple[int, int] | None, c: Shape) -> tuple[int, int] | None:
    """The rule for a sum of something with a known rule and an operand."""
    return product and (product[0] + c.stride, min(product[1], c.multiple))


def widening_holds(g: Emitter, operands: tuple[Shape, ...], bases: tuple[V, ...], is_signed: bool) -> V | None:
    """An i1: no lane of the affine operands wraps when it is widened. None where their `multiple` proves it."""
    result: V | None = None
    for shape, base in zip(operands, bases):
        reach = shape.stride * (shape.row_lanes - 1)
        if shape.stride == 0 or 0 <= reach < min(shape.multiple, 1 << base.bits - is_signed):
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
