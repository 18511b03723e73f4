"""The per-lane dispatcher: code for kernels whose lanes must be able to wait for one another.

Where a lane spins on what another lane of its warp holds, no fixed order of blocks is right. Here every block is a case of one
dispatcher, lanes wait at blocks in any combination, and the dispatcher goes round: the first block behind the one that ran last at which
lanes wait. So every lane comes to its turn. The price: every value has one number a lane, and all of them live in the warp's frame, written
only for the lanes that run.

A block that begins with an instruction for which lanes of the warp wait for one another (`.sync`) takes its turn when all lanes have come
that the instruction names and that have not exited. Lanes that wait so for what cannot come any more, which PTX leaves undefined, go on
as they are.

Lanes that come to a barrier are parked until no lane of the warp can run. Then the warp reports them, barrier by barrier, and blocks until
one completes; the lanes that wait at others stay where they are.
"""

from __future__ import annotations

from typing import Any

from anywarp import abi
from anywarp.analysis.shapes import Shapes
from anywarp.ir.model import Block, Constant, Operation, Value
from anywarp.isa.synchronisation import BlockingBarrier, ClusterWait
from anywarp.lower.control import Cut
from anywarp.lower.emit import WARP, V
from anywarp.lower.kernel import KernelEmitter
from anywarp.transform.part_before_warp_instructions import gathers


class DispatchEmitter(KernelEmitter):
    """Emits a kernel around a dispatcher; always a stepped one."""

    def prepare(self, shapes: Shapes, is_partial: bool) -> None:
        super().prepare(shapes, True)
        n = len(self.function.blocks)
        self.has_full, self.has_masked, self.checked = [False] * n, [True] * n, [True] * n
        self.is_stepped = True
        self.takes_turns = False
        self.is_partial = True
        self.blend_slots = True
        self._parking: list[tuple[int, Operation, Block]] = []  # barriers of the CTA: resume point, operation, its block
        self._waits: list[tuple[int, Operation, Block]] = []  # of the cluster
        self._gates: list[Block] = []  # blocks at which lanes wait for others of the warp
        self._places = 0  # at which lanes wait, or the warp leaves the function

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
            self._waiting[block.index] = self._take(block)
            self.jump(f"masked.{block.index}")
            self._copy(block, False)
        self._dispatcher(masks, n)

    def _take(self, block: Block) -> V:
        """The lanes that wait at a block and may run it now, taken out of its mask."""
        waiting = self.read_mask(block)
        if not block.operations or not gathers(block.operations[0]):
            self.write_mask(block, self.const("i32", 0))
            return waiting
        self._gates.append(block)
        self.held, self.tests = {}, {}
        op, live = block.operations[0], self.load("i32", 1, self.warp_pointer("live"), 4)
        here, nobody = waiting, self.const("i32", 0)
        if op.guard is not None:  # lanes without it do not take part, and need not wait
            here = self.and_(waiting, self.mask_of(self.vector(op.guard)))
        missing = self.and_(live, self.not_(here))
        names_lanes = op.op.form.operands[-1].name == "membermask"
        if names_lanes and not (isinstance(op.operands[-1], Constant) and op.operands[-1].value == 0xFFFFFFFF):
            named = self.broadcast(self.cast(self.wide_or_uniform(op.operands[-1]), "i32"), WARP)
            complete = self.icmp("eq", self.and_(named, self.broadcast(missing, WARP)), self.const("i32", 0, WARP))
            ready = self.and_(waiting, self.mask_of(complete))
        else:
            ready = self.select(self.icmp("eq", missing, nobody), waiting, nobody)
        ready = self.or_(ready, self.and_(waiting, self.not_(here)))
        forced = self.load("i32", 1, self._state("forced"), 4)
        ready = self.select(self.icmp("eq", forced, nobody), ready, waiting)
        label = self.new_label("gathered")
        self.branch(self.icmp("eq", ready, nobody), "look.on", label)
        self.label(label)
        self.store(nobody, self._state("forced"), 4)
        self.write_mask(block, self.and_(waiting, self.not_(ready)))
        return ready

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
        """No lane can run: tells the runtime of the lanes that wait, those at one barrier of one place at a time, and blocks. Comes back
        when a barrier has completed (`Warp.completed`), and releases the lanes that waited at it, wherever they stand."""
        for pc, op, _ in self._parking:
            here, following = self.new_label("report"), self.new_label("report.next")
            told = self.load("i32", 1, self._state(f"told{pc}"), 4)
            new = self.and_(self.load("i32", 1, self._state(f"parked{pc}"), 4), self.not_(told))
            self.branch(self.icmp("ne", new, self.const("i32", 0)), here, following)
            self.label(here)
            lane = self.first_lane(new)
            numbers = self._kept("number", pc)
            number = self.extract(numbers, lane)
            self.active = self.and_(new, self.mask_of(self.icmp("eq", numbers, number)))
            arrival = op.op.arrival(op)
            count = None if arrival.threads is None else self.extract(self._kept("count", pc), lane)
            predicates = None
            if arrival.predicate is not None:
                predicates = self.and_(self.load("i32", 1, self._state(f"predicates{pc}"), 4), self.active)
            op.op.tell(self, number, count, arrival.reduction, predicates)
            self.store(self.or_(told, self.active), self._state(f"told{pc}"), 4)
            self.store(self.const("i32", self._again), self.warp_pointer("pc"), 4)
            self.line(f"ret i32 {int(abi.Status.PARKED)}")
            self.label(following)
        self.active = self.const("i32", -1)
        for pc, _, _ in self._waits:
            here, following = self.new_label("wait.cluster"), self.new_label("wait.next")
            lanes = self.load("i32", 1, self._state(f"parked{pc}"), 4)
            self.branch(self.icmp("ne", lanes, self.const("i32", 0)), here, following)
            self.label(here)
            self.store(self.const("i32", pc), self.warp_pointer("pc"), 4)
            self.line(f"ret i32 {int(abi.Status.CLUSTER_WAIT)}")
            self.label(following)
        if self._parking:
            told = self.const("i32", 0)
            for pc, _, _ in self._parking:
                told = self.or_(told, self.load("i32", 1, self._state(f"told{pc}"), 4))
            self.branch(self.icmp("ne", told, self.const("i32", 0)), "completed", "idle")
            self.label("completed")
            completed = self.load("i32", 1, self.warp_pointer("completed"), 4)
            self.branch(self.icmp("ne", completed, self.const("i32", 0)), "release", "block")
            self.label("block")
            self.store(self.const("i32", self._again), self.warp_pointer("pc"), 4)
            self.line(f"ret i32 {int(abi.Status.PARKED_ALL)}")
            self.label("release")
            number = self.first_lane(completed)
            self.store(self.and_(completed, self.sub(completed, self.const("i32", 1))), self.warp_pointer("completed"), 4)
            results = self.warp_pointer("parked_results")
            result = self.load("i32", 1, self.offset(results, self.mul(self.zext(number, "i64"), self.const("i64", 4))), 4)
            self.store(result, self.warp_pointer("barrier_result"), 4)
            for pc, op, block in self._parking:
                told = self.load("i32", 1, self._state(f"told{pc}"), 4)
                self._release(pc, op, block, self.and_(told, self.mask_of(self.icmp("eq", self._kept("number", pc), number))))
            self.jump("dispatch")
        else:
            self.jump("idle")
        self.label("idle")
        gathering = self.const("i32", 0)
        for block in self._gates:
            gathering = self.or_(gathering, self.read_mask(block))
        self.store(gathering, self._state("forced"), 4)
        self.branch(self.icmp("ne", gathering, self.const("i32", 0)), "dispatch", self.exit_label)
        self.label(f"resume.{self._again}")
        self.jump("dispatch")
        self.cuts.append(Cut(self.function.blocks[0], False, self._again))
        for pc, op, block in self._waits:
            self.label(f"resume.{pc}")
            self._release(pc, op, block, self.load("i32", 1, self._state(f"parked{pc}"), 4))
            self.jump("dispatch")

    def _kept(self, what: str, pc: int) -> V:
        """An operand of the barrier, as each lane that is parked there had it."""
        return self.load("i32", WARP, self.frame_pointer(f"{what}{pc}", 4 * WARP), 4)

    def _keep(self, what: str, pc: int, operand: Any) -> None:
        v = self.broadcast(self.cast(self.wide_or_uniform(operand), "i32"), WARP)
        self.store(self.select(self.lanes_of(self.active), v, self._kept(what, pc)), self.frame_pointer(f"{what}{pc}", 4 * WARP), 4)

    def _release(self, pc: int, op: Operation, block: Block, lanes: V) -> None:
        """Lanes parked at a place go on to the block behind it."""
        self.held, self.tests = {}, {}
        self.active = lanes
        for key in ("parked", "told"):
            pointer = self._state(f"{key}{pc}")
            self.store(self.and_(self.load("i32", 1, pointer, 4), self.not_(lanes)), pointer, 4)
        for r, v in zip(op.results, self._as_list(op.op.lower_resumed(self, op)) if op.results else []):
            self.define(r, v)
        self.go_masked(block, [(block.successors()[0], self.active)])
        self.active = self.const("i32", -1)

    def _cut(self, op: Operation, block: Block, is_full: bool) -> None:
        self._places += 1
        pc = self._places
        if not isinstance(op.op, BlockingBarrier):
            self.cuts.append(Cut(block, False, pc))
        if isinstance(op.op, (BlockingBarrier, ClusterWait)):
            pointer = self._state(f"parked{pc}")
            self.store(self.or_(self.load("i32", 1, pointer, 4), self.active), pointer, 4)
            if isinstance(op.op, ClusterWait):
                self._waits.append((pc, op, block))
            else:
                self._parking.append((pc, op, block))
                arrival = op.op.arrival(op)
                self._keep("number", pc, arrival.number)
                if arrival.threads is not None:
                    self._keep("count", pc, arrival.threads)
                if arrival.predicate is not None:
                    bits, place = self.mask_of(self.vector(arrival.predicate)), self._state(f"predicates{pc}")
                    others = self.and_(self.load("i32", 1, place, 4), self.not_(self.active))
                    self.store(self.or_(others, self.and_(bits, self.active)), place, 4)
            self.jump("dispatch")
            return
        status = op.op.lower_cut(self, op)
        self.store(self.active, self._state("active"), 4)
        self.store(self.const("i32", pc), self.warp_pointer("pc"), 4)
        self.line(f"ret i32 {status.name if isinstance(status, V) else int(status)}")
        self.label(f"resume.{pc}")
        self.held, self.tests = {}, {}
        self.active = self.load("i32", 1, self._state("active"), 4)
        for r, v in zip(op.results, self._as_list(op.op.lower_resumed(self, op)) if op.results else []):
            self.define(r, v)
        self.terminator(block, False)

    @property
    def _again(self) -> int:
        """The resume point at which nothing happens but another look at all blocks."""
        return 1 << 16

    def reset_masks(self) -> None:
        """The frame keeps the masks between steps: only a warp that begins clears them."""

    def begin_warp(self) -> None:
        for block in self.function.blocks:
            self.write_mask(block, self.const("i32", 0))
        self.store(self.const("i32", -1), self._state("last"), 4)
        self.store(self.const("i32", 0), self._state("forced"), 4)
        for pc, _, _ in (*self._parking, *self._waits):
            for key in ("parked", "told"):
                self.store(self.const("i32", 0), self._state(f"{key}{pc}"), 4)

    def bases(self, operand: Any, rows: int) -> V:
        return self.vector(operand) if rows == WARP else super().bases(operand, rows)
