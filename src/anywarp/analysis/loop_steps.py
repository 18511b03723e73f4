"""By how much a value moves from one iteration of its innermost loop to the next, where that is the same in all iterations.

For hints only (`lower.prefetch`): integer types of any width are taken for the numbers that they hold, wrap-around is not looked at.
"""

from __future__ import annotations

from typing import Any

from anywarp.analysis import cfg
from anywarp.analysis.shapes import Shapes
from anywarp.ir import model
from anywarp.ir.model import Constant, Operation, Phi, Value
from anywarp.isa import addresses, conversion, integer, logic, move

MAX_DEPTH = 16

Step = dict[Any, int]  # operand that is uniform and does not change in the loop -> how often it is added; key None: 1


def is_global(op: Operation) -> bool:
    """Whether an operation accesses memory that may be global."""
    return bool((op.op.reads or op.op.writes) and getattr(op.op, "space", None) in ("global", "generic", "", None))


class LoopSteps:
    """Steps of a kernel's values, found when asked for."""

    def __init__(self, function: model.Function, shapes: Shapes) -> None:
        self.shapes, self.loops = shapes, shapes.graph.loops
        self.home: dict[int, int] = {}
        for block in function.blocks:
            for phi in block.phis:
                self.home[phi.result.id] = block.index
            for op in block.operations:
                for r in op.results:
                    self.home[r.id] = block.index
        self._known: dict[tuple[int, int], Step | None] = {}

    def of(self, value: Any, loop: cfg.Loop) -> Step | None:
        """A value's step in a loop: {} where it does not change, None where it is not known."""
        if self._is_fixed(value, loop):
            return {}
        key = (value.id, loop.header)
        if key not in self._known:
            self._known[key] = None
            self._known[key] = self._find(value, loop)
        return self._known[key]

    def _is_fixed(self, value: Any, loop: cfg.Loop) -> bool:
        return type(value) is not Value or self.home[value.id] not in loop.blocks

    def _find(self, value: Value, loop: cfg.Loop) -> Step | None:
        definition = value.definition
        if isinstance(definition, Phi):
            if definition.block.index != loop.header:
                return None
            back = [o for o, p in zip(definition.operands, definition.block.predecessors) if p.index in loop.blocks]
            return self._moved(back[0], value, loop, MAX_DEPTH) if len(back) == 1 else None
        if not isinstance(definition, Operation):
            return None
        op, o = definition.op, definition.operands
        if isinstance(op, integer.Add) and not op.sat:
            return _sum(self.of(o[0], loop), self.of(o[1], loop), 1)
        if isinstance(op, integer.Sub) and not op.sat:
            return _sum(self.of(o[0], loop), self.of(o[1], loop), -1)
        if isinstance(op, integer.MulWide) or (isinstance(op, integer.Mul) and op.mode == "lo"):
            return self._product(o[0], o[1], loop)
        if isinstance(op, integer.MadWide) or (isinstance(op, integer.Mad) and op.mode == "lo"):
            return _sum(self._product(o[0], o[1], loop), self.of(o[2], loop), 1)
        if isinstance(op, logic.Shl) and type(o[1]) is Constant:
            return _times(self.of(o[0], loop), 1 << min(o[1].value, 63))
        if isinstance(op, move.Move | addresses.ConvertIdentity) or (isinstance(op, conversion.ConvertInteger) and not op.sat):
            return self.of(o[0], loop)
        return None

    def _moved(self, value: Any, phi: Value, loop: cfg.Loop, depth: int) -> Step | None:
        """value - phi, for the value that the phi gets by the loop's back edge."""
        if value is phi:
            return {}
        definition = value.definition if type(value) is Value else None
        if not depth or not isinstance(definition, Operation) or self._is_fixed(value, loop):
            return None
        op, o = definition.op, definition.operands
        if isinstance(op, integer.Add) and not op.sat:
            for a, b in ((o[0], o[1]), (o[1], o[0])):
                rest = self._moved(a, phi, loop, depth - 1) if type(a) is Value else None
                if rest is not None and self._is_fixed(b, loop):
                    return _sum(rest, self._amount(b), 1)
        if isinstance(op, integer.Sub) and not op.sat and self._is_fixed(o[1], loop):
            return _sum(self._moved(o[0], phi, loop, depth - 1), self._amount(o[1]), -1)
        return None

    def _amount(self, operand: Any) -> Step | None:
        if type(operand) is Constant:
            return {None: integer.signed(operand.value, operand.width)}
        return {operand: 1} if type(operand) is Value and self.shapes.shape(operand).is_uniform else None

    def _product(self, a: Any, b: Any, loop: cfg.Loop) -> Step | None:
        if self._is_fixed(a, loop):
            a, b = b, a
        if not self._is_fixed(b, loop):
            return None
        step = self.of(a, loop)
        if type(b) is Constant:
            return _times(step, integer.signed(b.value, b.width))
        if step is not None and set(step) <= {None} and type(b) is Value and self.shapes.shape(b).is_uniform:
            return {b: step.get(None, 0)}
        return None


def _sum(a: Step | None, b: Step | None, sign: int) -> Step | None:
    if a is None or b is None:
        return None
    total = dict(a)
    for key, n in b.items():
        total[key] = total.get(key, 0) + sign * n
    return total


def _times(step: Step | None, factor: int) -> Step | None:
    return None if step is None else {key: n * factor for key, n in step.items()}
