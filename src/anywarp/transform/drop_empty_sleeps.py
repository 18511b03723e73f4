"""Drops `nanosleep` of 0 ns, which may end at once and so does nothing.

Before: a block that ends in a cut, where all values that live across it are saved and loaded again. After: the same block without it.

libcu++ writes one behind every atomic operation on local memory; compilers of Python inline those of its reference counts dozens of
times into a kernel. A sleep of 0 ns in a loop that polls is dropped as well: the loop yields by itself (`yield_in_polling_loops`).
"""

from __future__ import annotations

from anywarp.ir import model
from anywarp.ir.model import Constant, Operation, Value
from anywarp.isa.move import Move
from anywarp.isa.synchronisation import Nanosleep


def drop_empty_sleeps(function: model.Function) -> None:
    """Changes the function in place."""
    for block in function.blocks:
        cut = block.cut
        if cut is not None and isinstance(cut.op, Nanosleep) and _is_zero(cut.operands[0]):
            block.operations.pop()


def _is_zero(operand: object) -> bool:
    while type(operand) is Value and isinstance(move := operand.definition, Operation) and isinstance(move.op, Move):
        operand = move.operands[0]
    return type(operand) is Constant and operand.value == 0
