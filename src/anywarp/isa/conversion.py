"""cvt between the fundamental types (PTX ISA 9.7.9.21): integers, f16, bf16, f32, f64.

Registers may be wider than the types here: the IR cuts the source to `atype` and extends the result from `dtype`.
Packed and stochastic conversions are in `conversion_packed`, the 8-, 6- and 4-bit formats in `conversion_narrow`,
cvt.pack in `conversion_pack`. The vector code is in `lower/convert.py` and `lower/half.py`.

Which modifiers go with which types (`check`): integers take no rounding; between integers and floats a rounding mode
is mandatory; between floats, `.frnd` where precision is lost and nowhere else, `.irnd` where the type stays. `.ftz`
needs f32 on one side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anywarp.isa import ieee, types
from anywarp.isa.base import Lane, OperandType, instruction
from anywarp.isa.integer import clamp, limits, pattern, signed, widening_holds
from anywarp.isa.shape import Shape

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V

INTEGERS = "u8 u16 u32 u64 s8 s16 s32 s64"
FLOATS = "f16 bf16 f32 f64"
INTEGER_ROUNDINGS = "rni rzi rmi rpi"
FLOAT_ROUNDINGS = "rn rz rm rp"
SECTION = "9.7.9.21"


class Conversion(Lane):
    """Base: from `atype` to `dtype`."""

    section = SECTION
    dtype: str
    atype: str

    def operand_type(self, name: str) -> OperandType:
        return self.dtype if name == "d" else self.atype


@instruction
class ConvertInteger(Conversion):
    """cvt: an integer to another integer type, extended or cut off; `.sat` clamps instead"""

    syntax = "cvt{.sat}.dtype.atype d, a"
    modifiers = {"dtype": INTEGERS, "atype": INTEGERS}
    sat: bool

    def check(self) -> str | None:
        (least, most), (low, high) = limits(self.atype), limits(self.dtype)
        return "every value fits: nothing to saturate" if self.sat and low <= least and most <= high else None

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> tuple[int, int] | None:
        (a,) = operands
        if self.sat:
            return None
        width = types.width(self.dtype)
        if width > types.width(self.atype):
            # an affine value that spans the source's whole range cannot but wrap
            return None if abs(a.stride) * (a.row_lanes - 1) >= 1 << (types.width(self.atype) - 1) else (a.stride, a.multiple)
        return signed(a.stride & ((1 << width) - 1), width), min(a.multiple, 1 << width)

    def no_wrap(self, g: Emitter, operands: tuple[Shape, ...], bases: tuple[V, ...]) -> V | None:
        if types.width(self.dtype) <= types.width(self.atype):
            return None
        return widening_holds(g, operands, bases, types.is_signed(self.atype))

    def reference(self, a: int) -> int:
        value = signed(a, types.width(self.atype)) if types.is_signed(self.atype) else a
        return pattern(clamp(value, self.dtype) if self.sat else value, self.dtype)

    def lower(self, g: Emitter, a: V) -> V:
        is_signed = types.is_signed(self.atype)
        if self.sat:
            (least, most), (low, high) = limits(self.atype), limits(self.dtype)
            if low > least:
                a = g.intrinsic("llvm.smax", a, g.const(a.elem, low, a.n))
            if high < most:
                a = g.intrinsic("llvm.smin" if is_signed else "llvm.umin", a, g.const(a.elem, high, a.n))
        return g.resize(a, types.llvm(self.dtype), is_signed)


def round_integer(x: ieee.Number, mode: str) -> int:
    """The integer that a finite number is rounded to, by rni, rzi, rmi or rpi."""
    if x.exponent >= 0:
        magnitude = x.significand << x.exponent
        return -magnitude if x.sign else magnitude
    shift = -x.exponent
    value = -x.significand if x.sign else x.significand
    floor, rest = value >> shift, value & ((1 << shift) - 1)
    if mode == "rni":
        return floor + (rest * 2 > 1 << shift or (rest * 2 == 1 << shift and floor & 1 == 1))
    if mode == "rzi":
        return floor + (rest != 0 and floor < 0)
    return floor + (mode == "rpi" and rest != 0)


@instruction
class FloatToInteger(Conversion):
    """cvt: a float to an integer, rounded to an integral number and clamped to the range of the type

    A NaN gives 0; but 1 << (width - 1) where the source is f64 or the destination has 64 bits. `.sat` says what
    happens anyway."""

    syntax = "cvt.rnd{.ftz}{.sat}.dtype.atype d, a"
    modifiers = {"rnd": INTEGER_ROUNDINGS, "dtype": INTEGERS, "atype": FLOATS}
    rnd: str
    ftz: bool

    def check(self) -> str | None:
        return ".ftz is for f32" if self.ftz and self.atype != "f32" else None

    @property
    def nan(self) -> int:
        width = types.width(self.dtype)
        return 1 << (width - 1) if self.atype == "f64" or width == 64 else 0

    def reference(self, a: int) -> int:
        source = ieee.FORMATS[self.atype]
        x = source.decode(source.flush(a) if self.ftz else a)
        if x.is_nan:
            return self.nan
        low, high = limits(self.dtype)
        if x.is_infinite:
            return pattern(low if x.sign else high, self.dtype)
        return pattern(clamp(round_integer(x, self.rnd), self.dtype), self.dtype)

    def lower(self, g: Emitter, a: V) -> V:
        from anywarp.lower import convert

        x = convert.flush_f32(g, a) if self.ftz else convert.widen(g, a, self.atype, "f32")
        return convert.float_to_integer(g, x, types.llvm(self.dtype), types.is_signed(self.dtype), self.rnd, self.nan)


@instruction
class IntegerToFloat(Conversion):
    """cvt: an integer to a float, rounded; `.sat` clamps to [0, 1]"""

    syntax = "cvt.rnd{.ftz}{.sat}.dtype.atype d, a"
    modifiers = {"rnd": FLOAT_ROUNDINGS, "dtype": FLOATS, "atype": INTEGERS}
    rnd: str
    ftz: bool
    sat: bool

    def check(self) -> str | None:
        if self.sat and self.dtype == "bf16":
            return ".sat is not for bf16"
        return ".ftz is for f32" if self.ftz and self.dtype != "f32" else None

    def reference(self, a: int) -> int:
        value = signed(a, types.width(self.atype)) if types.is_signed(self.atype) else a
        target = ieee.FORMATS[self.dtype]
        result = target.round(int(value < 0), abs(value), 0, self.rnd)
        return target.saturate(result) if self.sat else result

    def lower(self, g: Emitter, a: V) -> V:
        from anywarp.lower import convert

        is_signed = types.is_signed(self.atype)
        if self.sat:  # nothing but 0 and 1 is left
            zero = g.const(a.elem, 0, a.n)
            positive = g.icmp("sgt" if is_signed else "ne", a, zero)
            elem = types.llvm(self.dtype)
            return g.select(positive, g.const(elem, ieee.FORMATS[self.dtype].one, a.n), g.const(elem, 0, a.n))
        return convert.integer_to_float(g, a, is_signed, self.dtype, self.rnd)


PRECISION = {"f16": 0, "bf16": 0, "f32": 1, "f64": 2}


@instruction
class FloatToFloat(Conversion):
    """cvt: a float to another float type, or to an integral number of the same type; `.sat` clamps to [0, 1]

    A NaN in f16 and bf16 is the canonical one; the manual leaves f32 and f64 NaNs open."""

    syntax = "cvt{.rnd}{.ftz}{.sat}.dtype.atype d, a"
    modifiers = {"rnd": f"{INTEGER_ROUNDINGS} {FLOAT_ROUNDINGS}", "dtype": FLOATS, "atype": FLOATS}
    nan_payload_unspecified = True
    rnd: str | None
    ftz: bool
    sat: bool

    def check(self) -> str | None:
        if self.ftz and "f32" not in (self.dtype, self.atype):
            return ".ftz is for f32"
        if self.sat and self.dtype == "bf16":
            return ".sat is not for bf16"
        if self.dtype == self.atype:
            return "the type stays: an integer rounding mode or none" if self.rnd in FLOAT_ROUNDINGS.split() else None
        if PRECISION[self.dtype] > PRECISION[self.atype]:
            # NVIDIA's assembler takes a rounding mode from bf16 all the same
            is_idle = self.atype == "bf16" and self.rnd in FLOAT_ROUNDINGS.split()
            return "nothing is to be rounded" if self.rnd and not is_idle else None
        if self.rnd is None and PRECISION[self.atype] == 0:
            return None  # between f16 and bf16: to nearest
        return None if self.rnd in FLOAT_ROUNDINGS.split() else "precision is lost: a floating-point rounding mode is needed"

    def reference(self, a: int) -> int:
        source, target = ieee.FORMATS[self.atype], ieee.FORMATS[self.dtype]
        if self.ftz and self.atype == "f32":
            a = source.flush(a)
        if self.dtype != self.atype:
            result = ieee.convert(a, source, target, self.rnd or "rn")
        else:
            result = source.nan if source.is_nan(a) else a
            x = source.decode(a)
            if self.rnd and x.kind == "finite":
                result = source.round(x.sign, abs(round_integer(x, self.rnd)), 0, "rn")
        if self.ftz and self.dtype == "f32":
            result = target.flush(result)
        return target.saturate(result) if self.sat else result

    def lower(self, g: Emitter, a: V) -> V:
        from anywarp.lower import convert, half

        if self.ftz and self.atype == "f32":
            a = convert.flush_f32(g, a)
        is_half = self.dtype in ("f16", "bf16")
        if self.dtype != self.atype:
            x = convert.widen(g, a, self.atype, self.dtype)
            is_exact = PRECISION[self.dtype] > PRECISION[self.atype]
            result = x if is_exact else convert.narrow(g, x, self.dtype, self.rnd or "rn")
        elif self.rnd:
            result = convert.round_integral(g, convert.widen(g, a, self.atype, "f32"), self.rnd)
            result = convert.narrow(g, result, self.dtype, "rn") if is_half else result
        else:
            result = half.canonical(g, a, self.dtype) if is_half else a
        if self.ftz and self.dtype == "f32" and self.atype != "f32":
            result = convert.flush_f32(g, result)
        if not self.sat:
            return result
        return half.saturate(g, result, self.dtype) if is_half else convert.saturate(g, result)
