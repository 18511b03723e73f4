"""Puts constants in the place of values that ranges decide: sign bits of thread numbers, comparisons that always go the same way.

Before: `e / 16` for an int e that is a thread's number, as compilers write a signed division by a power of two:

    sign = shr.s32 e, 31;  bias = shr.u32 sign, 28;  sum = add e, bias;  q = shr.s32 sum, 4

After: `sum = add e, 0`, so `q` is seen to be the same in rows of 16 lanes (`analysis.shapes`); with a bias of unknown value it would vary.
"""

from __future__ import annotations

from typing import Any

from anywarp.analysis.ranges import Ranges
from anywarp.ir import model
from anywarp.ir.model import Branch, Constant, Value
from anywarp.isa import logic
from anywarp.isa.base import Lane


def fold_known_numbers(function: model.Function) -> None:
    """Rewrites operands of lane-wise operations, of phis and of branches, in place; operations whose results nobody uses stay."""
    if not any(_is_sign(op) for op in function.operations()):
        return
    ranges = Ranges(function)
    known: dict[int, Constant] = {}
    for op in function.operations():
        for r in op.results if isinstance(op.op, Lane) else ():
            if r.width > 1 and ranges.limit(r) == 1:
                known[r.id] = Constant(0, r.width)
            elif r.width == 1 and (decided := ranges.decided(r)) is not None:
                known[r.id] = Constant(int(decided), 1)
    if not known:
        return

    def folded(operand: Any) -> Any:
        return known.get(operand.id, operand) if type(operand) is Value else operand

    for block in function.blocks:
        for phi in block.phis:
            phi.operands = [folded(o) for o in phi.operands]
        for op in block.operations:
            if isinstance(op.op, Lane):
                op.operands = [folded(o) for o in op.operands]
        if isinstance(block.terminator, Branch):
            block.terminator.condition = folded(block.terminator.condition)


def _is_sign(op: model.Operation) -> bool:
    """Whether an operation spreads a sign bit: what signed divisions by powers of two begin with."""
    amount = op.operands[1] if isinstance(op.op, logic.Shr) else None
    return type(amount) is Constant and amount.value == op.results[0].width - 1 and str(op.op.type)[0] == "s"
