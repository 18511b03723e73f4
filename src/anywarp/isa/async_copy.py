"""Asynchronous copies of 4, 8 and 16 bytes a thread (PTX ISA 9.7.9.25.3 cp.async and its groups).

A copy is made at once. That is legal: between the instruction and the wait that covers it PTX orders neither the reads of the source nor
the writes of the destination against anything, so this moment is one of those allowed; a program may not look at the destination before the
wait, nor change the source. Groups therefore have nothing to wait for, and are no code at all.
"""

from __future__ import annotations

from typing import Any

from anywarp.isa.base import Memory, OperandType, instruction
from anywarp.isa.mbarrier import arrive

Lanes = dict[int, tuple[Any, ...]]


@instruction
class CopyAsync(Memory):
    """cp.async: copies 4, 8 or 16 bytes from global to shared memory; bytes beyond `src_size` become zeros, all where `ignore_src`"""

    syntax = (
        "cp.async.cop.ss.global{.prefetch} [dst], [src], size{, src_size}",
        "cp.async.cop.ss.global{.prefetch} [dst], [src], size, ignore_src",
        "cp.async.cop.ss.global.L2::cache_hint{.prefetch} [dst], [src], size{, src_size}, policy",
        "cp.async.cop.ss.global.L2::cache_hint{.prefetch} [dst], [src], size, ignore_src, policy",
    )
    modifiers = {"cop": "ca cg", "ss": "shared shared::cta", "prefetch": "L2::64B L2::128B L2::256B"}
    types = {"size": "u32", "src_size": "u32", "ignore_src": "pred", "policy": "b64"}
    allowed_constants = {"size": (4, 8, 16)}
    results = ()
    section = "9.7.9.25.3.1"
    since = (7, 0)
    target = 80
    reads = True
    writes = True

    def address_space(self, name: str) -> str:
        return "shared" if name == "dst" else "global"

    def _given(self, operands: Any) -> Any | None:
        """The operand `src_size` or `ignore_src`, if there."""
        rest = operands[3:]
        if "L2::cache_hint" in self.opcode:
            rest = rest[:-1]
        return rest[0] if rest else None

    @property
    def has_predicate(self) -> bool:
        return any(spec.name == "ignore_src" for spec in self.form.operands)

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        for dst, src, size, *rest in lanes.values():
            given = self._given((dst, src, size, *rest))
            taken = size if given is None else (0 if given else size) if self.has_predicate else min(given, size)
            if dst % size or (given is None and src % size):
                memory.load(dst if dst % size else src, size)  # faults
            data = memory.read(src, taken) if taken else b""
            memory.write(dst, data.ljust(size, b"\0"))
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        from anywarp.lower.copies import copy_lanes

        size = op.operands[2].value
        given = self._given(op.operands)
        if given is None:
            copy_lanes(w, "shared", op.operands[0], "global", op.operands[1], size, None)
            return
        if self.has_predicate:
            taken = w.select(w.vector(given), w.const("i32", 0), w.const("i32", size))
        else:
            taken = w.intrinsic("llvm.umin", w.cast(w.vector(given), "i32"), w.const("i32", size))
        copy_lanes(w, "shared", op.operands[0], "global", op.operands[1], size, taken)


@instruction
class CopyGroup(Memory):
    """cp.async.commit_group, cp.async.wait_group, cp.async.wait_all: all copies have been made already"""

    syntax = ("cp.async.commit_group", "cp.async.wait_group n", "cp.async.wait_all")
    types = {"n": "u32"}
    results = ()
    section = "9.7.9.25.3.2"
    since = (7, 0)
    target = 80
    writes = True

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        return None


@instruction
class CopyArrives(Memory):
    """cp.async.mbarrier.arrive: an arrival once the thread's copies are made, which they are. Without .noinc the arrival was added to those
    expected just before: together nothing"""

    syntax = "cp.async.mbarrier.arrive{.noinc}{.ss}.b64 [a]"
    modifiers = {"ss": "shared shared::cta"}
    results = ()
    section = "9.7.13.15.16"
    since = (7, 0)
    target = 80
    reads = True
    writes = True
    noinc: bool
    ss: str | None

    def operand_type(self, name: str) -> OperandType:
        return "b64"

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        from anywarp.isa.mbarrier import Barrier

        for (address,) in lanes.values():
            state = memory.load(address, 8)
            memory.store(address, 8, Barrier.of(state).arrive(1).state if self.noinc else state)
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        if self.noinc:
            arrive(w, "shared" if self.ss else "", op.operands[0], None, False)
