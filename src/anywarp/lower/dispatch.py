"""The per-lane dispatcher: code for kernels whose lanes must be able to wait for one another.

Where a lane spins on what another lane of its warp holds, or control flow is irreducible, no fixed order of blocks is right. Here every
block is a case of one dispatcher, lanes wait at blocks in any combination, and the dispatcher goes round: the first block behind the one
that ran last at which lanes wait. So every lane comes to its turn. The price: every value has one number a lane, and all of them live in
the warp's frame, written only for the lanes that run.

Lanes that come to a barrier are parked until no lane of the warp can run; then the warp reports them.
"""

from __future__ import annotations

from typing import Any

from anywarp import abi
from anywarp.analysis.shapes import Shapes
from anywarp.ir.model import Block, Operation, Value
from anywarp.isa.synchronisation import Barrier
from anywarp.lower.emit import WARP, V
from anywarp.lower.kernel import KernelEmitter


class DispatchEmitter(KernelEmitter):
    """Emits a kernel around a dispatcher; always a stepped one."""

    def prepare(self, shapes: Shapes, is_partial: bool) -> None:
        super().prepare(shapes, True)
        n = len(self.function.blocks)
        self.has_full, self.has_masked, self.checked = [False] * n, [True] * n, [True] * n
        self.is_stepped = True
        self.is_partial = True
        self.blend_slots = True
        self._parking: list[tuple[int, Operation, Block]] = []

    # ------------------------------------------------------------------------------------------------ state in the frame

    def slot(self, value: Value) -> str:
        name = self.slots.get(value.id)
        if name is None:
            name = self.slots[value.id] = f"%slot{value.id}"
            elem = self.elems[value.id]
            size = 4 if elem == "i1" else WARP * V(elem, 1, "").bits // 8
            self._prologue.append(f"  {name} = getelementptr i8, ptr %frame, i64 {self.frame_place(f'v{value.id}', size)}")
        return name

    def _state(self, key: str) -> V:
        return self.frame_pointer(key, 4)

    # ------------------------------------------------------------------------------------------------ blocks

    def emit_blocks(self) -> None:
        n = len(self.function.blocks)
        masks = self.frame_place("masks", 4 * n)
        for block in self.function.blocks:
            self._prologue.append(f"  {self.mask_slot(block)} = getelementptr i8, ptr %frame, i64 {masks + 4 * block.index}")
        for block in self.function.blocks:
            self.label(f"case.{block.index}")
            self._waiting[block.index] = self.read_mask(block)
            self.write_mask(block, self.const("i32", 0))
            self.jump(f"masked.{block.index}")
            self._copy(block, False)
        self._dispatcher(masks, n)

    def check_label(self, index: int) -> str:
        return "dispatch"

    def _dispatcher(self, masks: int, n: int) -> None:
        """Goes round from the block behind the last one; n + 1 looks find out that nobody can run."""
        self.label("dispatch")
        self.jump("look.begin")
        self.label("look.begin")
        last = self.load("i32", 1, self._state("last"), 4)
        self.jump("look")
        self.label("look")
        self.line(f"%look.at = phi i32 [ {last.name}, %look.begin ], [ %look.next, %look.on ]")
        self.line("%look.count = phi i32 [ 0, %look.begin ], [ %look.more, %look.on ]")
        after = self.add(V("i32", 1, "%look.at"), self.const("i32", 1))
        self.line(f"%look.next = select i1 {self.icmp('uge', after, self.const('i32', n)).name}, i32 0, i32 {after.name}")
        pointer = self.offset(
            self.frame_base, self.add(self.zext(self.shl(V("i32", 1, "%look.next"), self.const("i32", 2)), "i64"), self.const("i64", masks))
        )
        mask = self.load("i32", 1, pointer, 4)
        self.branch(self.icmp("ne", mask, self.const("i32", 0)), "look.found", "look.on")
        self.label("look.on")
        self.line("%look.more = add i32 %look.count, 1")
        self.branch(self.icmp("ult", V("i32", 1, "%look.more"), self.const("i32", n)), "look", "nobody")
        self.label("look.found")
        self.store(V("i32", 1, "%look.next"), self._state("last"), 4)
        cases = " ".join(f"i32 {i}, label %case.{i}" for i in range(n))
        self.line(f"switch i32 %look.next, label %nobody [ {cases} ]")
        self.label("nobody")
        self._report()

    def _report(self) -> None:
        """No lane can run: tells the runtime of parked lanes, group by group; the last group blocks."""
        for number, (pc, op, _) in enumerate(self._parking):
            here, following = self.new_label("report"), self.new_label("report.next")
            parked = self.load("i32", 1, self._state(f"parked{pc}"), 4)
            told = self.load("i32", 1, self._state(f"told{pc}"), 4)
            new = self.and_(parked, self.not_(told))
            self.branch(self.icmp("ne", new, self.const("i32", 0)), here, following)
            self.label(here)
            self.held, self.tests, self.active = {}, {}, new
            status = op.op.lower_cut(self, op)
            self.store(parked, self._state(f"told{pc}"), 4)
            others = self.const("i32", 0)
            for other, _, _ in self._parking[number + 1 :]:
                waits, knows = (self.load("i32", 1, self._state(f"{k}{other}"), 4) for k in ("parked", "told"))
                others = self.or_(others, self.and_(waits, self.not_(knows)))
            is_last = self.icmp("eq", others, self.const("i32", 0))
            self.store(self.select(is_last, self.const("i32", pc), self.const("i32", len(self.cuts) + 1)), self.warp_pointer("pc"), 4)
            result = self.select(is_last, self.const("i32", int(status)), self.const("i32", int(abi.Status.ARRIVED)))
            self.line(f"ret i32 {result.name}")
            self.label(following)
        self.active = self.const("i32", -1)
        self.jump(self.exit_label)
        if not self._parking:
            return
        self.label(f"resume.{len(self.cuts) + 1}")  # after a group that was counted without blocking
        self.jump("dispatch")
        self._barrier_done = True
        for pc, _, _ in self._parking:
            self.label(f"resume.{pc}")
            for each, operation, block in self._parking:
                self._release(each, operation, block)
            self.jump("dispatch")
        from anywarp.lower.control import Cut

        self.cuts.append(Cut(self.function.blocks[0], False, len(self.cuts) + 1))

    def _release(self, pc: int, op: Operation, block: Block) -> None:
        """A barrier has completed: its lanes go on to the block behind it."""
        self.held, self.tests = {}, {}
        self.active = self.load("i32", 1, self._state(f"parked{pc}"), 4)
        for key in ("parked", "told"):
            self.store(self.const("i32", 0), self._state(f"{key}{pc}"), 4)
        for r, v in zip(op.results, self._as_list(op.op.lower_resumed(self, op)) if op.results else []):
            self.define(r, v)
        self.go_masked(block, [(block.successors()[0], self.active)])
        self.active = self.const("i32", -1)

    def _cut(self, op: Operation, block: Block, is_full: bool) -> None:
        from anywarp.lower.control import Cut

        pc = len(self.cuts) + 1
        self.cuts.append(Cut(block, False, pc))
        if isinstance(op.op, Barrier):
            self._parking.append((pc, op, block))
            pointer = self._state(f"parked{pc}")
            self.store(self.or_(self.load("i32", 1, pointer, 4), self.active), pointer, 4)
            self.jump("dispatch")
            return
        status = op.op.lower_cut(self, op)
        self.store(self.active, self._state("active"), 4)
        self.store(self.const("i32", pc), self.warp_pointer("pc"), 4)
        self.line(f"ret i32 {int(status)}")
        self.label(f"resume.{pc}")
        self.held, self.tests = {}, {}
        self.active = self.load("i32", 1, self._state("active"), 4)
        for r, v in zip(op.results, self._as_list(op.op.lower_resumed(self, op)) if op.results else []):
            self.define(r, v)
        self.terminator(block, False)

    def reset_masks(self) -> None:
        """The frame keeps the masks between steps: only a warp that begins clears them."""

    def begin_warp(self) -> None:
        for block in self.function.blocks:
            self.write_mask(block, self.const("i32", 0))
        self.store(self.const("i32", -1), self._state("last"), 4)
        for pc, _, _ in self._parking:
            for key in ("parked", "told"):
                self.store(self.const("i32", 0), self._state(f"{key}{pc}"), 4)

    def bases(self, operand: Any, rows: int) -> V:
        return self.vector(operand) if rows == WARP else super().bases(operand, rows)
