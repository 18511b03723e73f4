"""SIMD video instructions (PTX ISA 9.7.18.2): vadd, vsub, vavrg, vabsdiff, vmin, vmax, vset on two half-words or four bytes.

The elements of both sources may come from either operand, so they are one shuffle of both (see `video` for how selectors
arrive). Elements are widened to twice their width, in which all results are exact; the results go into a copy of c at the
positions of the mask, or are added to c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anywarp.isa import types
from anywarp.isa.base import Lane, OperandType, instruction
from anywarp.isa.integer import clamp, number
from anywarp.isa.video import compare, emit_compare, lower_clamp

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V

OPERATIONS = ("add", "sub", "avrg", "absdiff", "min", "max")
_MASKS = {2: "h0 h1 h10", 4: "b0 b1 b10 b2 b20 b21 b210 b3 b30 b31 b310 b32 b320 b321 b3210"}


def _modifiers(count: int) -> dict[str, str]:
    sources = {f"{x}{i}": " ".join(f"{x}{i}_{element}" for element in range(2 * count)) for x in "ab" for i in range(count)}
    masks = " ".join(f"d_{mask}" for mask in _MASKS[count].split())
    return {"dtype": "u32 s32", "atype": "u32 s32", "btype": "u32 s32", "cmp": "eq ne lt le gt ge", "mask": masks, **sources}


def _selectors(count: int) -> str:
    return "{.mask}" + "".join(f"{{.{x}{i}}}" for x in "ab" for i in reversed(range(count)))


class _Simd(Lane):
    """`count` elements; `a0` and so on say from which of the elements of b:a the element comes."""

    since = (3, 0)
    target = 30
    dtype: str = "u32"
    atype: str
    btype: str
    sat: bool = False
    add: bool
    mask: str | None
    count: int

    def operand_type(self, name: str) -> OperandType:
        return {"a": self.atype, "b": self.btype}.get(name, self.dtype)

    def check(self) -> str | None:
        chosen = [getattr(self, f"{x}{i}") is not None for x in "ab" for i in range(self.count)]
        whole = all(len(set(chosen[i : i + self.count])) == 1 for i in (0, self.count))
        return None if whole else "a selector names every element"

    @property
    def width(self) -> int:
        return 32 // self.count

    def element(self, type: str) -> str:
        return f"{type[0]}{self.width}"

    def sources(self, x: str) -> list[int]:
        """Which element of b:a each element of the source is; a's and b's own if not said."""
        given = [getattr(self, f"{x}{i}") for i in range(self.count)]
        return [int(s[-1]) if s else i + (self.count if x == "b" else 0) for i, s in enumerate(given)]

    @property
    def is_written(self) -> list[bool]:
        """The mask, by element."""
        return [self.mask is None or str(i) in self.mask[3:] for i in range(self.count)]

    def compute(self, a: int, b: int) -> int:
        raise NotImplementedError

    def emit(self, g: Emitter, a: V, b: V) -> V:
        raise NotImplementedError

    def reference(self, a: int, b: int, c: int) -> int:
        both, width = b << 32 | a, self.width
        total, merged = c, c
        for i, (x, y, is_written) in enumerate(zip(self.sources("a"), self.sources("b"), self.is_written)):
            if not is_written:
                continue
            value = self.compute(number(both >> width * x, self.element(self.atype)), number(both >> width * y, self.element(self.btype)))
            if self.sat:
                value = clamp(value, self.element(self.dtype))
            total += value
            ones = (1 << width) - 1 << width * i
            merged = merged & ~ones | value << width * i & ones
        return (total if self.add else merged) & 0xFFFFFFFF

    def lower(self, g: Emitter, a: V, b: V, c: V) -> V:
        a, b, c = g.same_lanes(a, b, c)
        n, count = a.n, self.count
        narrow, wide = f"i{self.width}", f"i{2 * self.width}"
        x, y = g.reinterpret(a, narrow, count * n), g.reinterpret(b, narrow, count * n)

        def source(chosen: list[int], type: str) -> V:
            lanes = [count * lane + e % count + (count * n if e >= count else 0) for lane in range(n) for e in chosen]
            identity = list(range(count * n))
            own = x if lanes == identity else y if lanes == [i + count * n for i in identity] else g.shuffle(x, y, lanes)
            return g.resize(own, wide, types.is_signed(type))

        value = self.emit(g, source(self.sources("a"), self.atype), source(self.sources("b"), self.btype))
        if self.sat:
            value = lower_clamp(g, value, self.element(self.dtype))
        if not self.add:
            result = g.trunc(value, narrow)
            if not all(self.is_written):
                mask = g.lane_constants("i1", self.is_written * n)
                result = g.select(mask, result, g.reinterpret(c, narrow, count * n))
            return g.reinterpret(result, "i32", n)
        for i, is_written in enumerate(self.is_written):
            if is_written:
                term = g.extract(value, i) if n == 1 else g.shuffle(value, None, range(i, count * n, count))
                c = g.add(c, g.resize(term, "i32", True))
        return c


class _Arithmetic(_Simd):
    """The operation is named by the mnemonic: `vabsdiff4`."""

    @property
    def operation(self) -> str:
        return self.opcode[0][1:-1]

    def compute(self, a: int, b: int) -> int:
        match self.operation:
            case "add":
                return a + b
            case "sub":
                return a - b
            case "absdiff":
                return abs(a - b)
            case "avrg":  # halves are rounded away from zero
                return (a + b + 1) // 2 if a + b >= 0 else (a + b) // 2
            case "min":
                return min(a, b)
            case _:
                return max(a, b)

    def emit(self, g: Emitter, a: V, b: V) -> V:
        match self.operation:
            case "add" | "sub" as operation:
                return g.binary(operation, a, b)
            case "absdiff":
                return g.flag_intrinsic("llvm.abs", g.sub(a, b), False)
            case "avrg":
                total = g.add(a, b)
                one = g.const(a.elem, 1)
                is_negative = g.lshr(total, g.const(a.elem, a.bits - 1))
                return g.ashr(g.add(total, g.xor(is_negative, one)), one)
            case operation:
                return g.intrinsic(f"llvm.s{operation}", a, b)


def _arithmetic_forms(count: int) -> tuple[str, ...]:
    return tuple(
        f"v{operation}{count}.dtype.atype.btype{end}{_selectors(count)} d, a, b, c"
        for operation in OPERATIONS
        for end in ("{.sat}", ".add")
    )


def _set_forms(count: int) -> tuple[str, ...]:
    return (f"vset{count}.atype.btype.cmp{{.add}}{_selectors(count)} d, a, b, c",)


@instruction
class VideoPairs(_Arithmetic):
    """vadd2, vsub2, vavrg2, vabsdiff2, vmin2, vmax2: two half-words"""

    syntax = _arithmetic_forms(2)
    modifiers = _modifiers(2)
    section = "9.7.18.2.1"
    count = 2


@instruction
class VideoQuads(_Arithmetic):
    """vadd4, vsub4, vavrg4, vabsdiff4, vmin4, vmax4: four bytes"""

    syntax = _arithmetic_forms(4)
    modifiers = _modifiers(4)
    section = "9.7.18.2.3"
    count = 4


class _Compare(_Simd):
    cmp: str

    def compute(self, a: int, b: int) -> int:
        return compare(self.cmp, a, b)

    def emit(self, g: Emitter, a: V, b: V) -> V:
        return emit_compare(g, self.cmp, a, b)


@instruction
class VideoSetPairs(_Compare):
    """vset2: 1 or 0 for two comparisons of half-words"""

    syntax = _set_forms(2)
    modifiers = _modifiers(2)
    section = "9.7.18.2.2"
    count = 2


@instruction
class VideoSetQuads(_Compare):
    """vset4: 1 or 0 for four comparisons of bytes"""

    syntax = _set_forms(4)
    modifiers = _modifiers(4)
    section = "9.7.18.2.4"
    count = 4
