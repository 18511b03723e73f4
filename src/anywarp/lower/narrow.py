"""The 8-, 6- and 4-bit float formats in vector code: to and from f32, which holds every one of their numbers.

Codes travel as i32 here, one a lane. `encode` scales the magnitude so that the format's last place becomes 1 and
rounds to an integer, which is exact in f32; numbers below the least normal one all get the least normal one's scale,
which makes them subnormal. All formats saturate, as PTX asks for them (`.satfinite` is mandatory)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anywarp.isa import ieee
from anywarp.lower import half

if TYPE_CHECKING:
    from anywarp.isa.ieee import Format
    from anywarp.lower.emit import Emitter, V


def nan_code(format: Format) -> int:
    """What a NaN becomes: the format's NaN, or its largest number where it has none."""
    return format.nan or format.largest


def largest_f32(format: Format) -> int:
    """The bits of the format's largest number as an f32."""
    return ieee.convert(format.largest, format, ieee.F32)


def encode(g: Emitter, x: V, format: Format, mode: str = "rn", random: V | None = None) -> V:
    """float to a code (i32), rounded by `mode` (rn, rz, rp), or "rs" with 16 random bits a lane (an i32) that are
    added below the last place. Too large numbers become the largest. Formats without a sign take the magnitude."""
    bits = g.bitcast(x, "i32")
    mantissa, width = format.mantissa_bits, format.width
    least = (128 - format.bias) << 23  # the exponent field of the least normal number
    size = g.and_(bits, half.constant(g, bits, 0x7FFFFFFF))
    size = g.intrinsic("llvm.umin", size, half.constant(g, bits, largest_f32(format)))
    exponent = g.and_(size, half.constant(g, bits, 0x7F800000))
    exponent = g.intrinsic("llvm.umax", exponent, half.constant(g, bits, least))
    scale = g.sub(half.constant(g, bits, (254 + mantissa) << 23), exponent)
    scaled = g.fmul(g.bitcast(size, "float"), g.bitcast(scale, "float"))
    if mode in ("rn", "rp"):
        scaled = g.intrinsic("llvm.roundeven" if mode == "rn" else "llvm.ceil", scaled)
    units = g.convert("fptosi", scaled, "i32")
    if random is not None:
        rest = g.fsub(scaled, g.convert("sitofp", units, "float"))
        gap = g.sub(half.constant(g, random, 1 << 16), random)
        carry = g.fmul(g.convert("sitofp", gap, "float"), g.float_const("float", 2.0**-16, gap.n))
        units = g.add(units, g.zext(g.fcmp("oge", rest, carry), "i32"))
    code = g.add(units, g.lshr(g.sub(exponent, half.constant(g, bits, least)), half.constant(g, bits, 23 - mantissa)))
    if format.has_sign:
        sign = g.and_(g.lshr(bits, half.constant(g, bits, 32 - width)), half.constant(g, bits, 1 << (width - 1)))
        code = g.or_(code, sign)
    return g.select(half.is_nan(g, x), half.constant(g, code, nan_code(format)), code)


def decode(g: Emitter, code: V, format: Format) -> V:
    """A code (i16, upper bits 0) to float, exact; NaNs are NaNs. The code goes through f16, whose exponent has room
    for all signed formats, so that no f32 is subnormal on the way (slow on many machines)."""
    width, mantissa = format.width, format.mantissa_bits
    size = g.and_(code, half.constant(g, code, (1 << (width - format.has_sign)) - 1))
    factor = 2.0 ** (15 - format.bias)
    if format.exponent_bits == 5 and format.specials != "ieee":  # f16 has no numbers where this format's largest are: halve them
        top = g.icmp("uge", size, half.constant(g, size, 31 << mantissa))
        halved = g.sub(size, g.select(top, half.constant(g, size, 1 << mantissa), half.constant(g, size, 0)))
        x = half.f16_to_f32(g, g.shl(halved, half.constant(g, size, 10 - mantissa)))
        x = g.select(top, g.fadd(x, x), x)
    else:
        x = half.f16_to_f32(g, g.shl(size, half.constant(g, size, 10 - mantissa)))
        x = g.fmul(x, g.float_const("float", factor, x.n)) if factor != 1 else x
    bits = g.bitcast(x, "i32")
    if format.has_sign:
        sign = g.and_(code, half.constant(g, code, 1 << (width - 1)))
        bits = g.or_(bits, g.shl(g.zext(sign, "i32"), half.constant(g, bits, 32 - width)))
    if format.specials == "nan":
        is_nan = g.icmp("eq", size, half.constant(g, size, format.nan))
        bits = g.select(is_nan, half.constant(g, bits, 0x7FFFFFFF), bits)
    return g.bitcast(bits, "float")


def encode_ue8m0(g: Emitter, x: V, mode: str, saturates: bool) -> V:
    """float to the exponent of its magnitude, i32: rounded down ("rz") or up ("rp") to a power of two from 2^-127 on;
    255 is the NaN, and what is too large is one unless it `saturates`."""
    bits = g.and_(g.bitcast(x, "i32"), g.const("i32", 0x7FFFFFFF, x.n))
    code = g.lshr(bits, half.constant(g, bits, 23))
    if mode == "rp":
        fraction = g.and_(bits, half.constant(g, bits, 0x7FFFFF))
        # subnormal numbers are up to 2^-127 down to a fraction of a half
        floor = g.select(g.icmp("eq", code, half.constant(g, bits, 0)), half.constant(g, bits, 0x400000), half.constant(g, bits, 0))
        code = g.add(code, g.zext(g.icmp("ugt", fraction, floor), "i32"))
    code = g.intrinsic("llvm.umin", code, half.constant(g, bits, 254 if saturates else 255))
    return g.select(half.is_nan(g, x), half.constant(g, code, 255), code) if saturates else code


def power_of_two(g: Emitter, code: V) -> V:
    """A ue8m0 code (i32) to float: 2^(code - 127), NaN for 255."""
    bits = g.shl(code, half.constant(g, code, 23))
    bits = g.select(g.icmp("eq", code, half.constant(g, code, 0)), half.constant(g, code, 0x400000), bits)
    return g.bitcast(g.select(g.icmp("eq", code, half.constant(g, code, 255)), half.constant(g, code, 0x7FFFFFFF), bits), "float")


def inverse_power_of_two(g: Emitter, code: V) -> V:
    """A ue8m0 code (i32) to float: 2^(127 - code), NaN for 255."""
    mirrored = g.sub(half.constant(g, code, 254), code)
    is_nan = g.icmp("eq", code, half.constant(g, code, 255))
    return power_of_two(g, g.select(is_nan, half.constant(g, code, 255), mirrored))


def pack(g: Emitter, codes: V, format_bits: int) -> V:
    """Codes (i32) of 2n lanes, the lower element first, to n registers: i16, or i8 of two 4-bit codes."""
    pairs = g.reinterpret(g.trunc(codes, "i8"), "i16", codes.n // 2)
    if format_bits == 8:
        return pairs
    low = g.and_(pairs, half.constant(g, pairs, 0x0F))
    return g.trunc(g.or_(low, g.lshr(pairs, half.constant(g, pairs, 4))), "i8")


def unpack(g: Emitter, a: V) -> V:
    """n registers (i16, or i8 of two 4-bit codes) to codes of 2n lanes, i16, the lower element first."""
    if a.elem == "i8":
        wide = g.zext(a, "i16")
        low, high = g.and_(wide, half.constant(g, wide, 0x0F)), g.and_(wide, half.constant(g, wide, 0xF0))
        a = g.or_(low, g.shl(high, half.constant(g, wide, 4)))
    return g.zext(g.reinterpret(a, "i8", 2 * a.n), "i16")


def interleave(g: Emitter, low: V, high: V) -> V:
    """(l0, h0, l1, h1, ...): the elements of pairs."""
    n = low.n
    if n == 1:
        return g.insert(g.insert(g.undefined(low.elem, 2), low, 0), high, 1)
    return g.shuffle(low, high, [lane // 2 + (lane % 2) * n for lane in range(2 * n)])
