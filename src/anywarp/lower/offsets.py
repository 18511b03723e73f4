"""Constants that are added to an address belong into the access: neighbouring accesses then share one base, its pointer and its tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anywarp.ir.model import Address, Constant, Operation, Value
from anywarp.isa.integer import Add

if TYPE_CHECKING:
    from anywarp.lower.memory import MemoryEmitter


def fold_constants(w: MemoryEmitter, address: Address) -> Address:
    """The same address from an older value, where this one is that plus constants, computed in this block (what a slot holds of an older
    value may have changed since, for lanes that left a loop before others). 64-bit sums may wrap, as addresses do; narrower ones are
    widened first, so there a constant must fit into bits that are 0 in every lane."""
    base, offset = address.base, address.offset
    while type(base) is Value and isinstance(base.definition, Operation) and base.id not in w.shapes.constants:
        add = base.definition
        if w.home[base.id] != w.block_index or not isinstance(add.op, Add) or add.op.sat or len(add.operands) != 2:
            break
        first, second = add.operands if type(add.operands[1]) is Constant else reversed(add.operands)
        if type(first) is not Value or type(second) is not Constant or first.width != base.width:
            break
        if first.id not in w.held and first.id not in w.crossing:
            break
        constant = second.value - (1 << base.width if second.value >> (base.width - 1) else 0)
        shape = w.shapes.of[first.id]
        free = min(shape.multiple, shape.stride & -shape.stride) if shape.stride else shape.multiple
        if shape.deviation or (base.width < 64 and not 0 <= constant < free):
            break
        base, offset = first, offset + constant
    return address if base is address.base else Address(base, offset)
