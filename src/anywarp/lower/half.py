"""f16 and bf16 in vector code: to and from f32 and f64, in any rounding mode, and the fused multiply-add.

Half-precision values travel as raw `i16`; what computes with them goes through f32 (or f64) and back. The ways there
and back here are SIMD on every target: f16 by the machine's conversion (`vcvtph2ps`, `vcvtps2ph`, `fcvtl`, `fcvtn`),
bf16 by shifts and integer rounding. f64 never goes to a half type directly (x86 would call a library): it goes
through f32 *rounded to odd* (the last bit says that something was cut off), which can be rounded again to 22 bits or
fewer without error.

A NaN becomes 0x7fff, PTX's canonical NaN of both formats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V

NAN = 0x7FFF
INFINITY = {"f16": 0x7C00, "bf16": 0x7F80}
ONE = {"f16": 0x3C00, "bf16": 0x3F80}
LEAST_NORMAL = {"f16": 0x0400, "bf16": 0x0080}


def constant(g: Emitter, like: V, value: int) -> V:
    """A constant of the element type and lanes of another value (for floats: the bit pattern)."""
    return g.const(like.elem, value, like.n)


def is_nan(g: Emitter, x: V) -> V:
    """i1: x (float or double) is a NaN."""
    return g.fcmp("uno", x, x)


def absolute(g: Emitter, x: V) -> V:
    """|x| of a float or double; exact for NaNs as well."""
    return g.intrinsic("llvm.fabs", x)


# ---------------------------------------------------------------------------------------------------- rounding


def directed(g: Emitter, rounded: V, back: V, exact: V, mode: str) -> V:
    """Turns a result rounded to nearest into one rounded by `mode` ("rz", "rm", "rp"): `rounded` is its bit pattern,
    `back` the number that it stands for in the format of `exact`, the number that was rounded.

    The neighbours of a float are its pattern plus and minus one (the largest number's is infinity), and to nearest is
    at most one step off. A NaN compares false and stays."""
    one = constant(g, rounded, 1)
    if mode == "rz":
        return g.sub(rounded, g.zext(g.fcmp("ogt", absolute(g, back), absolute(g, exact)), rounded.elem))
    away = g.or_(g.ashr(rounded, constant(g, rounded, rounded.bits - 1)), one)  # 1 for positive numbers, -1 for negative
    if mode == "rp":
        return g.add(rounded, g.and_(away, g.sext(g.fcmp("olt", back, exact), rounded.elem)))
    assert mode == "rm", mode
    return g.sub(rounded, g.and_(away, g.sext(g.fcmp("ogt", back, exact), rounded.elem)))


def f64_to_f32(g: Emitter, x: V, mode: str = "rn") -> V:
    """double to float, rounded by `mode`, or by "odd": towards zero, the last bit set if anything was cut off. NaNs
    stay NaNs."""
    nearest = g.convert("fptrunc", x, "float")
    if mode == "rn":
        return nearest
    back = g.convert("fpext", nearest, "double")
    bits = g.bitcast(nearest, "i32")
    if mode != "odd":
        return g.bitcast(directed(g, bits, back, x, mode), "float")
    towards_zero = directed(g, bits, back, x, "rz")
    return g.bitcast(g.or_(towards_zero, g.zext(g.fcmp("one", back, x), "i32")), "float")


# ---------------------------------------------------------------------------------------------------- f16


def f16_to_f32(g: Emitter, a: V) -> V:
    """i16 to float, exact. A NaN keeps its payload and becomes quiet."""
    return g.convert("fpext", g.bitcast(a, "half"), "float")


def f32_to_f16(g: Emitter, x: V, mode: str = "rn") -> V:
    """float to i16, rounded by `mode`; NaN to 0x7fff."""
    nearest = g.bitcast(g.convert("fptrunc", x, "half"), "i16")
    if mode != "rn":
        nearest = directed(g, nearest, f16_to_f32(g, nearest), x, mode)
    return canonical(g, nearest, "f16")


# ---------------------------------------------------------------------------------------------------- bf16


def bf16_to_f32(g: Emitter, a: V) -> V:
    """i16 to float, exact, NaNs as they are."""
    return g.bitcast(g.shl(g.zext(a, "i32"), g.const("i32", 16, a.n)), "float")


def f32_to_bf16(g: Emitter, x: V, mode: str = "rn") -> V:
    """float to i16, rounded by `mode`; NaN to 0x7fff."""
    bits = g.bitcast(x, "i32")
    sixteen = constant(g, bits, 16)
    if mode == "rn":  # half of the last place, less one where it is even: a carry moves into the exponent by itself
        odd = g.and_(g.lshr(bits, sixteen), constant(g, bits, 1))
        bits = g.add(g.add(bits, constant(g, bits, 0x7FFF)), odd)
    elif mode != "rz":
        sign = g.ashr(bits, constant(g, bits, 31))
        away = g.not_(sign) if mode == "rp" else sign
        bits = g.add(bits, g.and_(away, constant(g, bits, 0xFFFF)))
    # a NaN with a payload in the low half would have lost it, or carried into the sign: choose by the source
    kept = g.select(is_nan(g, x), constant(g, bits, NAN << 16), bits)
    return g.trunc(g.lshr(kept, sixteen), "i16")


# ---------------------------------------------------------------------------------------------------- both


def to_f32(g: Emitter, a: V, format: str) -> V:
    """An i16 of `format` ("f16" or "bf16") to float, exact."""
    return f16_to_f32(g, a) if format == "f16" else bf16_to_f32(g, a)


def from_f32(g: Emitter, x: V, format: str, mode: str = "rn") -> V:
    """float to an i16 of `format`, rounded by `mode`; NaN to 0x7fff."""
    return f32_to_f16(g, x, mode) if format == "f16" else f32_to_bf16(g, x, mode)


def from_f64(g: Emitter, x: V, format: str, mode: str = "rn") -> V:
    """double to an i16 of `format`, rounded once by `mode`; NaN to 0x7fff."""
    return from_f32(g, f64_to_f32(g, x, "odd"), format, mode)


def canonical(g: Emitter, a: V, format: str) -> V:
    """Every NaN of an i16 to 0x7fff. Integer compares: twice as many lanes an instruction as in f32."""
    return g.select(nan_bits(g, a, format), constant(g, a, NAN), a)


def nan_bits(g: Emitter, a: V, format: str) -> V:
    """i1: the i16 is a NaN."""
    return g.icmp("sgt", g.and_(a, constant(g, a, 0x7FFF)), constant(g, a, INFINITY[format]))


def flush(g: Emitter, a: V, format: str) -> V:
    """`.ftz` on an i16: subnormal numbers become zeros of their sign."""
    magnitude = g.and_(a, constant(g, a, 0x7FFF))
    tiny = g.icmp("slt", magnitude, constant(g, a, LEAST_NORMAL[format]))
    return g.select(tiny, g.and_(a, constant(g, a, 0x8000)), a)


def saturate(g: Emitter, a: V, format: str) -> V:
    """`.sat` on an i16 without NaNs other than 0x7fff: clamps to [0, 1]; NaN and -0 become +0. Positive floats order
    as integers."""
    clamped = g.intrinsic("llvm.smin", g.intrinsic("llvm.smax", a, constant(g, a, 0)), constant(g, a, ONE[format]))
    return g.select(g.icmp("eq", a, constant(g, a, NAN)), constant(g, a, 0), clamped)


def relu(g: Emitter, a: V) -> V:
    """`.relu` on an i16: negative numbers become +0. NaN, being 0x7fff, stays."""
    return g.intrinsic("llvm.smax", a, constant(g, a, 0))


# ---------------------------------------------------------------------------------------------------- fused multiply-add


def fma_f16(g: Emitter, a: V, b: V, c: V) -> V:
    """`a * b + c` of i16 f16 values, rounded once to nearest; NaN to 0x7fff.

    The product of two f16 has 22 bits and an exponent that f32 has room for: exact. The sum is not, so it is rounded
    to odd in f32, after which rounding to 11 bits is right (24 >= 11 + 2; f16's subnormal numbers have fewer bits
    still). Odd from nearest: the error of a floating-point sum is a float (Knuth's two-sum, no case of overflow or
    underflow here as |product| < 2^32 and all are multiples of 2^-48), and where it is not zero and the sum's last
    bit is 0, the odd neighbour lies in the error's direction."""
    x, y, z = (f16_to_f32(g, v) for v in g.same_lanes(a, b, c))
    product = g.fmul(x, y)
    total = g.fadd(product, z)
    virtual = g.fsub(total, product)
    error = g.fadd(g.fsub(product, g.fsub(total, virtual)), g.fsub(z, virtual))
    bits = g.bitcast(total, "i32")
    one = constant(g, bits, 1)
    step = g.or_(g.ashr(g.xor(bits, g.bitcast(error, "i32")), constant(g, bits, 31)), one)  # away from zero: 1, towards: -1
    even = g.icmp("eq", g.and_(bits, one), constant(g, bits, 0))
    moves = g.and_(even, g.fcmp("one", error, constant(g, error, 0)))  # an infinite or NaN sum has a NaN error: stays
    return f32_to_f16(g, g.bitcast(g.add(bits, g.and_(step, g.sext(moves, "i32"))), "float"))


def fma_bf16(g: Emitter, a: V, b: V, c: V) -> V:
    """`a * b + c` of i16 bf16 values, rounded once to nearest; NaN to 0x7fff.

    In f64 the product is exact (16 bits, exponents from -266 to 256). The sum would be wrong only where c is lost
    beside a product that stands at the middle between two bf16 numbers. So a c other than 0 that is smaller than
    2^-30 of the product is raised to that: the product's 16 bits stay on the same side of every such middle, and now
    the sum has at most 47 bits and is exact. A product that is lost beside c does no harm: c's 8 bits are at least
    2^-10 of it away from any middle. The sum is then cut to 12 bits, the last one set if anything was cut off; that
    number goes through f32 unchanged (down to bf16's least subnormal number, 2^-133, and its half)."""
    x, y, z = (g.convert("fpext", bf16_to_f32(g, v), "double") for v in g.same_lanes(a, b, c))
    product = g.fmul(x, y)
    far = g.fmul(absolute(g, product), g.float_const("double", 2.0**-30, x.n))
    far = g.select(g.fcmp("olt", far, g.float_const("double", 2.0**230, x.n)), far, g.float_const("double", 0.0, x.n))  # infinite product
    size = absolute(g, z)
    raised = g.select(g.fcmp("olt", size, far), far, size)
    raised = g.select(g.fcmp("oeq", z, constant(g, z, 0)), z, g.intrinsic("llvm.copysign", raised, z))
    bits = g.bitcast(g.fadd(product, raised), "i64")
    low = (1 << 41) - 1
    sticky = g.add(g.and_(bits, constant(g, bits, low)), constant(g, bits, low))  # carries into bit 41 if any is set
    bits = g.and_(g.or_(bits, sticky), constant(g, bits, ~low))
    return f32_to_bf16(g, g.convert("fptrunc", g.bitcast(bits, "double"), "float"))


def fma(g: Emitter, a: V, b: V, c: V, format: str) -> V:
    """`a * b + c` of i16 values of `format`, rounded once to nearest; NaN to 0x7fff."""
    return fma_f16(g, a, b, c) if format == "f16" else fma_bf16(g, a, b, c)
