"""Barriers, fences and waiting (PTX ISA 9.7.13): bar and barrier, bar.warp.sync, membar and fence, nanosleep, griddepcontrol.

A barrier is a cut: the warp leaves compiled code with a status (`abi.Status`), and comes back when the runtime has counted all arrivals.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from anywarp import abi
from anywarp.isa.base import Memory, Warp, instruction
from anywarp.isa.shape import Shape


def _number(w: Any, operand: Any) -> Any:
    """A barrier's number or count: the same in all active lanes; the first one's."""
    held = w.get(operand)
    if held.shape.is_uniform:
        return w.cast(held.base, "i32")
    return w.extract(w.cast(w.vector(operand), "i32"), w.first_lane(w.active))


class Arrival(NamedTuple):
    """The operands of a barrier of the CTA at which threads wait."""

    number: Any
    threads: Any | None  # None: all
    reduction: abi.Reduction
    predicate: Any | None


class Barrier(Memory):
    results: ClassVar[tuple[str, ...]] = ()
    is_cut = True
    is_convergent = True
    reads = True
    writes = True
    section = "9.7.13.1"

    def tell(self, w: Any, number: Any, count: Any | None, reduction: abi.Reduction, predicates: Any | None) -> None:
        """Writes what the runtime must know of an arrival to the Warp structure."""
        w.store(w.active, w.warp_pointer("arrived"), 4)
        w.store(number, w.warp_pointer("barrier_id"), 4)
        w.store(count if count is not None else w.const("i32", 0), w.warp_pointer("barrier_threads"), 4)
        w.store(w.const("i32", int(reduction)), w.warp_pointer("barrier_reduction"), 4)
        if predicates is not None:
            w.store(predicates, w.warp_pointer("barrier_predicates"), 4)


class BlockingBarrier(Barrier):
    """A barrier of the CTA at which threads wait."""

    def arrival(self, op: Any) -> Arrival:
        raise NotImplementedError

    def lower_cut(self, w: Any, op: Any) -> Any:
        number, count, reduction, predicate = self.arrival(op)
        predicates = None if predicate is None else w.and_(w.mask_of(w.vector(predicate)), w.active)
        self.tell(w, _number(w, number), None if count is None else _number(w, count), reduction, predicates)
        return abi.Status.BARRIER


@instruction
class BarrierSync(BlockingBarrier):
    """bar.sync, barrier.sync: waits until all threads (or `b` of them) have come to barrier `a`"""

    syntax = ("barrier{.cta}.sync{.aligned} a{, b}", "bar{.cta}.sync a{, b}")
    types = {"a": "u32", "b": "u32"}

    def arrival(self, op: Any) -> Arrival:
        return Arrival(op.operands[0], op.operands[1] if len(op.operands) > 1 else None, abi.Reduction.NONE, None)


@instruction
class BarrierArrive(Barrier):
    """bar.arrive, barrier.arrive: counts as an arrival, without waiting"""

    syntax = ("barrier{.cta}.arrive{.aligned} a, b", "bar{.cta}.arrive a, b")
    types = {"a": "u32", "b": "u32"}
    since = (2, 0)
    target = 20

    def lower_cut(self, w: Any, op: Any) -> Any:
        self.tell(w, _number(w, op.operands[0]), _number(w, op.operands[1]), abi.Reduction.NONE, None)
        return abi.Status.ARRIVED


@instruction
class BarrierReduce(BlockingBarrier):
    """bar.red, barrier.red: waits, and reduces a predicate over all threads"""

    syntax = (
        "barrier{.cta}.red.popc{.aligned}.u32 d, a{, b}, {!}c",
        "bar{.cta}.red.popc.u32 d, a{, b}, {!}c",
        "barrier{.cta}.red.op{.aligned}.pred p, a{, b}, {!}c",
        "bar{.cta}.red.op.pred p, a{, b}, {!}c",
    )
    op: str | None
    modifiers = {"op": "and or"}
    types = {"a": "u32", "b": "u32", "c": "pred", "d": "u32", "p": "pred"}
    results = ("d", "p")
    since = (2, 0)
    target = 20

    def shape(self, *operands: Shape) -> Shape:
        return Shape(1)

    def arrival(self, op: Any) -> Arrival:
        reduction = {"and": abi.Reduction.AND, "or": abi.Reduction.OR}.get(self.op or "", abi.Reduction.POPC)
        return Arrival(op.operands[0], op.operands[1] if len(op.operands) > 2 else None, reduction, op.operands[-1])

    def lower_resumed(self, w: Any, op: Any) -> Any:
        result = w.load("i32", 1, w.warp_pointer("barrier_result"), 4)
        return result if self.op is None else w.icmp("ne", result, w.const("i32", 0))


@instruction
class ClusterArrive(Barrier):
    """barrier.cluster.arrive: counts as an arrival at the cluster's barrier"""

    syntax = "barrier.cluster.arrive{.sem}{.aligned}"
    modifiers = {"sem": "release relaxed"}
    section = "9.7.13.3"
    since = (7, 8)
    target = 90

    def lower_cut(self, w: Any, op: Any) -> Any:
        w.store(w.active, w.warp_pointer("arrived"), 4)
        return abi.Status.CLUSTER_ARRIVED


@instruction
class ClusterWait(Barrier):
    """barrier.cluster.wait: waits until all threads of the cluster have arrived"""

    syntax = "barrier.cluster.wait{.acquire}{.aligned}"
    section = "9.7.13.3"
    since = (7, 8)
    target = 90

    def lower_cut(self, w: Any, op: Any) -> Any:
        w.store(w.active, w.warp_pointer("arrived"), 4)
        return abi.Status.CLUSTER_WAIT


@instruction
class Nanosleep(Memory):
    """nanosleep: gives way to others; a sleep from 0 to twice the time asked for is allowed, so none is made"""

    syntax = "nanosleep.u32 t"
    types = {"t": "u32"}
    results = ()
    section = "9.7.13.19"
    since = (6, 3)
    target = 70
    is_cut = True

    def lower_cut(self, w: Any, op: Any) -> Any:
        return abi.Status.YIELD


@instruction
class WarpBarrier(Warp):
    """bar.warp.sync: the lanes of a warp wait for one another and see each other's memory accesses"""

    syntax = "bar.warp.sync membermask"
    types = {"membermask": "b32"}
    results = ()
    section = "9.7.13.2"
    since = (6, 0)
    target = 30
    reads = True
    writes = True

    def reference(self, lanes: dict[int, tuple[Any, ...]]) -> dict[int, Any]:
        return dict.fromkeys(lanes, ())

    def lower(self, w: Any, membermask: Any) -> Any:
        w.line('fence syncscope("singlethread") seq_cst')
        return []


@instruction
class Fence(Memory):
    """membar, fence: orders this thread's accesses. Within a CTA, one thread of the machine runs all; wider scopes fence."""

    syntax = (
        "membar.level",
        "fence{.sem}.scope",
        "fence{.sem}.sync_restrict.scope",
        "fence.op_restrict.release.cluster",
        "fence.proxy.proxykind",
        "fence.proxy.async.pspace",
        "fence.proxy.tensormap::generic.release.scope",
        "fence.proxy.tensormap::generic.acquire.scope [a], size",
        "fence.proxy.async::generic.sem.sync_restrict.cluster",
        "membar.proxy.proxykind",
        "membar.proxy.async.pspace",
    )
    level: str | None
    scope: str | None
    sem: str | None
    modifiers = {
        "level": "cta gl sys",
        "sem": "sc acq_rel acquire release",
        "scope": "cta cluster gpu sys",
        "sync_restrict": "sync_restrict::shared::cta sync_restrict::shared::cluster",
        "op_restrict": "mbarrier_init",
        "proxykind": "alias async async::generic",
        "pspace": "global shared::cta shared::cluster",
    }
    types = {"size": "u32"}
    results = ()
    section = "9.7.13.4"
    reads = True
    writes = True

    def lower(self, w: Any, op: Any) -> Any:
        narrow = "cta" in (self.level, self.scope) or (self.level is None and self.scope is None)
        order = "seq_cst" if self.level is not None or self.sem == "sc" else "acq_rel"  # `membar` is `fence.sc`
        w.line(f'fence syncscope("singlethread") {order}' if narrow else f"fence {order}")


@instruction
class GridDependency(Memory):
    """griddepcontrol: between dependent grids; a launch here begins when its predecessors have ended, so both are no-ops"""

    syntax = ("griddepcontrol.action",)
    modifiers = {"action": "launch_dependents wait"}
    results = ()
    section = "9.7.13.13"
    since = (7, 8)
    target = 90
    writes = True

    def lower(self, w: Any, op: Any) -> Any:
        return None
