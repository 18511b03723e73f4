"""Arithmetic on numbers of several registers (PTX ISA 9.7.2): add.cc, addc, sub.cc, subc, mad.cc, madc.

The condition code is one carry flag (or borrow). Declarations here say `reads_carry` and `writes_carry`: the flag comes in as a last
operand and goes out as a last result, both predicates, so it is a value as any other and no state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anywarp.isa import types
from anywarp.isa.base import Lane, instruction
from anywarp.isa.integer import high_product, number, pattern

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V

TYPES = {"type": "u32 s32 u64 s64"}


class _Carry(Lane):
    """Shared by all: a sum or difference of two numbers and the flag."""

    modifiers = TYPES
    since = (1, 2)

    def total(self, value: int) -> int | tuple[int, int]:
        """The result for a sum (or difference) of unsigned numbers, with the flag if it is written."""
        result = pattern(value, self.type)
        return (result, int(value != result)) if self.writes_carry else result

    def lower_sum(self, g: Emitter, a: V, b: V, carry: V | None) -> V | tuple[V, V]:
        a, b = g.same_lanes(a, b)
        total = g.add(a, b)
        flag = g.icmp("ult", total, b)
        if carry is not None:  # the two sums cannot both wrap
            total = g.add(total, g.zext(carry, a.elem))
            flag = g.or_(flag, g.and_(carry, g.icmp("eq", total, g.zero_like(total))))
        return (total, flag) if self.writes_carry else total

    def lower_difference(self, g: Emitter, a: V, b: V, borrow: V | None) -> V | tuple[V, V]:
        a, b = g.same_lanes(a, b)
        difference = g.sub(a, b)
        flag = g.icmp("ult", a, b)
        if borrow is not None:
            flag = g.or_(flag, g.and_(borrow, g.icmp("eq", difference, g.zero_like(difference))))
            difference = g.sub(difference, g.zext(borrow, a.elem))
        return (difference, flag) if self.writes_carry else difference


@instruction
class AddCarryOut(_Carry):
    """add.cc: sum, and whether it wraps"""

    syntax = "add.cc.type d, a, b"
    section = "9.7.2.1"
    writes_carry = True

    def reference(self, a: int, b: int) -> int | tuple[int, int]:
        return self.total(a + b)

    def lower(self, g: Emitter, a: V, b: V) -> V | tuple[V, V]:
        return self.lower_sum(g, a, b, None)


class _AddWithCarry(_Carry):
    section = "9.7.2.2"
    reads_carry = True

    def reference(self, a: int, b: int, carry: int) -> int | tuple[int, int]:
        return self.total(a + b + carry)

    def lower(self, g: Emitter, a: V, b: V, carry: V) -> V | tuple[V, V]:
        return self.lower_sum(g, a, b, carry)


@instruction
class AddCarryIn(_AddWithCarry):
    """addc: sum of two numbers and the carry"""

    syntax = "addc.type d, a, b"


@instruction
class AddCarryThrough(_AddWithCarry):
    """addc.cc: sum of two numbers and the carry, and whether it wraps"""

    syntax = "addc.cc.type d, a, b"
    writes_carry = True


@instruction
class SubBorrowOut(_Carry):
    """sub.cc: difference, and whether it borrows"""

    syntax = "sub.cc.type d, a, b"
    section = "9.7.2.3"
    writes_carry = True

    def reference(self, a: int, b: int) -> int | tuple[int, int]:
        return self.total(a - b)

    def lower(self, g: Emitter, a: V, b: V) -> V | tuple[V, V]:
        return self.lower_difference(g, a, b, None)


class _SubWithBorrow(_Carry):
    section = "9.7.2.4"
    reads_carry = True

    def reference(self, a: int, b: int, carry: int) -> int | tuple[int, int]:
        return self.total(a - b - carry)

    def lower(self, g: Emitter, a: V, b: V, carry: V) -> V | tuple[V, V]:
        return self.lower_difference(g, a, b, carry)


@instruction
class SubBorrowIn(_SubWithBorrow):
    """subc: difference of two numbers, less the borrow"""

    syntax = "subc.type d, a, b"


@instruction
class SubBorrowThrough(_SubWithBorrow):
    """subc.cc: difference of two numbers, less the borrow, and whether it borrows"""

    syntax = "subc.cc.type d, a, b"
    writes_carry = True


class _MadCarry(_Carry):
    """Half of a product plus c; the flag is that of the sum."""

    modifiers = {"mode": "lo hi", **TYPES}
    since = (3, 0)
    target = 20
    mode: str

    def half(self, a: int, b: int) -> int:
        product = number(a, self.type) * number(b, self.type)
        return pattern(product >> types.width(self.type) if self.mode == "hi" else product, self.type)

    def lower_half(self, g: Emitter, a: V, b: V) -> V:
        return g.mul(a, b) if self.mode == "lo" else high_product(g, a, b, types.is_signed(self.type))


@instruction
class MadCarryOut(_MadCarry):
    """mad.cc: half of a product, plus a number, and whether that sum wraps"""

    syntax = "mad.mode.cc.type d, a, b, c"
    section = "9.7.2.5"
    writes_carry = True

    def reference(self, a: int, b: int, c: int) -> int | tuple[int, int]:
        return self.total(self.half(a, b) + c)

    def lower(self, g: Emitter, a: V, b: V, c: V) -> V | tuple[V, V]:
        return self.lower_sum(g, self.lower_half(g, a, b), c, None)


class _MadWithCarry(_MadCarry):
    section = "9.7.2.6"
    reads_carry = True

    def reference(self, a: int, b: int, c: int, carry: int) -> int | tuple[int, int]:
        return self.total(self.half(a, b) + c + carry)

    def lower(self, g: Emitter, a: V, b: V, c: V, carry: V) -> V | tuple[V, V]:
        return self.lower_sum(g, self.lower_half(g, a, b), c, carry)


@instruction
class MadCarryIn(_MadWithCarry):
    """madc: half of a product, plus a number and the carry"""

    syntax = "madc.mode.type d, a, b, c"


@instruction
class MadCarryThrough(_MadWithCarry):
    """madc.cc: half of a product, plus a number and the carry, and whether that sum wraps"""

    syntax = "madc.mode.cc.type d, a, b, c"
    writes_carry = True
