"""Comparison and selection (PTX ISA 9.7.6): set, setp, selp, slct. Half precision is in `comparison_half`.

`p|q`: q is the comparison's complement, combined with c likewise; declarations with an optional second result always give both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from anywarp.isa import types
from anywarp.isa.base import Lane, OperandType, instruction
from anywarp.isa.integer import number
from anywarp.isa.logic import Rule
from anywarp.isa.shape import Shape

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V

COMPARISONS = "eq ne lt le gt ge lo ls hi hs equ neu ltu leu gtu geu num nan"
UNSIGNED_NAMES: Final = {"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}
SOURCES = "b16 b32 b64 u16 u32 u64 s16 s32 s64 f32 f64"
FLOAT_SHAPE: Final = {"f16": (5, 10), "bf16": (8, 7), "f32": (8, 23), "f64": (11, 52)}  # bits of exponent and significand


def why_not(operator: str, type: str, ftz: bool) -> str | None:
    """What is wrong with comparing numbers of a type so, or None."""
    if type in FLOAT_SHAPE:
        if operator in UNSIGNED_NAMES:
            return f".{operator} is for unsigned integers"
        return ".ftz is for f32 and f16" if ftz and type not in ("f32", "f16") else None
    if ftz:
        return ".ftz is for floating point"
    if operator in ("num", "nan") or len(operator) == 3:
        return f".{operator} is for floating point"
    if type[0] == "b" and operator not in ("eq", "ne"):
        return f".{type} knows eq and ne only"
    if operator in UNSIGNED_NAMES and type[0] != "u":
        return f".{operator} is for unsigned integers"
    return None


def holds(operator: str, type: str, ftz: bool, a: int, b: int) -> int:
    """Whether the comparison holds, from bit patterns: floating-point numbers are ordered as their magnitudes with the sign are."""
    if type not in FLOAT_SHAPE:
        x, y, is_unordered = number(a, type), number(b, type), False
    else:
        exponent, fraction = FLOAT_SHAPE[type]
        infinity = (1 << exponent) - 1 << fraction

        def key(bits: int) -> int:
            magnitude = bits & (1 << exponent + fraction) - 1
            if ftz and magnitude >> fraction == 0:
                magnitude = 0
            return -magnitude if bits >> exponent + fraction else magnitude

        x, y = key(a), key(b)
        is_unordered = abs(x) > infinity or abs(y) > infinity
        if operator in ("num", "nan"):
            return int(is_unordered == (operator == "nan"))
        if is_unordered:
            return int(len(operator) == 3)
    name = UNSIGNED_NAMES.get(operator, operator[:2])
    return int({"eq": x == y, "ne": x != y, "lt": x < y, "le": x <= y, "gt": x > y, "ge": x >= y}[name])


def combine(operator: str | None, value: int, c: int | None) -> int:
    """The Boolean operator with c, if there is one."""
    if operator is None or c is None:
        return value
    return value & c if operator == "and" else value | c if operator == "or" else value ^ c


def flush(g: Emitter, a: V) -> V:
    """A float whose subnormals count as 0 (the sign of a 0 does not matter to comparisons)."""
    small = g.fcmp("olt", g.intrinsic("llvm.fabs", a), g.const("float", 0x00800000))
    return g.select(small, g.const("float", 0), a)


def compare(g: Emitter, operator: str, type: str, ftz: bool, a: V, b: V) -> V:
    """The comparison of scalars other than half precision, as i1."""
    if types.is_float(type):
        if ftz:
            a, b = flush(g, a), flush(g, b)
        if operator in ("num", "nan"):
            return g.fcmp("ord" if operator == "num" else "uno", a, b)
        return g.fcmp(f"u{operator[:2]}" if len(operator) == 3 else f"o{operator}", a, b)
    name = UNSIGNED_NAMES.get(operator, operator)
    sign = "" if name in ("eq", "ne") else "s" if types.is_signed(type) else "u"
    return g.icmp(f"{sign}{name}", a, b)


@instruction
class SetPredicate(Lane):
    """setp: a comparison as a predicate, and its complement; each combined with c"""

    syntax = ("setp.CmpOp{.ftz}.type p{|q}, a, b", "setp.CmpOp.BoolOp{.ftz}.type p{|q}, a, b, {!}c")
    modifiers = {"CmpOp": COMPARISONS, "BoolOp": "and or xor", "type": SOURCES}
    types = {"p": "pred", "q": "pred", "c": "pred"}
    section = "9.7.6.2"
    CmpOp: str
    BoolOp: str | None
    ftz: bool

    def check(self) -> str | None:
        return why_not(self.CmpOp, self.type, self.ftz)

    def reference(self, a: int, b: int, c: int | None = None) -> tuple[int, int]:
        value = holds(self.CmpOp, self.type, self.ftz, a, b)
        return combine(self.BoolOp, value, c), combine(self.BoolOp, 1 - value, c)

    def lower(self, g: Emitter, a: V, b: V, c: V | None = None) -> tuple[V, V]:
        value = compare(g, self.CmpOp, self.type, self.ftz, a, b)
        complement = g.not_(value)
        if self.BoolOp is None or c is None:
            return value, complement
        return g.binary(self.BoolOp, value, c), g.binary(self.BoolOp, complement, c)


@instruction
class Set(Lane):
    """set: a comparison, combined with c, as a number: all ones or 1.0 where true, else 0"""

    syntax = ("set.CmpOp{.ftz}.dtype.stype d, a, b", "set.CmpOp.BoolOp{.ftz}.dtype.stype d, a, b, {!}c")
    modifiers = {"CmpOp": COMPARISONS, "BoolOp": "and or xor", "dtype": "u32 s32 f32", "stype": SOURCES}
    types = {"d": "dtype", "a": "stype", "b": "stype", "c": "pred"}
    section = "9.7.6.1"
    CmpOp: str
    BoolOp: str | None
    ftz: bool
    dtype: str
    stype: str

    def check(self) -> str | None:
        return why_not(self.CmpOp, self.stype, self.ftz)

    def reference(self, a: int, b: int, c: int | None = None) -> int:
        value = combine(self.BoolOp, holds(self.CmpOp, self.stype, self.ftz, a, b), c)
        return (0x3F800000 if self.dtype == "f32" else 0xFFFFFFFF) if value else 0

    def lower(self, g: Emitter, a: V, b: V, c: V | None = None) -> V:
        value = compare(g, self.CmpOp, self.stype, self.ftz, a, b)
        if self.BoolOp is not None and c is not None:
            value = g.binary(self.BoolOp, value, c)
        if self.dtype == "f32":
            return g.select(value, g.const("float", 0x3F800000), g.const("float", 0))
        return g.sext(value, "i32")


@instruction
class SelectByPredicate(Lane):
    """selp: a where the predicate c is true, else b"""

    syntax = "selp.type d, a, b, {!}c"
    modifiers = {"type": SOURCES}
    types = {"c": "pred"}
    section = "9.7.6.3"

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> Rule | None:
        a, b, c = operands
        return (a.stride, min(a.multiple, b.multiple)) if a.stride == b.stride and c.is_row_uniform else None

    def reference(self, a: int, b: int, c: int) -> int:
        return a if c else b

    def lower(self, g: Emitter, a: V, b: V, c: V) -> V:
        return g.select(c, a, b)


@instruction
class SelectBySign(Lane):
    """slct: a where c is 0 or above, else b (also where c is a NaN)"""

    syntax = ("slct.dtype.s32 d, a, b, c", "slct{.ftz}.dtype.f32 d, a, b, c")
    modifiers = {"dtype": SOURCES}
    section = "9.7.6.4"
    dtype: str
    ftz: bool
    f32: bool

    def operand_type(self, name: str) -> OperandType:
        return ("f32" if self.f32 else "s32") if name == "c" else self.dtype

    def reference(self, a: int, b: int, c: int) -> int:
        if not self.f32:
            return b if c >> 31 else a
        return a if holds("ge", "f32", self.ftz, c, 0) else b

    def lower(self, g: Emitter, a: V, b: V, c: V) -> V:
        if not self.f32:
            return g.select(g.icmp("sge", c, g.const("i32", 0)), a, b)
        return g.select(g.fcmp("oge", flush(g, c) if self.ftz else c, g.const("float", 0)), a, b)
