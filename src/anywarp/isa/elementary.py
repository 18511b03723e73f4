"""The elementary functions of f32 numbers, correctly rounded, in fixed-point integers: what approximations are measured against.

Each takes and gives an f32 bit pattern. Values are integers in units of 2^-PRECISION; f32 inputs are exact in them where it matters, and
256 bits leave some 100 beyond the last that could decide a rounding. NaNs come out as the canonical NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import isqrt

from anywarp.isa.ieee import F32, Format, Number

PRECISION = 256
ONE = 1 << PRECISION


def _series(first: int, next_term: Callable[[int, int], int]) -> int:
    """Adds up `first` and what `next_term(term, index)` makes of the term before, until nothing is left."""
    total, term, index = 0, first, 1
    while term:
        total += term
        term = next_term(term, index)
        index += 1
    return total


def _divide(a: int, b: int) -> int:
    """a / b, towards zero: a series of negative terms ends too."""
    return a // b if a >= 0 else -(-a // b)


def _atanh(x: int) -> int:
    """The inverse hyperbolic tangent of a small fixed-point number."""
    square = x * x >> PRECISION
    total, power, odd = 0, x, 1
    while power:
        total += _divide(power, odd)
        power = _divide(power * square, ONE)
        odd += 2
    return total


@cache
def ln2() -> int:
    return 2 * _atanh(ONE // 3)


@cache
def pi(precision: int) -> int:
    """Pi in units of 2^-precision (Machin: 16 atan 1/5 - 4 atan 1/239)."""
    guard = 16

    def inverse_atan(n: int) -> int:
        total, power, odd, sign = 0, (1 << precision + guard) // n, 1, 1
        while power:
            total += sign * (power // odd)
            power //= n * n
            odd, sign = odd + 2, -sign
        return total

    return 16 * inverse_atan(5) - 4 * inverse_atan(239) >> guard


def _exp(x: int) -> int:
    """e^x of a fixed-point number below 1 in magnitude."""
    return _series(ONE, lambda term, n: _divide(term * x, n << PRECISION))


def _fixed(x: Number) -> int:
    """A finite number in fixed point (exact from 2^-256 up, which holds every f32)."""
    value = x.significand << (PRECISION + x.exponent)
    return -value if x.sign else value


def _round(value: int, exponent: int = 0) -> int:
    """value * 2^(exponent - PRECISION) as the nearest f32. No result but an exact one is near enough to a tie to care for the rest."""
    return F32.round(int(value < 0), abs(value), exponent - PRECISION, "rn")


def exp2(a: int) -> int:
    """2^a."""
    x = F32.decode(a)
    if x.is_nan:
        return F32.nan
    if x.is_infinite or x.significand.bit_length() + x.exponent > 9:
        return 0 if x.sign else F32.infinity
    whole, fraction = divmod(_fixed(x), ONE)
    return _round(_exp(fraction * ln2() >> PRECISION), whole)


def log2(a: int) -> int:
    """The logarithm to base 2."""
    x = F32.decode(a)
    if x.is_zero:
        return F32.signed(1, F32.infinity)
    if x.is_nan or x.sign:
        return F32.nan
    if x.is_infinite:
        return a
    bits = x.significand.bit_length()
    whole = bits - 1 + x.exponent
    m = x.significand << (PRECISION - bits + 1)  # from 1 to 2
    if 2 * m * m > 4 * ONE * ONE:  # to 0.7 to 1.4, so that numbers near 1 keep their digits
        m, whole = m >> 1, whole + 1
    logarithm = 2 * _atanh(((m - ONE) << PRECISION) // (m + ONE))
    return _round((whole << PRECISION) + (logarithm << PRECISION) // ln2())


def _sine(x: Number, quarter_turns: int) -> int:
    """sin(x + quarter_turns * pi / 2), rounded; x is finite."""
    extra = max(0, x.significand.bit_length() + x.exponent)  # bits before the point
    half_pi = pi(PRECISION + extra) >> 1
    turns, rest = divmod(_fixed(x) << extra, half_pi)
    rest >>= extra
    turns += quarter_turns
    square = rest * rest >> PRECISION
    if turns & 1:
        value = _series(ONE, lambda term, n: -_divide(term * square, (2 * n - 1) * 2 * n << PRECISION))
    else:
        value = _series(rest, lambda term, n: -_divide(term * square, 2 * n * (2 * n + 1) << PRECISION))
    return _round(-value if turns & 2 else value)


def sin(a: int) -> int:
    """The sine of an angle in radians."""
    x = F32.decode(a)
    if x.kind != "finite":
        return F32.nan
    return a if x.is_zero else _sine(x, 0)


def cos(a: int) -> int:
    """The cosine of an angle in radians."""
    x = F32.decode(a)
    if x.kind != "finite":
        return F32.nan
    return _sine(x, 1)


def tanh(a: int) -> int:
    """The hyperbolic tangent."""
    x = F32.decode(a)
    if x.is_nan:
        return F32.nan
    size = x.significand.bit_length() + x.exponent
    if x.is_infinite or (not x.is_zero and size > 5):
        return F32.signed(x.sign, F32.one)
    if x.is_zero or size < -30:
        return a  # x - x^3 / 3 rounds to x
    whole, fraction = divmod(2 * abs(_fixed(x)), ln2())
    e = _exp(fraction) << whole  # e^(2 |x|)
    return F32.signed(x.sign, _round(((e - ONE) << PRECISION) // (e + ONE)))


def reciprocal_square_root(a: int) -> int:
    """1 / sqrt(a)."""
    x = F32.decode(a)
    if x.is_zero:
        return F32.signed(x.sign, F32.infinity)
    if x.is_nan or x.sign:
        return F32.nan
    if x.is_infinite:
        return 0
    return inverse_root(x, F32)


def inverse_root(x: Number, f: Format) -> int:
    """1 / sqrt of a positive number as the nearest number of a format."""
    shift = x.exponent & 1  # to an even exponent
    scale = PRECISION + x.significand.bit_length() // 2
    return f.round(0, isqrt((1 << 2 * scale) // (x.significand << shift)), -scale - (x.exponent - shift) // 2, "rn")
