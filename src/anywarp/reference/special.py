"""Special registers (PTX ISA 10): a function of the thread for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from anywarp.reference.machine import Machine, Thread

Special = Callable[["Thread"], int]
_TIMER_START: Final = 1_700_000_000_000_000_000  # ns; what %globaltimer counts from


def _clusters(m: Machine, axis: int) -> int:
    return m.grid[axis] // m.cluster[axis]


def _vector(name: str, axis: int) -> Special | None:
    def of_machine(get: Callable[[Machine], int]) -> Special:
        return lambda t: get(t.cta.machine)

    table: dict[str, Special] = {
        "tid": lambda t: t.tid[axis],
        "ntid": of_machine(lambda m: m.block[axis]),
        "ctaid": lambda t: t.cta.ctaid[axis],
        "nctaid": of_machine(lambda m: m.grid[axis]),
        "clusterid": lambda t: t.cta.ctaid[axis] // t.cta.machine.cluster[axis],
        "nclusterid": of_machine(lambda m: _clusters(m, axis)),
        "cluster_ctaid": lambda t: t.cta.ctaid[axis] % t.cta.machine.cluster[axis],
        "cluster_nctaid": of_machine(lambda m: m.cluster[axis]),
    }
    return table.get(name)


def _cluster_size(t: Thread) -> int:
    x, y, z = t.cta.machine.cluster
    return x * y * z


def _timer(t: Thread) -> int:
    return _TIMER_START + t.cta.machine.executed


_SCALARS: dict[str, Special] = {
    "laneid": lambda t: t.lane,
    "warpid": lambda t: t.warp.index,
    "nwarpid": lambda t: len(t.cta.warps),
    "smid": lambda t: t.cta.slot % t.cta.machine.options.sm_count,
    "nsmid": lambda t: t.cta.machine.options.sm_count,
    "gridid": lambda t: t.cta.machine.grid_id,
    "is_explicit_cluster": lambda t: int(_cluster_size(t) > 1),
    "cluster_ctarank": lambda t: t.cta.rank,
    "cluster_nctarank": _cluster_size,
    "lanemask_eq": lambda t: 1 << t.lane,
    "lanemask_le": lambda t: (2 << t.lane) - 1,
    "lanemask_lt": lambda t: (1 << t.lane) - 1,
    "lanemask_ge": lambda t: 0xFFFFFFFF & -(1 << t.lane),
    "lanemask_gt": lambda t: 0xFFFFFFFF & -(2 << t.lane),
    "clock": lambda t: t.cta.machine.executed & 0xFFFFFFFF,
    "clock_hi": lambda t: t.cta.machine.executed >> 32,
    "clock64": lambda t: t.cta.machine.executed,
    "globaltimer": _timer,
    "globaltimer_lo": lambda t: _timer(t) & 0xFFFFFFFF,
    "globaltimer_hi": lambda t: _timer(t) >> 32,
    "total_smem_size": lambda t: t.cta.machine.shared_bytes,
    "aggr_smem_size": lambda t: t.cta.machine.shared_bytes,
    "dynamic_smem_size": lambda t: t.cta.machine.dynamic_shared,
    "current_graph_exec": lambda t: 0,
}


def reader(name: str) -> Special | None:
    """The register `%name`, or None where there is none of that name."""
    if not name.startswith("%"):
        return None
    if name[1:] in _SCALARS:
        return _SCALARS[name[1:]]
    vector, dot, component = name[1:].rpartition(".")
    if dot and component in "xyz":
        return _vector(vector, "xyz".index(component))
    if dot and component == "w" and _vector(vector, 0):
        return lambda t: 0
    if name.startswith(("%envreg", "%pm", "%reserved_smem")):
        return lambda t: 0
    return _vector(name[1:], 0)  # `%tid` alone, of PTX 1.x
