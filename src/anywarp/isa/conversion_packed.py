"""cvt from f32 to f16, bf16 and pairs of them with `.relu` and `.satfinite`, to tf32, and with stochastic rounding
(PTX ISA 9.7.9.21).

`.relu` turns negative results into +0, `.satfinite` infinite ones into the largest number, `.pzo` (9.4) -0 into +0; a
NaN is the canonical one. `.relu` and `.satfinite` are accepted in either order, as NVIDIA's assembler does. In a pair
the first source is the upper half.

Stochastic rounding adds random bits to what is cut off, and a carry makes the magnitude larger by one in the last
place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anywarp.isa import ieee
from anywarp.isa.base import Lane, OperandType, instruction
from anywarp.isa.conversion import SECTION

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V


def both_orders(prefix: str, suffix: str) -> tuple[str, str]:
    """Syntaxes with optional `.relu` and `.satfinite`, in either order."""
    return f"{prefix}{{.relu}}{{.satfinite}}{{.pzo}}{suffix}", f"{prefix}.satfinite.relu{{.pzo}}{suffix}"


def finish(bits: int, format: ieee.Format, relu: bool, satfinite: bool, pzo: bool) -> int:
    """The last steps on a converted number."""
    if format.is_nan(bits):
        return format.nan
    if satfinite and format.decode(bits).is_infinite:
        bits -= 1
    if (relu and bits & format.sign_bit) or (pzo and bits == format.sign_bit):
        return 0
    return bits


def stochastic(x: ieee.Number, format: ieee.Format, random: int, random_bits: int) -> int:
    """A number rounded with random bits; what rounds beyond the largest number becomes infinite where the format has
    infinities."""
    if x.is_nan:
        return format.nan or format.largest
    if x.is_infinite:
        return format.signed(x.sign, format.infinity if format.specials == "ieee" else format.largest)
    magnitude = format.round(0, x.significand, x.exponent, "rz")
    kept = format.decode(magnitude)
    low = min(x.exponent, kept.exponent) - random_bits
    rest = (x.significand << (x.exponent - low)) - (kept.significand << (kept.exponent - low))
    if rest + (random << (kept.exponent - random_bits - low)) >= 1 << (kept.exponent - low):
        magnitude = magnitude + 1 if format.specials == "ieee" else min(magnitude + 1, format.largest)
    return format.signed(x.sign, magnitude)


class FloatModifiers(Lane):
    """Base: a conversion with `.relu`, `.satfinite`, `.pzo`."""

    section = SECTION
    dtype: str
    relu: bool = False
    satfinite: bool = False
    pzo: bool = False

    def finish_half(self, g: Emitter, a: V, format: str) -> V:
        """`finish` on i16 lanes of f16 or bf16."""
        from anywarp.lower import half

        if self.satfinite:  # the largest number is the pattern below infinity's
            size = g.and_(a, half.constant(g, a, 0x7FFF))
            a = g.add(a, g.sext(g.icmp("eq", size, half.constant(g, a, half.INFINITY[format])), "i16"))
        if self.relu:
            return half.relu(g, a)
        if self.pzo:
            return g.select(g.icmp("eq", a, half.constant(g, a, 0x8000)), half.constant(g, a, 0), a)
        return a


@instruction
class ConvertToHalf(FloatModifiers):
    """cvt: f32 to f16 or bf16 with `.relu`, `.satfinite` or `.pzo`"""

    syntax = both_orders("cvt.rnd", ".dtype.f32 d, a")
    modifiers = {"rnd": "rn rz", "dtype": "f16 bf16"}
    since = (7, 0)
    target = 80
    rnd: str

    def check(self) -> str | None:
        return None if self.relu or self.satfinite or self.pzo else "without these modifiers it is a plain conversion"

    def operand_type(self, name: str) -> OperandType:
        return self.dtype if name == "d" else "f32"

    def reference(self, a: int) -> int:
        target = ieee.FORMATS[self.dtype]
        return finish(ieee.convert(a, ieee.F32, target, self.rnd), target, self.relu, self.satfinite, self.pzo)

    def lower(self, g: Emitter, a: V) -> V:
        from anywarp.lower import half

        return self.finish_half(g, half.from_f32(g, a, self.dtype, self.rnd), self.dtype)


@instruction
class ConvertToHalfPair(FloatModifiers):
    """cvt: two f32 to a pair of f16 or bf16; the first becomes the upper half"""

    syntax = both_orders("cvt.rnd", ".dtype.f32 d, a, b")
    modifiers = {"rnd": "rn rz", "dtype": "f16x2 bf16x2"}
    since = (7, 0)
    target = 80
    rnd: str

    def operand_type(self, name: str) -> OperandType:
        return self.dtype if name == "d" else "f32"

    def reference(self, a: int, b: int) -> int:
        target = ieee.FORMATS[self.dtype[:-2]]
        high, low = (finish(ieee.convert(x, ieee.F32, target, self.rnd), target, self.relu, self.satfinite, self.pzo) for x in (a, b))
        return high << 16 | low

    def lower(self, g: Emitter, a: V, b: V) -> V:
        from anywarp.lower import half, narrow

        format = self.dtype[:-2]
        high, low = (half.from_f32(g, x, format, self.rnd) for x in g.same_lanes(a, b))
        pairs = self.finish_half(g, narrow.interleave(g, low, high), format)
        return g.reinterpret(pairs, "i32", high.n)


@instruction
class ConvertToHalfPairStochastic(FloatModifiers):
    """cvt.rs: two f32 to a pair of f16 or bf16, rounded with the random bits of the last operand: its upper half for
    the first number (13 bits for f16, 16 for bf16), its lower half for the second"""

    syntax = both_orders("cvt.rs", ".dtype.f32 d, a, b, rbits")
    modifiers = {"dtype": "f16x2 bf16x2"}
    since = (8, 7)
    target = 100

    def operand_type(self, name: str) -> OperandType:
        return self.dtype if name == "d" else "b32" if name == "rbits" else "f32"

    def reference(self, a: int, b: int, rbits: int) -> int:
        target = ieee.FORMATS[self.dtype[:-2]]
        bits = 23 - target.mantissa_bits
        out = []
        for x, random in ((a, rbits >> 16), (b, rbits)):
            rounded = stochastic(ieee.F32.decode(x), target, random & ((1 << bits) - 1), bits)
            out.append(finish(rounded, target, self.relu, self.satfinite, self.pzo))
        return out[0] << 16 | out[1]

    def lower(self, g: Emitter, a: V, b: V, rbits: V) -> V:
        from anywarp.lower import narrow

        a, b, rbits = g.same_lanes(a, b, rbits)
        format = self.dtype[:-2]
        convert = self._f16 if format == "f16" else self._bf16
        high = convert(g, a, g.lshr(rbits, g.const("i32", 16, rbits.n)))
        low = convert(g, b, g.and_(rbits, g.const("i32", 0xFFFF, rbits.n)))
        pairs = self.finish_half(g, narrow.interleave(g, low, high), format)
        return g.reinterpret(pairs, "i32", a.n)

    @staticmethod
    def _bf16(g: Emitter, x: V, random: V) -> V:
        """bf16 is the upper half of f32: one addition."""
        from anywarp.lower import half

        bits = g.bitcast(x, "i32")
        size = g.and_(bits, half.constant(g, bits, 0x7FFFFFFF))
        is_finite = g.icmp("ult", size, half.constant(g, bits, 0x7F800000))
        carried = g.and_(g.add(bits, random), half.constant(g, bits, 0xFFFF0000))
        return half.f32_to_bf16(g, g.bitcast(g.select(is_finite, carried, bits), "float"), "rz")

    @staticmethod
    def _f16(g: Emitter, x: V, random: V) -> V:
        """The next number away from zero if what is cut off is at least (2^13 - random) / 2^13 of the last place: all
        exact in f32."""
        from anywarp.lower import half

        cut = half.f32_to_f16(g, x, "rz")
        size = half.absolute(g, x)
        kept = half.absolute(g, half.f16_to_f32(g, cut))
        exponent = g.and_(g.bitcast(kept, "i32"), g.const("i32", 0x7F800000, x.n))
        exponent = g.intrinsic("llvm.smax", exponent, g.const("i32", (127 - 14) << 23, x.n))
        unit = g.bitcast(g.sub(exponent, g.const("i32", 23 << 23, x.n)), "float")  # 2^-13 of the last place
        gap = g.sub(g.const("i32", 1 << 13, x.n), g.and_(random, g.const("i32", (1 << 13) - 1, x.n)))
        rest = g.fsub(size, kept)  # NaN where x is infinite
        moves = g.fcmp("oge", rest, g.fmul(g.convert("sitofp", gap, "float"), unit))
        return g.add(cut, g.zext(moves, "i16"))


@instruction
class ConvertToTf32(FloatModifiers):
    """cvt: f32 to tf32, the f32 with 13 mantissa bits of 0"""

    syntax = (*both_orders("cvt.rnd", ".tf32.f32 d, a"), "cvt.rna{.satfinite}.tf32.f32 d, a")
    modifiers = {"rnd": "rn rz"}
    since = (7, 0)
    target = 80
    rnd: str | None
    rna: bool

    def operand_type(self, name: str) -> OperandType:
        return "b32" if name == "d" else "f32"

    def reference(self, a: int) -> int:
        if ieee.F32.is_nan(a):
            return ieee.F32.nan
        t = ieee.TF32
        return finish(ieee.convert(a, ieee.F32, t, self.rnd or "rna"), t, self.relu, self.satfinite, self.pzo) << 13

    def lower(self, g: Emitter, a: V) -> V:
        from anywarp.lower import half

        bits = g.bitcast(a, "i32")
        thirteen = (1 << 13) - 1
        if self.rnd == "rn":
            odd = g.and_(g.lshr(bits, half.constant(g, bits, 13)), half.constant(g, bits, 1))
            bits = g.add(g.add(bits, half.constant(g, bits, thirteen >> 1)), odd)
        elif self.rnd is None:
            bits = g.add(bits, half.constant(g, bits, 1 << 12))
        bits = g.and_(bits, half.constant(g, bits, ~thirteen))
        if self.satfinite:  # also what was infinite
            size = g.and_(bits, half.constant(g, bits, 0x7FFFFFFF))
            largest = g.intrinsic("llvm.umin", size, half.constant(g, bits, 0x7F800000 - (1 << 13)))
            bits = g.or_(largest, g.and_(bits, half.constant(g, bits, 0x80000000)))
        if self.relu:
            bits = g.intrinsic("llvm.smax", bits, half.constant(g, bits, 0))
        elif self.pzo:
            bits = g.select(g.icmp("eq", bits, half.constant(g, bits, 0x80000000)), half.constant(g, bits, 0), bits)
        return g.select(half.is_nan(g, a), half.constant(g, bits, ieee.F32.nan), bits)


@instruction
class ConvertPack(Lane):
    """cvt.pack: two s32, clamped to a smaller type, side by side; the first is the upper one

    With 8 bits or fewer they are the lowest bits, and the rest is the third operand moved up."""

    syntax = ("cvt.pack.sat.wide.s32 d, a, b", "cvt.pack.sat.small.s32.b32 d, a, b, c")
    modifiers = {"wide": "u16 s16", "small": "u2 s2 u4 s4 u8 s8"}
    section = "9.7.9.22"
    since = (6, 5)
    target = 72
    wide: str | None
    small: str | None

    def operand_type(self, name: str) -> OperandType:
        return "b32" if name in ("c", "d") else "s32"

    @property
    def _field(self) -> tuple[int, int, int]:
        """Width, least and greatest value of a field."""
        name = str(self.wide or self.small)
        width = int(name[1:])
        return (width, -(1 << (width - 1)), (1 << (width - 1)) - 1) if name[0] == "s" else (width, 0, (1 << width) - 1)

    def reference(self, a: int, b: int, c: int = 0) -> int:
        width, low, high = self._field
        fields = [max(low, min(high, x - (x >> 31 << 32))) & ((1 << width) - 1) for x in (a, b)]
        return (c << 2 * width | fields[0] << width | fields[1]) & 0xFFFFFFFF

    def lower(self, g: Emitter, a: V, b: V, c: V | None = None) -> V:
        width, low, high = self._field
        fields = []
        for x in (a, b):
            x = g.intrinsic("llvm.smin", g.intrinsic("llvm.smax", x, g.const("i32", low, x.n)), g.const("i32", high, x.n))
            fields.append(g.and_(x, g.const("i32", (1 << width) - 1, x.n)))
        result = g.or_(g.shl(fields[0], g.const("i32", width, fields[0].n)), fields[1])
        return result if c is None else g.or_(g.shl(c, g.const("i32", 2 * width, c.n)), result)
