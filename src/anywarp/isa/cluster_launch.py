"""Cancelling the launch of clusters that have not begun (PTX ISA 9.7.13.17 and 9.7.13.18: clusterlaunchcontrol).

A kernel asks for the work of a cluster that nobody has begun, does it, and asks again until a request fails. Whether a request
succeeds is the device's choice; here every one fails: each CTA runs by itself, and a thread of the pool that is free takes the next one
anyway, so nothing is gained by handing it to a CTA that runs. The response, 16 bytes that only query_cancel may look into, is three
words of coordinates and one that says whether the cluster was cancelled.
"""

from __future__ import annotations

from typing import Any

from anywarp.isa.base import Lane, Memory, OperandType, instruction
from anywarp.isa.bulk_copy import lower_report, report

Lanes = dict[int, tuple[Any, ...]]
_BYTES = 16


@instruction
class TryCancel(Memory):
    """clusterlaunchcontrol.try_cancel: writes the response and reports its bytes to the mbarrier, in this CTA or all of the cluster"""

    syntax = (
        "clusterlaunchcontrol.try_cancel.async{.shared::cta}.mbarrier::complete_tx::bytes{.multicast::cluster::all}.b128 [addr], [mbar]",
    )
    results = ()
    section = "9.7.13.17"
    since = (8, 6)
    target = 100
    writes = True

    @property
    def space(self) -> str:
        return "shared" if "shared::cta" in self.opcode else ""

    @property
    def is_multicast(self) -> bool:
        return "multicast::cluster::all" in self.opcode

    def address_space(self, name: str) -> str:
        return self.space

    def operand_type(self, name: str) -> OperandType:
        return "b64"

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        ranks = range(memory.cluster_size) if self.is_multicast else [None]
        for address, bar in lanes.values():
            for rank in ranks:
                memory.store(memory.peer_address(address, rank), _BYTES, 0)
                report(memory, memory.peer_address(bar, rank), _BYTES)
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        from anywarp.lower.copies import PerLane, for_ctas

        places = [w.place(self.space, operand) for operand in op.operands]
        for place, size in zip(places, (_BYTES, 8)):
            w.check_alignment(place, size)
        per_lane = PerLane(w)
        response, bar = (per_lane.pointer(place) for place in places)
        all_ranks = None
        if self.is_multicast:
            x, y, z = (w.launch_field("cluster", axis) for axis in range(3))
            all_ranks = w.sub(w.shl(w.const("i32", 1), w.mul(w.mul(x, y), z)), w.const("i32", 1))  # 16 CTAs at most

        def one(lane: Any) -> None:
            def write(pointers: list[Any]) -> None:
                w.store(w.const("i32", 0, 4), pointers[0], _BYTES)
                lower_report(w, pointers[1], w.const("i64", _BYTES))

            for_ctas(w, all_ranks, [response(lane), bar(lane)], write)

        w.each_lane(w.active, one)


class _Query(Lane):
    """What queries of a response have in common."""

    section = "9.7.13.18"
    since = (8, 6)
    target = 100


@instruction
class IsCanceled(_Query):
    """clusterlaunchcontrol.query_cancel.is_canceled: whether the request succeeded"""

    syntax = "clusterlaunchcontrol.query_cancel.is_canceled.pred.b128 p, response"
    types = {"p": "pred", "response": "b128"}

    def reference(self, response: int) -> int:
        return response >> 96 & 1

    def lower(self, g: Any, response: Any) -> Any:
        return g.trunc(g.lshr(response, g.const("i128", 96)), "i1")


@instruction
class FirstCta(_Query):
    """clusterlaunchcontrol.query_cancel.get_first_ctaid: the coordinates of the cancelled cluster's first CTA"""

    syntax = (
        "clusterlaunchcontrol.query_cancel.get_first_ctaid.v4.b32.b128 d, response",
        "clusterlaunchcontrol.query_cancel.axis.b32.b128 d, response",
    )
    modifiers = {"axis": "get_first_ctaid::x get_first_ctaid::y get_first_ctaid::z"}
    axis: str | None

    def operand_type(self, name: str) -> OperandType:
        if name == "response":
            return "b128"
        return "b32" if self.axis else ("b32", 4)

    def reference(self, response: int) -> Any:
        words = (*(response >> 32 * i & 0xFFFFFFFF for i in range(3)), 0)
        return words["xyz".index(self.axis[-1])] if self.axis else words

    def lower(self, g: Any, response: Any) -> Any:
        words = [g.trunc(g.lshr(response, g.const("i128", 32 * i)), "i32") for i in range(3)]
        if self.axis:
            return words["xyz".index(self.axis[-1])]
        return (*words, g.const("i32", 0))
