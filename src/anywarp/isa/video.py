"""Scalar video instructions (PTX ISA 9.7.18.1): vadd, vsub, vabsdiff, vmin, vmax, vshl, vshr, vset, vmad. SIMD ones: `video_simd`.

They take bytes or half-words out of their operands, compute, clamp, and combine the result with a third operand. PTX writes which
part is meant, and a sign, on the operand (`-r1.h0`); here both are modifiers, so that an instruction's instance holds all of its
code that is fixed: `opcode_with_selectors` turns

    vadd.s32.u32.s32.sat  r1.h0, r2.b0, r3.h1, r4     into     vadd.s32.u32.s32.sat.d_h0.a_b0.b_h1  r1, r2, r3, r4
    vadd4.u32.u32.u32     r1.b10, r2.b7654, r3, r4    into     vadd4.u32.u32.u32.d_b10.a3_7.a2_6.a1_5.a0_4  r1, r2, r3, r4
    vmad.s32.s32.s32      r1, -r2.h0, r3, r4          into     vmad.s32.s32.s32.a_h0.neg_a  r1, r2, r3, r4

All intermediate results are exact here: 64-bit numbers hold what the manual computes in 34 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from anywarp.isa import types
from anywarp.isa.base import Lane, OperandType, instruction
from anywarp.isa.integer import clamp, limits, number

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V

_PARTS = "b0 b1 b2 b3 h0 h1"
TYPES = "u32 s32"


def opcode_with_selectors(opcode: tuple[str, ...], selectors: Sequence[str | None], negated: Sequence[bool] = ()) -> tuple[str, ...]:
    """The opcode of a video instruction with what is written on its operands appended as modifiers. `selectors[i]` is the text after
    the dot of operand i (`h0`; None where there is none), `negated[i]` says whether a minus stands before it."""
    parts: list[str] = []
    for name, selector in zip("dabc", selectors):
        if selector is None:
            continue
        if name != "d" and len(selector) > 2:  # of a SIMD source: an element each, the highest first
            parts += [f"{name}{len(selector) - 2 - i}_{digit}" for i, digit in enumerate(selector[1:])]
        else:
            parts.append(f"{name}_{selector}")
    parts += [f"neg_{name}" for name, is_negated in zip("dabc", negated) if is_negated]
    return (*opcode, *parts)


def part_type(selector: str | None, type: str) -> tuple[str, int]:
    """What a selector such as `a_h1` takes from an operand: the type of the part and its lowest bit."""
    if selector is None:
        return type, 0
    size, index = selector[-2], int(selector[-1])
    return (f"{type[0]}8", 8 * index) if size == "b" else (f"{type[0]}16", 16 * index)


def extract(g: Emitter, a: V, selector: str | None, type: str) -> V:
    """The selected part of a register as a 64-bit number."""
    part, low = part_type(selector, type)
    is_signed, width = types.is_signed(part), types.width(part)
    if width < 32:
        up = 32 - width - low
        a = g.shl(a, g.const("i32", up)) if up else a
        a = g.binary("ashr" if is_signed else "lshr", a, g.const("i32", 32 - width))
    return g.resize(a, "i64", is_signed)


def lower_clamp(g: Emitter, a: V, type: str) -> V:
    """A number of i64 or another signed type, held to the range of a narrower one."""
    low, high = limits(type)
    return g.intrinsic("llvm.smin", g.intrinsic("llvm.smax", a, g.const(a.elem, low)), g.const(a.elem, high))


class _Video(Lane):
    """Stages: parts of a and b, the operation, clamp, then an operation with c or a merge into c."""

    modifiers = {
        "dtype": TYPES, "atype": TYPES, "btype": TYPES, "op2": "add min max", "mode": "clamp wrap",
        **{f"{x}sel": " ".join(f"{x}_{part}" for part in _PARTS.split()) for x in "dab"},
    }  # fmt: skip
    since = (2, 0)
    target = 20
    dtype: str = "u32"
    atype: str
    btype: str = "u32"
    sat: bool = False
    op2: str | None
    dsel: str | None
    asel: str | None
    bsel: str | None
    names: ClassVar[dict[str, str]] = {"d": "dtype", "a": "atype", "b": "btype", "c": "dtype"}

    def operand_type(self, name: str) -> OperandType:
        return str(getattr(self, self.names[name]))

    def compute(self, a: int, b: int) -> int:
        raise NotImplementedError

    def emit(self, g: Emitter, a: V, b: V) -> V:
        raise NotImplementedError

    def reference(self, a: int, b: int, c: int = 0) -> int:
        (kind_a, low_a), (kind_b, low_b) = part_type(self.asel, self.atype), part_type(self.bsel, self.btype)
        value = self.compute(number(a >> low_a, kind_a), number(b >> low_b, kind_b))
        kind, low = part_type(self.dsel, self.dtype)
        if self.sat:
            value = clamp(value, kind)
        third = number(c, self.dtype)
        if self.op2:
            value = value + third if self.op2 == "add" else min(value, third) if self.op2 == "min" else max(value, third)
        if self.dsel is None:
            return value & 0xFFFFFFFF
        mask = (1 << types.width(kind)) - 1 << low
        return value << low & mask | c & ~mask

    def lower(self, g: Emitter, a: V, b: V, c: V | None = None) -> V:
        value = self.emit(g, extract(g, a, self.asel, self.atype), extract(g, b, self.bsel, self.btype))
        kind, low = part_type(self.dsel, self.dtype)
        if self.sat:
            value = lower_clamp(g, value, kind)
        if self.op2 and c is not None:
            third = g.resize(c, "i64", types.is_signed(self.dtype))
            value = g.add(value, third) if self.op2 == "add" else g.intrinsic(f"llvm.s{self.op2}", value, third)
        result = g.trunc(value, "i32")
        if self.dsel is None or c is None:
            return result
        mask = (1 << types.width(kind)) - 1 << low
        placed = g.and_(g.shl(result, g.const("i32", low)), g.const("i32", mask))
        return g.or_(placed, g.and_(c, g.const("i32", ~mask)))


def _forms(mnemonic: str, middle: str) -> tuple[str, str, str]:
    return (
        f"{mnemonic}{middle}{{.asel}}{{.bsel}} d, a, b",
        f"{mnemonic}{middle}.op2{{.asel}}{{.bsel}} d, a, b, c",
        f"{mnemonic}{middle}.dsel{{.asel}}{{.bsel}} d, a, b, c",
    )


_ARITHMETIC = ".dtype.atype.btype{.sat}"


@instruction
class VideoAdd(_Video):
    """vadd: sum"""

    syntax = _forms("vadd", _ARITHMETIC)
    section = "9.7.18.1.1"

    def compute(self, a: int, b: int) -> int:
        return a + b

    def emit(self, g: Emitter, a: V, b: V) -> V:
        return g.add(a, b)


@instruction
class VideoSub(_Video):
    """vsub: difference"""

    syntax = _forms("vsub", _ARITHMETIC)
    section = "9.7.18.1.1"

    def compute(self, a: int, b: int) -> int:
        return a - b

    def emit(self, g: Emitter, a: V, b: V) -> V:
        return g.sub(a, b)


@instruction
class VideoAbsoluteDifference(_Video):
    """vabsdiff: absolute value of the difference"""

    syntax = _forms("vabsdiff", _ARITHMETIC)
    section = "9.7.18.1.1"

    def compute(self, a: int, b: int) -> int:
        return abs(a - b)

    def emit(self, g: Emitter, a: V, b: V) -> V:
        return g.flag_intrinsic("llvm.abs", g.sub(a, b), False)


@instruction
class VideoMinimum(_Video):
    """vmin: the smaller number"""

    syntax = _forms("vmin", _ARITHMETIC)
    section = "9.7.18.1.1"

    def compute(self, a: int, b: int) -> int:
        return min(a, b)

    def emit(self, g: Emitter, a: V, b: V) -> V:
        return g.intrinsic("llvm.smin", a, b)


@instruction
class VideoMaximum(_Video):
    """vmax: the larger number"""

    syntax = _forms("vmax", _ARITHMETIC)
    section = "9.7.18.1.1"

    def compute(self, a: int, b: int) -> int:
        return max(a, b)

    def emit(self, g: Emitter, a: V, b: V) -> V:
        return g.intrinsic("llvm.smax", a, b)


class _VideoShift(_Video):
    """The amount is at most 32 (`.clamp`) or counts modulo 32 (`.wrap`)."""

    section = "9.7.18.1.2"
    mode: str

    def amount(self, b: int) -> int:
        return min(b, 32) if self.mode == "clamp" else b & 31

    def emit_amount(self, g: Emitter, b: V) -> V:
        if self.mode == "clamp":
            return g.intrinsic("llvm.umin", b, g.const("i64", 32))
        return g.and_(b, g.const("i64", 31))


@instruction
class VideoShiftLeft(_VideoShift):
    """vshl: a shifted up"""

    syntax = _forms("vshl", ".dtype.atype.u32{.sat}.mode")

    def compute(self, a: int, b: int) -> int:
        return a << self.amount(b)

    def emit(self, g: Emitter, a: V, b: V) -> V:
        amount = self.emit_amount(g, b)
        # 33 bits up by 32 do not fit 64: there a is held to 31 bits first, which changes neither the result's order nor its low bits
        limit = 1 << 30
        held = g.intrinsic("llvm.smin", g.intrinsic("llvm.smax", a, g.const("i64", -limit)), g.const("i64", limit))
        return g.shl(g.select(g.icmp("eq", amount, g.const("i64", 32)), held, a), amount)


@instruction
class VideoShiftRight(_VideoShift):
    """vshr: a shifted down"""

    syntax = _forms("vshr", ".dtype.atype.u32{.sat}.mode")

    def compute(self, a: int, b: int) -> int:
        return a >> self.amount(b)

    def emit(self, g: Emitter, a: V, b: V) -> V:
        return g.ashr(a, self.emit_amount(g, b))


def compare(operator: str, a: int, b: int) -> int:
    return int({"eq": a == b, "ne": a != b, "lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b}[operator])


def emit_compare(g: Emitter, operator: str, a: V, b: V) -> V:
    """1 where the comparison of signed numbers holds, else 0."""
    return g.zext(g.icmp(operator if operator in ("eq", "ne") else f"s{operator}", a, b), a.elem)


@instruction
class VideoSet(_Video):
    """vset: 1 where a comparison holds, else 0"""

    syntax = _forms("vset", ".atype.btype.cmp")
    modifiers = {**_Video.modifiers, "cmp": "eq ne lt le gt ge"}
    section = "9.7.18.1.4"
    cmp: str

    def compute(self, a: int, b: int) -> int:
        return compare(self.cmp, a, b)

    def emit(self, g: Emitter, a: V, b: V) -> V:
        return emit_compare(g, self.cmp, a, b)


@instruction
class VideoMad(Lane):
    """vmad: a product and a sum, either of them negated or 1 added (`.po`), shifted down by 7 or 15, clamped"""

    syntax = (
        "vmad.dtype.atype.btype{.sat}{.scale}{.asel}{.bsel}{.neg_a}{.neg_b}{.neg_c} d, a, b, c",
        "vmad.dtype.atype.btype.po{.sat}{.scale}{.asel}{.bsel} d, a, b, c",
    )
    modifiers = {**_Video.modifiers, "scale": "shr7 shr15"}
    section = "9.7.18.1.3"
    since = (2, 0)
    target = 20
    dtype: str
    atype: str
    btype: str
    scale: str | None
    asel: str | None
    bsel: str | None
    sat: bool
    po: bool
    neg_a: bool
    neg_b: bool
    neg_c: bool

    def operand_type(self, name: str) -> OperandType:
        return {"a": self.atype, "b": self.btype}.get(name, self.dtype)

    def check(self) -> str | None:
        return "either the product or c may be negated" if self.negates_product and self.neg_c else None

    @property
    def negates_product(self) -> bool:
        return self.neg_a != self.neg_b

    @property
    def final(self) -> str:
        """The type of the result."""
        signed = "s32" in (self.atype, self.btype) or self.negates_product or self.neg_c
        return "s32" if signed else "u32"

    @property
    def shift(self) -> int:
        return int(self.scale[3:]) if self.scale else 0

    def reference(self, a: int, b: int, c: int) -> int:
        (kind_a, low_a), (kind_b, low_b) = part_type(self.asel, self.atype), part_type(self.bsel, self.btype)
        product = number(a >> low_a, kind_a) * number(b >> low_b, kind_b)
        third = number(c, self.final)
        value = (-product if self.negates_product else product) + (-third if self.neg_c else third) + int(self.po)
        value >>= self.shift
        return (clamp(value, self.final) if self.sat else value) & 0xFFFFFFFF

    def lower(self, g: Emitter, a: V, b: V, c: V) -> V:
        x, y = extract(g, a, self.asel, self.atype), extract(g, b, self.bsel, self.btype)
        third = g.resize(c, "i64", types.is_signed(self.final))
        if (self.atype, self.btype) == ("u32", "u32") and types.is_signed(self.final):  # 65 bits
            x, y, third = g.zext(x, "i128"), g.zext(y, "i128"), g.sext(third, "i128")
        product = g.mul(x, y)
        value = g.sub(third, product) if self.negates_product else g.sub(product, third) if self.neg_c else g.add(product, third)
        if self.po:
            value = g.add(value, g.const(value.elem, 1))
        if self.shift:
            value = g.binary("ashr" if types.is_signed(self.final) else "lshr", value, g.const(value.elem, self.shift))
        if self.sat and types.is_signed(self.final):
            value = lower_clamp(g, value, "s32")
        elif self.sat:
            value = g.intrinsic("llvm.umin", value, g.const(value.elem, 0xFFFFFFFF))
        return g.trunc(value, "i32")
