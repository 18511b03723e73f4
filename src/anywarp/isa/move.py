"""Moves between registers and bytes moved within them (PTX ISA 9.7.9.1 to 9.7.9.6): mov in all forms, prmt.

Symbols and special registers are resolved before: what arrives here are registers and constants.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from anywarp.isa import types
from anywarp.isa.base import Lane, OperandType, instruction
from anywarp.isa.logic import Rule
from anywarp.isa.shape import Shape

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V


@instruction
class Move(Lane):
    """mov: a register or a constant"""

    syntax = "mov.type d, a"
    modifiers = {"type": "pred b16 b32 b64 b128 u16 u32 u64 s16 s32 s64 f32 f64"}
    section = "9.7.9.3"

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> Rule | None:
        return operands[0].stride, operands[0].multiple

    def reference(self, a: int) -> int:
        return a

    def lower(self, g: Emitter, a: V) -> V:
        return a


class _Packing(Lane):
    """A register and the two or four equal parts of it; the first part is the lowest."""

    modifiers = {"type": "b16 b32 b64 b128"}
    section = "9.7.9.4"
    count: int
    packed: str  # the operand that is a vector

    def operand_type(self, name: str) -> OperandType:
        return (f"b{self.part_bits}", self.count) if name == self.packed else str(self.type)

    @property
    def part_bits(self) -> int:
        return types.width(self.type) // self.count


class _Pack(_Packing):
    def reference(self, parts: tuple[int, ...]) -> int:
        return sum(part << i * self.part_bits for i, part in enumerate(parts))

    def lower(self, g: Emitter, parts: tuple[V, ...]) -> V:
        elem = f"i{types.width(self.type)}"
        result = g.zext(parts[0], elem)
        for i, part in enumerate(parts[1:], 1):
            result = g.or_(result, g.shl(g.zext(part, elem), g.const(elem, i * self.part_bits)))
        return result


class _Unpack(_Packing):
    def reference(self, a: int) -> tuple[int, ...]:
        return tuple(a >> i * self.part_bits & (1 << self.part_bits) - 1 for i in range(self.count))

    def lower(self, g: Emitter, a: V) -> tuple[V, ...]:
        parts = (g.lshr(a, g.const(a.elem, i * self.part_bits)) if i else a for i in range(self.count))
        return tuple(g.trunc(part, f"i{self.part_bits}") for part in parts)


@instruction
class PackPair(_Pack):
    """mov: two registers into one"""

    syntax = "mov.type d, pair"
    packed, count = "pair", 2


@instruction
class UnpackPair(_Unpack):
    """mov: the halves of a register"""

    syntax = "mov.type pair, a"
    packed, count = "pair", 2


@instruction
class PackQuad(_Pack):
    """mov: four registers into one"""

    syntax = "mov.type d, quad"
    modifiers = {"type": "b32 b64 b128"}
    packed, count = "quad", 4


@instruction
class UnpackQuad(_Unpack):
    """mov: the quarters of a register"""

    syntax = "mov.type quad, a"
    modifiers = {"type": "b32 b64 b128"}
    packed, count = "quad", 4


# The four selectors, lowest byte first, of the modes of prmt by the lowest two bits of c.
PERMUTE_MODES: Final[dict[str, tuple[int, int, int, int]]] = {
    "f4e": (0x3210, 0x4321, 0x5432, 0x6543),
    "b4e": (0x5670, 0x6701, 0x7012, 0x0123),
    "rc8": (0x0000, 0x1111, 0x2222, 0x3333),
    "ecl": (0x3210, 0x3211, 0x3222, 0x3333),
    "ecr": (0x0000, 0x1110, 0x2210, 0x3210),
    "rc16": (0x1010, 0x3232, 0x1010, 0x3232),
}


@instruction
class Permute(Lane):
    """prmt: four bytes, each any of the eight of b:a, or eight times its sign bit; modes give selections of their own"""

    syntax = "prmt.b32{.mode} d, a, b, c"
    modifiers = {"mode": "f4e b4e rc8 ecl ecr rc16"}
    types = {"d": "b32", "a": "b32", "b": "b32", "c": "b32"}
    section = "9.7.9.7"
    since = (2, 0)
    target = 20
    mode: str | None

    def reference(self, a: int, b: int, c: int) -> int:
        source = (b << 32 | a).to_bytes(8, "little")
        selection = PERMUTE_MODES[self.mode][c & 3] if self.mode else c
        result = bytearray()
        for i in range(4):
            selector = selection >> 4 * i & 0xF
            byte = source[selector & 7]
            result.append((0xFF if byte & 0x80 else 0) if selector & 8 else byte)
        return int.from_bytes(result, "little")

    def lower(self, g: Emitter, a: V, b: V, c: V) -> V:
        fixed = re.fullmatch(r"(?:splat \(i32 (-?\d+)\)|(-?\d+))", c.name)
        if fixed:
            selection = int(fixed[1] or fixed[2])
            return _permute_fixed(g, a, b, PERMUTE_MODES[self.mode][selection & 3] if self.mode else selection & 0xFFFF)
        if self.mode is None:
            return _permute(g, a, b, c, has_signs=True)
        first, second, third, fourth = (g.const("i32", s) for s in PERMUTE_MODES[self.mode])
        odd = g.icmp("ne", g.and_(c, g.const("i32", 1)), g.const("i32", 0))
        upper = g.icmp("ne", g.and_(c, g.const("i32", 2)), g.const("i32", 0))
        return _permute(g, a, b, g.select(upper, g.select(odd, fourth, third), g.select(odd, second, first)), has_signs=False)


def _permute_fixed(g: Emitter, a: V, b: V, selection: int) -> V:
    """A shuffle of bytes; those that stand for a sign are replaced by the shuffled byte's sign."""
    a, b = g.same_lanes(a, b)
    n, selectors = a.n, [selection >> 4 * i & 0xF for i in range(4)]
    x, y = g.reinterpret(a, "i8", 4 * n), g.reinterpret(b, "i8", 4 * n)
    lanes = [4 * lane + (s & 3) + (4 * n if s & 4 else 0) for lane in range(n) for s in selectors]
    result = g.shuffle(x, y, lanes)
    if selection & 0x8888:
        signs = g.ashr(result, g.const("i8", 7))
        is_sign = g.lane_constants("i1", [s >> 3 for _ in range(n) for s in selectors])
        result = g.select(is_sign, signs, result)
    return g.reinterpret(result, "i32", n)


def _permute(g: Emitter, a: V, b: V, c: V, has_signs: bool) -> V:
    """Byte by byte: choose the register, bring the byte to the top, then to its place."""
    a, b, c = g.same_lanes(a, b, c)
    result: V | None = None

    def number(value: int) -> V:
        return g.const("i32", value)

    for i in range(4):
        word = g.select(g.icmp("eq", g.and_(c, number(4 << 4 * i)), number(0)), a, b)
        position = g.lshr(c, number(4 * i)) if i else c
        # up by 24, 16, 8 or 0 bits: 8 * (3 - selector)
        top = g.shl(word, g.shl(g.xor(g.and_(position, number(3)), number(3)), number(3)))
        if has_signs:
            is_sign = g.icmp("ne", g.and_(c, number(8 << 4 * i)), number(0))
            top = g.select(is_sign, g.ashr(top, number(31)), top)
        byte = g.lshr(top, number(24))
        byte = g.shl(byte, number(8 * i)) if i else byte
        result = byte if result is None else g.or_(result, byte)
    assert result is not None
    return result
