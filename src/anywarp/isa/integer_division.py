"""Integer division and remainder (PTX ISA 9.7.1.8, 9.7.1.9) for many lanes at once.

LLVM takes a vector division apart into a scalar one a lane, and one that traps where a divisor is 0, as it may be in a lane that is off.
Here a quotient comes from the floating-point divider, which vectors have, and is exact:

- For integers |a| < 2^m the correctly rounded quotient a / b, cut off at the point, is the integer quotient if the format has at least m
  bits: a quotient that is no integer is 1/b or more below the next one, and the rounding error is at most 2^-m a/b < 1/b.
  So 16 bits go through f32 (24), 32 bits through f64 (53), and 64 bits through f64 where all lanes' numbers are below 2^52.
- Where the divisor is uniform, a product with its inverse does, a half added so that it cannot fall short (`_whole_quotient`).
- Other 64-bit numbers take two steps of long division with quotients in f64 that are never too large (`_general_quotient`).
- Conversions are done in the bits: an integer below 2^52 is the significand of 2^52 + n. That has no undefined results, and
  on AVX2 fewer instructions than the conversions that LLVM would put together.
- A constant divisor is left to LLVM, which multiplies and shifts; one lane takes the scalar instruction, guarded.

Division by 0 gives all ones, quotient and remainder (the manual leaves it open); the least number by -1 gives itself and 0.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from anywarp.isa import types
from anywarp.isa.base import Lane, instruction
from anywarp.isa.integer import INTEGERS, number, pattern
from anywarp.isa.logic import mask_rule, shift_right_rule
from anywarp.isa.shape import Shape

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V

DOUBLE_2_52 = 0x4330000000000000  # 2^52: the significand's last place is 1
DOUBLE_SIGNED = 0x4338000000000000  # 1.5 * 2^52: the same for numbers of either sign
FLOAT_SIGNED = 0x4B400000  # 1.5 * 2^23


class _Division(Lane):
    modifiers = {"type": INTEGERS}

    @property
    def is_signed(self) -> bool:
        return types.is_signed(self.type)

    def quotient(self, a: int, b: int) -> int:
        """Rounded towards zero."""
        x, y = number(a, self.type), number(b, self.type)
        return abs(x) // abs(y) * (-1 if (x < 0) != (y < 0) else 1)


@instruction
class Div(_Division):
    """div: quotient of two integers, rounded towards zero; by 0: all ones"""

    syntax = "div.type d, a, b"
    section = "9.7.1.8"

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> tuple[int, int] | None:
        divisor = constants[1]
        if self.is_signed or not divisor or divisor & (divisor - 1):
            return None
        return shift_right_rule(operands[0], divisor.bit_length() - 1, types.width(self.type))

    def reference(self, a: int, b: int) -> int:
        return pattern(self.quotient(a, b) if b else -1, self.type)

    def lower(self, g: Emitter, a: V, b: V) -> V:
        return divide(g, a, b, self.is_signed)


@instruction
class Rem(_Division):
    """rem: remainder of the quotient rounded towards zero, with the sign of a; by 0: all ones"""

    syntax = "rem.type d, a, b"
    section = "9.7.1.9"

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> tuple[int, int] | None:
        divisor = constants[1]
        if self.is_signed or not divisor or divisor & (divisor - 1):
            return None
        return mask_rule(operands[0], divisor - 1, types.width(self.type))

    def reference(self, a: int, b: int) -> int:
        return pattern(number(a, self.type) - self.quotient(a, b) * number(b, self.type) if b else -1, self.type)

    def lower(self, g: Emitter, a: V, b: V) -> V:
        rest = g.sub(a, g.mul(divide(g, a, b, self.is_signed), b))  # the quotient is shared with a div of the same numbers
        if _constant(b):
            return rest
        return g.select(g.icmp("eq", b, g.zero_like(b)), g.const(b.elem, -1), rest)


def divide(g: Emitter, a: V, b: V, is_signed: bool) -> V:
    """The quotient rounded towards zero; all ones where b is 0. Defined for every input."""
    fixed = _constant(b)
    if fixed == 0:
        return g.const(a.elem, -1, max(a.n, b.n))
    if fixed is not None and (a.bits < 64 or a.n == 1 or fixed & (fixed - 1) == 0):  # 64-bit vectors: LLVM knows no high product
        if is_signed and fixed == -1:  # LLVM leaves the least number by -1 undefined
            return g.broadcast(g.neg(a), max(a.n, b.n))
        return g.binary("sdiv" if is_signed else "udiv", a, b)
    is_zero = g.icmp("eq", b, g.zero_like(b))
    if max(a.n, b.n) == 1:
        quotient = _scalar_quotient(g, a, b, is_zero, is_signed)
    elif a.bits == 16:
        quotient = _quotient_16(g, a, b, is_signed)
    elif a.bits == 32:
        quotient = _quotient_32(g, a, b, is_signed)
    elif is_signed:
        sign = g.ashr(g.xor(a, b), g.const("i64", 63))
        quotient = _quotient_64(g, g.flag_intrinsic("llvm.abs", a, False), g.flag_intrinsic("llvm.abs", b, False))
        quotient = g.sub(g.xor(quotient, sign), sign)
    else:
        quotient = _quotient_64(g, a, b)
    return g.select(is_zero, g.const(a.elem, -1), quotient)


def _constant(b: V) -> int | None:
    """The value of a constant that is the same in all lanes."""
    match = re.fullmatch(r"(?:splat \(i\d+ (-?\d+)\)|(-?\d+))", b.name)
    return int(match[1] or match[2]) if match else None


def _scalar_quotient(g: Emitter, a: V, b: V, is_zero: V, is_signed: bool) -> V:
    if not is_signed:
        return g.binary("udiv", a, g.select(is_zero, g.const(b.elem, 1), b))
    # the least number by -1 traps on some machines: -1 is a negation
    is_minus_one = g.icmp("eq", b, g.const(b.elem, -1))
    safe = g.select(g.binary("or", is_zero, is_minus_one), g.const(b.elem, 1), b)
    return g.select(is_minus_one, g.neg(a), g.binary("sdiv", a, safe))


def _quotient_16(g: Emitter, a: V, b: V, is_signed: bool) -> V:
    x, y = (g.convert("sitofp", g.resize(v, "i32", is_signed), "float") for v in (a, b))
    whole = _whole_quotient(g, x, y, is_signed)
    return g.trunc(g.bitcast(g.fadd(whole, g.const("float", FLOAT_SIGNED)), "i32"), "i16")


def _quotient_32(g: Emitter, a: V, b: V, is_signed: bool) -> V:
    if is_signed:
        x, y = g.convert("sitofp", a, "double"), g.convert("sitofp", b, "double")
    else:
        x, y = (_small_to_double(g, g.zext(v, "i64")) for v in (a, b))
    whole = _whole_quotient(g, x, y, is_signed)
    return g.trunc(g.bitcast(g.fadd(whole, g.const("double", DOUBLE_SIGNED if is_signed else DOUBLE_2_52)), "i64"), "i32")


def _whole_quotient(g: Emitter, x: V, y: V, is_signed: bool) -> V:
    """x / y cut off at the point, for whole numbers: |x| below 2^53 (f64) or 2^24 (f32), or below 2^50 and 2^21 where y is uniform.

    A uniform divisor is inverted once. Then (|x| + 1/2) / y is 1/2y or more away from every whole number, and the errors of inverse and
    product together are at most 2^-52 |x| / y (f32: 2^-23), which is less."""
    if y.n > 1 or x.n == 1:
        return g.intrinsic("llvm.trunc", g.fdiv(x, y))
    half = g.float_const(x.elem, 0.5)
    half = g.intrinsic("llvm.copysign", g.broadcast(half, x.n), x) if is_signed else half
    return g.intrinsic("llvm.trunc", g.fmul(g.fadd(x, half), g.fdiv(g.float_const(x.elem, 1.0), y)))


def _small_to_double(g: Emitter, a: V) -> V:
    """A 64-bit integer below 2^52, exactly."""
    return g.fsub(g.bitcast(g.or_(a, g.const("i64", DOUBLE_2_52)), "double"), g.const("double", DOUBLE_2_52))


def _small_from_double(g: Emitter, a: V) -> V:
    """A whole number below 2^52 as an integer."""
    return g.xor(g.bitcast(g.fadd(a, g.const("double", DOUBLE_2_52)), "i64"), g.const("i64", DOUBLE_2_52))


def _quotient_64(g: Emitter, a: V, b: V) -> V:
    """Unsigned; anything where b is 0. A call: the two ways are some 70 instructions a vector of the machine."""
    if b.n > 1:
        a, b = g.same_lanes(a, b)
    name = f"aw.udiv.v{a.n}i64" + ("" if b.n > 1 else ".uniform")
    g.module.helper(name, lambda: _quotient_64_function(g, name, a, b))
    return g.value("i64", a.n, f"call {a.type} @{name}({a.typed}, {b.typed})")


def _quotient_64_function(g: Emitter, name: str, a: V, b: V) -> str:
    from anywarp.lower.emit import Emitter  # here, so that the reference interpreter does without the lowering

    f = Emitter(g.module)
    type, head = a.type, f"define internal {a.type} @{name}({a.type} %a, {b.type} %b) noinline nounwind willreturn memory(none) {{"
    a, b = a._replace(name="%a"), b._replace(name="%b")
    upper = f.lshr(f.or_(a, b), f.const("i64", 52 if b.n > 1 else 50))
    some = f.intrinsic("llvm.vector.reduce.or", upper, lanes=1)
    f.branch(f.icmp("eq", some, f.const("i64", 0)), "small", "large")
    f.label("small")
    quotient = _whole_quotient(f, _small_to_double(f, a), _small_to_double(f, b), False)
    f.line(f"ret {_small_from_double(f, quotient).typed}")
    f.label("large")
    f.line(f"ret {type} {_general_quotient(f, a, b).name}")
    return "\n".join([head, "entry:", *f.lines, "}", ""])


def _general_quotient(g: Emitter, a: V, b: V) -> V:
    """Two digits of long division. An estimate in f64 lowered by 2^-50 is at most the true quotient, and low by less than 2^-49 of
    it; so after the first the rest is below 2b + 2^16, the second leaves less than 2b, and one correction is enough."""
    scale = g.const("double", 0x3FEFFFFFFFFFFFF8)  # 1 - 2^-50
    divisor = _to_double(g, b)
    first = _from_double(g, g.fmul(g.fdiv(_to_double(g, a), divisor), scale))
    rest = g.sub(a, g.mul(first, b))
    estimate = g.intrinsic("llvm.trunc", g.fmul(g.fdiv(_to_double(g, rest), divisor), scale))
    # the second digit is below 2^17: told to LLVM so that the product takes two multiplications
    second = g.and_(_small_from_double(g, estimate), g.const("i64", 0xFFFFFFFF))
    rest = g.sub(rest, g.mul(second, b))
    missing = g.zext(g.icmp("uge", rest, b), "i64")
    return g.add(g.add(first, second), missing)


def _to_double(g: Emitter, a: V) -> V:
    """Any unsigned 64-bit integer, rounded once: both halves exactly, then their sum."""
    high = g.bitcast(g.or_(g.lshr(a, g.const("i64", 32)), g.const("i64", 0x4530000000000000)), "double")  # 2^84 + high * 2^32
    low = g.bitcast(g.or_(g.and_(a, g.const("i64", 0xFFFFFFFF)), g.const("i64", DOUBLE_2_52)), "double")
    return g.fadd(g.fsub(high, g.const("double", 0x4530000000100000)), low)  # less 2^84 + 2^52


def _from_double(g: Emitter, a: V) -> V:
    """The whole part of a number from 0 to below 2^64."""
    high = g.intrinsic("llvm.trunc", g.fmul(a, g.const("double", 0x3DF0000000000000)))  # 2^-32
    low = g.intrinsic("llvm.trunc", g.fsub(a, g.fmul(high, g.const("double", 0x41F0000000000000))))  # exact
    return g.add(g.shl(_small_from_double(g, high), g.const("i64", 32)), _small_from_double(g, low))
