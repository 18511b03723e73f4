"""IEEE 754 arithmetic on bit patterns, exactly, with nothing but Python's integers: the meaning behind every floating-point `reference`.

A `Format` names a binary interchange format; its `decode` takes a bit pattern apart into a `Number`, the exact value
`(-1)^sign * significand * 2^exponent` (or an infinity, or a NaN), and its `round` goes back, in any rounding mode:

    F32.round(F32.decode(a) + ..., "rn")          # in words: decode, compute exactly, round once

The operations `add`, `subtract`, `multiply`, `fused_multiply_add`, `divide`, `square_root`, `convert` do that for bit
patterns. A NaN result is the quieted first NaN operand where the format keeps payloads (f64), else the format's canonical NaN;
where PTX leaves the NaN open (f32), declarations say `nan_payload_unspecified`.

Rounding modes are those of PTX: "rn" nearest even, "rna" nearest, ties away from zero, "rz" towards zero, "rm" down, "rp" up.
`.ftz` and `.sat` are functions on bit patterns here (`flush`, `saturate`), for the caller to apply to operands and results.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Final, NamedTuple


class Number(NamedTuple):
    """A decoded value: `kind` is "finite", "inf" or "nan"; `(-1)^sign * significand * 2^exponent` where finite (significand 0: a zero)."""

    kind: str
    sign: int
    significand: int = 0  # of a NaN: its payload bits
    exponent: int = 0

    @property
    def is_nan(self) -> bool:
        return self.kind == "nan"

    @property
    def is_infinite(self) -> bool:
        return self.kind == "inf"

    @property
    def is_zero(self) -> bool:
        return self.kind == "finite" and self.significand == 0


@dataclass(frozen=True)
class Format:
    """A binary floating-point format: sign (if `has_sign`), `exponent_bits`, `mantissa_bits` (those stored).

    `specials` says what the highest exponent means: "ieee" infinities and NaNs; "nan" finite numbers, except that all ones is the
    NaN (e4m3); "none" finite numbers only (e2m1, e2m3, e3m2). `nan` is the canonical NaN. A format without infinities rounds what is too
    large to its largest number.
    """

    name: str
    exponent_bits: int
    mantissa_bits: int
    nan: int = 0
    specials: str = "ieee"
    keeps_payload: bool = False
    has_sign: bool = True

    @property
    def width(self) -> int:
        return self.has_sign + self.exponent_bits + self.mantissa_bits

    @property
    def bias(self) -> int:
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def least_exponent(self) -> int:
        """Exponent of the unit in the last place of subnormal numbers: the least positive number is 2^least_exponent."""
        return 1 - self.bias - self.mantissa_bits

    @property
    def top(self) -> int:
        """The highest biased exponent: all ones."""
        return (1 << self.exponent_bits) - 1

    @property
    def largest(self) -> int:
        """The largest finite number's bit pattern."""
        magnitude = (1 << (self.exponent_bits + self.mantissa_bits)) - 1
        if self.specials == "ieee":
            return (self.top << self.mantissa_bits) - 1
        return magnitude - (self.specials == "nan")

    @property
    def infinity(self) -> int:
        """The pattern of +infinity (only where `specials` is "ieee")."""
        return self.top << self.mantissa_bits

    @property
    def sign_bit(self) -> int:
        return 1 << (self.width - 1) if self.has_sign else 0

    @property
    def one(self) -> int:
        return self.bias << self.mantissa_bits

    def decode(self, bits: int) -> Number:
        """The exact value of a bit pattern."""
        mantissa = bits & ((1 << self.mantissa_bits) - 1)
        biased = bits >> self.mantissa_bits & self.top
        sign = bits >> (self.width - 1) & 1 if self.has_sign else 0
        if biased == self.top:
            if self.specials == "ieee":
                return Number("nan", sign, mantissa) if mantissa else Number("inf", sign)
            if self.specials == "nan" and mantissa == (1 << self.mantissa_bits) - 1:
                return Number("nan", sign, mantissa)
        if biased == 0:
            return Number("finite", sign, mantissa, self.least_exponent)
        return Number("finite", sign, mantissa | 1 << self.mantissa_bits, biased - 1 + self.least_exponent)

    def signed(self, sign: int, magnitude: int) -> int:
        return magnitude | (self.sign_bit if sign else 0)

    def round(self, sign: int, significand: int, exponent: int, mode: str, inexact: bool = False) -> int:
        """The bit pattern of `(-1)^sign * significand * 2^exponent`, rounded. `inexact`: the magnitude is a little larger, by less than
        2^exponent; then `significand` must have at least two bits more than the format keeps. A zero keeps `sign`."""
        if inexact:
            assert significand.bit_length() >= self.mantissa_bits + 3
            significand, exponent = significand * 2 + 1, exponent - 1
        if significand == 0:
            return self.signed(sign, 0)
        # the unit in the last place of the result: normal numbers have mantissa_bits + 1 bits
        unit = max(exponent + significand.bit_length() - 1 - self.mantissa_bits, self.least_exponent)
        shift = unit - exponent
        if shift <= 0:
            quotient = significand << -shift
        else:
            quotient, rest = significand >> shift, significand & ((1 << shift) - 1)
            if rest and self._rounds_up(mode, sign, quotient & 1, rest, 1 << (shift - 1)):
                quotient += 1
        # a carry out of the significand moves into the exponent by itself
        magnitude = quotient + ((unit - self.least_exponent) << self.mantissa_bits)
        if magnitude <= self.largest:
            return self.signed(sign, magnitude)
        return self.signed(sign, self.overflow(mode, sign))

    @staticmethod
    def _rounds_up(mode: str, sign: int, odd: int, rest: int, half: int) -> bool:
        if mode == "rn":
            return rest > half or (rest == half and odd == 1)
        if mode == "rna":
            return rest >= half
        if mode == "rz":
            return False
        if mode == "rm":
            return sign == 1
        if mode == "rp":
            return sign == 0
        raise ValueError(f"rounding mode {mode}")

    def overflow(self, mode: str, sign: int) -> int:
        """The magnitude that stands for a number beyond the largest."""
        if self.specials != "ieee" or mode == "rz" or (mode == "rm" and not sign) or (mode == "rp" and sign):
            return self.largest
        return self.infinity

    # ------------------------------------------------------------------------------------------------ properties

    def is_nan(self, bits: int) -> bool:
        return self.decode(bits).is_nan

    def is_subnormal(self, bits: int) -> bool:
        return bits >> self.mantissa_bits & self.top == 0 and bits & ((1 << self.mantissa_bits) - 1) != 0

    def flush(self, bits: int) -> int:
        """Subnormal numbers become zeros of the same sign (`.ftz`)."""
        return bits & self.sign_bit if self.is_subnormal(bits) else bits

    def saturate(self, bits: int) -> int:
        """`.sat`: clamps to [0, 1]; NaN and -0 become +0."""
        number = self.decode(bits)
        if number.is_nan or number.sign:
            return 0
        return min(bits, self.one)

    def negate(self, bits: int) -> int:
        return bits ^ self.sign_bit

    def nan_of(self, *operands: int) -> int:
        """The NaN that an operation gives: the first NaN operand, quieted, where the format keeps payloads, else the canonical one."""
        if self.keeps_payload:
            for bits in operands:
                if self.is_nan(bits):
                    return bits | 1 << (self.mantissa_bits - 1)
        return self.nan

    def order(self, bits: int) -> int:
        """An integer that grows with the number (-0 below +0); not for NaNs."""
        return ~(bits & (self.sign_bit - 1)) if bits & self.sign_bit else bits

    # ------------------------------------------------------------------------------------------------ operations

    def fused_multiply_add(self, a: int, b: int, c: int, mode: str = "rn", product: Format | None = None) -> int:
        """`a * b + c`, rounded once; a and b may have another format (`product`)."""
        factors = product or self
        x, y, z = factors.decode(a), factors.decode(b), self.decode(c)
        if x.is_nan or y.is_nan or z.is_nan:
            return self.nan_of(*((a, b, c) if product is None else (c,)))
        sign = x.sign ^ y.sign
        if x.is_infinite or y.is_infinite:
            if x.is_zero or y.is_zero or (z.is_infinite and z.sign != sign):
                return self.nan
            return self.signed(sign, self.infinity)
        if z.is_infinite:
            return c
        return self._sum(sign, x.significand * y.significand, x.exponent + y.exponent, z, mode)

    def _sum(self, sign: int, significand: int, exponent: int, z: Number, mode: str) -> int:
        """The sum of two finite numbers, exact, then rounded."""
        low = min(exponent, z.exponent)
        first = significand << (exponent - low)
        second = z.significand << (z.exponent - low)
        total = (-first if sign else first) + (-second if z.sign else second)
        if total == 0:
            # like signs keep their sign; otherwise an exact zero is +0, but -0 where rounding is downwards
            negative = sign if sign == z.sign else int(mode == "rm")
            return self.signed(negative, 0)
        return self.round(int(total < 0), abs(total), low, mode)

    def add(self, a: int, b: int, mode: str = "rn") -> int:
        x, y = self.decode(a), self.decode(b)
        if x.is_nan or y.is_nan:
            return self.nan_of(a, b)
        if x.is_infinite:
            return self.nan if y.is_infinite and x.sign != y.sign else a
        if y.is_infinite:
            return b
        return self._sum(x.sign, x.significand, x.exponent, y, mode)

    def subtract(self, a: int, b: int, mode: str = "rn") -> int:
        if self.is_nan(b):
            return self.nan_of(a, b)
        return self.add(a, self.negate(b), mode)

    def multiply(self, a: int, b: int, mode: str = "rn") -> int:
        x, y = self.decode(a), self.decode(b)
        if x.is_nan or y.is_nan:
            return self.nan_of(a, b)
        sign = x.sign ^ y.sign
        if x.is_infinite or y.is_infinite:
            return self.nan if x.is_zero or y.is_zero else self.signed(sign, self.infinity)
        return self.round(sign, x.significand * y.significand, x.exponent + y.exponent, mode)

    def divide(self, a: int, b: int, mode: str = "rn") -> int:
        x, y = self.decode(a), self.decode(b)
        if x.is_nan or y.is_nan:
            return self.nan_of(a, b)
        sign = x.sign ^ y.sign
        if x.is_infinite:
            return self.nan if y.is_infinite else self.signed(sign, self.infinity)
        if y.is_infinite or x.is_zero:
            return self.nan if y.is_zero else self.signed(sign, 0)
        if y.is_zero:
            return self.signed(sign, self.infinity)
        return self.round_ratio(sign, x.significand, y.significand, x.exponent - y.exponent, mode)

    def round_ratio(self, sign: int, numerator: int, denominator: int, exponent: int, mode: str) -> int:
        """`(-1)^sign * numerator / denominator * 2^exponent`, rounded; both positive."""
        shift = max(0, self.mantissa_bits + 4 + denominator.bit_length() - numerator.bit_length())
        quotient, rest = divmod(numerator << shift, denominator)
        return self.round(sign, quotient, exponent - shift, mode, rest != 0)

    def square_root(self, a: int, mode: str = "rn") -> int:
        x = self.decode(a)
        if x.is_nan:
            return self.nan_of(a)
        if x.is_zero:
            return a
        if x.sign:
            return self.nan
        if x.is_infinite:
            return a
        shift = 2 * self.mantissa_bits + 8
        shift += (x.exponent - shift) & 1
        radicand = x.significand << shift
        root = isqrt(radicand)
        return self.round(0, root, (x.exponent - shift) // 2, mode, root * root != radicand)


def convert(bits: int, source: Format, target: Format, mode: str = "rn") -> int:
    """The nearest number of another format (by `mode`); NaN becomes the target's canonical NaN."""
    x = source.decode(bits)
    if x.is_nan:
        return target.nan
    if x.is_infinite:
        return target.signed(x.sign, target.infinity if target.specials == "ieee" else target.largest)
    return target.round(x.sign, x.significand, x.exponent, mode)


F64: Final = Format("f64", 11, 52, 0x7FFFFFFFFFFFFFFF, keeps_payload=True)
F32: Final = Format("f32", 8, 23, 0x7FFFFFFF)
TF32: Final = Format("tf32", 8, 10, 0x3FFFF)
F16: Final = Format("f16", 5, 10, 0x7FFF)
BF16: Final = Format("bf16", 8, 7, 0x7FFF)
E5M2: Final = Format("e5m2", 5, 2, 0x7F)
E4M3: Final = Format("e4m3", 4, 3, 0x7F, specials="nan")
E2M3: Final = Format("e2m3", 2, 3, specials="none")
E3M2: Final = Format("e3m2", 3, 2, specials="none")
E2M1: Final = Format("e2m1", 2, 1, specials="none")
UE4M3: Final = Format("ue4m3", 4, 3, 0x7F, specials="nan", has_sign=False)

FORMATS: Final[dict[str, Format]] = {f.name: f for f in (F64, F32, TF32, F16, BF16, E5M2, E4M3, E2M3, E3M2, E2M1, UE4M3)}
