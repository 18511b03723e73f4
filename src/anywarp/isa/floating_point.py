"""Floating-point arithmetic with IEEE results: testp to sqrt (PTX ISA 9.7.3), f32 and f64.

The vector code is in floating_point_rounding.py, the meaning in ieee.py. Next door: min and max (floating_point_minmax.py), packed
and mixed operands (floating_point_mixed.py), approximations (approximate.py).

NaNs: the manual leaves every NaN result of f32 arithmetic open and lets f64 keep a payload without saying whose; the machine's
own NaN (the quieted operand) is taken as it comes. The manual lets `mul` and `add` without a rounding mode contract to `fma`;
they are not contracted.

LLVM's PTX backend writes `.sat.ftz` where the manual writes `.ftz.sat`, and assemblers take both; so do the forms here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from anywarp.isa import floating_point_rounding as rounding
from anywarp.isa import ieee
from anywarp.isa.base import Lane, OperandType, instruction

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V

ROUNDING = "rn rz rm rp"


class FloatingPoint(Lane):
    """What the instructions on f32 and f64 share: the type from a `.f32` or `.f64` in the syntax, `.rnd`, `.ftz` and `.sat`."""

    nan_payload_unspecified = True
    rnd: str | None = None
    ftz: bool = False
    sat: bool = False
    f64: bool = False

    def operand_type(self, name: str) -> OperandType:
        return "f64" if self.f64 else "f32"

    @property
    def format(self) -> ieee.Format:
        return ieee.F64 if self.f64 else ieee.F32

    @property
    def mode(self) -> str:
        return self.rnd or "rn"

    def plain(self, compute: Callable[..., int], *operands: int) -> int:
        """The reference of an operation with this instruction's modifiers; `compute` takes the operands and the rounding mode."""
        f = self.format
        if self.ftz:
            operands = tuple(f.flush(x) for x in operands)
        result = compute(*operands, self.mode)
        if self.ftz:
            result = f.flush(result)
        return f.saturate(result) if self.sat else result

    def vector(self, g: Emitter, compute: Callable[..., V], *operands: V) -> V:
        """The vector code of an operation with this instruction's modifiers; `compute` takes g, the operands and the rounding mode."""
        if self.ftz:
            operands = tuple(rounding.flush(g, x) for x in operands)
        result = compute(g, *operands, self.mode)
        if self.ftz:
            result = rounding.flush(g, result)
        return rounding.saturate(g, result) if self.sat else result


@instruction
class TestProperty(Lane):
    """testp: is a number finite, infinite, a number, a NaN, normal (zeros are), subnormal"""

    syntax = "testp.op.type p, a"
    modifiers = {"op": "finite infinite number notanumber normal subnormal", "type": "f32 f64"}
    types = {"p": "pred"}
    section = "9.7.3.1"
    since = (2, 0)
    target = 20
    op: str

    def reference(self, a: int) -> int:
        f = ieee.FORMATS[self.type]
        x = f.decode(a)
        return int(
            {
                "finite": x.kind == "finite",
                "infinite": x.kind == "inf",
                "number": x.kind != "nan",
                "notanumber": x.kind == "nan",
                "normal": x.kind == "finite" and not f.is_subnormal(a),
                "subnormal": f.is_subnormal(a),
            }[self.op]
        )

    def lower(self, g: Emitter, a: V) -> V:
        infinity = g.const(a.elem, ieee.FORMATS[self.type].infinity, a.n)
        if self.op in ("number", "notanumber"):
            return g.fcmp("ord" if self.op == "number" else "uno", a, a)
        size = rounding.magnitude(g, a)
        if self.op == "finite":
            return g.fcmp("olt", size, infinity)
        if self.op == "infinite":
            return g.fcmp("oeq", size, infinity)
        # of the magnitude's pattern less one, a subnormal number's is below the least normal number's; a zero's wraps to the top
        elem, least = ("i32", 1 << 23) if a.elem == "float" else ("i64", 1 << 52)
        bits = g.bitcast(size, elem)
        is_subnormal = g.icmp("ult", g.sub(bits, g.const(elem, 1, a.n)), g.const(elem, least - 1, a.n))
        if self.op == "subnormal":
            return is_subnormal
        return g.and_(g.fcmp("olt", size, infinity), g.not_(is_subnormal))


@instruction
class CopySign(Lane):
    """copysign: the magnitude of b with the sign of a"""

    syntax = "copysign.type d, a, b"
    modifiers = {"type": "f32 f64"}
    section = "9.7.3.2"
    since = (2, 0)
    target = 20

    def reference(self, a: int, b: int) -> int:
        sign = ieee.FORMATS[self.type].sign_bit
        return a & sign | b & ~sign

    def lower(self, g: Emitter, a: V, b: V) -> V:
        return g.intrinsic("llvm.copysign", b, a)


@instruction
class Add(FloatingPoint):
    """add: sum of two numbers"""

    syntax = ("add{.rnd}{.ftz}{.sat}.f32 d, a, b", "add{.rnd}.sat.ftz.f32 d, a, b", "add{.rnd}.f64 d, a, b")
    modifiers = {"rnd": ROUNDING}
    section = "9.7.3.3"

    def reference(self, a: int, b: int) -> int:
        return self.plain(self.format.add, a, b)

    def lower(self, g: Emitter, a: V, b: V) -> V:
        return self.vector(g, rounding.add, a, b)


@instruction
class Subtract(FloatingPoint):
    """sub: difference of two numbers"""

    syntax = ("sub{.rnd}{.ftz}{.sat}.f32 d, a, b", "sub{.rnd}.sat.ftz.f32 d, a, b", "sub{.rnd}.f64 d, a, b")
    modifiers = {"rnd": ROUNDING}
    section = "9.7.3.4"

    def reference(self, a: int, b: int) -> int:
        return self.plain(self.format.subtract, a, b)

    def lower(self, g: Emitter, a: V, b: V) -> V:
        return self.vector(g, rounding.subtract, a, b)


@instruction
class Multiply(FloatingPoint):
    """mul: product of two numbers"""

    syntax = ("mul{.rnd}{.ftz}{.sat}.f32 d, a, b", "mul{.rnd}.sat.ftz.f32 d, a, b", "mul{.rnd}.f64 d, a, b")
    modifiers = {"rnd": ROUNDING}
    section = "9.7.3.5"

    def reference(self, a: int, b: int) -> int:
        return self.plain(self.format.multiply, a, b)

    def lower(self, g: Emitter, a: V, b: V) -> V:
        return self.vector(g, rounding.multiply, a, b)


@instruction
class FusedMultiplyAdd(FloatingPoint):
    """fma: a * b + c, rounded once"""

    syntax = ("fma.rnd{.ftz}{.sat}.f32 d, a, b, c", "fma.rnd.sat.ftz.f32 d, a, b, c", "fma.rnd.f64 d, a, b, c")
    modifiers = {"rnd": ROUNDING}
    section = "9.7.3.6"
    since = (1, 4)
    target = 13

    def reference(self, a: int, b: int, c: int) -> int:
        return self.plain(self.format.fused_multiply_add, a, b, c)

    def lower(self, g: Emitter, a: V, b: V, c: V) -> V:
        return self.vector(g, rounding.fused_multiply_add, a, b, c)


@instruction
class MultiplyAdd(FusedMultiplyAdd):
    """mad: a * b + c, the same as fma (for sm_20 and later); without a rounding mode (old PTX) to nearest"""

    syntax = ("mad{.rnd}{.ftz}{.sat}.f32 d, a, b, c", "mad{.rnd}.sat.ftz.f32 d, a, b, c", "mad{.rnd}.f64 d, a, b, c")
    section = "9.7.3.7"
    since = (1, 0)
    target = 10


@instruction
class Divide(FloatingPoint):
    """div: quotient, correctly rounded; `div.f64` of PTX 1.0 to 1.3 rounds to nearest"""

    syntax = ("div.rnd{.ftz}.f32 d, a, b", "div{.rnd}.f64 d, a, b")
    modifiers = {"rnd": ROUNDING}
    section = "9.7.3.8"

    def reference(self, a: int, b: int) -> int:
        return self.plain(self.format.divide, a, b)

    def lower(self, g: Emitter, a: V, b: V) -> V:
        return self.vector(g, rounding.divide, a, b)


@instruction
class Absolute(FloatingPoint):
    """abs: the magnitude"""

    syntax = ("abs{.ftz}.f32 d, a", "abs.f64 d, a")
    section = "9.7.3.9"

    def reference(self, a: int) -> int:
        return self.plain(lambda x, _: x & ~self.format.sign_bit, a)

    def lower(self, g: Emitter, a: V) -> V:
        if self.ftz:
            a = rounding.flush(g, a)
        out = rounding.magnitude(g, a)
        if self.ftz:
            g.flushed.add(out.name)
        return out


@instruction
class Negate(FloatingPoint):
    """neg: the number with the other sign"""

    syntax = ("neg{.ftz}.f32 d, a", "neg.f64 d, a")
    section = "9.7.3.10"

    def reference(self, a: int) -> int:
        return self.plain(lambda x, _: x ^ self.format.sign_bit, a)

    def lower(self, g: Emitter, a: V) -> V:
        if self.ftz:
            a = rounding.flush(g, a)
        out = g.fneg(a)
        if self.ftz:
            g.flushed.add(out.name)
        return out


@instruction
class Reciprocal(FloatingPoint):
    """rcp: 1 / a, correctly rounded; `rcp.f64` of PTX 1.0 to 1.3 rounds to nearest"""

    syntax = ("rcp.rnd{.ftz}.f32 d, a", "rcp{.rnd}.f64 d, a")
    modifiers = {"rnd": ROUNDING}
    section = "9.7.3.13"

    def reference(self, a: int) -> int:
        return self.plain(lambda x, mode: self.format.divide(self.format.one, x, mode), a)

    def lower(self, g: Emitter, a: V) -> V:
        return self.vector(g, lambda g, x, mode: rounding.divide(g, g.float_const(x.elem, 1.0, x.n), x, mode), a)


@instruction
class SquareRoot(FloatingPoint):
    """sqrt: the square root, correctly rounded; `sqrt.f64` of PTX 1.0 to 1.3 rounds to nearest"""

    syntax = ("sqrt.rnd{.ftz}.f32 d, a", "sqrt{.rnd}.f64 d, a")
    modifiers: ClassVar[dict[str, str]] = {"rnd": ROUNDING}
    section = "9.7.3.15"

    def reference(self, a: int) -> int:
        return self.plain(self.format.square_root, a)

    def lower(self, g: Emitter, a: V) -> V:
        return self.vector(g, rounding.square_root, a)
