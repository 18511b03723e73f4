"""Addresses between state spaces (PTX ISA 9.7.9.19 isspacep, 9.7.9.20 cvta, 9.7.9.22 mapa).

Global, constant and parameter addresses are generic as they are.
"""

from __future__ import annotations

from typing import Any

from anywarp.isa import types
from anywarp.isa.base import Lane, Memory, OperandType, instruction
from anywarp.isa.shape import VARYING, Shape

CLUSTER_SHIFT = 24  # of a CTA's rank plus one in a 32-bit shared::cluster address; below: the place in its memory


@instruction
class ConvertIdentity(Lane):
    """cvta of global, constant and parameter addresses: the same number"""

    size: str
    syntax = ("cvta{.to}.space.size d, a",)
    modifiers = {"space": "global const param param::entry", "size": "u32 u64"}
    section = "9.7.9.20"
    since = (2, 0)
    target = 20

    def operand_type(self, name: str) -> OperandType:
        return self.size

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> tuple[int, int] | None:
        return operands[0].stride, operands[0].multiple

    def reference(self, a: int) -> int:
        return a

    def lower(self, g: Any, a: Any) -> Any:
        return a


@instruction
class ConvertWindow(Memory):
    """cvta of shared and local addresses: moves between the window's offsets and generic addresses"""

    to: bool
    space: str
    size: str
    syntax = ("cvta{.to}.space.size d, a",)
    modifiers = {"space": "shared shared::cta shared::cluster local", "size": "u32 u64"}
    section = "9.7.9.20"
    since = (2, 0)
    target = 20
    is_pure = True

    def operand_type(self, name: str) -> OperandType:
        return self.size

    def shape(self, *operands: Shape) -> Shape:
        if self.space in ("local", "shared::cluster") or operands[0].deviation:
            return VARYING
        return Shape(operands[0].rows, operands[0].stride)

    def lower(self, w: Any, op: Any) -> Any:
        elem = f"i{types.width(self.size)}"
        if self.space == "shared::cluster":
            return self._of_cluster(w, op, elem)
        if self.space == "local":
            a = w.cast(w.vector(op.operands[0]), elem)
            blocks = w.lane_constants("i64", [w.local_bytes * lane for lane in range(32)])
            base = w.add(w.convert("ptrtoint", w.local_base, "i64"), blocks)
        else:
            held = w.get(op.operands[0])
            a = w.cast(w.vector(op.operands[0]) if held.shape.deviation else held.base, elem)
            base = w.convert("ptrtoint", w.shared_base, "i64")
        wide = w.zext(a, "i64") if a.bits < 64 else a
        return w.trunc(w.sub(wide, base) if self.to else w.add(wide, base), elem)

    def _of_cluster(self, w: Any, op: Any, elem: str) -> Any:
        """The shared memory of any CTA of the cluster."""
        from anywarp.lower.copies import counted_loop

        a = w.cast(w.vector(op.operands[0]), elem)
        if not self.to:
            return w.resize(w.convert("ptrtoint", w.cluster_pointers(w.trunc(a, "i32")), "i64"), elem, False)
        wide = w.zext(a, "i64") if a.bits < 64 else a
        found = w.scratch("i64")
        w.store(w.sub(wide, w.convert("ptrtoint", w.shared_base, "i64")), found, 64)
        table, size = w.cta_field("cluster"), w.zext(w.launch_field("total_shared"), "i64")

        def one(rank: Any) -> None:
            offset = w.sub(wide, w.load("i64", 1, w.offset(table, w.mul(rank, w.const("i64", 8))), 8))
            is_other = w.and_(w.icmp("ult", offset, size), w.icmp("ne", rank, w.zext(w.cta_field("cluster_rank"), "i64")))
            named = w.or_(offset, w.shl(w.add(rank, w.const("i64", 1)), w.const("i64", CLUSTER_SHIFT)))
            w.store(w.select(is_other, named, w.load("i64", 32, found, 64)), found, 64)

        ctas = w.mul(w.mul(w.launch_field("cluster", 0), w.launch_field("cluster", 1)), w.launch_field("cluster", 2))
        counted_loop(w, w.zext(ctas, "i64"), one)
        return w.trunc(w.load("i64", 32, found, 64), elem)


@instruction
class IsSpace(Memory):
    """isspacep: does a generic address lie in a state space?"""

    space: str
    syntax = "isspacep.space p, a"
    modifiers = {"space": "const global local shared shared::cta shared::cluster param param::entry"}
    types = {"p": "pred", "a": "b64"}
    section = "9.7.9.19"
    since = (2, 0)
    target = 20
    is_pure = True

    def shape(self, *operands: Shape) -> Shape:
        a = operands[0]
        return Shape(a.rows) if a.stride == 0 and self.space != "local" else VARYING

    def lower(self, w: Any, op: Any) -> Any:
        held = w.get(op.operands[0])
        a = held.base if held.shape.stride == 0 else w.vector(op.operands[0])

        def within(base: Any, size: Any) -> Any:
            return w.icmp("ult", w.sub(a, w.convert("ptrtoint", base, "i64")), size)

        in_shared = within(w.shared_base, w.zext(w.launch_field("total_shared"), "i64"))
        in_local = w.const("i1", 0)
        for base, size in w.local_blocks():
            in_local = w.or_(in_local, within(base, w.const("i64", max(1, size))))
        in_param = within(w.launch_field("params"), w.const("i64", max(1, w.parameter_bytes)))
        if self.space.startswith("shared"):
            return in_shared
        if self.space == "local":
            return w.broadcast(in_local, 32)
        if self.space.startswith("param"):
            return in_param
        if self.space == "const":
            return w.and_(in_param, w.const("i1", 0))
        return w.not_(w.or_(w.or_(in_shared, in_local), in_param))


@instruction
class MapShared(Memory):
    """mapa: the address of another CTA's shared variable of the same cluster"""

    size: str
    space: str | None
    syntax = ("mapa{.space}.size d, a, b",)
    modifiers = {"space": "shared::cluster", "size": "u32 u64"}
    section = "9.7.9.22"
    since = (7, 8)
    target = 90

    def operand_type(self, name: str) -> OperandType:
        return "u32" if name == "b" else self.size

    def lower(self, w: Any, op: Any) -> Any:
        a = w.cast(w.vector(op.operands[0]), f"i{types.width(self.size)}")
        rank = w.cast(w.vector(op.operands[1]), "i32")
        if self.space:  # an address in the cluster's window
            low = w.and_(w.trunc(a, "i32"), w.const("i32", (1 << CLUSTER_SHIFT) - 1))
            named = w.or_(low, w.shl(w.add(rank, w.const("i32", 1)), w.const("i32", CLUSTER_SHIFT)))
            return w.resize(named, a.elem, False)
        target = w.convert("ptrtoint", w.cluster_pointers(w.shl(w.add(rank, w.const("i32", 1)), w.const("i32", CLUSTER_SHIFT))), "i64")
        distance = w.sub(target, w.convert("ptrtoint", w.shared_base, "i64"))
        return w.trunc(w.add(w.zext(a, "i64") if a.bits < 64 else a, distance), a.elem)


@instruction
class RankOfShared(Memory):
    """getctarank: the rank in the cluster of the CTA that a shared address belongs to; of no CTA: one's own"""

    size: str
    space: str | None
    syntax = ("getctarank{.space}.size d, a",)
    modifiers = {"space": "shared::cluster", "size": "u32 u64"}
    section = "9.7.9.23"
    since = (7, 8)
    target = 90
    is_pure = True

    def operand_type(self, name: str) -> OperandType:
        return "u32" if name == "d" else self.size

    def lower(self, w: Any, op: Any) -> Any:
        from anywarp.lower.copies import counted_loop

        a = w.cast(w.vector(op.operands[0]), f"i{types.width(self.size)}")
        table = w.cta_field("cluster")
        if self.space:
            a = w.convert("ptrtoint", w.cluster_pointers(w.trunc(a, "i32")), "i64")
        size = w.zext(w.launch_field("total_shared"), "i64")
        ranks = w.scratch("i32")
        w.store(w.broadcast(w.cta_field("cluster_rank"), 32), ranks, 64)
        ctas = w.mul(w.mul(w.launch_field("cluster", 0), w.launch_field("cluster", 1)), w.launch_field("cluster", 2))

        def one(rank: Any) -> None:
            base = w.load("i64", 1, w.offset(table, w.mul(rank, w.const("i64", 8))), 8)
            is_there = w.icmp("ult", w.sub(a, base), size)
            w.store(w.select(is_there, w.trunc(rank, "i32"), w.load("i32", 32, ranks, 64)), ranks, 64)

        counted_loop(w, w.zext(ctas, "i64"), one)
        return w.load("i32", 32, ranks, 64)
