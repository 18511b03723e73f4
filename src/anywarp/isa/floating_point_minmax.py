"""min and max of f32 and f64, with NaN rules, magnitudes and three operands (PTX ISA 9.7.3.11 and 9.7.3.12).

-0 is below +0. Without `.NaN` a NaN operand loses against a number; with it the canonical NaN wins. `.abs` compares and gives
magnitudes, `.xorsign.abs` gives the result the exclusive or of the operands' signs; a NaN result is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anywarp.isa import floating_point_rounding as rounding
from anywarp.isa.base import instruction
from anywarp.isa.floating_point import FloatingPoint

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V


class Extreme(FloatingPoint):
    """What min and max share."""

    is_max: bool
    NaN: bool = False
    abs: bool = False
    xorsign: bool = False

    def reference(self, a: int, b: int, *rest: int) -> int:
        f = self.format
        operands = [f.flush(x) if self.ftz else x for x in (a, b, *rest)]
        sign = (operands[0] ^ operands[1]) & f.sign_bit
        if self.abs or self.xorsign:
            operands = [x & ~f.sign_bit for x in operands]
        numbers = [x for x in operands if not f.is_nan(x)]
        if not numbers or (self.NaN and len(numbers) < len(operands)):
            return f.nan
        result = (max if self.is_max else min)(numbers, key=f.order)
        return result & ~f.sign_bit | sign if self.xorsign else result

    def lower(self, g: Emitter, a: V, b: V, *rest: V) -> V:
        operands = [rounding.flush(g, x) if self.ftz else x for x in (a, b, *rest)]
        sign = g.xor(rounding.sign_of(g, operands[0]), rounding.sign_of(g, operands[1])) if self.xorsign else None
        if self.abs or self.xorsign:
            operands = [rounding.magnitude(g, x) for x in operands]
        result = operands[0]
        for x in operands[1:]:
            result = self._of_two(g, result, x)
        if sign is not None:
            is_number = g.fcmp("ord", result, result)
            result = g.select(is_number, rounding.flip(g, result, sign), result)
        if self.ftz:
            g.flushed.add(result.name)
        return result

    def _of_two(self, g: Emitter, a: V, b: V) -> V:
        """Two operands: one minps or maxps where one of them is a constant, else five (.NaN) to six instructions on AVX2."""
        if rounding.constant_bits(a) is not None:
            a, b = b, a  # with a constant in second place LLVM leaves out what cannot happen
        if not self.NaN:
            return g.intrinsic("llvm.maximumnum" if self.is_max else "llvm.minimumnum", a, b)
        a, b = g.same_lanes(a, b)
        predicate = "ogt" if self.is_max else "olt"
        first, second = g.select(g.fcmp(predicate, a, b), a, b), g.select(g.fcmp(predicate, b, a), b, a)
        # the two differ for zeros of both signs only, or for NaNs
        elem = "i32" if a.elem == "float" else "i64"
        merged = g.binary("and" if self.is_max else "or", g.bitcast(first, elem), g.bitcast(second, elem))
        return g.select(g.fcmp("uno", a, b), g.const(a.elem, self.format.nan, a.n), g.bitcast(merged, a.elem))


@instruction
class Minimum(Extreme):
    """min: the smaller of two numbers; a NaN loses against a number"""

    syntax = ("min{.ftz}.f32 d, a, b", "min.f64 d, a, b")
    section = "9.7.3.11"
    is_max = False


@instruction
class MinimumNaN(Extreme):
    """min.NaN: the smaller of two numbers, or the canonical NaN if one is a NaN"""

    syntax = "min{.ftz}.NaN.f32 d, a, b"
    section = "9.7.3.11"
    since = (7, 0)
    target = 80
    nan_payload_unspecified = False
    is_max = False


@instruction
class MinimumXorSign(Extreme):
    """min.xorsign.abs: the smaller of two magnitudes, with the exclusive or of the operands' signs"""

    syntax = "min{.ftz}{.NaN}.xorsign.abs.f32 d, a, b"
    section = "9.7.3.11"
    since = (7, 2)
    target = 86
    is_max = False


@instruction
class MinimumOfThree(Extreme):
    """min with three operands"""

    syntax = "min{.ftz}{.NaN}{.abs}.f32 d, a, b, c"
    section = "9.7.3.11"
    since = (8, 8)
    target = 100
    is_max = False


@instruction
class Maximum(Extreme):
    """max: the larger of two numbers; a NaN loses against a number"""

    syntax = ("max{.ftz}.f32 d, a, b", "max.f64 d, a, b")
    section = "9.7.3.12"
    is_max = True


@instruction
class MaximumNaN(Extreme):
    """max.NaN: the larger of two numbers, or the canonical NaN if one is a NaN"""

    syntax = "max{.ftz}.NaN.f32 d, a, b"
    section = "9.7.3.12"
    since = (7, 0)
    target = 80
    nan_payload_unspecified = False
    is_max = True


@instruction
class MaximumXorSign(Extreme):
    """max.xorsign.abs: the larger of two magnitudes, with the exclusive or of the operands' signs"""

    syntax = "max{.ftz}{.NaN}.xorsign.abs.f32 d, a, b"
    section = "9.7.3.12"
    since = (7, 2)
    target = 86
    is_max = True


@instruction
class MaximumOfThree(Extreme):
    """max with three operands"""

    syntax = "max{.ftz}{.NaN}{.abs}.f32 d, a, b, c"
    section = "9.7.3.12"
    since = (8, 8)
    target = 100
    is_max = True
