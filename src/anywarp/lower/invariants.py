"""What is the same for every thread of a launch: computed once where a straight kernel's function begins, in front of its loops over
CTAs and warps.

LLVM's loop passes do as much and take a third of a small kernel's compile time.
"""

from __future__ import annotations

from collections.abc import Iterator

from anywarp.analysis.shapes import Shapes
from anywarp.ir import model
from anywarp.ir.model import Constant, Operation, Value
from anywarp.isa.base import Lane
from anywarp.isa.special_registers import SpecialRegister

OF_THE_LAUNCH = frozenset(f"%{name}.{axis}" for name in ("ntid", "nctaid") for axis in "xyz")


def invariant_operations(function: model.Function, shapes: Shapes) -> Iterator[Operation]:
    """Pure operations on parameters, constants and the launch's shape alone, each behind those that it needs."""
    known: set[int] = set()

    def is_known(operand: object) -> bool:
        return type(operand) is Constant or (type(operand) is Value and operand.id in known)

    for block in function.blocks:
        for op in block.operations:
            if not isinstance(op.op, Lane) or op.guard is not None or op.results[0].id in shapes.constants:
                continue
            if isinstance(op.op, SpecialRegister) and op.op.name not in OF_THE_LAUNCH:
                continue
            of_all = (shapes.of[r.id] for r in op.results)
            if all(s.is_uniform and not s.deviation for s in of_all) and all(is_known(i) for i in op.inputs()):
                known.update(r.id for r in op.results)
                yield op
