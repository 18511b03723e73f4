"""Approximations of halves and of pairs of halves: ex2 and tanh (PTX ISA 9.7.4.9, 9.7.4.10).

Computed by the f32 approximations and rounded, which errs by one in the last place where those straddle the middle between two halves; the
manual allows more (2^-9.9 for f16, 2^-7 for bf16 ex2, 2^-10.987 and 2^-8 for tanh).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anywarp.isa import elementary, ieee
from anywarp.isa.base import instruction
from anywarp.isa.half import HalfLane

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V


class HalfApproximation(HalfLane):
    """Base: a function of f32, rounded to half; results within one of the correctly rounded one's pattern."""

    def exact(self, a: int) -> int:
        """The function of an f32 pattern, correctly rounded to f32."""
        raise NotImplementedError

    def approximation(self, g: Emitter, x: V) -> V:
        raise NotImplementedError

    def element(self, *operands: int) -> int:
        return ieee.convert(self.exact(ieee.convert(operands[0], self.format, ieee.F32)), ieee.F32, self.format)

    def code(self, g: Emitter, *operands: V) -> V:
        from anywarp.lower import half

        x = half.to_f32(g, operands[0], self.format_name)
        return half.from_f32(g, self.approximation(g, x), self.format_name)

    def accepts(self, got: int, want: int, *operands: int) -> bool:
        """Each element within one step; NaNs are the canonical one."""
        f = self.format
        for shift in (0, 16) if self.is_pair else (0,):
            x, y = got >> shift & 0xFFFF, want >> shift & 0xFFFF
            if x != y and (f.is_nan(x) or f.is_nan(y) or abs(f.order(x) - f.order(y)) > 1):
                return False
        return True


@instruction
class ExponentialHalf(HalfApproximation):
    """ex2: 2^a of a half or of each of a pair; bf16 flushes subnormal operands and results to zero"""

    syntax = ("ex2.approx.type d, a", "ex2.approx.ftz.btype d, a")
    modifiers = {"type": "f16 f16x2", "btype": "bf16 bf16x2"}
    section = "9.7.4.10"
    since = (7, 0)
    target = 75
    btype: str | None
    ftz: bool

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.type = self.type or self.btype

    def exact(self, a: int) -> int:
        f = ieee.F32
        return f.flush(elementary.exp2(f.flush(a))) if self.ftz else elementary.exp2(a)

    def approximation(self, g: Emitter, x: V) -> V:
        from anywarp.isa.approximate import exponential

        return exponential(g, x, self.ftz)


@instruction
class HyperbolicTangentHalf(HalfApproximation):
    """tanh: hyperbolic tangent of a half or of each of a pair"""

    syntax = "tanh.approx.type d, a"
    modifiers = {"type": "f16 f16x2 bf16 bf16x2"}
    section = "9.7.4.9"
    since = (7, 0)
    target = 75

    def exact(self, a: int) -> int:
        return elementary.tanh(a)

    def approximation(self, g: Emitter, x: V) -> V:
        from anywarp.isa.approximate import hyperbolic_tangent

        return hyperbolic_tangent(g, x)
