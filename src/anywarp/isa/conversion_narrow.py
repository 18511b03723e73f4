"""cvt to and from the 8-, 6- and 4-bit float formats and the 8-bit scale factors (PTX ISA 9.7.9.21).

Two elements make a `...x2` (the first source, or the upper half of a pair, is the upper element), four a `...x4`.
e4m3 and e5m2 have a byte an element; so have e2m3 and e3m2, whose upper two bits are 0; e2m1 has four bits. All
saturate; a NaN becomes the format's NaN, or its largest number where it has none. ue8m0 is a power of two, ue5m3 a
float without a sign (both take the magnitude), s2f6 a signed number of sixty-fourths.

Scaled forms: `.scaled::n2::ue8m0` has a scale factor for each element, `.scaled::n1::ue8m0` (9.4) one for both and
reads subnormal sources as 0. To a narrow format sources are divided by the scale factor, from one results are
multiplied.

The random bits of `.rs`: each two elements share 16 of the 32, which the first of them reads in reverse order. The
manual gives the fields, not the order; public measurements on Blackwell-class GPUs do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anywarp.isa import ieee
from anywarp.isa.base import Lane, OperandType, instruction
from anywarp.isa.conversion import SECTION, round_integer
from anywarp.isa.conversion_packed import FloatModifiers, stochastic
from anywarp.isa.ieee import BF16, F32, FORMATS, Format, Number
from anywarp.isa.integer import signed

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V

UE5M3 = Format("ue5m3", 5, 3, 0xFF, specials="nan", has_sign=False)
NARROW = {**{name: FORMATS[name] for name in ("e4m3", "e5m2", "e2m3", "e3m2", "e2m1")}, "ue5m3": UE5M3}
PAIRS = "e4m3x2 e5m2x2 e2m3x2 e3m2x2 e2m1x2"
SOURCES = "f32 f16x2 bf16x2"


def field_bits(format: Format) -> int:
    """The bits that an element takes: 4 or 8."""
    return 4 if format.width == 4 else 8


def register(format: Format, count: int) -> str:
    """The type of the register that holds so many elements."""
    return f"b{field_bits(format) * count}"


def scaled(x: Number, code: int, sign: int) -> Number:
    """A number times (sign 1) or divided by (sign -1) a ue8m0 scale factor; code 255 is the NaN."""
    if code == 255 or x.is_nan:
        return Number("nan", 0)
    return x if x.is_infinite else Number(x.kind, x.sign, x.significand, x.exponent + sign * (code - 127))


def encode(x: Number, format: Format, mode: str, relu: bool, pzo: bool = False, saturates: bool = True) -> int:
    """The code of a number. Only ue5m3 need not saturate: then what is too large is the NaN."""
    if x.is_nan:
        return format.nan or format.largest
    if relu and x.sign:
        return 0
    if not format.has_sign:
        x = Number(x.kind, 0, x.significand, x.exponent)
    if x.is_infinite:
        return format.signed(x.sign, format.largest) if saturates else format.nan
    code = format.round(x.sign, x.significand, x.exponent, mode)
    if not saturates and code == format.largest and mode != "rz":  # round as if there were larger numbers
        wide = Format("", format.exponent_bits + 1, format.mantissa_bits, has_sign=False)
        if wide.round(0, x.significand, x.exponent, mode) != ieee.convert(code, format, wide):
            return format.nan
    if code & ~format.sign_bit > format.largest:
        code = format.signed(x.sign, format.largest)
    return 0 if pzo and code == format.sign_bit else code


class NarrowPair(FloatModifiers):
    """Base: to a pair of narrow elements from two f32, or from a pair of f16 or bf16."""

    atype: str
    rnd: str | None
    scaled_n1_ue8m0: bool

    @property
    def format(self) -> Format:
        return NARROW[self.dtype[:-2]]

    @property
    def has_pair(self) -> bool:
        """The source is one register."""
        return self.atype != "f32"

    def operand_type(self, name: str) -> OperandType:
        if name == "d":
            return register(self.format, 2)
        return "b8" if name == "scale" else self.atype

    def numbers(self, operands: tuple[int, ...]) -> tuple[Number, Number]:
        """The upper and the lower source."""
        source = FORMATS[self.atype.removesuffix("x2")]
        if self.has_pair:
            high, low = operands[0] >> 16, operands[0] & 0xFFFF
        else:
            high, low = operands[:2]
        if self.scaled_n1_ue8m0:
            high, low = (0 if source.is_subnormal(x) else x for x in (high, low))
        return source.decode(high), source.decode(low)

    def sources(self, g: Emitter, operands: tuple[V, ...]) -> V:
        """float of twice as many lanes, the lower element first."""
        from anywarp.lower import half, narrow

        if not self.has_pair:
            x = narrow.interleave(g, operands[1], operands[0])
            if self.scaled_n1_ue8m0:
                bits = g.bitcast(x, "i32")
                x = g.bitcast(_without_subnormal(g, bits, 1 << 23), "float")
            return x
        pairs = g.reinterpret(operands[0], "i16", 2 * operands[0].n)
        format = self.atype.removesuffix("x2")
        if self.scaled_n1_ue8m0:
            pairs = _without_subnormal(g, pairs, half.LEAST_NORMAL[format])
        return half.to_f32(g, pairs, format)


def _without_subnormal(g: Emitter, bits: V, least_normal: int) -> V:
    """Patterns with those of subnormal numbers replaced by +0; zeros stay."""
    from anywarp.lower import half

    size = g.and_(bits, half.constant(g, bits, (1 << (bits.bits - 1)) - 1))
    before = g.sub(size, half.constant(g, bits, 1))
    is_subnormal = g.icmp("ult", before, half.constant(g, bits, least_normal - 1))
    return g.select(is_subnormal, half.constant(g, bits, 0), bits)


def pair_syntax(tail: str) -> tuple[str, ...]:
    """The syntaxes to a pair: two orders of modifiers, with and without a scale factor, from two registers and from
    one."""
    out = []
    for modifiers in (".satfinite{.relu}{.pzo}", ".relu.satfinite{.pzo}"):
        for scale, operand in (("", ""), (".scaled::n1::ue8m0", ", scale")):
            out.append(f"cvt.rnd{modifiers}{scale}.dtype.single d, a, b{operand}{tail}")
            out.append(f"cvt.rnd{modifiers}{scale}.dtype.pair d, a{operand}{tail}")
    return tuple(out)


@instruction
class ConvertToNarrow(NarrowPair):
    """cvt: two f32, or a pair of f16 or bf16, to a pair of 8-, 6- or 4-bit floats"""

    syntax = pair_syntax("")
    modifiers = {"rnd": "rn rz", "dtype": PAIRS, "single": "f32", "pair": "f16x2 bf16x2"}
    since = (7, 8)
    target = 89
    single: str | None
    pair: str | None

    @property
    def atype(self) -> str:  # type: ignore[override]
        return str(self.single or self.pair)

    def reference(self, *operands: int) -> int:
        high, low = self.numbers(operands)
        if self.scaled_n1_ue8m0:
            high, low = scaled(high, operands[-1], -1), scaled(low, operands[-1], -1)
        codes = [encode(x, self.format, str(self.rnd), self.relu, self.pzo) for x in (high, low)]
        return codes[0] << field_bits(self.format) | codes[1]

    def lower(self, g: Emitter, *operands: V) -> V:
        from anywarp.lower import half, narrow

        operands = tuple(g.same_lanes(*operands))
        x = self.sources(g, operands)
        if self.scaled_n1_ue8m0:
            factor = narrow.inverse_power_of_two(g, g.zext(operands[-1], "i32"))
            x = g.fmul(x, narrow.interleave(g, factor, factor))
        codes = narrow.encode(g, x, self.format, str(self.rnd))
        sign = half.constant(g, codes, self.format.sign_bit)
        if self.relu:
            is_negative = g.icmp("ne", g.and_(codes, sign), half.constant(g, codes, 0))
            codes = g.select(is_negative, half.constant(g, codes, 0), codes)
        elif self.pzo:
            codes = g.select(g.icmp("eq", codes, sign), half.constant(g, codes, 0), codes)
        return narrow.pack(g, codes, field_bits(self.format))


@instruction
class ConvertToUe5m3(NarrowPair):
    """cvt: two f32, or a pair of f16 or bf16, to a pair of ue5m3; without `.satfinite` what is too large is the NaN"""

    syntax = (
        "cvt.rnd{.satfinite}.ue5m3x2.single d, a, b",
        "cvt.rnd{.satfinite}.ue5m3x2.pair d, a",
        "cvt.rnd{.satfinite}.scaled::n1::ue8m0.ue5m3x2.single d, a, b, scale",
        "cvt.rnd{.satfinite}.scaled::n1::ue8m0.ue5m3x2.pair d, a, scale",
    )
    modifiers = {"rnd": "rn rz rp", "single": "f32", "pair": "f16x2 bf16x2"}
    since = (9, 4)
    target = 107
    dtype = "ue5m3x2"
    single: str | None
    pair: str | None

    @property
    def atype(self) -> str:  # type: ignore[override]
        return str(self.single or self.pair)

    def reference(self, *operands: int) -> int:
        high, low = self.numbers(operands)
        if self.scaled_n1_ue8m0:
            high, low = scaled(high, operands[-1], -1), scaled(low, operands[-1], -1)
        codes = [encode(x, UE5M3, str(self.rnd), False, saturates=self.satfinite) for x in (high, low)]
        return codes[0] << 8 | codes[1]

    def lower(self, g: Emitter, *operands: V) -> V:
        from anywarp.lower import half, narrow

        operands = tuple(g.same_lanes(*operands))
        x = source = self.sources(g, operands)
        if self.scaled_n1_ue8m0:
            factor = narrow.inverse_power_of_two(g, g.zext(operands[-1], "i32"))
            quotient = g.fmul(x, narrow.interleave(g, factor, factor))
            # a quotient too small for f32 still counts when rounding is upwards
            lost = g.and_(g.fcmp("oeq", quotient, half.constant(g, x, 0)), g.fcmp("one", x, half.constant(g, x, 0)))
            x = g.select(lost, half.constant(g, x, 1), quotient)
        codes = narrow.encode(g, x, UE5M3, str(self.rnd))
        if not self.satfinite:
            # beyond the largest number, or half a place more where rounding is to nearest (the tie goes to the even largest)
            if self.rnd == "rz":
                beyond = g.fcmp("oeq", half.absolute(g, source), g.const("float", 0x7F800000, x.n))
            else:
                limit = g.float_const("float", 114688.0 + (4096.0 if self.rnd == "rn" else 0.0), x.n)
                beyond = g.fcmp("ogt", half.absolute(g, x), limit)
            codes = g.select(beyond, half.constant(g, codes, UE5M3.nan), codes)
        return narrow.pack(g, codes, 8)


@instruction
class ConvertToNarrowStochastic(FloatModifiers):
    """cvt.rs: four f32 to four 8-, 6- or 4-bit floats, rounded with random bits"""

    syntax = ("cvt.rs{.relu}.satfinite{.pzo}.dtype.f32 d, a, rbits", "cvt.rs.satfinite.relu{.pzo}.dtype.f32 d, a, rbits")
    modifiers = {"dtype": "e4m3x4 e5m2x4 e2m3x4 e3m2x4 e2m1x4"}
    since = (8, 7)
    target = 100

    @property
    def format(self) -> Format:
        return NARROW[self.dtype[:-2]]

    def operand_type(self, name: str) -> OperandType:
        if name == "a":
            return "f32", 4
        return register(self.format, 4) if name == "d" else "b32"

    def reference(self, a: tuple[int, int, int, int], rbits: int) -> int:
        if field_bits(self.format) == 8:
            fields = rbits >> 16, rbits & 0xFFFF
        else:  # a byte of each half
            fields = (rbits >> 8 & 0xFF) | (rbits >> 24) << 8, (rbits & 0xFF) | (rbits >> 16 & 0xFF) << 8
        result = 0
        for i, x in enumerate(a):
            random = fields[i // 2]
            if i % 2 == 0:
                random = int(f"{random:016b}"[::-1], 2)
            code = stochastic(F32.decode(x), self.format, random, 16)
            if not F32.is_nan(x):
                if self.format.decode(code).is_infinite or code & ~self.format.sign_bit > self.format.largest:
                    code = self.format.signed(code & self.format.sign_bit, self.format.largest)
                if (self.relu and code & self.format.sign_bit) or (self.pzo and code == self.format.sign_bit):
                    code = 0
            result = result << field_bits(self.format) | code
        return result

    def lower(self, g: Emitter, a: tuple[V, V, V, V], rbits: V) -> V:
        from anywarp.lower import half, narrow

        *values, rbits = g.same_lanes(*a, rbits)
        width = field_bits(self.format)

        def byte(shift: int) -> V:
            return g.and_(g.lshr(rbits, g.const("i32", shift, rbits.n)), g.const("i32", 0xFF, rbits.n))

        if width == 8:
            sixteen = g.const("i32", 16, rbits.n)
            fields = [g.lshr(rbits, sixteen), g.and_(rbits, g.const("i32", 0xFFFF, rbits.n))]
        else:
            eight = g.const("i32", 8, rbits.n)
            fields = [g.or_(byte(8), g.shl(byte(24), eight)), g.or_(byte(0), g.shl(byte(16), eight))]
        result: V | None = None
        for i, x in enumerate(values):
            random = fields[i // 2]
            if i % 2 == 0:
                random = g.zext(g.intrinsic("llvm.bitreverse", g.trunc(random, "i16")), "i32")
            code = narrow.encode(g, x, self.format, "rs", random)
            sign = half.constant(g, code, self.format.sign_bit)
            if self.relu:
                is_negative = g.icmp("ne", g.and_(code, sign), half.constant(g, code, 0))
                code = g.select(is_negative, half.constant(g, code, 0), code)
            elif self.pzo:
                code = g.select(g.icmp("eq", code, sign), half.constant(g, code, 0), code)
            result = code if result is None else g.or_(g.shl(result, half.constant(g, code, width)), code)
        assert result is not None
        return g.trunc(result, f"i{4 * width}")


@instruction
class ConvertFromNarrow(FloatModifiers):
    """cvt: a pair of 8-, 6- or 4-bit floats to a pair of f16 or bf16, exact but for scale factors and ue5m3's range"""

    syntax = (
        "cvt.rn{.relu}.half.atype d, a",
        "cvt.rn{.satfinite}{.relu}.bhalf.atype d, a",
        "cvt.rn{.satfinite}{.relu}.scaled::n2::ue8m0.bhalf.atype d, a, scale",
        "cvt.rn.relu.satfinite.bhalf.atype d, a",
        "cvt.rn.relu.satfinite.scaled::n2::ue8m0.bhalf.atype d, a, scale",
    )
    modifiers = {"half": "f16x2", "bhalf": "bf16x2", "atype": f"{PAIRS} ue5m3x2"}
    since = (7, 8)
    target = 89
    half: str | None
    bhalf: str | None
    atype: str
    scaled_n2_ue8m0: bool

    @property
    def format(self) -> Format:
        return NARROW[self.atype[:-2]]

    def operand_type(self, name: str) -> OperandType:
        if name == "d":
            return str(self.half or self.bhalf)
        return register(self.format, 2) if name == "a" else "b16"

    def reference(self, a: int, scale: int = 0x7F7F) -> int:
        target = FORMATS[str(self.half or self.bhalf)[:-2]]
        bits = field_bits(self.format)
        return _from_elements([a >> bits, a], (1 << self.format.width) - 1, self.format, target, scale, self)

    def lower(self, g: Emitter, a: V, scale: V | None = None) -> V:
        from anywarp.lower import narrow

        a, scale = (a, None) if scale is None else g.same_lanes(a, scale)
        codes = narrow.unpack(g, a)
        if self.format.width == 6:
            codes = g.and_(codes, g.const("i16", 0x3F, codes.n))
        return _to_pair(g, narrow.decode(g, codes, self.format), scale, str(self.half or self.bhalf)[:-2], self)


def _from_elements(codes: list[int], mask: int, format: Format, target: Format, scale: int, modifiers: Any) -> int:
    """The reference of conversions from narrow elements, upper first."""
    numbers = [format.decode(code & mask) for code in codes]
    return _round_pair(numbers, target, scale, modifiers)


def _round_pair(numbers: list[Number], target: Format, scale: int, modifiers: Any) -> int:
    from anywarp.isa.conversion_packed import finish

    result = 0
    for x, factor in zip(numbers, (scale >> 8, scale & 0xFF)):
        x = scaled(x, factor, 1)
        if x.is_nan:
            bits = target.nan
        elif x.is_infinite:
            bits = target.signed(x.sign, target.infinity)
        else:
            bits = target.round(x.sign, x.significand, x.exponent, "rn")
        result = result << 16 | finish(bits, target, modifiers.relu, modifiers.satfinite, False)
    return result


def _to_pair(g: Emitter, x: V, scale: V | None, format: str, modifiers: FloatModifiers) -> V:
    """float of twice as many lanes, times the two bytes of `scale`, to pairs of `format`."""
    from anywarp.lower import half, narrow

    if scale is not None:
        factors = g.zext(g.reinterpret(scale, "i8", 2 * scale.n), "i32")
        x = g.fmul(x, narrow.power_of_two(g, factors))
    pairs = modifiers.finish_half(g, half.from_f32(g, x, format), format)
    return g.reinterpret(pairs, "i32", x.n // 2)


# ---------------------------------------------------------------------------------------------------- scale factors


@instruction
class ConvertToUe8m0(Lane):
    """cvt: two f32, or a pair of bf16, to a pair of powers of two; without `.satfinite` what is too large is the NaN"""

    syntax = ("cvt.rnd{.satfinite}.ue8m0x2.f32 d, a, b", "cvt.rnd{.satfinite}.ue8m0x2.bf16x2 d, a")
    modifiers = {"rnd": "rz rp"}
    section = SECTION
    since = (8, 6)
    target = 100
    rnd: str
    satfinite: bool
    bf16x2: bool

    def operand_type(self, name: str) -> OperandType:
        return "b16" if name == "d" else "bf16x2" if self.bf16x2 else "f32"

    def _code(self, x: Number) -> int:
        if x.is_nan:
            return 255
        if x.is_infinite:
            return 254 if self.satfinite else 255
        if x.is_zero:
            return 0
        exponent = x.exponent + x.significand.bit_length() - 1
        if self.rnd == "rp" and x.significand & (x.significand - 1):
            exponent += 1
        return max(0, min(254 if self.satfinite else 255, exponent + 127))

    def reference(self, *operands: int) -> int:
        if self.bf16x2:
            high, low = BF16.decode(operands[0] >> 16), BF16.decode(operands[0] & 0xFFFF)
        else:
            high, low = F32.decode(operands[0]), F32.decode(operands[1])
        return self._code(high) << 8 | self._code(low)

    def lower(self, g: Emitter, *operands: V) -> V:
        from anywarp.lower import half, narrow

        if self.bf16x2:
            x = half.bf16_to_f32(g, g.reinterpret(operands[0], "i16", 2 * operands[0].n))
        else:
            a, b = g.same_lanes(*operands)
            x = narrow.interleave(g, b, a)
        return narrow.pack(g, narrow.encode_ue8m0(g, x, self.rnd, self.satfinite), 8)


@instruction
class ConvertFromUe8m0(Lane):
    """cvt: a pair of powers of two to a pair of bf16, exact"""

    syntax = "cvt.rn.bf16x2.ue8m0x2 d, a"
    section = SECTION
    since = (8, 6)
    target = 100

    def operand_type(self, name: str) -> OperandType:
        return "bf16x2" if name == "d" else "b16"

    def reference(self, a: int) -> int:
        high, low = (BF16.nan if code == 255 else BF16.round(0, 1, code - 127, "rn") for code in (a >> 8, a & 0xFF))
        return high << 16 | low

    def lower(self, g: Emitter, a: V) -> V:
        from anywarp.lower import half

        codes = g.zext(g.reinterpret(a, "i8", 2 * a.n), "i16")
        bits = g.shl(codes, half.constant(g, codes, 7))
        bits = g.select(g.icmp("eq", codes, half.constant(g, codes, 0)), half.constant(g, codes, 0x40), bits)
        bits = g.select(g.icmp("eq", codes, half.constant(g, codes, 255)), half.constant(g, codes, BF16.nan), bits)
        return g.reinterpret(bits, "i32", a.n)


# ---------------------------------------------------------------------------------------------------- sixty-fourths


@instruction
class ConvertToS2f6(FloatModifiers):
    """cvt: two f32, or a pair of bf16, to a pair of signed bytes of sixty-fourths, clamped; a NaN gives 127"""

    syntax = (
        "cvt.rn.satfinite{.relu}.s2f6x2.f32 d, a, b",
        "cvt.rn.satfinite{.relu}.s2f6x2.bf16x2 d, a",
        "cvt.rn.satfinite{.relu}.scaled::n2::ue8m0.s2f6x2.f32 d, a, b, scale",
        "cvt.rn.satfinite{.relu}.scaled::n2::ue8m0.s2f6x2.bf16x2 d, a, scale",
    )
    since = (9, 1)
    target = 100
    bf16x2: bool
    scaled_n2_ue8m0: bool

    def operand_type(self, name: str) -> OperandType:
        return "b16" if name in ("d", "scale") else "bf16x2" if self.bf16x2 else "f32"

    def _code(self, x: Number, scale: int) -> int:
        x = scaled(x, scale, -1)
        if x.is_nan:
            return 127
        if x.sign and self.relu:
            return 0
        if x.is_infinite:
            return 0x80 if x.sign else 127
        sixty_fourths = round_integer(Number("finite", x.sign, x.significand, x.exponent + 6), "rni")
        return max(-128, min(127, sixty_fourths)) & 0xFF

    def reference(self, *operands: int) -> int:
        scale = operands[-1] if self.scaled_n2_ue8m0 else 0x7F7F
        if self.bf16x2:
            high, low = BF16.decode(operands[0] >> 16), BF16.decode(operands[0] & 0xFFFF)
        else:
            high, low = F32.decode(operands[0]), F32.decode(operands[1])
        return self._code(high, scale >> 8) << 8 | self._code(low, scale & 0xFF)

    def lower(self, g: Emitter, *operands: V) -> V:
        from anywarp.lower import convert, half, narrow

        operands = tuple(g.same_lanes(*operands))
        if self.bf16x2:
            x = half.bf16_to_f32(g, g.reinterpret(operands[0], "i16", 2 * operands[0].n))
        else:
            x = narrow.interleave(g, operands[1], operands[0])
        if self.scaled_n2_ue8m0:
            codes = g.zext(g.reinterpret(operands[-1], "i8", x.n), "i32")
            x = g.fmul(x, narrow.inverse_power_of_two(g, codes))
        is_nan = half.is_nan(g, x)
        x = g.fmul(x, g.float_const("float", 64.0, x.n))
        x = convert.clamp(g, x, 0.0 if self.relu else -128.0, 127.0)
        units = g.convert("fptosi", g.intrinsic("llvm.roundeven", x), "i32")
        return narrow.pack(g, g.select(is_nan, half.constant(g, units, 127), units), 8)


@instruction
class ConvertFromS2f6(FloatModifiers):
    """cvt: a pair of signed bytes of sixty-fourths to a pair of bf16"""

    syntax = (
        "cvt.rn{.satfinite}{.relu}.bf16x2.s2f6x2 d, a",
        "cvt.rn{.satfinite}{.relu}.scaled::n2::ue8m0.bf16x2.s2f6x2 d, a, scale",
    )
    since = (9, 1)
    target = 100

    def operand_type(self, name: str) -> OperandType:
        return "bf16x2" if name == "d" else "b16"

    def reference(self, a: int, scale: int = 0x7F7F) -> int:
        values = [signed(code, 8) for code in (a >> 8, a & 0xFF)]
        numbers = [Number("finite", int(v < 0), abs(v), -6) for v in values]
        return _round_pair(numbers, ieee.BF16, scale, self)

    def lower(self, g: Emitter, a: V, scale: V | None = None) -> V:
        a, scale = (a, None) if scale is None else g.same_lanes(a, scale)
        units = g.sext(g.reinterpret(a, "i8", 2 * a.n), "i32")
        x = g.fmul(g.convert("sitofp", units, "float"), g.float_const("float", 2.0**-6, units.n))
        return _to_pair(g, x, scale, "bf16", self)
