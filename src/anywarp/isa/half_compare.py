"""Minimum and maximum of halves and of pairs of halves (PTX ISA 9.7.4.7, 9.7.4.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from anywarp.isa.base import instruction
from anywarp.isa.half import TYPES, HalfLane

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V


def order_key(g: Emitter, a: V) -> V:
    """An i16 that orders as the half does when compared as a signed integer (-0 below +0). Its own inverse."""
    sign = g.ashr(a, g.const("i16", 15, a.n))
    return g.xor(a, g.and_(sign, g.const("i16", 0x7FFF, a.n)))


class HalfExtreme(HalfLane):
    """Base of min and max.

    One NaN loses to a number (with `.NaN` it wins); two NaNs give the canonical one. -0 is less than +0. With
    `.xorsign.abs` magnitudes are compared, and a number that results gets the exclusive or of the operands' signs."""

    section: ClassVar[str]
    wants_largest: ClassVar[bool]
    ftz: bool
    NaN: bool
    xorsign: bool

    def check(self) -> str | None:
        return "bf16 has no .ftz here" if self.ftz and self.format_name == "bf16" else None

    def element(self, *operands: int) -> int:
        f = self.format
        a, b = (f.flush(x) for x in operands) if self.ftz else operands
        sign = (a ^ b) & 0x8000
        if self.xorsign:
            a, b = a & 0x7FFF, b & 0x7FFF
        nans = [f.is_nan(a), f.is_nan(b)]
        if all(nans) or (self.NaN and any(nans)):
            return f.nan
        if any(nans):
            result = b if nans[0] else a
        else:
            result = (max if self.wants_largest else min)(a, b, key=f.order)
        return result ^ sign if self.xorsign else result

    def code(self, g: Emitter, *operands: V) -> V:
        from anywarp.lower import half

        name = self.format_name
        a, b = operands
        if self.ftz:
            a, b = half.flush(g, a, name), half.flush(g, b, name)
        sign = g.and_(g.xor(a, b), g.const("i16", 0x8000, a.n)) if self.xorsign else None
        pick = "llvm.smax" if self.wants_largest else "llvm.smin"
        if sign is not None:
            magnitude = g.const("i16", 0x7FFF, a.n)
            a, b = g.and_(a, magnitude), g.and_(b, magnitude)
            result = g.intrinsic(pick, a, b)
        else:
            result = order_key(g, g.intrinsic(pick, order_key(g, a), order_key(g, b)))
        a_nan, b_nan = half.nan_bits(g, a, name), half.nan_bits(g, b, name)
        if not self.NaN:
            result = g.select(b_nan, a, g.select(a_nan, b, result))
        if sign is not None:
            result = g.xor(result, sign)
        no_number = g.or_(a_nan, b_nan) if self.NaN else g.and_(a_nan, b_nan)
        return g.select(no_number, g.const("i16", half.NAN, a.n), result)


def extreme_syntax(mnemonic: str) -> tuple[str, str]:
    return f"{mnemonic}{{.ftz}}{{.NaN}}.type d, a, b", f"{mnemonic}{{.ftz}}{{.NaN}}.xorsign.abs.type d, a, b"


@instruction
class MinHalf(HalfExtreme):
    """min: the smaller of two halves, or of each of two pairs"""

    syntax = extreme_syntax("min")
    modifiers: ClassVar[dict[str, Any]] = TYPES
    section = "9.7.4.7"
    since = (7, 0)
    target = 80
    wants_largest = False


@instruction
class MaxHalf(HalfExtreme):
    """max: the larger of two halves, or of each of two pairs"""

    syntax = extreme_syntax("max")
    modifiers: ClassVar[dict[str, Any]] = TYPES
    section = "9.7.4.8"
    since = (7, 0)
    target = 80
    wants_largest = True
