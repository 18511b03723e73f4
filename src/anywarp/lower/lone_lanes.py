"""The last few lanes of a loop, each run to the loop's end by itself, in scalar code.

A loop that gathers costs a warp the same for three lanes as for 32. Where few lanes are left at the header of such a loop (long rows of
a sparse matrix, the few vertices of a level), a function of the module takes them one by one: the loop's blocks again, with every value a
scalar. `analysis.lone_loops` tells for which loops, which of them go together as one region, and what few is: where it is a warp or more,
there is no other code for the region.

    masked copy of the entry:   few lanes?  ── yes ──►  values that the loop needs → a block of memory
                                   │ no                 call lone.N(lanes, block): lane by lane, until it leaves the region
                                   ▼                    phis and masks of the region's exits ← the block of memory
                                 as ever                go on where lanes wait

Not in loops with anything that concerns more than one lane, or other memory operations than loads and stores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anywarp.analysis.lone_loops import LoneRegion
from anywarp.analysis.shapes import Shapes
from anywarp.ir import model
from anywarp.ir.model import Address, Block, Value
from anywarp.isa.shape import UNIFORM
from anywarp.lower.emit import WARP, WIDTH, V
from anywarp.lower.kernel import KernelEmitter
from anywarp.lower.memory import Place


def symbol_of(lone: LoneRegion) -> str:
    """The function's LLVM name."""
    return f"lone.{lone.entry}"


def run_lone_lanes(w: Any, lone: LoneRegion) -> None:
    """At the masked copy of a loop's header: where few lanes are there, lets them leave the loop; else falls through. `w`: the kernel's
    emitter."""
    few, many = w.new_label("few"), w.new_label("many")
    if lone.few < WARP:
        w.branch(w.icmp("ule", w.intrinsic("llvm.ctpop", w.active), w.const("i32", lone.few)), few, many)
        w.label(few)
    state = w.snapshot()
    memory = w.shared_scratch(symbol_of(lone), lone.bytes)

    def place(kind: str, key: int) -> V:
        pointer: V = w.offset(memory, lone.places[kind, key])
        return pointer

    for value in lone.inputs:
        held = w.get(value)
        v = held.base if held.shape.is_uniform else w.vector(value)
        if v.elem == "i1":
            v = w.mask_of(v) if v.n == WARP else w.zext(v, "i8")
        w.store(v, place("in", value.id), 64)
    for target, phis in lone.exits:
        w.store(w.const("i32", 0), place("mask", target.index), 64)
        for phi in phis:
            if w.elems[phi.result.id] == "i1":
                w.store(w.const("i32", 0), place("out", phi.result.id), 64)
    w.line(f"call void @{symbol_of(lone)}({w.launch.typed}, {w.cta.typed}, {w.warp.typed}, {w.active.typed}, {memory.typed})")
    for target, phis in lone.exits:
        mask = w.load("i32", 1, place("mask", target.index), 64)
        for phi in phis:
            elem = w.elems[phi.result.id]
            if elem == "i1":
                v = w.lanes_of(w.load("i32", 1, place("out", phi.result.id), 64))
            else:
                v = w.load(elem, WARP, place("out", phi.result.id), 64)
            w.write_slot(phi.result, v, mask)
        w.arrive(target, mask)
    w.jump(w.check_label(lone.entry + 1))
    w.restore(state)
    if lone.few < WARP:
        w.label(many)


class LoneLanesEmitter(KernelEmitter):
    """Emits the function of one loop into its kernel's module."""

    parts_blocks = False  # there is no end of the kernel to branch to, and a region is short

    def __init__(self, kernel: KernelEmitter, lone: LoneRegion) -> None:
        shapes = kernel.shapes
        scalar = Shapes([UNIFORM] * kernel.function.values, shapes.graph, {}, set(), {}, shapes.threads)
        super().__init__(kernel.module, kernel.function, scalar, kernel.layout)
        self.lone, self.vectors = lone, shapes
        self.hints = None

    def emit_function(self) -> None:
        """Appends the function to the module."""
        lone = self.lone
        for index in sorted(lone.blocks):
            self._copy(self.function.blocks[index], True)
        blocks, self.lines = self.lines, []
        self.line(f"%shared = getelementptr i8, ptr {self.cta_field('shared').name}, i64 0")
        local = self.load("ptr", 1, self.warp_pointer("local"), 8)
        self.jump("lane.first")
        self.label("lane.first")
        self.jump("lane.next")
        self.label("lane.next")
        self.line("%lanes.rest = phi i32 [ %lanes, %lane.first ], [ %lanes.left, %lane.done ]")
        rest = V("i32", 1, "%lanes.rest")
        self.line(f"%lane = zext i32 {self.first_lane(rest).name} to i64")
        self.line(f"%lane.bit = and i32 %lanes.rest, {self.sub(self.const('i32', 0), rest).name}")
        block = self.mul(self._lane, self.const("i64", self.local_bytes))
        self.line(f"%local = getelementptr i8, {local.typed}, {block.typed}")
        for value in lone.inputs:
            self.write_slot(value, self._input(value))
        self.jump(self.full_label(self.function.blocks[lone.entry]))
        start, self.lines = self.lines, []
        self.label("lane.done")
        self.line("%lanes.left = xor i32 %lanes.rest, %lane.bit")
        self.branch(self.icmp("ne", V("i32", 1, "%lanes.left"), self.const("i32", 0)), "lane.next", "all.done")
        self.label("all.done")
        self.line("ret void")
        symbol = symbol_of(lone)
        head = f"define internal void @{symbol}(ptr noalias %launch, ptr %cta, ptr noalias %warp, i32 %lanes, ptr %values) noinline"
        self._define(head, symbol, ["entry:", *self.entry_lines, *start, *blocks, *self.lines])

    @property
    def _lane(self) -> V:
        return V("i64", 1, "%lane")

    def _place(self, kind: str, key: int) -> V:
        return self.offset(V("ptr", 1, "%values"), self.lone.places[kind, key])

    def _of_lane(self, place: V, size: int) -> V:
        return self.offset(place, self.mul(self._lane, self.const("i64", size)))

    def _input(self, value: Value) -> V:
        elem, place, is_uniform = self.elems[value.id], self._place("in", value.id), self.vectors.of[value.id].is_uniform
        if elem == "i1":
            bits = self.load("i8" if is_uniform else "i32", 1, place, 4)
            return self.trunc(bits if is_uniform else self.lshr(bits, self.trunc(self._lane, "i32")), "i1")
        size = WIDTH[elem] // 8
        return self.load(elem, 1, place if is_uniform else self._of_lane(place, size), size)

    def go_full(self, source: Block, target: Block) -> None:
        if target.index in self.lone.blocks:
            super().go_full(source, target)
            return
        which = target.predecessors.index(source)
        for phi in target.phis:
            if type(phi.operands[which]) is model.Undefined:
                continue
            elem, place = self.elems[phi.result.id], self._place("out", phi.result.id)
            v = self.cast(self.get(phi.operands[which]).base, elem)
            if elem == "i1":
                bit = self.select(v, V("i32", 1, "%lane.bit"), self.const("i32", 0))
                self.store(self.or_(self.load("i32", 1, place, 4), bit), place, 4)
            else:
                size = WIDTH[elem] // 8
                self.store(v, self._of_lane(place, size), size)
        mask = self._place("mask", target.index)
        self.store(self.or_(self.load("i32", 1, mask, 4), V("i32", 1, "%lane.bit")), mask, 4)
        self.jump("lane.done")

    def place(self, space: str, address: Address) -> Place:
        outer, self.local_bytes = self.local_bytes, 0  # %local is the lane's own
        found = super().place(space, address)
        self.local_bytes = outer
        return found

    def load_neighbours(self, space: str, address: Address, elem: str, count: int) -> list[V]:
        place, size = self.place(space, address), WIDTH[elem] // 8
        self.check_alignment(place, size)
        return [self.load(elem, 1, self.offset(place.pointer, size * i), size) for i in range(count)]

    def guard_alignment(self, wrong: V, pointers: Callable[[], V], size: int, stride: int) -> None:
        outer, self.active = self.active, V("i32", 1, "%lane.bit")
        super().guard_alignment(wrong, pointers, size, stride)
        self.active = outer
