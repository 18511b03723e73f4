"""Comparisons of halves and of pairs of halves, and comparisons whose result is a half (PTX ISA 9.7.7): set, setp.

A pair is compared half by half: setp writes a predicate for each, set a half for each (1.0, or all ones in an integer). Both f16 and bf16
are compared as f32, which is exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from anywarp.isa.base import Lane, instruction
from anywarp.isa.comparison import COMPARISONS, SOURCES, combine, compare, holds, why_not

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V

HALVES: Final = "f16 bf16 f16x2 bf16x2"
ONE: Final = {"f16": 0x3C00, "bf16": 0x3F80}


def element_of(type: str) -> str:
    return type.removesuffix("x2")


def is_pair(type: str) -> bool:
    return type.endswith("x2")


def compare_scalars(g: Emitter, operator: str, type: str, ftz: bool, a: V, b: V) -> V:
    """`comparison.compare` for halves as well."""
    if type not in ONE:
        return compare(g, operator, type, ftz, a, b)
    from anywarp.lower import half

    if ftz:
        a, b = half.flush(g, a, type), half.flush(g, b, type)
    return compare(g, operator, "f32", False, half.to_f32(g, a, type), half.to_f32(g, b, type))


def halves_of(g: Emitter, a: V) -> tuple[V, V]:
    return g.trunc(a, "i16"), g.trunc(g.lshr(a, g.const("i32", 16, a.n)), "i16")


class HalfComparison(Lane):
    """Base: what is compared, and how, by element."""

    CmpOp: str
    BoolOp: str | None
    ftz: bool

    def values(self, type: str, a: int, b: int, c: int | None) -> list[int]:
        """The comparison of each element, combined with c."""
        pairs = [(a & 0xFFFF, b & 0xFFFF), (a >> 16, b >> 16)] if is_pair(type) else [(a, b)]
        return [combine(self.BoolOp, holds(self.CmpOp, element_of(type), self.ftz, x, y), c) for x, y in pairs]

    def code(self, g: Emitter, type: str, a: V, b: V, c: V | None) -> list[V]:
        """`values` as vector code."""
        pairs = list(zip(halves_of(g, a), halves_of(g, b), strict=True)) if is_pair(type) else [(a, b)]
        out = [compare_scalars(g, self.CmpOp, element_of(type), self.ftz, x, y) for x, y in pairs]
        return out if self.BoolOp is None or c is None else [g.binary(self.BoolOp, value, c) for value in out]


@instruction
class SetPredicateHalf(HalfComparison):
    """setp: a comparison of halves as a predicate, or of pairs as two; each combined with c"""

    syntax = (
        "setp.CmpOp{.ftz}.type p, a, b",
        "setp.CmpOp.BoolOp{.ftz}.type p, a, b, {!}c",
        "setp.CmpOp{.ftz}.pairs p|q, a, b",
        "setp.CmpOp.BoolOp{.ftz}.pairs p|q, a, b, {!}c",
    )
    modifiers = {"CmpOp": COMPARISONS, "BoolOp": "and or xor", "type": "f16 bf16", "pairs": "f16x2 bf16x2"}
    section = "9.7.7.2"
    since = (4, 2)
    target = 53
    type: str | None
    pairs: str | None

    def check(self) -> str | None:
        return why_not(self.CmpOp, element_of(self.source), self.ftz)

    @property
    def source(self) -> str:
        return self.type or self.pairs or ""

    def operand_type(self, name: str) -> str:
        return "pred" if name in "pqc" else self.source

    def reference(self, a: int, b: int, c: int | None = None) -> int | tuple[int, ...]:
        out = self.values(self.source, a, b, c)
        return out[0] if self.type else tuple(out)

    def lower(self, g: Emitter, a: V, b: V, c: V | None = None) -> V | tuple[V, ...]:
        out = self.code(g, self.source, a, b, c)
        return out[0] if self.type else tuple(out)


@instruction
class SetHalf(HalfComparison):
    """set: a comparison of halves or with a half as its result, combined with c: 1.0 or all ones where true, else 0"""

    syntax = ("set.CmpOp{.ftz}.dtype.stype d, a, b", "set.CmpOp.BoolOp{.ftz}.dtype.stype d, a, b, {!}c")
    modifiers = {"CmpOp": COMPARISONS, "BoolOp": "and or xor", "dtype": f"u16 s16 u32 s32 {HALVES}", "stype": f"{SOURCES} {HALVES}"}
    types = {"d": "dtype", "a": "stype", "b": "stype", "c": "pred"}
    section = "9.7.7.1"
    since = (4, 2)
    target = 53
    dtype: str
    stype: str

    def check(self) -> str | None:
        if is_pair(self.stype) and self.dtype not in (self.stype, "u32", "s32"):
            return f"a comparison of .{self.stype} gives .{self.stype}, .u32 or .s32"
        if is_pair(self.dtype) and self.dtype != self.stype:
            return f".{self.dtype} comes from .{self.dtype}"
        if self.dtype not in ONE and self.stype not in HALVES.split():
            return "one of the types is a half's"
        return why_not(self.CmpOp, element_of(self.stype), self.ftz)

    @property
    def true(self) -> int:
        """What a true element is written as."""
        return ONE.get(element_of(self.dtype), 0xFFFF if is_pair(self.stype) or self.dtype[1:] == "16" else 0xFFFFFFFF)

    def reference(self, a: int, b: int, c: int | None = None) -> int:
        out = [self.true if value else 0 for value in self.values(self.stype, a, b, c)]
        return out[0] | out[1] << 16 if is_pair(self.stype) else out[0]

    def lower(self, g: Emitter, a: V, b: V, c: V | None = None) -> V:
        elem = "i32" if is_pair(self.stype) or self.dtype[1:] == "32" else "i16"

        def number(condition: V, shift: int) -> V:
            return g.select(condition, g.const(elem, self.true << shift, condition.n), g.const(elem, 0, condition.n))

        out = [number(value, 16 * i) for i, value in enumerate(self.code(g, self.stype, a, b, c))]
        return g.or_(out[0], out[1]) if len(out) > 1 else out[0]
