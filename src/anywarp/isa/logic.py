"""Logic and shift instructions (PTX ISA 9.7.8): and, or, xor, not, cnot, lop3, shf, shl, shr.

PTX clamps shift amounts, LLVM leaves an amount of the width or more undefined (poison): `shift` is the one place that bridges it.

Masks and shifts of thread numbers are what uniform values come from (`tid & 31`, `tid >> 5`), so the rules for shapes
matter here. They rest on one fact: where a row's lanes are `base + s * l` with `0 <= s * l <= reach` and base a multiple of a
power of two above reach, base and `s * l` have no bit in common, so the sum is an `or`, and a bitwise function falls apart
into one of base and one of `s * l`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from anywarp.isa import types
from anywarp.isa.base import Lane, OperandType, instruction
from anywarp.isa.integer import LARGEST_MULTIPLE, pattern, signed
from anywarp.isa.shape import Shape

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V

Rule = tuple[int, int]  # the result's stride and multiple


# ----------------------------------------------------------------------------------------------------- shape rules


def lane_bits(a: Shape, width: int) -> int | None:
    """A mask of the bits that `s * l` may have set, where base has none of them; 0 for stride 0; None where they may overlap,
    or where they reach the sign bit."""
    reach = a.stride * (a.row_lanes - 1)
    if not 0 <= reach < min(a.multiple, 1 << width - 1):
        return None
    return (1 << reach.bit_length()) - (a.stride & -a.stride) if a.stride else 0


def mask_rule(a: Shape, mask: int, width: int) -> Rule | None:
    """a & mask."""
    bits = lane_bits(a, width)
    multiple = min(max(a.multiple, mask & -mask if mask else LARGEST_MULTIPLE), LARGEST_MULTIPLE)
    if bits is None or mask & bits not in (0, bits):
        return None
    return (a.stride if mask & bits else 0), multiple


def shift_right_rule(a: Shape, amount: int, width: int) -> Rule | None:
    """a >> amount, of either kind: the sum does not wrap, so neither fill bit changes within a row."""
    bits = lane_bits(a, width)
    if bits is None:
        return None
    multiple = max(a.multiple >> min(amount, 31), 1)
    if bits < 1 << amount:  # base has no bits below 2^amount that the lanes' bits could carry into
        return 0, multiple
    return (a.stride >> amount, multiple) if a.stride % (1 << amount) == 0 else None


def shift_left_rule(a: Shape, amount: int | None, width: int) -> Rule | None:
    if amount is None:
        return None
    if amount >= width:
        return 0, LARGEST_MULTIPLE
    return a.stride << amount, min(a.multiple << amount, LARGEST_MULTIPLE)


# ----------------------------------------------------------------------------------------------------------- logic


class _Bitwise(Lane):
    modifiers = {"type": "pred b16 b32 b64"}

    def lower(self, g: Emitter, a: V, b: V) -> V:
        return g.binary(self.opcode[0], a, b)


def _constant_second(operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> tuple[Shape, int | None]:
    """The operand that is not constant, and the constant."""
    (a, b), (x, y) = operands, constants
    return (b, x) if y is None and x is not None else (a, y)


def _disjoint(operands: tuple[Shape, ...], width: int) -> Rule | None:
    """The rule of `or` and `xor` where one operand has a stride and the other is 0 in the bits that the lanes change."""
    a, b = operands if operands[0].stride else operands[::-1]
    bits = lane_bits(a, width)
    if b.stride or bits is None or bits >= b.multiple:
        return None
    return a.stride, min(a.multiple, b.multiple)


@instruction
class And(_Bitwise):
    """and: bitwise conjunction"""

    syntax = "and.type d, a, b"
    section = "9.7.8.1"

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> Rule | None:
        a, constant = _constant_second(operands, constants)
        if constant is not None:
            return mask_rule(a, constant, types.width(self.type))
        if operands[0].stride or operands[1].stride:
            return None
        return 0, max(operands[0].multiple, operands[1].multiple)

    def reference(self, a: int, b: int) -> int:
        return a & b


@instruction
class Or(_Bitwise):
    """or: bitwise disjunction"""

    syntax = "or.type d, a, b"
    section = "9.7.8.2"

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> Rule | None:
        a, constant = _constant_second(operands, constants)
        bits = lane_bits(a, types.width(self.type))
        if constant is None or not bits:
            return _disjoint(operands, types.width(self.type))
        if constant & bits not in (0, bits):
            return None
        multiple = min(a.multiple, constant & -constant) if constant else a.multiple
        return (0 if constant & bits else a.stride), multiple

    def reference(self, a: int, b: int) -> int:
        return a | b


@instruction
class Xor(_Bitwise):
    """xor: bitwise exclusive disjunction"""

    syntax = "xor.type d, a, b"
    section = "9.7.8.3"

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> Rule | None:
        a, constant = _constant_second(operands, constants)
        if constant is None:
            return _disjoint(operands, types.width(self.type))
        if a.stride and constant == (1 << types.width(self.type)) - 1:  # not
            return -a.stride, 1
        bits = lane_bits(a, types.width(self.type))
        if bits is None or constant & bits not in (0, bits):
            return None
        multiple = min(a.multiple, constant & -constant) if constant else a.multiple
        return (-a.stride if constant & bits else a.stride), multiple  # all bits flipped: bits - s * l

    def reference(self, a: int, b: int) -> int:
        return a ^ b


@instruction
class Not(Lane):
    """not: every bit inverted"""

    syntax = "not.type d, a"
    modifiers = {"type": "pred b16 b32 b64"}
    section = "9.7.8.4"

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> Rule | None:
        return -operands[0].stride, 1  # -1 - a

    def reference(self, a: int) -> int:
        return pattern(~a, self.type)

    def lower(self, g: Emitter, a: V) -> V:
        return g.not_(a)


@instruction
class LogicalNot(Lane):
    """cnot: 1 where a is 0, else 0"""

    syntax = "cnot.type d, a"
    modifiers = {"type": "b16 b32 b64"}
    section = "9.7.8.5"

    def reference(self, a: int) -> int:
        return int(a == 0)

    def lower(self, g: Emitter, a: V) -> V:
        return g.zext(g.icmp("eq", a, g.zero_like(a)), a.elem)


@instruction
class Lop3(Lane):
    """lop3: any function of the bits of three operands, by its table; with `.BoolOp` also: result not 0, combined with q"""

    syntax = ("lop3.b32 d, a, b, c, immLut", "lop3.BoolOp.b32 d|p, a, b, c, immLut, {!}q")
    modifiers = {"BoolOp": "or and"}
    types = {"d": "b32", "a": "b32", "b": "b32", "c": "b32", "immLut": "u32", "p": "pred", "q": "pred"}
    section = "9.7.8.6"
    since = (4, 3)
    target = 50
    BoolOp: str | None

    def reference(self, a: int, b: int, c: int, table: int, q: int = 0) -> int | tuple[int, int]:
        result = 0
        for bit in range(32):
            index = (a >> bit & 1) << 2 | (b >> bit & 1) << 1 | (c >> bit & 1)
            result |= (table >> index & 1) << bit
        if self.BoolOp is None:
            return result
        nonzero = int(result != 0)
        return result, nonzero | q if self.BoolOp == "or" else nonzero & q

    def lower(self, g: Emitter, a: V, b: V, c: V, table: V, q: V | None = None) -> V | tuple[V, V]:
        a, b, c = g.same_lanes(a, b, c)
        constant = re.search(r"-?\d+(?=\)?$)", table.name) if table.is_constant else None
        result = by_table(g, a, b, c, int(constant[0]) & 0xFF) if constant else _by_variable_table(g, a, b, c, table)
        if self.BoolOp is None:
            return result
        assert q is not None
        return result, g.binary(self.BoolOp, g.icmp("ne", result, g.zero_like(result)), q)


def by_table(g: Emitter, a: V, b: V, c: V, table: int) -> V:
    """A function of three operands by its table, in the fewest operations of the form `f0 ^ (x & (f0 ^ f1))`: f0 and f1
    are what is left when operand x is 0 and 1. A machine with a three-way instruction (vpternlog) gets it from LLVM in one."""
    best = min((_cost(table, x), x) for x in range(3))[1]
    low, high = _cofactors(table, best)
    operands = (a, b, c)
    x = operands[best]
    y, z = (v for i, v in enumerate(operands) if i != best)
    difference = low ^ high
    if difference == 0:
        return _by_pair_table(g, y, z, low)
    if difference == 0xF:
        return g.xor(_by_pair_table(g, y, z, low), x)
    if low == 0:
        return g.and_(x, _by_pair_table(g, y, z, high))
    if high == 0:
        return g.and_(g.not_(x), _by_pair_table(g, y, z, low))
    if high == 0xF:
        return g.or_(x, _by_pair_table(g, y, z, low))
    if low == 0xF:
        return g.or_(g.not_(x), _by_pair_table(g, y, z, high))
    return g.xor(_by_pair_table(g, y, z, low), g.and_(x, _by_pair_table(g, y, z, difference)))


def _cofactors(table: int, x: int) -> tuple[int, int]:
    """The tables of two operands (bit 2y + z) that are left when operand x is 0, and 1."""
    bit = 2 - x
    out = []
    for value in (0, 1):
        rest = [i for i in range(8) if i >> bit & 1 == value]
        out.append(sum((table >> i & 1) << j for j, i in enumerate(rest)))
    return out[0], out[1]


# Operations that a function of two operands takes, by its table (bit 2y + z is the value for y, z).
_PAIR_COST = (0, 2, 2, 1, 2, 1, 1, 2, 1, 2, 0, 2, 0, 2, 1, 0)


def _cost(table: int, x: int) -> int:
    low, high = _cofactors(table, x)
    difference = low ^ high
    if difference == 0:
        return _PAIR_COST[low]
    if difference == 0xF:
        return _PAIR_COST[low] + (low not in (0, 0xF)) + (low == 0xF)
    if 0 in (low, high) or 0xF in (low, high):
        other = high if low in (0, 0xF) else low
        return _PAIR_COST[other] + 1 + (high == 0 or low == 0xF)
    return _PAIR_COST[low] + _PAIR_COST[difference] + 2


def _by_pair_table(g: Emitter, y: V, z: V, table: int) -> V:
    """A function of two operands: bit 2y + z of the table."""
    match table:
        case 0x0:
            return g.zero_like(y)
        case 0x1:
            return g.not_(g.or_(y, z))
        case 0x2:
            return g.and_(g.not_(y), z)
        case 0x3:
            return g.not_(y)
        case 0x4:
            return g.and_(y, g.not_(z))
        case 0x5:
            return g.not_(z)
        case 0x6:
            return g.xor(y, z)
        case 0x7:
            return g.not_(g.and_(y, z))
        case 0x8:
            return g.and_(y, z)
        case 0x9:
            return g.not_(g.xor(y, z))
        case 0xA:
            return z
        case 0xB:
            return g.or_(g.not_(y), z)
        case 0xC:
            return y
        case 0xD:
            return g.or_(y, g.not_(z))
        case 0xE:
            return g.or_(y, z)
        case _:
            return g.const(y.elem, -1, y.n)


def _by_variable_table(g: Emitter, a: V, b: V, c: V, table: V) -> V:
    """The table is an immediate in PTX; here for completeness: the sum of the eight minterms."""
    result = g.zero_like(a)
    for index in range(8):
        entry = g.neg(g.and_(g.lshr(table, g.const("i32", index)), g.const("i32", 1)))
        for i, operand in enumerate((a, b, c)):
            entry = g.and_(entry, operand if index >> (2 - i) & 1 else g.not_(operand))
        result = g.or_(result, entry)
    return result


# ---------------------------------------------------------------------------------------------------------- shifts


def shift(g: Emitter, op: str, a: V, amount: V) -> V:
    """`op` (shl, lshr, ashr) with the amount clamped to the width: a result of 0, or of sign bits. `amount` is a 32-bit number."""
    if op == "ashr":
        return g.ashr(a, g.resize(g.intrinsic("llvm.umin", amount, g.const("i32", a.bits - 1)), a.elem, False))
    if a.bits < 32:
        amount = g.intrinsic("llvm.umin", amount, g.const("i32", a.bits))
    amount = g.resize(amount, a.elem, False)
    # a select does not pass on the poison of the value that it leaves: where shifts clamp (vpsllvd), this is one instruction
    return g.select(g.icmp("ult", amount, g.const(a.elem, a.bits)), g.binary(op, a, amount), g.zero_like(a))


@instruction
class Shl(Lane):
    """shl: bits moved up, zeros from below; amounts of the width and more give 0"""

    syntax = "shl.type d, a, b"
    modifiers = {"type": "b16 b32 b64"}
    types = {"b": "u32"}
    section = "9.7.8.8"

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> Rule | None:
        return shift_left_rule(operands[0], constants[1], types.width(self.type))

    def reference(self, a: int, b: int) -> int:
        return pattern(a << b, self.type) if b < 64 else 0

    def lower(self, g: Emitter, a: V, b: V) -> V:
        return shift(g, "shl", a, b)


@instruction
class Shr(Lane):
    """shr: bits moved down, zeros or sign bits from above; amounts above the width count as the width"""

    syntax = "shr.type d, a, b"
    modifiers = {"type": "b16 b32 b64 u16 u32 u64 s16 s32 s64"}
    types = {"b": "u32"}
    section = "9.7.8.9"

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> Rule | None:
        return None if constants[1] is None else shift_right_rule(operands[0], constants[1], types.width(self.type))

    def reference(self, a: int, b: int) -> int:
        width = types.width(self.type)
        return pattern((signed(a, width) if types.is_signed(self.type) else a) >> min(b, width), self.type)

    def lower(self, g: Emitter, a: V, b: V) -> V:
        return shift(g, "ashr" if types.is_signed(self.type) else "lshr", a, b)


@instruction
class FunnelShift(Lane):
    """shf: 64 bits b:a shifted by 0 to 32 (`.clamp`) or 0 to 31 (`.wrap`); `.l` gives the upper half, `.r` the lower"""

    syntax = "shf.dir.mode.b32 d, a, b, c"
    modifiers = {"dir": "l r", "mode": "clamp wrap"}
    section = "9.7.8.7"
    since = (3, 2)
    target = 32
    dir: str
    mode: str

    def operand_type(self, name: str) -> OperandType:
        return "u32" if name == "c" else "b32"

    def reference(self, a: int, b: int, c: int) -> int:
        n = min(c, 32) if self.mode == "clamp" else c & 31
        value = b << 32 | a
        return (value << n >> 32 if self.dir == "l" else value >> n) & 0xFFFFFFFF

    def lower(self, g: Emitter, a: V, b: V, c: V) -> V:
        shifted = g.intrinsic("llvm.fshl" if self.dir == "l" else "llvm.fshr", b, a, c)  # modulo 32
        if self.mode == "wrap":
            return shifted
        return g.select(g.icmp("ult", c, g.const("i32", 32)), shifted, a if self.dir == "l" else b)
