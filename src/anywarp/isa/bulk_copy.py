"""Bulk copies and reductions (PTX ISA 9.7.9.25.4: cp.async.bulk, cp.reduce.async.bulk, cp.async.bulk.prefetch and bulk groups).

They are made at once, as cp.async is (see `async_copy`), and the bytes reported to the mbarrier right after; groups have nothing to wait
for.
"""

from __future__ import annotations

import itertools
from typing import Any

from anywarp.isa import types
from anywarp.isa.atomics import operation
from anywarp.isa.base import Memory, OperandType, instruction
from anywarp.isa.mbarrier import Barrier, update

Lanes = dict[int, tuple[Any, ...]]
HINT = ("L2::cache_hint", "policy")
MULTICAST = ("multicast::cluster", "mask")
MASK = ("cp_mask", "byte_mask")
SCOPES = "cta cluster gpu sys"


def forms(opcode: str, operands: str, *options: tuple[str, str]) -> tuple[str, ...]:
    """All spellings of an instruction in which each option (a modifier, and the operand that comes with it) is there or not. Options stand
    behind the opcode, or where it has `*`."""
    head, _, tail = opcode.partition("*")
    found = []
    for chosen in itertools.product((False, True), repeat=len(options)):
        taken = [option for option, is_there in zip(options, chosen) if is_there]
        modifiers = "".join(f".{modifier}" for modifier, _ in taken)
        found.append(f"{head}{modifiers}{tail} {operands}" + "".join(f", {operand}" for _, operand in taken))
    return tuple(found)


class _Bulk(Memory):
    """What bulk operations have in common; operands come by their names in the syntax."""

    results = ()
    types = {"size": "u32", "mask": "u16", "policy": "b64", "byte_mask": "u16", "left": "u32", "right": "u32", "n": "u32"}
    section = "9.7.9.25.4.1"
    since = (8, 0)
    target = 90
    reads = True
    writes = True

    def named(self, operands: Any) -> dict[str, Any]:
        """Operands by name."""
        return dict(zip((spec.name for spec in self.form.operands), operands))

    def operand_type(self, name: str) -> OperandType:
        return self.types.get(name, "b64")

    def spaces(self) -> tuple[str, str]:
        """The state spaces of destination and source."""
        found = [p for p in self.opcode if p.split("::")[0] in ("global", "shared")]
        return found[0], found[-1]

    def address_space(self, name: str) -> str:
        target, source = self.spaces()
        if name == "dst":
            return target
        return source if name == "src" else "shared::cluster"


def report(memory: Any, address: int, count: int) -> None:
    """An mbarrier hears of bytes that have come."""
    memory.store(address, 8, Barrier.of(memory.load(address, 8)).expect(-count).state)


def lower_report(w: Any, pointer: Any, count: Any) -> None:
    zero = w.const("i64", 0)
    update(w, pointer, zero, zero, w.neg(count))


@instruction
class BulkCopy(_Bulk):
    """cp.async.bulk: copies `size` bytes (a multiple of 16) between global and shared memory, or within a cluster's shared memory"""

    syntax = (
        *forms("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes", "[dst], [src], size, [mbar]", MULTICAST, HINT),
        *forms("cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes", "[dst], [src], size, [mbar]", HINT),
        "cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [dst], [src], size, [mbar]",
        *forms("cp.async.bulk.global.shared::cta.bulk_group", "[dst], [src], size", HINT),
        "cp.async.bulk.global.shared::cta.bulk_group.cp_mask [dst], [src], size, byte_mask",
        "cp.async.bulk.global.shared::cta.bulk_group.L2::cache_hint.cp_mask [dst], [src], size, policy, byte_mask",
    )

    @property
    def is_relaxed(self) -> bool:
        return "relaxed" in self.opcode and "byte_mask" not in self.named(self.form.operands) and "ignore_oob" not in self.opcode

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        for operands in lanes.values():
            given = self.named(operands)
            dst, src, size, bar = given["dst"], given["src"], given["size"], given.get("mbar")
            if dst % 16 or src % 16 or size % 16:
                memory.load(dst | src | size | 1, 16)  # faults
            left, right = given.get("left", 0), given.get("right", 0)
            data = memory.read(src + left, size - left - right)
            if "byte_mask" in given:
                old = memory.read(dst, size)
                data = bytes(new if given["byte_mask"] >> i % 16 & 1 else kept for i, (new, kept) in enumerate(zip(data, old)))
            ranks = [r for r in range(16) if given["mask"] >> r & 1] if "mask" in given else [None]
            for rank in ranks:
                memory.write(memory.peer_address(dst, rank) + left, data)
                if bar is not None:
                    report(memory, memory.peer_address(bar, rank), size)
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        from anywarp.lower.copies import PerLane, copy_bytes, counted_loop, for_ctas

        given = self.named(op.operands)
        target, source = self.spaces()
        per_lane = PerLane(w)
        places = [w.place(space, given[name]) for name, space in (("dst", target), ("src", source))]
        for place in places:
            w.check_alignment(place, 16)
        to, origin = (per_lane.pointer(p) for p in places)
        bar = per_lane.pointer(w.place("shared::cluster", given["mbar"])) if "mbar" in given else None
        size = per_lane.number(given["size"], "i32")
        mask = per_lane.number(given["mask"], "i16") if "mask" in given else None
        byte_mask = per_lane.number(given["byte_mask"], "i16") if "byte_mask" in given else None
        left = per_lane.number(given["left"], "i32") if "left" in given else None
        right = per_lane.number(given["right"], "i32") if "right" in given else None

        def one(lane: Any) -> None:
            count = w.zext(size(lane), "i64")
            source_pointer = origin(lane)

            def copy(pointers: list[Any]) -> None:
                if self.is_relaxed:  # 16 bytes at a time, each whole

                    def whole(index: Any) -> None:
                        at = w.mul(index, w.const("i64", 16))
                        value = w.load("i128", 1, w.offset(source_pointer, at), 16, ordered=True)
                        w.store(value, w.offset(pointers[0], at), 16, ordered=True)

                    counted_loop(w, w.lshr(count, w.const("i64", 4)), whole)
                elif left is not None and right is not None:
                    first, last = w.zext(left(lane), "i64"), w.zext(right(lane), "i64")
                    inside = w.sub(count, w.add(first, last))
                    copy_bytes(w, w.offset(pointers[0], first), w.offset(source_pointer, first), inside)
                else:
                    copy_bytes(w, pointers[0], source_pointer, count)
                if bar is not None:
                    lower_report(w, pointers[1], count)

            if byte_mask is not None:
                chosen = w.reinterpret(byte_mask(lane), "i1", 16)

                def masked(index: Any) -> None:
                    at = w.mul(index, w.const("i64", 16))
                    new, pointer = w.load("i8", 16, w.offset(source_pointer, at), 16), w.offset(to(lane), at)
                    w.store(w.select(chosen, new, w.load("i8", 16, pointer, 16)), pointer, 16)

                counted_loop(w, w.lshr(count, w.const("i64", 4)), masked)
                return
            ranks = None if mask is None else w.zext(mask(lane), "i32")
            for_ctas(w, ranks, [to(lane)] + ([bar(lane)] if bar is not None else []), copy)

        w.each_lane(w.active, one)


_OF_CTA, _OF_CLUSTER = "shared::cta.global.mbarrier::complete_tx::bytes", "shared::cluster.global.mbarrier::complete_tx::bytes"


@instruction
class BulkCopyWithinBounds(BulkCopy):
    """cp.async.bulk.ignore_oob: the first and last bytes, 15 at most, may lie outside of an allocation; they are not copied"""

    syntax = forms(f"cp.async.bulk{{.weak}}.{_OF_CTA}*.ignore_oob", "[dst], [src], size, left, right, [mbar]", HINT)
    since = (9, 2)


@instruction
class OrderedBulkCopy(BulkCopy):
    """cp.async.bulk with its order: .weak is what it is without, .relaxed copies 16 bytes at a time that no other thread sees in part"""

    syntax = (
        *forms(f"cp.async.bulk.weak.{_OF_CLUSTER}", "[dst], [src], size, [mbar]", MULTICAST, HINT),
        *forms(f"cp.async.bulk.relaxed{{.scope}}.{_OF_CLUSTER}*.b128", "[dst], [src], size, [mbar]", MULTICAST, HINT),
        *forms(f"cp.async.bulk.weak.{_OF_CTA}", "[dst], [src], size, [mbar]", HINT),
        *forms(f"cp.async.bulk.relaxed{{.scope}}.{_OF_CTA}*.b128", "[dst], [src], size, [mbar]", HINT),
        *forms(f"cp.async.bulk.relaxed{{.scope}}.{_OF_CTA}*.ignore_oob.b128", "[dst], [src], size, left, right, [mbar]", HINT),
        "cp.async.bulk.weak.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [dst], [src], size, [mbar]",
        "cp.async.bulk.relaxed{.scope}.shared::cluster.shared::cta.mbarrier::complete_tx::bytes.b128 [dst], [src], size, [mbar]",
        *forms("cp.async.bulk.weak.global.shared::cta.bulk_group", "[dst], [src], size", HINT, MASK),
        *forms("cp.async.bulk.relaxed{.scope}.global.shared::cta.bulk_group*.b128", "[dst], [src], size", HINT, MASK),
    )
    modifiers = {"scope": SCOPES}
    since = (9, 3)


@instruction
class MulticastBulkCopy(BulkCopy):
    """multimem.cp.async.bulk: copies to all replicas of multicast memory, of which there is one here"""

    syntax = (
        "multimem.cp.async.bulk.global.shared::cta.bulk_group [dst], [src], size",
        "multimem.cp.async.bulk.global.shared::cta.bulk_group.cp_mask [dst], [src], size, byte_mask",
    )
    section = "9.7.9.26"
    since = (9, 1)


@instruction
class BulkFill(_Bulk):
    """st.bulk: makes `size` bytes of shared memory (a multiple of 8) zero"""

    syntax = "st.bulk{.weak}{.shared::cta} [dst], size, initial"
    types = {**_Bulk.types, "initial": "b32"}
    section = "9.7.9.13"
    since = (8, 6)
    target = 100
    reads = False

    def address_space(self, name: str) -> str:
        return "shared" if "shared::cta" in self.opcode else ""

    def operand_type(self, name: str) -> OperandType:
        return {"size": "b64", "initial": "b32"}.get(name, "b64")

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        for address, size, _ in lanes.values():
            if address % 8:
                memory.load(address, 8)  # faults
            memory.write(address, bytes(size & 0xFFFFFFFF & ~7))
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        from anywarp.lower.copies import PerLane, counted_loop

        place = w.place(self.address_space("dst"), op.operands[0])
        w.check_alignment(place, 8)
        per_lane = PerLane(w)
        to, size = per_lane.pointer(place), per_lane.number(op.operands[1], "i32")

        def one(lane: Any) -> None:
            pointer = to(lane)

            def word(index: Any) -> None:
                w.store(w.const("i64", 0), w.offset(pointer, w.mul(index, w.const("i64", 8))), 8)

            counted_loop(w, w.zext(w.lshr(size(lane), w.const("i32", 3)), "i64"), word)

        w.each_lane(w.active, one)


_REDUCTIONS = {
    "and": "b32 b64", "or": "b32 b64", "xor": "b32 b64", "inc": "u32", "dec": "u32",
    "min": "u32 s32 u64 s64 f16 bf16", "max": "u32 s32 u64 s64 f16 bf16", "add": "u32 s32 u64 f16 bf16 f32 f64",
}  # fmt: skip


@instruction
class BulkReduce(_Bulk):
    """cp.reduce.async.bulk: combines an array in shared memory with one in another CTA's or in global memory, element by element"""

    syntax = (
        "cp.reduce.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes.op.type [dst], [src], size, [mbar]",
        *forms("cp.reduce.async.bulk.global.shared::cta.bulk_group*.op{.noftz}.type", "[dst], [src], size", HINT),
    )
    modifiers = {"op": "and or xor add inc dec min max", "type": "f16 bf16 b32 u32 s32 b64 u64 s64 f32 f64"}
    section = "9.7.9.25.4.2"
    op: str

    def check(self) -> str | None:
        return None if self.type in _REDUCTIONS[self.op].split() else f"{self.op} takes {_REDUCTIONS[self.op]}"

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        compute, width = operation(self.op, self.type), types.width(self.type) // 8
        for operands in lanes.values():
            given = self.named(operands)
            dst, src, size = given["dst"], given["src"], given["size"]
            if dst % 16 or src % 16 or size % 16:
                memory.load(dst | src | size | 1, 16)  # faults
            for at in range(0, size, width):
                memory.store(dst + at, width, compute(memory.load(dst + at, width), memory.load(src + at, width)))
            if "mbar" in given:
                report(memory, given["mbar"], size)
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        from anywarp.lower.atomics import update_one
        from anywarp.lower.copies import PerLane, counted_loop

        given = self.named(op.operands)
        target, _ = self.spaces()
        is_shared = target != "global"
        per_lane = PerLane(w)
        places = [w.place(space, given[name]) for name, space in (("dst", target), ("src", "shared"))]
        for place in places:
            w.check_alignment(place, 16)
        to, origin = (per_lane.pointer(p) for p in places)
        bar = per_lane.pointer(w.place("shared::cluster", given["mbar"])) if "mbar" in given else None
        size = per_lane.number(given["size"], "i32")
        width = types.width(self.type)
        elem = f"i{width}"

        def one(lane: Any) -> None:
            count = w.zext(size(lane), "i64")
            into, values = to(lane), origin(lane)

            def element(index: Any) -> None:
                at = w.mul(index, w.const("i64", width // 8))
                value = w.load(elem, 1, w.offset(values, at), width // 8)
                update_one(w, w.offset(into, at), elem, self.op, self.type, [value], is_shared, "monotonic")

            counted_loop(w, w.binary("udiv", count, w.const("i64", width // 8)), element)
            if bar is not None:
                lower_report(w, bar(lane), count)

        w.each_lane(w.active, one)


@instruction
class MulticastBulkReduce(BulkReduce):
    """multimem.cp.reduce.async.bulk: combines an array with all replicas of multicast memory, of which there is one here"""

    syntax = ("multimem.cp.reduce.async.bulk.global.shared::cta.bulk_group.op{.noftz}.type [dst], [src], size",)
    section = "9.7.9.27"
    since = (9, 1)


@instruction
class BulkHint(_Bulk):
    """cp.async.bulk.prefetch: a hint; commit_group and wait_group: all has been done already"""

    syntax = (
        *forms("cp.async.bulk.prefetch.L2.global", "[src], size", HINT),
        "cp.async.bulk.commit_group",
        "cp.async.bulk.wait_group{.read} n",
    )
    section = "9.7.9.25.4.3"
    reads = False

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        return None
