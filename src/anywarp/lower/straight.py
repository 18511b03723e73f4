"""The loops around a kernel that waits for nobody: a range of CTAs, and the warps of each.

| kernel | order |
|---|---|
| blocks have rows, threads do not loop | each warp of up to 64 neighbouring CTAs, then the next warp: their rows lie side by side |
| warps run in step (`transform.step_in_strided_loops`) | the warps of neighbouring CTAs in turn, each up to its next step, until all end |
| any other | CTA after CTA, warp after warp |

Any order of CTAs is one that CUDA allows.
"""

from __future__ import annotations

from typing import Any

from anywarp import abi
from anywarp.ir.model import Operation
from anywarp.isa.special_registers import SpecialRegister
from anywarp.lower.control import ControlEmitter
from anywarp.lower.emit import V
from anywarp.lower.invariants import invariant_operations

CTAS_TOGETHER = 64  # at most, of one row of the grid; 2D stencil in C++: 3.2 ms one by one, 2.8 with 2, 2.3 with 4, 1.8 with 64
IN_STEP = 64  # warps at most: the bits of a mask


class StraightEmitter(ControlEmitter):
    """Emits what stands before the first block of a straight kernel and behind its last. While it runs, `%ctaid.{xyz}` and `%warpindex` are
    the current warp's."""

    _grid: list[V]
    _warps_of_cta: V
    _together: V  # CTAs that run together now
    _bits: V  # of a warp's number, where warps run in step

    def warp_index(self) -> V:
        return V("i32", 1, "%warpindex")

    def emit_invariants(self) -> list[str]:
        """The code of what is the same for all threads; it belongs into the entry block."""
        crossing, self.crossing = self.crossing, set()
        for op in invariant_operations(self.function, self.shapes):
            self.debug = self.location(op.line)
            self.lane_operation(op)
            self.invariants.update({r.id: self.held[r.id].base for r in op.results})
        code, self.lines = self.lines, []
        self.held, self.debug = {}, ""
        self.crossing = crossing | self.invariants.keys()
        return code

    # ------------------------------------------------------------------------------------------------ CTAs

    def straight_entry(self, invariants: list[str]) -> None:
        """Ends at the start of a warp."""
        warps = self.cta_field("warps")
        local = self.load("ptr", 1, self.offset(warps, abi.WARP_STATE.offset("local")), 8)
        self.line(f"%local = getelementptr i8, ptr {local.name}, i64 0")
        self.line(f"%warp = getelementptr i8, ptr {warps.name}, i64 0")
        grid = [self.zext(self.launch_field("grid", i), "i64") for i in range(3)]
        first = V("i64", 1, "%first")
        row = self.binary("udiv", first, grid[0])
        start = [self.binary("urem", first, grid[0]), self.binary("urem", row, grid[1]), self.binary("udiv", row, grid[1])]
        start = [self.trunc(v, "i32") for v in start]
        self._grid = [self.trunc(v, "i32") for v in grid]
        self._warps_of_cta = self.launch_field("warps")
        self.lines += invariants
        if self.steps_inside:
            self._bits = self._warp_bits()
        at_most = self._at_most_together()
        self.jump("cta.before")
        self.label("cta.before")
        self.jump("cta.loop")
        self.label("cta.loop")
        self.line("%cta.rest = phi i64 [ %ctas, %cta.before ], [ %cta.left, %cta.next ]")
        for name, axis, v in zip(("%first.x", "%ctaid.y", "%ctaid.z"), "xyz", start):
            self.line(f"{name} = phi i32 [ {v.name}, %cta.before ], [ %next.{axis}, %cta.next ]")
        for i, axis in enumerate("yz", 1):
            self.store(V("i32", 1, f"%ctaid.{axis}"), self.offset(self.cta, abi.CTA.offset("ctaid") + 4 * i), 4)
        self._together = self.const("i32", 1)
        if at_most is not None:
            rest = self.trunc(self._minimum(V("i64", 1, "%cta.rest"), self.zext(at_most, "i64")), "i32")
            self._together = self._minimum(rest, self.sub(self._grid[0], V("i32", 1, "%first.x")))
        if self.steps_inside:
            self._start_of_steps()
        else:
            self._start_of_warps()

    def _at_most_together(self) -> V | None:
        """How many neighbouring CTAs may run together; None: one. Shared memory belongs to one of them at a time."""
        if self.function.shared.bytes or self.function.uses_dynamic_shared or self.function.callees:
            return None
        if self.steps_inside:
            return self.lshr(self.const("i32", IN_STEP), self._bits)
        # Not where threads loop: what the warps of one CTA read again and again is then more (a plain sgemm took 1.2 times as long).
        return self.const("i32", CTAS_TOGETHER) if self._has_rows() and not self.shapes.graph.loops.all else None

    def _has_rows(self) -> bool:
        registers = {op.op.name for op in self.function.operations() if isinstance(op.op, SpecialRegister)}
        return {"%tid.y", "%ctaid.y"} <= registers

    def _minimum(self, a: V, b: V) -> V:
        return self.select(self.icmp("ult", a, b), a, b)

    def straight_loops(self) -> None:
        """What follows the end of a warp."""
        if self.steps_inside:
            self._end_of_steps()
        else:
            self._end_of_warps()
        self.label("cta.next")
        self.line(f"%cta.left = sub i64 %cta.rest, {self.zext(self._together, 'i64').name}")
        x = self.add(V("i32", 1, "%first.x"), self._together)
        x_wraps = self.icmp("eq", x, self._grid[0])
        y = self.add(V("i32", 1, "%ctaid.y"), self.zext(x_wraps, "i32"))
        y_wraps = self.icmp("eq", y, self._grid[1])
        self.line(f"%next.x = select i1 {x_wraps.name}, i32 0, i32 {x.name}")
        self.line(f"%next.y = select i1 {y_wraps.name}, i32 0, i32 {y.name}")
        z = self.add(V("i32", 1, "%ctaid.z"), self.zext(y_wraps, "i32"))
        self.line(f"%next.z = add i32 {z.name}, 0")
        done = self.icmp("eq", V("i64", 1, "%cta.left"), self.const("i64", 0))
        self.branch(done, "grid.done", "cta.loop")
        self.label("grid.done")
        self.line("ret void")

    def _tell_place(self) -> None:
        """For faults: which CTA and warp runs."""
        self.store(V("i32", 1, "%ctaid.x"), self.offset(self.cta, abi.CTA.offset("ctaid")), 4)
        self.store(self.warp_index(), self.offset(self.cta, abi.CTA.offset("current_warp")), 4)

    # ------------------------------------------------------------------------------------------------ warp after warp

    def _start_of_warps(self) -> None:
        self.jump("warp.loop")
        self.label("warp.loop")
        is_grouped = self._together.name != "1"
        self.line(f"%warpindex = phi i32 [ 0, %cta.loop ], [ %warp.next, %{'warp.step' if is_grouped else 'warp.done'} ]")
        if is_grouped:
            self.jump("member.loop")
            self.label("member.loop")
            self.line("%member = phi i32 [ 0, %warp.loop ], [ %member.next, %warp.done ]")
        self.line(f"%ctaid.x = add i32 %first.x, {'%member' if is_grouped else '0'}")
        self._tell_place()

    def _end_of_warps(self) -> None:
        if self._together.name != "1":
            self.line("%member.next = add i32 %member, 1")
            self.branch(self.icmp("ult", V("i32", 1, "%member.next"), self._together), "member.loop", "warp.step")
            self.label("warp.step")
        self.line("%warp.next = add i32 %warpindex, 1")
        more = self.icmp("ult", V("i32", 1, "%warp.next"), self._warps_of_cta)
        self.branch(more, "warp.loop", "cta.next")

    # ------------------------------------------------------------------------------------------------ in step

    # Each warp of the CTAs that run together has a number: its own in the low bits and its CTA's in the high ones, or the other way round
    # where blocks have rows, so that they come in the order of addresses. `%todo` are those that have not had their turn in this round,
    # `%step.ring` those that go on in the next.

    def _warp_bits(self) -> V:
        """How many bits a warp's number in its CTA takes; 1 to 5."""
        zeros = self.flag_intrinsic("llvm.ctlz", self.sub(self._warps_of_cta, self.const("i32", 1)), False)
        bits = self.sub(self.const("i32", 32), zeros)
        return self.select(self.icmp("eq", bits, self.const("i32", 0)), self.const("i32", 1), bits)

    def _start_of_steps(self) -> None:
        frame = -(-self.frame_bytes // 64) * 64
        self.entry_lines += [
            f"  %step.frames = alloca [{frame * IN_STEP} x i8], align 64",
            f"  %step.pcs = alloca [{IN_STEP} x i32], align 64",
            "  %step.ring = alloca i64, align 8",
            "  store i64 0, ptr %step.ring, align 8",
        ]
        self.store(self.const("i32", 0, IN_STEP), V("ptr", 1, "%step.pcs"), 64)
        bits, inner, outer = self._bits, self._warps_of_cta, self._together
        if self._has_rows():
            bits, inner, outer = self.sub(self.const("i32", 6), bits), outer, inner
        slots = self.zext(self.shl(self.const("i32", 1), bits), "i64")  # at most 32
        taken = self.mul(slots, self.zext(outer, "i64"))
        each = self.binary("udiv", self.lshr(self.const("i64", -1), self.sub(self.const("i64", 64), taken)), self._ones(slots))
        every = self.mul(each, self._ones(self.zext(inner, "i64")))
        self.jump("warp.loop")
        self.label("warp.loop")
        self.line(f"%todo = phi i64 [ {every.name}, %cta.loop ], [ %todo.left, %warp.done ], [ %ring, %warp.round ]")
        number = self.flag_intrinsic("llvm.cttz", V("i64", 1, "%todo"), True)
        self.line(f"%step.number = add i64 {number.name}, 0")
        number = self.trunc(number, "i32")
        low, high = self.and_(number, self.trunc(self._ones_of(bits), "i32")), self.lshr(number, bits)
        warp, member = (high, low) if self._has_rows() else (low, high)
        self.line(f"%warpindex = add i32 {warp.name}, 0")
        self.line(f"%ctaid.x = add i32 %first.x, {member.name}")
        self._tell_place()
        at = self.mul(V("i64", 1, "%step.number"), self.const("i64", frame))
        self.line(f"%frame = getelementptr i8, ptr %step.frames, {at.typed}")

    def _ones(self, count: V) -> V:
        """A number with so many low bits set (i64; below 64)."""
        return self.sub(self.shl(self.const("i64", 1), count), self.const("i64", 1))

    def _ones_of(self, bits: V) -> V:
        return self._ones(self.zext(bits, "i64"))

    def pc_pointer(self) -> V:
        if not self.steps_inside:
            return super().pc_pointer()
        return self.offset(V("ptr", 1, "%step.pcs"), self.mul(V("i64", 1, "%step.number"), self.const("i64", 4)))

    def leave(self, op: Operation, status: Any, turn: abi.Turn | None) -> None:
        if not self.steps_inside:
            super().leave(op, status, turn)
            return
        ring = V("ptr", 1, "%step.ring")
        mine = self.shl(self.const("i64", 1), V("i64", 1, "%step.number"))
        self.store(self.or_(self.load("i64", 1, ring, 8), mine), ring, 8)
        self.jump("warp.done")

    def _end_of_steps(self) -> None:
        todo, left = V("i64", 1, "%todo"), V("i64", 1, "%todo.left")
        self.line(f"%todo.left = and i64 %todo, {self.sub(todo, self.const('i64', 1)).name}")
        self.branch(self.icmp("ne", left, self.const("i64", 0)), "warp.loop", "warp.round")
        self.label("warp.round")
        self.line("%ring = load i64, ptr %step.ring, align 8")
        self.store(self.const("i64", 0), V("ptr", 1, "%step.ring"), 8)
        self.branch(self.icmp("ne", V("i64", 1, "%ring"), self.const("i64", 0)), "warp.loop", "cta.next")
