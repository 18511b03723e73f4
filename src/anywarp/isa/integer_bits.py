"""Counting, finding and moving bits (PTX ISA 9.7.1.14 to 9.7.1.22): popc, clz, bfind, fns, brev, bfe, bfi, szext, bmsk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anywarp.isa import types
from anywarp.isa.base import Lane, OperandType, instruction
from anywarp.isa.integer import pattern, signed
from anywarp.isa.logic import Rule, mask_rule, shift, shift_right_rule
from anywarp.isa.shape import Shape

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V


class _Count(Lane):
    """A number of bits: a 32-bit result."""

    def operand_type(self, name: str) -> OperandType:
        return "u32" if name == "d" else str(self.type)


@instruction
class PopulationCount(_Count):
    """popc: how many bits are set"""

    syntax = "popc.type d, a"
    modifiers = {"type": "b32 b64"}
    section = "9.7.1.14"
    since = (2, 0)
    target = 20

    def reference(self, a: int) -> int:
        return a.bit_count()

    def lower(self, g: Emitter, a: V) -> V:
        return g.resize(g.intrinsic("llvm.ctpop", a), "i32", False)


@instruction
class CountLeadingZeros(_Count):
    """clz: how many zeros stand above the highest bit that is set; the width for 0"""

    syntax = "clz.type d, a"
    modifiers = {"type": "b32 b64"}
    section = "9.7.1.15"
    since = (2, 0)
    target = 20

    def reference(self, a: int) -> int:
        return types.width(self.type) - a.bit_length()

    def lower(self, g: Emitter, a: V) -> V:
        return leading_zeros(g, a)


def leading_zeros(g: Emitter, a: V) -> V:
    """As a 32-bit number; the width for 0. AVX2 has no instruction for it, and what LLVM puts together from table lookups is twice as
    long as taking the exponent of a float."""
    if a.n < 4 or "avx2" not in g.module.features or "avx512cd" in g.module.features:
        return g.resize(g.flag_intrinsic("llvm.ctlz", a, False), "i32", False)
    if a.bits == 64:
        halves = leading_zeros(g, g.reinterpret(a, "i32", 2 * a.n))
        low, high = (g.shuffle(halves, None, range(i, 2 * a.n, 2)) for i in (0, 1))
        return g.add(high, g.select(g.icmp("eq", high, g.const("i32", 32)), low, g.const("i32", 0)))
    # without the bit below the highest one, rounding to a float cannot carry into the exponent
    alone = g.and_(a, g.not_(g.lshr(a, g.const("i32", 1))))
    exponent = g.lshr(g.bitcast(g.convert("sitofp", alone, "float"), "i32"), g.const("i32", 23))  # with the sign above: bit 31 is set
    bias = g.const("i32", 127 + 31)
    return g.intrinsic("llvm.umin", g.sub(bias, g.intrinsic("llvm.umin", exponent, bias)), g.const("i32", 32))


@instruction
class FindBit(_Count):
    """bfind: where the highest bit is that differs from the sign (or 0); `.shiftamt`: how far below the top; -1 if there is none"""

    syntax = "bfind{.shiftamt}.type d, a"
    modifiers = {"type": "u32 u64 s32 s64"}
    section = "9.7.1.16"
    since = (2, 0)
    target = 20
    shiftamt: bool

    def reference(self, a: int) -> int:
        width = types.width(self.type)
        if types.is_signed(self.type) and a >> (width - 1):
            a ^= (1 << width) - 1
        if a == 0:
            return 0xFFFFFFFF
        return width - a.bit_length() if self.shiftamt else a.bit_length() - 1

    def lower(self, g: Emitter, a: V) -> V:
        if types.is_signed(self.type):
            a = g.xor(a, g.ashr(a, g.const(a.elem, a.bits - 1)))
        zeros = leading_zeros(g, a)
        if self.shiftamt:
            return g.select(g.icmp("eq", a, g.zero_like(a)), g.const("i32", -1), zeros)
        return g.sub(g.const("i32", a.bits - 1), zeros)  # -1 for 0


@instruction
class FindNthSet(Lane):
    """fns: where the n-th set bit of a mask is, from bit `base` up (offset n > 0) or down (n < 0); -1 if there is none"""

    syntax = "fns.b32 d, mask, base, offset"
    types = {"d": "b32", "mask": "b32", "base": "u32", "offset": "s32"}
    section = "9.7.1.17"
    since = (6, 0)
    target = 30

    def reference(self, mask: int, base: int, offset: int) -> int:
        offset = signed(offset, 32)
        if base > 31:  # undefined in the manual
            return 0xFFFFFFFF
        if offset == 0:
            return base if mask >> base & 1 else 0xFFFFFFFF
        positions = range(base, 32) if offset > 0 else range(base, -1, -1)
        found = [p for p in positions if mask >> p & 1]
        return found[abs(offset) - 1] if len(found) >= abs(offset) else 0xFFFFFFFF

    def lower(self, g: Emitter, mask: V, base: V, offset: V) -> V:
        """Down is up in the reversed mask. The n-th bit is found by halving: skip the lower half if it holds fewer than n."""

        def number(value: int) -> V:
            return g.const("i32", value)

        is_down = g.icmp("slt", offset, number(0))
        bits = g.select(is_down, g.intrinsic("llvm.bitreverse", mask), mask)
        start = g.select(is_down, g.sub(number(31), base), base)
        bits = g.and_(bits, shift(g, "shl", number(-1), start))
        wanted = g.flag_intrinsic("llvm.abs", offset, False)
        is_zero = g.icmp("eq", offset, number(0))
        here = shift(g, "shl", number(1), base)
        bits = g.select(is_zero, g.and_(mask, here), bits)
        wanted = g.select(is_zero, number(1), wanted)
        is_found = g.icmp("uge", g.intrinsic("llvm.ctpop", bits), wanted)
        is_found = g.and_(is_found, g.icmp("ult", base, number(32)))
        position = number(0)
        for width in (16, 8, 4, 2, 1):
            low = g.intrinsic("llvm.ctpop", g.and_(bits, number((1 << width) - 1)))
            skip = g.icmp("ugt", wanted, low)
            wanted = g.select(skip, g.sub(wanted, low), wanted)
            bits = g.select(skip, g.lshr(bits, number(width)), bits)
            position = g.add(position, g.select(skip, number(width), number(0)))
        position = g.select(is_down, g.sub(number(31), position), position)
        return g.select(is_found, position, number(-1))


@instruction
class BitReverse(Lane):
    """brev: the bits in the opposite order"""

    syntax = "brev.type d, a"
    modifiers = {"type": "b32 b64"}
    section = "9.7.1.18"
    since = (2, 0)
    target = 20

    def reference(self, a: int) -> int:
        return int(f"{a:0{types.width(self.type)}b}"[::-1], 2)

    def lower(self, g: Emitter, a: V) -> V:
        return g.intrinsic("llvm.bitreverse", a)


def _low_byte(g: Emitter, a: V) -> V:
    """Positions and lengths count modulo 256."""
    return g.and_(a, g.const("i32", 0xFF))


def _low_mask(g: Emitter, elem: str, length: V) -> V:
    """The lowest `length` bits set; all if there are fewer."""
    return g.not_(shift(g, "shl", g.const(elem, -1, length.n), length))


@instruction
class BitFieldExtract(Lane):
    """bfe: c bits of a from bit b up, extended by zeros or by the field's sign bit (a's own where the field reaches beyond it)"""

    syntax = "bfe.type d, a, b, c"
    modifiers = {"type": "u32 u64 s32 s64"}
    types = {"b": "u32", "c": "u32"}
    section = "9.7.1.19"
    since = (2, 0)
    target = 20

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> Rule | None:
        _, start, length = constants
        width = types.width(self.type)
        if start is None or length is None or types.is_signed(self.type):
            return None
        shifted = shift_right_rule(operands[0], start & 0xFF, width)
        if shifted is None:
            return None
        return mask_rule(Shape(operands[0].rows, *shifted), (1 << min(length & 0xFF, width)) - 1, width)

    def reference(self, a: int, b: int, c: int) -> int:
        width, start, length = types.width(self.type), b & 0xFF, c & 0xFF
        if length == 0:
            return 0
        sign = a >> min(start + length - 1, width - 1) & 1 if types.is_signed(self.type) else 0
        return sum((a >> start + i & 1 if i < length and start + i < width else sign) << i for i in range(width))

    def lower(self, g: Emitter, a: V, b: V, c: V) -> V:
        start, length = _low_byte(g, b), _low_byte(g, c)
        if not types.is_signed(self.type):
            return g.and_(shift(g, "lshr", a, start), _low_mask(g, a.elem, length))
        # the field is moved to the top and back; one that begins beyond the top is the top bit alone
        start = g.intrinsic("llvm.umin", start, g.const("i32", a.bits - 1))
        above = g.sub(g.const("i32", a.bits), start)
        kept = g.intrinsic("llvm.umin", length, above)
        up = shift(g, "shl", a, g.sub(above, kept))
        up = g.select(g.icmp("eq", length, g.const("i32", 0)), g.const(a.elem, 0), up)
        return shift(g, "ashr", up, g.sub(g.const("i32", a.bits), kept))


@instruction
class BitFieldInsert(Lane):
    """bfi: b with its d bits from bit c up replaced by the lowest of a"""

    syntax = "bfi.type f, a, b, c, d"
    modifiers = {"type": "b32 b64"}
    types = {"c": "u32", "d": "u32"}
    section = "9.7.1.20"
    since = (2, 0)
    target = 20

    def reference(self, a: int, b: int, c: int, d: int) -> int:
        start, length = c & 0xFF, d & 0xFF
        for i in range(start, min(start + length, types.width(self.type))):
            b = b & ~(1 << i) | (a >> i - start & 1) << i
        return b

    def lower(self, g: Emitter, a: V, b: V, c: V, d: V) -> V:
        start, length = _low_byte(g, c), _low_byte(g, d)
        mask = shift(g, "shl", _low_mask(g, a.elem, length), start)
        return g.xor(b, g.and_(g.xor(shift(g, "shl", a, start), b), mask))


@instruction
class SignOrZeroExtend(Lane):
    """szext: the lowest b bits of a, extended; b of 32 and more counts as 32 (`.clamp`) or modulo 32 (`.wrap`)"""

    syntax = "szext.mode.type d, a, b"
    modifiers = {"mode": "clamp wrap", "type": "u32 s32"}
    types = {"b": "u32"}
    section = "9.7.1.21"
    since = (7, 6)
    target = 70
    mode: str

    def reference(self, a: int, b: int) -> int:
        length = min(b, 32) if self.mode == "clamp" else b % 32
        if length == 0:
            return 0
        field = a & (1 << length) - 1
        return pattern(signed(field, length), "s32") if types.is_signed(self.type) else field

    def lower(self, g: Emitter, a: V, b: V) -> V:
        length = g.and_(b, g.const("i32", 31)) if self.mode == "wrap" else g.intrinsic("llvm.umin", b, g.const("i32", 32))
        above = g.sub(g.const("i32", 32), length)
        up = shift(g, "shl", a, above)  # 0 for length 0
        return shift(g, "ashr" if types.is_signed(self.type) else "lshr", up, above)


@instruction
class BitMask(Lane):
    """bmsk: b ones from bit a up; `.clamp`: a and b of 32 and more count as 32; `.wrap`: modulo 32"""

    syntax = "bmsk.mode.b32 d, a, b"
    modifiers = {"mode": "clamp wrap"}
    types = {"d": "b32", "a": "u32", "b": "u32"}
    section = "9.7.1.22"
    since = (7, 6)
    target = 70
    mode: str

    def reference(self, a: int, b: int) -> int:
        start, length = (min(a, 32), min(b, 32)) if self.mode == "clamp" else (a % 32, b % 32)
        return (1 << length) - 1 << start & 0xFFFFFFFF

    def lower(self, g: Emitter, a: V, b: V) -> V:
        if self.mode == "wrap":
            a, b = g.and_(a, g.const("i32", 31)), g.and_(b, g.const("i32", 31))
        return shift(g, "shl", _low_mask(g, "i32", b), a)
