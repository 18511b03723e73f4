"""Approximations of f32: ex2, lg2, sin, cos, tanh, and the `.approx` and `.full` forms of div, rcp, sqrt, rsqrt (PTX ISA 9.7.3).

The manual bounds their errors; every one here stays inside, and the same bits come out on every machine: the code is polynomials in
fused multiply-adds, without calls, tables or the processors' own estimates. The references (elementary.py) are correctly rounded; `ulp`
is the largest distance from them that was measured, rounded up, and the docstrings give the measured errors from the exact value.
Measured: against f64 functions at every 16th f32 (every one where the manual's bound changes), the worst cases again with mpmath.
Coefficients are minimax fits with the error weighted as the result's is, rounded to f32 one by one from the lowest power up, the rest
fitted anew after each.

PTX before 1.4 writes these without `.approx`, which means `.approx.ftz`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from anywarp.isa import elementary, ieee
from anywarp.isa import floating_point_rounding as rounding
from anywarp.isa.base import Lane, instruction
from anywarp.isa.floating_point import FloatingPoint

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V

NAN = 0x7FFFFFFF
INFINITY = 0x7F800000
LEAST_NORMAL = 0x00800000
ROUNDER = 0x4B400000  # 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits of the sum


class Approximation(FloatingPoint):
    """What the approximations share: f32, and `.ftz` where the modifier is or where there is none at all (PTX before 1.4)."""

    approx: bool = True

    @property
    def flushes(self) -> bool:
        return self.ftz or not self.approx

    def flushed(self, *operands: int) -> tuple[int, ...]:
        return tuple(ieee.F32.flush(x) for x in operands) if self.flushes else operands

    def flushed_result(self, result: int) -> int:
        return ieee.F32.flush(result) if self.flushes else result

    def flush(self, g: Emitter, *values: V) -> list[V]:
        return [rounding.flush(g, x) if self.flushes else x for x in values]


def _number(bits: int) -> Fraction:
    """The value of a finite f32."""
    x = ieee.F32.decode(bits)
    return (-1 if x.sign else 1) * x.significand * Fraction(2) ** x.exponent


def f32(g: Emitter, bits: int, like: V) -> V:
    return g.const("float", bits, like.n)


def horner(g: Emitter, x: V, coefficients: list[int]) -> V:
    """The polynomial with these coefficients (f32 bit patterns, highest power first) at x."""
    result = f32(g, coefficients[0], x)
    for c in coefficients[1:]:
        result = rounding.fma(g, result, x, f32(g, c, x))
    return result


# ---------------------------------------------------------------------------------------------------- quotients and roots


@instruction
class DivideApproximately(Approximation):
    """div.approx: a / b; for 2^126 < |b| < 2^128 a zero, or NaN for an infinite a. Correctly rounded elsewhere (the manual allows 2 ulp)"""

    syntax = "div{.approx}{.ftz}.f32 d, a, b"
    section = "9.7.3.8"

    def reference(self, a: int, b: int) -> int:
        a, b = self.flushed(a, b)
        if 0x7E800000 < b & 0x7FFFFFFF < INFINITY:
            b |= INFINITY
            b &= ~0x7FFFFF
        return self.flushed_result(ieee.F32.divide(a, b))

    def lower(self, g: Emitter, a: V, b: V) -> V:
        a, b = self.flush(g, a, b)
        divisor = rounding.constant_bits(b)
        if divisor is None or divisor & 0x7FFFFFFF > 0x7E800000:
            infinite = g.intrinsic("llvm.copysign", f32(g, INFINITY, b), b)
            b = g.select(g.fcmp("ogt", rounding.magnitude(g, b), f32(g, 0x7E800000, b)), infinite, b)
        return self.flush(g, g.fdiv(a, b))[0]


@instruction
class DivideFull(Approximation):
    """div.full: a / b over the full range; correctly rounded (the manual allows 2 ulp)"""

    syntax = "div.full{.ftz}.f32 d, a, b"
    section = "9.7.3.8"
    since = (1, 4)

    def reference(self, a: int, b: int) -> int:
        a, b = self.flushed(a, b)
        return self.flushed_result(ieee.F32.divide(a, b))

    def lower(self, g: Emitter, a: V, b: V) -> V:
        a, b = self.flush(g, a, b)
        return self.flush(g, g.fdiv(a, b))[0]


@instruction
class ReciprocalApproximately(Approximation):
    """rcp.approx: 1 / a; correctly rounded (the manual allows 1 ulp)"""

    syntax = "rcp{.approx}{.ftz}.f32 d, a"
    section = "9.7.3.13"

    def reference(self, a: int) -> int:
        return self.flushed_result(ieee.F32.divide(ieee.F32.one, self.flushed(a)[0]))

    def lower(self, g: Emitter, a: V) -> V:
        (a,) = self.flush(g, a)
        return self.flush(g, g.fdiv(f32(g, ieee.F32.one, a), a))[0]


@instruction
class SquareRootApproximately(Approximation):
    """sqrt.approx: correctly rounded (the manual allows a relative error of 2^-23)"""

    syntax = "sqrt{.approx}{.ftz}.f32 d, a"
    section = "9.7.3.15"

    def reference(self, a: int) -> int:
        return ieee.F32.square_root(self.flushed(a)[0])

    def lower(self, g: Emitter, a: V) -> V:
        (a,) = self.flush(g, a)
        return g.intrinsic("llvm.sqrt", a)  # no root is subnormal


@instruction
class ReciprocalSquareRoot(Approximation):
    """rsqrt: 1 / sqrt(a). Two roundings: largest relative error 2^-23.4 (the manual allows 2^-22.9)"""

    syntax = "rsqrt{.approx}{.ftz}.f32 d, a"
    section = "9.7.3.16"
    ulp = 1

    def reference(self, a: int) -> int:
        return elementary.reciprocal_square_root(*self.flushed(a))

    def lower(self, g: Emitter, a: V) -> V:
        (a,) = self.flush(g, a)
        return g.fdiv(f32(g, ieee.F32.one, a), g.intrinsic("llvm.sqrt", a))


@instruction
class ReciprocalSquareRootDouble(Lane):
    """rsqrt.approx.f64: 1 / sqrt(a), two roundings (the manual states no bound)"""

    syntax = "rsqrt{.approx}.f64 d, a"
    section = "9.7.3.16"
    target = 13
    types = {"d": "f64", "a": "f64"}
    nan_payload_unspecified = True
    ulp = 1

    def reference(self, a: int) -> int:
        x = ieee.F64.decode(a)
        if x.kind != "finite" or x.is_zero or x.sign:
            return ieee.F64.divide(ieee.F64.one, ieee.F64.square_root(a))
        return elementary.inverse_root(x, ieee.F64)

    def lower(self, g: Emitter, a: V) -> V:
        return g.fdiv(g.const("double", ieee.F64.one, a.n), g.intrinsic("llvm.sqrt", a))


UPPER = ieee.Format("upper half of f64", 11, 20)


class GrossDouble(Lane):
    """rcp and rsqrt of an f64's upper half: 1.11.20 bits in, as many out, the lower half 0. The quotient is rounded to nearest."""

    types: ClassVar = {"d": "f64", "a": "f64"}
    target = 20

    def exact(self, x: ieee.Number) -> int:
        raise NotImplementedError

    def estimate(self, g: Emitter, a: V) -> V:
        raise NotImplementedError

    def reference(self, a: int) -> int:
        upper = UPPER.flush(a >> 32)
        x = UPPER.decode(upper)
        if x.is_nan or (ieee.F64.is_nan(a) and not x.is_nan):
            return 0x7FFFFFFF << 32  # a NaN whose payload is in the lower half only still is one
        return UPPER.flush(self.exact(x)) << 32

    def lower(self, g: Emitter, a: V) -> V:
        n = a.n
        bits = g.and_(g.bitcast(a, "i64"), g.const("i64", ~0xFFFFFFFF, n))
        estimate = self.estimate(g, g.bitcast(self._flush(g, bits), "double"))
        # half of the upper half's unit, carried up: to nearest (a tie cannot be: it would need one bit more than a quotient of 21 bits has)
        rounded = g.add(g.bitcast(estimate, "i64"), g.const("i64", 1 << 31, n))
        rounded = self._flush(g, g.and_(rounded, g.const("i64", ~0xFFFFFFFF, n)))
        is_nan = g.or_(g.fcmp("uno", a, a), g.fcmp("uno", estimate, estimate))
        return g.bitcast(g.select(is_nan, g.const("i64", NAN << 32, n), rounded), "double")

    @staticmethod
    def _flush(g: Emitter, bits: V) -> V:
        is_small = g.icmp("eq", g.and_(bits, g.const("i64", 0x7FF << 52, bits.n)), g.const("i64", 0, bits.n))
        return g.select(is_small, g.and_(bits, g.const("i64", 1 << 63, bits.n)), bits)


@instruction
class ReciprocalDouble(GrossDouble):
    """rcp.approx.ftz.f64: 1 / a of the upper halves"""

    syntax = "rcp.approx.ftz.f64 d, a"
    section = "9.7.3.14"
    since = (2, 1)

    def exact(self, x: ieee.Number) -> int:
        if x.is_infinite:
            return UPPER.signed(x.sign, 0)
        if x.is_zero:
            return UPPER.signed(x.sign, UPPER.infinity)
        return UPPER.round_ratio(x.sign, 1, x.significand, -x.exponent, "rn")

    def estimate(self, g: Emitter, a: V) -> V:
        return g.fdiv(g.const("double", ieee.F64.one, a.n), a)


@instruction
class ReciprocalSquareRootGrossDouble(GrossDouble):
    """rsqrt.approx.ftz.f64: 1 / sqrt(a) of the upper halves"""

    syntax = "rsqrt.approx.ftz.f64 d, a"
    section = "9.7.3.17"
    since = (4, 0)

    def exact(self, x: ieee.Number) -> int:
        if x.is_zero:
            return UPPER.signed(x.sign, UPPER.infinity)
        if x.sign:
            return NAN
        return 0 if x.is_infinite else elementary.inverse_root(x, UPPER)

    def estimate(self, g: Emitter, a: V) -> V:
        return g.fdiv(g.const("double", ieee.F64.one, a.n), g.intrinsic("llvm.sqrt", a))


# ---------------------------------------------------------------------------------------------------- exponential, logarithm


@instruction
class Exponential(Approximation):
    """ex2: 2^a. Largest error 0.79 ulp, 0.87 where the result is subnormal (the manual allows 2 ulp)"""

    syntax = "ex2{.approx}{.ftz}.f32 d, a"
    section = "9.7.3.21"
    ulp = 1

    def reference(self, a: int) -> int:
        return self.flushed_result(elementary.exp2(*self.flushed(a)))

    def lower(self, g: Emitter, a: V) -> V:
        return exponential(g, a, self.flushes)


# 2^f for f from -1/2 to 1/2, relative error 2^-28.3
EXPONENTIAL = [0x3920B5A9, 0x3AAF8417, 0x3C1D96F0, 0x3D6357BE, 0x3E75FDEE, 0x3F317218, 0x3F800000]
EXPONENTIAL_TWICE = [c + LEAST_NORMAL for c in EXPONENTIAL]


def exponential(g: Emitter, a: V, flushes: bool) -> V:
    """2^a of floats: 2^n * 2^f with n the nearest integer to a."""
    n = a.n
    x = g.select(g.fcmp("ogt", a, f32(g, 0x43000000, a)), f32(g, 0x43000000, a), a)  # at most 128; NaN stays
    if flushes:
        # n goes into the polynomial's exponent bits; for 128 that has the value 1, which becomes infinity
        shifted = g.fadd(x, f32(g, ROUNDER, a))
        value = horner(g, g.fsub(x, g.fsub(shifted, f32(g, ROUNDER, a))), EXPONENTIAL)
        result = g.bitcast(g.add(g.bitcast(value, "i32"), g.shl(g.bitcast(shifted, "i32"), g.const("i32", 23, n))), "float")
        zero = f32(g, 0, a)
        zero_or_nan = g.select(g.fcmp("olt", a, zero), zero, a)
        result = g.select(g.fcmp("oge", a, f32(g, 0xC2FC0000, a)), result, zero_or_nan)  # below -126 the result is subnormal
        g.flushed.add(result.name)
        return result
    # 2 * 2^f times 2^(n - 1), which is a number for every n from -125 to 128; below -125, results are computed 2^64 times as large
    is_small = g.fcmp("olt", a, f32(g, 0xC2FA0000, a))
    x = g.select(g.fcmp("olt", x, f32(g, 0xC3180000, a)), f32(g, 0xC3180000, a), x)  # at least -152: 2^-152 rounds to 0
    x = g.fadd(x, g.select(is_small, f32(g, 0x42800000, a), f32(g, 0, a)))
    rounder = f32(g, ROUNDER + 126, a)  # n + 126 in the low bits: the exponent bits of 2^(n - 1)
    shifted = g.fadd(x, rounder)
    value = horner(g, g.fsub(x, g.fsub(shifted, rounder)), EXPONENTIAL_TWICE)
    scale = g.bitcast(g.shl(g.bitcast(shifted, "i32"), g.const("i32", 23, n)), "float")
    return g.fmul(g.fmul(value, scale), g.select(is_small, f32(g, 0x1F800000, a), f32(g, 0x3F800000, a)))


@instruction
class Logarithm(Approximation):
    """lg2: the logarithm to base 2. Largest error 2^-23.7 from 1/2 to 2, beyond that relative 2^-23.8 (the manual allows 2^-22)"""

    syntax = "lg2{.approx}{.ftz}.f32 d, a"
    section = "9.7.3.20"
    ulp = 2

    def reference(self, a: int) -> int:
        return elementary.log2(*self.flushed(a))

    def lower(self, g: Emitter, a: V) -> V:
        return logarithm(g, a, self.flushes)


# log2(1 + t) / t for 1 + t from sqrt(1/2) to sqrt(2), relative error 2^-25.1
LOGARITHM = [0x3E00DD1E, 0xBE53C01A, 0x3E5CA6FD, 0xBE74C04F, 0x3E936EA4, 0xBEB8ADBF, 0x3EF639B3, 0xBF38AA39, 0x3FB8AA3B]


def logarithm(g: Emitter, a: V, flushes: bool) -> V:
    """log2 of floats: the exponent e plus the logarithm of a mantissa between sqrt(1/2) and sqrt(2)."""
    n = a.n
    least = f32(g, LEAST_NORMAL, a)
    x, bias = a, f32(g, 0, a)
    if not flushes:  # subnormal numbers as 2^24 times themselves
        is_small = g.fcmp("olt", a, least)
        x = g.select(is_small, g.fmul(a, f32(g, 0x4B800000, a)), a)
        bias = g.select(is_small, f32(g, 0xC1C00000, a), bias)
    root = g.const("i32", 0x3F3504F3, n)  # sqrt(1/2)
    distance = g.sub(g.bitcast(x, "i32"), root)
    exponent = g.convert("sitofp", g.ashr(distance, g.const("i32", 23, n)), "float")
    if not flushes:
        exponent = g.fadd(exponent, bias)
    mantissa = g.bitcast(g.add(g.and_(distance, g.const("i32", 0x7FFFFF, n)), root), "float")
    t = g.fsub(mantissa, f32(g, ieee.F32.one, a))
    result = rounding.fma(g, t, horner(g, t, LOGARITHM), exponent)
    result = g.select(g.fcmp("oeq", a, f32(g, INFINITY, a)), a, result)
    if flushes:
        is_zero = g.fcmp("olt", rounding.magnitude(g, a), least)
        is_ordinary = g.fcmp("oge", a, least)
    else:
        is_zero = g.fcmp("oeq", a, f32(g, 0, a))
        is_ordinary = g.fcmp("ogt", a, f32(g, 0, a))
    return g.select(is_ordinary, result, g.select(is_zero, f32(g, 0xFF800000, a), f32(g, NAN, a)))


# ---------------------------------------------------------------------------------------------------- circular functions


class Circular(Approximation):
    """sin and cos. The manual bounds the absolute error, by 2^-20.5 within 2 pi and by 2^-14.7 within 100 pi, and promises nothing
    beyond; here it is at most 2^-22.8 within 2^15 and 2^-21.1 within 2^21, and the result never leaves -1 to 1."""

    def accepts(self, got: int, want: int, *operands: int) -> bool:
        """Within 2^-22 up to 2^15, anything from -1 to 1 beyond."""
        if ieee.F32.is_nan(want) or got & 0x7FFFFFFF > ieee.F32.one:
            return got == want
        (a,) = operands
        return a & 0x7FFFFFFF > 0x47000000 or abs(_number(got) - _number(want)) <= Fraction(1, 1 << 22)


# (sin(r) / r - 1) / r^2 in r^2, for r from -pi/2 to pi/2: absolute error of sin 2^-27.6
SINE = [0x362E6818, 0xB94FAE6A, 0x3C08872C, 0xBE2AAAA4]
# pi in two parts, the first 24 bits and smaller than pi, so that a zero minus 0 times it keeps its sign
PI_HIGH, PI_LOW = 0x40490FDA, 0x34222169
ONE_OVER_PI = 0x3EA2F983


def _sine_of_rest(g: Emitter, a: V, multiple: V, quarter: V) -> V:
    """sin(a - multiple * pi), negated where the lowest bit of `quarter` is set; the rest is from -pi/2 to pi/2."""
    rest = rounding.fma(g, multiple, f32(g, PI_HIGH | 1 << 31, a), a)
    rest = rounding.fma(g, multiple, f32(g, PI_LOW | 1 << 31, a), rest)
    square = g.fmul(rest, rest)
    one, minus_one = f32(g, ieee.F32.one, a), f32(g, 0xBF800000, a)
    sine = g.fmul(rest, rounding.fma(g, square, horner(g, square, SINE), one))
    # one unit too much near the peaks, and anything where a is so large that the rest is arbitrary (NaN stays)
    sine = g.select(g.fcmp("ogt", sine, one), one, sine)
    sine = g.select(g.fcmp("olt", sine, minus_one), minus_one, sine)
    return rounding.flip(g, sine, g.shl(g.bitcast(quarter, "i32"), g.const("i32", 31, a.n)))


@instruction
class Sine(Circular):
    """sin: the sine of an angle in radians"""

    syntax = "sin{.approx}{.ftz}.f32 d, a"
    section = "9.7.3.18"

    def reference(self, a: int) -> int:
        return self.flushed_result(elementary.sin(*self.flushed(a)))

    def lower(self, g: Emitter, a: V) -> V:
        (a,) = self.flush(g, a)
        rounder = f32(g, ROUNDER, a)
        shifted = rounding.fma(g, a, f32(g, ONE_OVER_PI, a), rounder)
        return _sine_of_rest(g, a, g.fsub(shifted, rounder), shifted)


@instruction
class Cosine(Circular):
    """cos: the cosine of an angle in radians"""

    syntax = "cos{.approx}{.ftz}.f32 d, a"
    section = "9.7.3.19"

    def reference(self, a: int) -> int:
        return self.flushed_result(elementary.cos(*self.flushed(a)))

    def lower(self, g: Emitter, a: V) -> V:
        # cos a = sin(a + pi/2): the multiple of pi is an integer less a half
        rounder, half = f32(g, ROUNDER, a), f32(g, 0x3F000000, a)
        shifted = g.fadd(rounding.fma(g, a, f32(g, ONE_OVER_PI, a), half), rounder)
        return _sine_of_rest(g, a, g.fsub(g.fsub(shifted, rounder), half), shifted)


# ---------------------------------------------------------------------------------------------------- hyperbolic tangent


@instruction
class HyperbolicTangent(Approximation):
    """tanh: x * P(x^2) / Q(x^2) below 7 and 1 from there. Largest relative error 2^-19.2 (the manual allows 2^-11)"""

    syntax = "tanh.approx.f32 d, a"
    section = "9.7.3.22"
    since = (7, 0)
    target = 75
    ulp = 32

    def reference(self, a: int) -> int:
        return elementary.tanh(a)

    def lower(self, g: Emitter, a: V) -> V:
        return hyperbolic_tangent(g, a)


# minimax on the whole range: relative error 2^-19.8
TANH_P = [0x3686FED2, 0x3B16B687, 0x3DFC8568, 0x3F800000]
TANH_Q = [0x3917AF76, 0x3CAD8A30, 0x3EE9CB55, 0x3F800000]


def hyperbolic_tangent(g: Emitter, a: V) -> V:
    square = g.fmul(a, a)
    quotient = g.fdiv(g.fmul(a, horner(g, square, TANH_P)), horner(g, square, TANH_Q))
    one = f32(g, ieee.F32.one, a)
    is_inside = g.fcmp("ult", rounding.magnitude(g, a), f32(g, 0x40E00000, a))
    return g.select(is_inside, quotient, g.intrinsic("llvm.copysign", one, a))
