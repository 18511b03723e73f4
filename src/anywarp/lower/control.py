"""Control flow: which lanes run which block.

Every block that may run with a part of the warp has a mask variable: the lanes that wait at its start. Blocks stand in layout order (loops
contiguous, latch last), and control always goes to the first block in that order at which lanes wait: thread frontiers (Diamos et al.,
MICRO 2011). So lanes that part at a branch meet again at the earliest block that they share, and each block of a loop runs once an
iteration.

Blocks are emitted in up to two copies. The *full* copy runs when all 32 lanes do, without masks: a divergent branch there tests at run time
whether the lanes really part, and only then goes over to *masked* copies. A masked block at which all lanes have met goes back to its full
copy. Blocks that never run with a part of the warp have only a full copy (a masked one only, in variants with a partial last warp).

A phi is a variable: predecessors write it on their edges, for the lanes that take the edge.

In a kernel with cuts the function is entered again behind each cut: a *resume point* reloads what lives across it from the warp's frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from anywarp import abi
from anywarp.analysis.lone_loops import LoneRegion
from anywarp.analysis.loop_steps import LoopSteps
from anywarp.analysis.shapes import Shapes
from anywarp.ir import model
from anywarp.ir.model import Block, Branch, Exit, Jump, Operation, Switch, Value
from anywarp.isa import types
from anywarp.isa.base import Lane, Warp
from anywarp.lower.agreement import agreement
from anywarp.lower.emit import WARP, V
from anywarp.lower.memory import MemoryEmitter
from anywarp.lower.prefetch import Prefetch
from anywarp.lower.recompute import Recompute
from anywarp.lower.turns import take_turns, turn_of

PART = 10_000  # lines of LLVM's IR of a long block that stay together; parts of 2,500 cost flash attention a tenth
DUPLICATION_LIMIT = 600  # operations in divergent blocks above which they get no full copy: masked code runs 1.0 to 1.5 times as long


@dataclass
class Cut:
    """A place at which a warp leaves the function and comes back."""

    block: Block
    is_full: bool
    pc: int
    saved: list[Value] = field(default_factory=list)


def _is_varying_address(operand: object, shapes: Shapes) -> bool:
    return type(operand) is model.Address and shapes.shape(operand.base).is_varying


class ControlEmitter(MemoryEmitter):
    """Emits the blocks of a kernel, between the labels that `lower.kernel` gives for the end of a warp."""

    exit_label: str  # where a warp that has run to its end goes
    is_stepped: bool
    steps_inside: bool  # a straight kernel whose warps run in step
    takes_turns: bool  # a stepped kernel that may go on with another warp by itself
    parts_blocks = True  # whether long blocks are parted for LLVM

    def prepare(self, shapes: Shapes, is_partial: bool) -> None:
        """Decides which copies there are."""
        blocks = self.function.blocks
        divergent = shapes.divergent_blocks
        size = sum(len(blocks[b].operations) for b in divergent)
        self.has_full = [b.index not in divergent or size <= DUPLICATION_LIMIT for b in blocks]
        self.has_masked = [b.index in divergent or is_partial for b in blocks]
        self.lane_accesses = sum(
            self.has_full[b.index] + self.has_masked[b.index]
            for b in blocks
            for op in b.operations
            if (op.op.reads or op.op.writes) and op.operands and _is_varying_address(op.operands[0], shapes)
        )
        self.cuts: list[Cut] = []
        self.recompute = Recompute(self.function, shapes)
        if shapes.graph.loops.all:
            self.hints = Prefetch(self.function, LoopSteps(self.function, shapes))
        self.lone_loops: dict[int, LoneRegion] = {}  # by entry
        self.without_vectors: set[int] = set()  # blocks of loops whose lanes always run by themselves
        self.frame_bytes = 0
        self._frame: dict[str, int] = {}
        self._waiting: dict[int, V] = {}  # the lanes that run a masked copy
        self._find_checked()

    def _find_checked(self) -> None:
        blocks = self.function.blocks
        self.checked = [  # blocks at which lanes may wait: masked ones, and those that masked code comes to with all lanes
            self.has_masked[b.index] or not self.has_full[b.index] or any(self.has_masked[p.index] for p in b.predecessors) for b in blocks
        ]

    def take_lone_loops(self, loops: dict[int, LoneRegion]) -> None:
        """Makes lanes of these loops run by themselves (`lower.lone_lanes`)."""
        self.lone_loops = loops
        for lone in loops.values():
            if lone.few >= WARP:
                self.without_vectors |= lone.blocks
                for b in lone.blocks:
                    self.has_full[b], self.has_masked[b] = False, True
        self._find_checked()

    # ------------------------------------------------------------------------------------------------ labels and masks

    def full_label(self, block: Block) -> str:
        return f"full.{block.index}"

    def check_label(self, index: int) -> str:
        """Where control looks whether lanes wait at block `index`, or at any behind it."""
        while index < len(self.checked) and not self.checked[index]:
            index += 1
        return f"check.{index}" if index < len(self.checked) else self.end_label

    @property
    def end_label(self) -> str:
        return "all.done"

    def mask_slot(self, block: Block) -> str:
        return f"%mask{block.index}"

    def read_mask(self, block: Block) -> V:
        return self.value("i32", 1, f"load i32, ptr {self.mask_slot(block)}, align 4")

    def write_mask(self, block: Block, mask: V) -> None:
        self.line(f"store {mask.typed}, ptr {self.mask_slot(block)}, align 4")

    def add_to_mask(self, block: Block, mask: V) -> None:
        self.write_mask(block, self.or_(self.read_mask(block), mask))

    def reset_masks(self) -> None:
        for block in self.function.blocks:
            self.write_mask(block, self.const("i32", 0))

    # ------------------------------------------------------------------------------------------------ blocks

    def emit_blocks(self) -> None:
        """All copies of all blocks, then the resume points."""
        for block in self.function.blocks:
            self.entry_lines.append(f"  {self.mask_slot(block)} = alloca i32, align 4")
        for block in self.function.blocks:
            if self.has_full[block.index]:
                self._copy(block, True)
        for block in self.function.blocks:
            if self.checked[block.index]:
                self._check(block)
            if self.has_masked[block.index]:
                self._copy(block, False)
        self.label(self.end_label)
        self.jump(self.exit_label)

    def _check(self, block: Block) -> None:
        """`check.N`: go on behind where nobody waits; else take the waiting lanes and run."""
        index = block.index
        self.label(self.check_label(index))
        mask = self.read_mask(block)
        nobody = self.icmp("eq", mask, self.const("i32", 0))
        here = self.new_label("wait")
        self.branch(nobody, self.check_label(index + 1), here)
        self.label(here)
        self.write_mask(block, self.const("i32", 0))
        if not self.has_masked[index]:
            self.jump(self.full_label(block))
            return
        if self.has_full[index] and len(block.predecessors) > 1:
            everybody = self.icmp("eq", mask, self.const("i32", -1))
            self.branch(everybody, self.full_label(block), f"masked.{index}")
        else:
            self.jump(f"masked.{index}")
        self._waiting[index] = mask

    def _copy(self, block: Block, is_full: bool) -> None:
        self.held, self.tests = {}, {}
        self.block_index = block.index
        self.label(self.full_label(block) if is_full else f"masked.{block.index}")
        self.active = self.const("i32", -1) if is_full else self._waiting[block.index]
        if not is_full:
            self.begin_masked(block)
            if block.index in self.without_vectors:
                if block.index not in self.lone_loops:
                    self.line("unreachable")
                return
        part_from = len(self.lines)
        for op in block.operations:
            if len(self.lines) > part_from + PART and self.parts_blocks:
                self._begin_part()
                part_from = len(self.lines)
            self.debug = self.location(op.line)
            self.current = op
            self.operation(op, block, is_full)
            self.release_scratch()
        if block.cut is None:
            self.terminator(block, is_full)
        self.debug = ""
        self.active = self.const("i32", -1)

    def _begin_part(self) -> None:
        """Parts a long block, since LLVM's time for one grows with the square of its length. The branch always comes here (a block has
        threads); LLVM must not see that, or it would join the parts."""
        part = self.new_label("part")
        self.debug = ""
        at = self.offset(self.launch, abi.LAUNCH.offset("threads"))
        self.branch(self.icmp("ne", self.load("i32", 1, at, 4, volatile=True), self.const("i32", 0)), part, self.exit_label)
        self.label(part)

    def begin_masked(self, block: Block) -> None:
        """At the start of a masked copy."""

    def location(self, line: int) -> str:
        return ""

    def operation(self, op: Operation, block: Block, is_full: bool) -> None:
        declaration = op.op
        if isinstance(declaration, Lane):
            if op.results[0].id not in self.invariants:
                self.lane_operation(op)
        elif declaration.is_cut:
            self._cut(op, block, is_full)
        elif isinstance(declaration, Warp):
            self._warp_operation(op)
        else:
            results = [(f"i{r.width}", self.shapes.of[r.id].rows) for r in op.results]
            values = self._with_guard(op, results, lambda: declaration.lower(self, op))
            for r, v in zip(op.results, values):
                self.define(r, v)

    def _with_guard(self, op: Operation, results: list[tuple[str, int]], code: Any) -> list[V]:
        if op.guard is None:
            return self._as_list(code())
        held = self.get(op.guard)
        guard = held.base if held.shape.is_uniform else self.vector(op.guard)

        def inside() -> list[V]:
            return [self.cast(self.broadcast(v, n), e) for v, (e, n) in zip(self._as_list(code()), results)]

        return self.guarded(guard, results, inside)

    @staticmethod
    def _as_list(result: Any) -> list[V]:
        if result is None:
            return []
        return list(result) if type(result) in (list, tuple) and not isinstance(result, V) else [result]

    def _warp_operation(self, op: Operation) -> None:
        def typed(operand: Any, type_: str) -> V:
            return self.cast(self.wide_or_uniform(operand), types.llvm(type_))

        operands = [
            tuple(typed(o, t[0]) for o in operand) if type(operand) is tuple else typed(operand, t)
            for operand, t in zip(op.operands, op.types)
        ]
        results = [(types.llvm(t), self.shapes.of[r.id].rows) for r, t in zip(op.results, op.result_types)]
        for r, v in zip(op.results, self._with_guard(op, results, lambda: op.op.lower(self, *operands))):
            self.define(r, v)

    # ------------------------------------------------------------------------------------------------ edges

    def edges(self, source: Block, targets: list[tuple[Block, V]]) -> None:
        """Writes the targets' phis, each for the lanes of its mask. All values are read before any is written."""
        writes: list[tuple[Value, V, V | None]] = []
        for target, mask in targets:
            if not target.phis:
                continue
            which = target.predecessors.index(source)
            lanes = None if mask.name == "-1" else mask
            for phi in target.phis:
                shape = self.shapes.of[phi.result.id]
                operand = phi.operands[which]
                if type(operand) is model.Undefined and lanes is not None:
                    continue
                base = self.vector(operand) if shape.is_varying else self.bases(operand, shape.rows)
                writes.append((phi.result, base, lanes))
        for value, base, lanes in writes:
            self.write_slot(value, base, lanes)

    def go_full(self, source: Block, target: Block) -> None:
        """All lanes go from a full copy to `target`."""
        self.edges(source, [(target, self.const("i32", -1))])
        if self.has_full[target.index]:
            self.jump(self.full_label(target))
        else:
            self.write_mask(target, self.const("i32", -1))
            self.jump(self.check_label(target.index))

    def go_masked(self, source: Block, targets: list[tuple[Block, V]]) -> None:
        """The lanes of each mask wait at its target from now on."""
        self.edges(source, targets)
        for target, mask in targets:
            self.arrive(target, mask)

    def arrive(self, target: Block, mask: V) -> None:
        """Lanes, whose phis are written, wait at a block, or end there."""
        if not target.operations and isinstance(target.terminator, Exit):  # those at a barrier must not wait for them
            self.mark_exited(mask)
        else:
            self.add_to_mask(target, mask)

    def leave_masked(self, source: Block, targets: list[Block]) -> None:
        """From masked code to the first block at which lanes wait. A back edge goes to its header, the first of the loop."""
        back = [t for t in targets if t.index <= source.index]
        if back:
            self.jump(self.check_label(back[0].index))
        else:
            self.jump(self.check_label(source.index + 1))

    def terminator(self, block: Block, is_full: bool) -> None:
        t = block.terminator
        self._current_index = block.index
        if isinstance(t, Jump):
            if is_full:
                self.go_full(block, t.target)
            else:
                self.go_masked(block, [(t.target, self.active)])
                self.leave_masked(block, [t.target])
        elif isinstance(t, Branch):
            self._branch(block, t, is_full)
        elif isinstance(t, Switch):
            self._switch(block, t, is_full)
        else:
            self.lanes_exit(is_full)

    def mark_exited(self, mask: V) -> None:
        """Takes lanes out of `Warp.live`."""
        if self.is_stepped:
            pointer = self.warp_pointer("live")
            self.store(self.and_(self.load("i32", 1, pointer, 4), self.not_(mask)), pointer, 4)

    def lanes_exit(self, is_full: bool) -> None:
        """The active lanes end."""
        if not is_full:
            self.mark_exited(self.active)
        if is_full:
            self.jump(self.exit_label)
        else:
            self.jump(self.check_label(self._current_index + 1))

    def _uniform_condition(self, t: Branch) -> V | None:
        held = self.get(t.condition)
        if held.shape.is_uniform:
            return held.base
        if t.is_uniform:  # bra.uni: any active lane knows
            bits = self.and_(self.mask_of(self.vector(t.condition)), self.active)
            return self.icmp("ne", bits, self.const("i32", 0))
        return None

    def _branch(self, block: Block, t: Branch, is_full: bool) -> None:
        condition = self._uniform_condition(t)
        yes, no = self.new_label("yes"), self.new_label("no")
        if condition is not None:
            self.branch(condition, yes, no)
            for label, target in ((yes, t.if_true), (no, t.if_false)):
                self.label(label)
                state = self.snapshot()
                if is_full:
                    self.go_full(block, target)
                else:
                    self.go_masked(block, [(target, self.active)])
                    self.leave_masked(block, [target])
                self.restore(state)
            return
        known = agreement(self, t.condition, self._live_at(block)) if is_full else None
        if known is not None and known.agree is not None:
            self._branch_on_agreement(block, t, known.agree, known.value)
            return
        taken = self.mask_of(self.vector(t.condition))
        if is_full:
            mixed, some = self.new_label("mixed"), self.new_label("some")
            self.branch(self.icmp("eq", taken, self.const("i32", -1)), yes, some)
            self.label(some)
            self.branch(self.icmp("eq", taken, self.const("i32", 0)), no, mixed)
            for label, target in ((yes, t.if_true), (no, t.if_false)):
                self.label(label)
                state = self.snapshot()
                self.go_full(block, target)
                self.restore(state)
            self.label(mixed)
        else:
            taken = self.and_(taken, self.active)
        not_taken = self.xor(taken, self.active)
        self.go_masked(block, [(t.if_true, taken), (t.if_false, not_taken)])
        self._leave_after_split(block, [t.if_true, t.if_false], is_full)

    def _live_at(self, block: Block) -> int:
        """The values that are there at a block's start, as bits by id."""
        live = self.recompute.live_in()[block.index]
        for phi in block.phis:
            live |= 1 << phi.result.id
        return live

    def _branch_on_agreement(self, block: Block, t: Branch, agree: V, value: V) -> None:
        """A full warp's branch where scalar code tells whether all lanes go the same way."""
        together, mixed = self.new_label("together"), self.new_label("mixed")
        yes, no = self.new_label("yes"), self.new_label("no")
        self.branch(agree, together, mixed)
        self.label(together)
        self.branch(value, yes, no)
        for label, target in ((yes, t.if_true), (no, t.if_false)):
            self.label(label)
            state = self.snapshot()
            self.go_full(block, target)
            self.restore(state)
        self.label(mixed)
        taken = self.mask_of(self.vector(t.condition))
        self.go_masked(block, [(t.if_true, taken), (t.if_false, self.not_(taken))])
        self._leave_after_split(block, [t.if_true, t.if_false], True)

    def _leave_after_split(self, block: Block, targets: list[Block], is_full: bool) -> None:
        back = [target for target in targets if target.index <= block.index]
        if back:  # a latch: the next iteration for those who go on, if any
            self.jump(self.check_label(back[0].index))
        elif is_full:  # nobody waited anywhere before
            self.jump(self.check_label(min(target.index for target in targets)))
        else:
            self.jump(self.check_label(block.index + 1))

    def _switch(self, block: Block, t: Switch, is_full: bool) -> None:
        held = self.get(t.index)
        if held.shape.is_uniform:
            labels = [self.new_label("case") for _ in t.targets]
            cases = " ".join(f"{held.base.type} {i}, label %{label}" for i, label in enumerate(labels[:-1]))
            self.line(f"switch {held.base.typed}, label %{labels[-1]} [ {cases} ]")
            for label, target in zip(labels, t.targets):
                self.label(label)
                state = self.snapshot()
                if is_full:
                    self.go_full(block, target)
                else:
                    self.go_masked(block, [(target, self.active)])
                    self.leave_masked(block, [target])
                self.restore(state)
            return
        index = self.vector(t.index)
        targets: list[tuple[Block, V]] = []
        distinct: dict[int, list[int]] = {}
        for i, target in enumerate(t.targets):
            distinct.setdefault(target.index, []).append(i)
        for number, cases_of in distinct.items():
            hit = self.const("i32", 0)
            for i in cases_of:
                hit = self.or_(hit, self.mask_of(self.icmp("eq", index, self.const(index.elem, i))))
            targets.append((self.function.blocks[number], self.and_(hit, self.active)))
        self.go_masked(block, targets)
        self._leave_after_split(block, [target for target, _ in targets], is_full)

    # ------------------------------------------------------------------------------------------------ cuts

    def frame_place(self, key: str, type_bytes: int) -> int:
        """A place in the warp's frame by name, made at first use; 32-byte aligned for vectors."""
        place = self._frame.get(key)
        if place is None:
            alignment = 64 if type_bytes >= 64 else max(1, 1 << (type_bytes - 1).bit_length())
            place = -(-self.frame_bytes // alignment) * alignment
            self._frame[key] = place
            self.frame_bytes = place + type_bytes
        return place

    def frame_pointer(self, key: str, type_bytes: int) -> V:
        return self.offset(self.frame_base, self.frame_place(key, type_bytes))

    frame_base: V

    def pc_pointer(self) -> V:
        """Where the current warp's resume point is kept."""
        return self.warp_pointer("pc")

    def leave(self, op: Operation, status: Any, turn: abi.Turn | None) -> None:
        """At a cut, when all is saved: goes on with another warp, or returns. `status` is None where a turn may make it unnecessary."""
        if turn is not None:
            take_turns(self, turn)
            status = op.op.lower_cut(self, op)
        self.line(f"ret i32 {status.name if isinstance(status, V) else int(status)}")

    def _cut(self, op: Operation, block: Block, is_full: bool) -> None:
        """Saves what lives across, leaves the function, and comes back at a resume point that goes on to the next block."""
        pc = len(self.cuts) + 1
        cut = Cut(block, is_full, pc)
        self.cuts.append(cut)
        turn = turn_of(op, is_full) if self.takes_turns else None
        status: Any = op.op.lower_cut(self, op) if turn is None else None
        for value in self.recompute.live_after(block, not is_full):
            if value.id not in self.invariants:
                self._save(value)
                cut.saved.append(value)
        if not is_full:
            self.store(self.active, self.frame_pointer("active", 4), 4)
            for other in self.function.blocks:
                if self.checked[other.index]:
                    self.store(self.read_mask(other), self.frame_pointer(f"mask{other.index}", 4), 4)
        self.store(self.const("i32", pc), self.pc_pointer(), 4)
        self.leave(op, status, turn)
        # --- the way back in
        self.label(f"resume.{pc}")
        self.held, self.tests = {}, {}
        if not is_full:
            self.active = self.load("i32", 1, self.frame_pointer("active", 4), 4)
            for other in self.function.blocks:
                if self.checked[other.index]:
                    self.write_mask(other, self.load("i32", 1, self.frame_pointer(f"mask{other.index}", 4), 4))
        for value in cut.saved:
            self._restore(value)
        for operation in self.recompute.plan(block, not is_full):
            if operation.results[0].id not in self.invariants:
                self.lane_operation(operation)
        self.held = {}
        self.tests = {}
        results = self._as_list(op.op.lower_resumed(self, op)) if op.results else []
        for r, v in zip(op.results, results):
            self.define(r, v)
        self.terminator(block, is_full)

    def _save(self, value: Value) -> None:
        v = self.read_slot(value)
        if v.elem == "i1":
            bits = self.mask_of(v) if v.n == 32 else self.zext(self.reinterpret(v, f"i{v.n}", 1) if v.n > 1 else v, "i32")
            self.store(bits, self.frame_pointer(f"v{value.id}", 4), 4)
        else:
            size = v.n * v.bits // 8
            self.store(v, self.frame_pointer(f"v{value.id}", size), min(size, 64) if v.n > 1 else size)
        if value.id in self.test_slots or any(k == value.id for k, _ in self.shapes.of[value.id].deviation):
            test = self.value("i1", 1, f"load i1, ptr {self.test_slot(value.id)}, align 1")
            self.store(self.zext(test, "i8"), self.frame_pointer(f"test{value.id}", 1), 1)

    def _restore(self, value: Value) -> None:
        elem, n = self.elems[value.id], self.shapes.of[value.id].rows
        if elem == "i1":
            bits = self.load("i32", 1, self.frame_pointer(f"v{value.id}", 4), 4)
            v = bits if n == 32 else self.trunc(bits, "i1") if n == 1 else self.reinterpret(self.trunc(bits, f"i{n}"), "i1", n)
        else:
            size = n * {"float": 4, "double": 8}.get(elem, int(elem[1:]) // 8 if elem[0] == "i" else 0)
            v = self.load(elem, n, self.frame_pointer(f"v{value.id}", size), min(size, 64) if n > 1 else size)
        self.line(f"store {v.typed}, ptr {self.slot(value)}, align 64")
        if value.id in self.test_slots or any(k == value.id for k, _ in self.shapes.of[value.id].deviation):
            test = self.trunc(self.load("i8", 1, self.frame_pointer(f"test{value.id}", 1), 1), "i1")
            self.line(f"store {test.typed}, ptr {self.test_slot(value.id)}, align 1")
