"""Conversions between integers and floats in vector code, in every rounding mode, saturating as PTX does.

What machines have instructions for in every width (32-bit integers and f32, widening) goes to LLVM. Between 64-bit
integers and floats AVX2 has nothing and LLVM would go lane by lane: that is done here with 2^52-sized constants,
whose sum with an integer holds the integer in its low bits. An out-of-range `fptosi` is poison: everything is clamped
first, or never asks for one.

Floats are named by their PTX type; `f16` and `bf16` are i16 values (see `half`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anywarp.isa import floating_point_rounding as rounding
from anywarp.lower import half

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V

INTEGER_ROUNDING = {"rni": "llvm.roundeven", "rzi": "llvm.trunc", "rmi": "llvm.floor", "rpi": "llvm.ceil"}


def number(g: Emitter, like: V, value: float) -> V:
    """A float constant of the type and lanes of another value."""
    return g.float_const(like.elem, value, like.n)


def round_integral(g: Emitter, x: V, mode: str) -> V:
    """A float or double to an integral number; NaNs stay NaNs, zeros keep their sign."""
    return g.intrinsic(INTEGER_ROUNDING[mode], x)


def flush_f32(g: Emitter, x: V) -> V:
    """`.ftz`: subnormal floats become zeros of their sign."""
    return rounding.flush(g, x)


def saturate(g: Emitter, x: V) -> V:
    """`.sat` of a float or double: [0, 1]; NaN and -0 become +0."""
    return rounding.saturate(g, x)


def clamp(g: Emitter, x: V, low: float, high: float) -> V:
    """A float or double into [low, high]; a NaN to `low`. One maximum and one minimum instruction."""
    x = g.select(g.fcmp("ogt", x, number(g, x, low)), x, number(g, x, low))
    return g.select(g.fcmp("olt", x, number(g, x, high)), x, number(g, x, high))


# ---------------------------------------------------------------------------------------------------- float to integer

MAGIC = 2.0**52 + 2.0**51  # a double that holds an integer of 32 bits or fewer, of either sign, in its low bits once that is added


def float_to_integer(g: Emitter, x: V, elem: str, is_signed: bool, mode: str, nan: int) -> V:
    """A float or double to an integer type ("i8" to "i64"), rounded by `mode` (rni rzi rmi rpi), clamped to the
    type's range; a NaN becomes `nan`."""
    width = int(elem[1:])
    if width == 64:
        return _to_64(g, g.convert("fpext", x, "double"), is_signed, mode, nan)
    low = -(1 << (width - 1)) if is_signed else 0
    high = (1 << (width - is_signed)) - 1
    if x.elem == "double":
        # NaNs are clamped to `low`, which for signed types is the value that PTX wants
        if is_signed is False or nan != 1 << (width - 1):
            x = g.select(half.is_nan(g, x), number(g, x, float(nan)), x)
        if mode != "rni":  # the addition below rounds to nearest even
            x = round_integral(g, x, mode)
        x = g.fadd(clamp(g, x, float(low), float(high)), number(g, x, MAGIC))
        return g.trunc(g.bitcast(x, "i64"), elem)
    assert nan == 0
    if mode != "rzi":
        x = round_integral(g, x, mode)
    if width < 32:
        x = g.select(g.fcmp("ord", x, x), x, number(g, x, 0.0))
        return g.trunc(g.convert("fptosi", clamp(g, x, float(low), float(high)), "i32"), elem)
    return _to_s32(g, x) if is_signed else _to_u32(g, x)


def _to_s32(g: Emitter, x: V) -> V:
    """float to s32 towards zero, clamped, NaN to 0. (Of llvm.fptosi.sat, 32 lanes become 236 instructions on AVX2,
    lane by lane; of this, 37.)"""
    limit = number(g, x, 2.0**31)
    inside = g.select(g.fcmp("olt", x, limit), x, number(g, x, 0.0))
    inside = g.select(g.fcmp("ogt", inside, number(g, x, -(2.0**31))), inside, number(g, x, -(2.0**31)))
    return g.select(g.fcmp("oge", x, limit), g.const("i32", 0x7FFFFFFF, x.n), g.convert("fptosi", inside, "i32"))


def _to_u32(g: Emitter, x: V) -> V:
    """float to u32 towards zero, clamped, NaN to 0. Machines without AVX-512 convert to signed integers only: the
    numbers from 2^31 on are converted less 2^31 (exact there)."""
    x = g.select(g.fcmp("ogt", x, number(g, x, 0.0)), x, number(g, x, 0.0))  # NaN too
    is_large = g.fcmp("oge", x, number(g, x, 2.0**31))
    too_large = g.fcmp("oge", x, number(g, x, 2.0**32))
    reduced = g.select(is_large, g.fsub(x, number(g, x, 2.0**31)), x)
    reduced = g.select(too_large, number(g, x, 0.0), reduced)
    low = g.convert("fptosi", reduced, "i32")
    top = g.and_(g.sext(is_large, "i32"), g.const("i32", 1 << 31, x.n))
    return g.or_(g.xor(low, top), g.sext(too_large, "i32"))


def _to_64(g: Emitter, x: V, is_signed: bool, mode: str, nan: int) -> V:
    """double to a 64-bit integer: the number as high * 2^32 + low, each of which is put into its half of the
    result."""
    x = round_integral(g, x, mode)
    high = g.intrinsic("llvm.floor", g.fmul(x, number(g, x, 2.0**-32)))
    low = g.fsub(x, g.fmul(high, number(g, x, 2.0**32)))  # exact: both are multiples of the last place of x
    upper = g.shl(g.bitcast(g.fadd(high, number(g, x, MAGIC)), "i64"), g.const("i64", 32, x.n))
    lower = g.and_(g.bitcast(g.fadd(low, number(g, x, 2.0**52)), "i64"), g.const("i64", 0xFFFFFFFF, x.n))
    result = g.or_(upper, lower)
    if is_signed:
        too_large, too_small = g.fcmp("oge", x, number(g, x, 2.0**63)), g.fcmp("olt", x, number(g, x, -(2.0**63)))
        most, least = (1 << 63) - 1, 1 << 63
    else:
        too_large, too_small = g.fcmp("oge", x, number(g, x, 2.0**64)), g.fcmp("olt", x, number(g, x, 0.0))
        most, least = (1 << 64) - 1, 0
    result = g.select(too_large, g.const("i64", most, x.n), result)
    if least == nan:
        too_small = g.fcmp("ult", x, number(g, x, -(2.0**63)))
    else:
        result = g.select(half.is_nan(g, x), g.const("i64", nan, x.n), result)
    return g.select(too_small, g.const("i64", least, x.n), result)


# ---------------------------------------------------------------------------------------------------- integer to float


def integer_to_float(g: Emitter, a: V, is_signed: bool, type: str, mode: str) -> V:
    """An integer of 8 to 64 bits to f16, bf16, f32 or f64, rounded once by `mode` (rn rz rm rp)."""
    if a.bits < 32:  # exact in f32
        a, is_signed = g.resize(a, "i32", is_signed), True
        single = g.convert("sitofp", a, "float")
        return g.convert("sitofp", a, "double") if type == "f64" else single if type == "f32" else half.from_f32(g, single, type, mode)
    convert = "sitofp" if is_signed else "uitofp"
    if type == "f16":  # whatever is beyond 2^17 rounds like 2^17
        limit = g.const(a.elem, 1 << 17, a.n)
        a = g.intrinsic("llvm.smin" if is_signed else "llvm.umin", a, limit)
        if is_signed:
            a = g.intrinsic("llvm.smax", a, g.const(a.elem, -(1 << 17), a.n))
        return half.f32_to_f16(g, g.convert("sitofp", g.trunc(a, "i32"), "float"), mode)
    if a.bits == 64:
        if type == "f64":
            return _from_64(g, a, is_signed, mode)
        odd = _from_64(g, a, is_signed, "odd")
        return half.f64_to_f32(g, odd, mode) if type == "f32" else half.from_f64(g, odd, type, mode)
    if type == "bf16":
        return half.f32_to_bf16(g, g.convert(convert, _odd_24(g, a, is_signed), "float"), mode)
    if type == "f64" or mode == "rn":
        return g.convert(convert, a, "double" if type == "f64" else "float")
    return half.f64_to_f32(g, g.convert(convert, a, "double"), mode)


def _odd_24(g: Emitter, a: V, is_signed: bool) -> V:
    """A 32-bit integer, rounded to odd to a multiple of 2^8 if it has more than 24 bits: exact in f32, and as good as
    itself for bf16."""
    low = g.const("i32", 0xFF, a.n)
    sticky = g.and_(g.add(g.and_(a, low), low), g.const("i32", 0x100, a.n))
    rounded = g.or_(g.and_(a, g.const("i32", ~0xFF, a.n)), sticky)
    around_zero = g.add(a, g.const("i32", 1 << 24, a.n)) if is_signed else a
    is_small = g.icmp("ult", around_zero, g.const("i32", 1 << (25 if is_signed else 24), a.n))
    return g.select(is_small, a, rounded)


def _from_64(g: Emitter, a: V, is_signed: bool, mode: str) -> V:
    """A 64-bit integer to double, rounded by `mode` or "odd". The two halves are exact doubles; the error of their
    sum is one as well, and its sign says where the sum was rounded to."""
    thirty_two = g.const("i64", 32, a.n)
    low_bits = g.or_(g.and_(a, g.const("i64", 0xFFFFFFFF, a.n)), g.const("i64", 0x433 << 52, a.n))  # 2^52 + low
    high_bits = g.lshr(a, thirty_two)
    if is_signed:
        high_bits = g.xor(high_bits, g.const("i64", 1 << 31, a.n))
    high = g.bitcast(g.or_(high_bits, g.const("i64", 0x453 << 52, a.n)), "double")  # 2^84 + high * 2^32
    high = g.fsub(high, number(g, high, 2.0**84 + (2.0**63 if is_signed else 0.0)))
    low = g.fsub(g.bitcast(low_bits, "double"), number(g, high, 2.0**52))
    total = g.fadd(high, low)
    if mode == "rn":
        return total
    error = g.fsub(low, g.fsub(total, high))
    bits, zero = g.bitcast(total, "i64"), number(g, error, 0.0)
    if mode in ("rz", "odd"):
        differ = g.icmp("slt", g.xor(bits, g.bitcast(error, "i64")), g.const("i64", 0, a.n))
        inexact = g.fcmp("one", error, zero)
        bits = g.add(bits, g.sext(g.and_(differ, inexact), "i64"))
        if mode == "odd":
            bits = g.or_(bits, g.zext(inexact, "i64"))
    else:
        is_negative = g.icmp("slt", bits, g.const("i64", 0, a.n))
        moves = g.fcmp("ogt" if mode == "rp" else "olt", error, zero)
        up = g.select(is_negative, g.const("i64", -1, a.n), g.const("i64", 1, a.n))
        step = g.and_(up, g.sext(moves, "i64"))
        bits = g.add(bits, step) if mode == "rp" else g.sub(bits, step)
    return g.bitcast(bits, "double")


# ---------------------------------------------------------------------------------------------------- float to float


def widen(g: Emitter, a: V, source: str, target: str) -> V:
    """f16, bf16 or f32 (or f64) to f32 or f64, exact."""
    x = half.to_f32(g, a, source) if source in ("f16", "bf16") else a
    return g.convert("fpext", x, "double") if target == "f64" and x.elem == "float" else x


def narrow(g: Emitter, x: V, target: str, mode: str) -> V:
    """A float or double to f16, bf16 or f32, rounded once by `mode`."""
    if target == "f32":
        return half.f64_to_f32(g, x, mode)
    return half.from_f64(g, x, target, mode) if x.elem == "double" else half.from_f32(g, x, target, mode)
