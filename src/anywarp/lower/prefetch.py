"""Hints for loops that stride over memory: the lines that a later iteration will touch.

The machine's own prefetchers follow a stream within a page. A thread that walks along z in a volume, or down a column, touches a new page
with every step; where the address moves by the same amount in each iteration, `prefetcht0` of the address some iterations ahead hides most
of the way to memory. A hint never faults, so the address need not be one that the program will touch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anywarp.analysis.loop_steps import LoopSteps, Step, is_global
from anywarp.ir import builtin, model
from anywarp.ir.model import Address, Value
from anywarp.lower.emit import V

if TYPE_CHECKING:
    from anywarp.lower.memory import MemoryEmitter, Place

NEAR = 2048  # bytes: below, the machine sees the stream itself
LINE = 64
MOST = 24  # hints of one loop
AHEAD = 16  # accesses from now


class Prefetch:
    """Decides which accesses of a kernel get a hint."""

    def __init__(self, function: model.Function, steps: LoopSteps) -> None:
        self.steps = steps
        self.accesses: dict[int, int] = {}  # by header: global accesses of the loop
        self.in_order: set[int] = set()  # headers of grid-stride loops in step: a copy takes 10.2 ms with hints, 9.0 without
        self.done: dict[tuple[int, bool], set[int]] = {}  # by header and kind of copy: addresses that have theirs
        for loop in steps.loops.all:
            operations = [op for b in loop.blocks for op in function.blocks[b].operations]
            self.accesses[loop.header] = sum(1 for op in operations if is_global(op))
            if any(isinstance(op.op, builtin.Step) and op.op.is_grid_stride for op in operations):
                self.in_order.add(loop.header)

    def hint(self, w: MemoryEmitter, block: int, address: Address, place: Place, size: int) -> None:
        """Emits hints for an access in a block, if it strides. Lanes that are off may get them, too."""
        loop = self.steps.loops.innermost[block]
        base = address.base
        if loop is None or loop.children or loop.header in self.in_order or type(base) is not Value or place.shape.rows != 1:
            return
        done = self.done.setdefault((loop.header, w.is_full), set())
        step = self.steps.of(base, loop) if base.id not in done and len(done) < MOST else None
        if not step or (set(step) == {None} and abs(step[None]) < NEAR) or not any(step.values()):
            return
        if any(isinstance(k, Value) and not _is_at_hand(w, k) for k in step):
            return
        done.add(base.id)
        ahead = max(1, AHEAD // self.accesses[loop.header])
        first = w.offset(place.pointer, _bytes(w, step, ahead))
        reach = abs(place.shape.stride) * 31 + size
        for offset in range(0, min(reach, 4 * LINE), LINE):
            w.prefetch(w.offset(first, offset if place.shape.stride >= 0 else -offset))


def _is_at_hand(w: Any, operand: Value) -> bool:
    return operand.id in w.held or operand.id in w.crossing


def _bytes(w: MemoryEmitter, step: Step, ahead: int) -> V:
    total = w.const("i64", step.get(None, 0) * ahead)
    for operand, factor in step.items():
        if operand is not None:
            number = w.cast(w.get(operand).base, f"i{operand.width}")
            wide = w.sext(number, "i64") if operand.width < 64 else number
            total = w.add(total, w.mul(wide, w.const("i64", factor * ahead)))
    return total
