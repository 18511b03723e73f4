"""The special registers (PTX ISA 10), read by `mov` and as operands."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from anywarp.isa.base import Lane
from anywarp.isa.shape import UNIFORM, VARYING, Shape

if TYPE_CHECKING:
    from anywarp.lower.emit import V


class SpecialRegister(Lane):
    """One special register by name, of `width` bits. Its shape depends on how threads fill warps (`layout`, a variant's name)."""

    syntax = ()
    forms = []
    section = "10"

    def __init__(self, name: str, width: int, shape: Callable[[str], Shape], lower: Callable[[Any], V], volatile: bool = False) -> None:
        self.opcode = (name,)
        self.name, self.width = name, width
        self.shape_in, self._lower = shape, lower
        self.is_volatile = volatile  # each read may differ: never move or merge

    def lower(self, *operands: Any) -> V:
        """Takes the kernel emitter; gives the bases of its shape."""
        return self._lower(operands[0])


def _uniform(layout: str) -> Shape:
    return UNIFORM


def _varying(layout: str) -> Shape:
    return VARYING


def _tid_x(layout: str) -> Shape:
    layout = layout.removesuffix(".partial")
    if layout == "line":
        return Shape(1, 1, 32)
    if layout.startswith("rows"):
        lanes = int(layout[4:])
        return Shape(32 // lanes, 1, 1024)
    return VARYING


def _tid_y(layout: str) -> Shape:
    layout = layout.removesuffix(".partial")
    if layout == "line":
        return UNIFORM
    if layout.startswith("rows"):
        return Shape(32 // int(layout[4:]), 0, 1)
    return VARYING


_ALL: dict[str, SpecialRegister] = {}


def _define(name: str, width: int, shape: Callable[[str], Shape], lower: Callable[[Any], V], volatile: bool = False) -> None:
    _ALL[name] = SpecialRegister(name, width, shape, lower, volatile)


def _define_axis(i: int, axis: str) -> None:
    _define(f"%tid.{axis}", 32, _tid_x if axis == "x" else _tid_y, lambda w: w.thread_index(i))
    _define(f"%ntid.{axis}", 32, lambda layout: Shape(1, 0, _block_multiple(layout, axis)), lambda w: w.block_size(i))
    _define(f"%ctaid.{axis}", 32, _uniform, lambda w: w.cta_index(i))
    _define(f"%nctaid.{axis}", 32, _uniform, lambda w: w.launch_field("grid", i))
    _define(f"%clusterid.{axis}", 32, _uniform, lambda w: w.binary("udiv", w.cta_index(i), w.launch_field("cluster", i)))
    _define(f"%cluster_ctaid.{axis}", 32, _uniform, lambda w: w.binary("urem", w.cta_index(i), w.launch_field("cluster", i)))
    _define(f"%cluster_nctaid.{axis}", 32, _uniform, lambda w: w.launch_field("cluster", i))
    _define(f"%nclusterid.{axis}", 32, _uniform, lambda w: w.binary("udiv", w.launch_field("grid", i), w.launch_field("cluster", i)))


for _i, _axis in enumerate("xyz"):
    _define_axis(_i, _axis)


def _block_multiple(layout: str, axis: str) -> int:
    """A power of two that divides ntid on an axis."""
    if axis != "x":
        return 1
    if layout == "line":  # whole warps
        return 32
    return int(layout.removesuffix(".partial")[4:]) if layout.startswith("rows") else 1


def _lanemask(compute: Callable[[int], int]) -> Callable[[Any], V]:
    return lambda w: w.lane_constants("i32", [compute(lane) & 0xFFFFFFFF for lane in range(32)])


def _cluster_size(w: Any) -> V:
    x, y, z = (w.launch_field("cluster", i) for i in range(3))
    size: V = w.mul(w.mul(x, y), z)
    return size


_define("%laneid", 32, lambda layout: Shape(1, 1, 1024), lambda w: w.const("i32", 0))
_define("%warpid", 32, _uniform, lambda w: w.warp_index())
_define("%nwarpid", 32, _uniform, lambda w: w.launch_field("warps"))
_define("%smid", 32, _uniform, lambda w: w.cta_field("smid"))
_define("%nsmid", 32, _uniform, lambda w: w.launch_field("sm_count"))
_define("%gridid", 64, _uniform, lambda w: w.launch_field("grid_id"))
_define("%cluster_ctarank", 32, _uniform, lambda w: w.cta_field("cluster_rank"))
_define("%cluster_nctarank", 32, _uniform, _cluster_size)
_define("%is_explicit_cluster", 1, _uniform, lambda w: w.icmp("ugt", _cluster_size(w), w.const("i32", 1)))
_define("%lanemask_eq", 32, _varying, _lanemask(lambda lane: 1 << lane))
_define("%lanemask_lt", 32, _varying, _lanemask(lambda lane: (1 << lane) - 1))
_define("%lanemask_le", 32, _varying, _lanemask(lambda lane: (2 << lane) - 1))
_define("%lanemask_gt", 32, _varying, _lanemask(lambda lane: -(2 << lane)))
_define("%lanemask_ge", 32, _varying, _lanemask(lambda lane: -(1 << lane)))
_define("%clock", 32, _uniform, lambda w: w.trunc(w.cycles(), "i32"), volatile=True)
_define("%clock_hi", 32, _uniform, lambda w: w.trunc(w.lshr(w.cycles(), w.const("i64", 32)), "i32"), volatile=True)
_define("%clock64", 64, _uniform, lambda w: w.cycles(), volatile=True)
_define("%globaltimer", 64, _uniform, lambda w: w.service("globaltimer", "i64"), volatile=True)
_define("%globaltimer_lo", 32, _uniform, lambda w: w.trunc(w.service("globaltimer", "i64"), "i32"), volatile=True)
_define(
    "%globaltimer_hi", 32, _uniform, lambda w: w.trunc(w.lshr(w.service("globaltimer", "i64"), w.const("i64", 32)), "i32"), volatile=True
)
_define("%dynamic_smem_size", 32, _uniform, lambda w: w.launch_field("dynamic_shared"))
_define("%total_smem_size", 32, _uniform, lambda w: w.launch_field("total_shared"))
_define("%aggr_smem_size", 32, _uniform, lambda w: w.launch_field("total_shared"))
_define("%reserved_smem_offset_begin", 32, _uniform, lambda w: w.const("i32", 0))
_define("%reserved_smem_offset_end", 32, _uniform, lambda w: w.const("i32", 0))
_define("%reserved_smem_offset_cap", 32, _uniform, lambda w: w.const("i32", 0))
_define("%current_graph_exec", 64, _uniform, lambda w: w.launch_field("graph_exec"))

# High and low half of the address of the grid's workspace in cooperative launches: what cooperative groups read (their header
# details/driver_abi.h); the other environment registers are 0.
_define("%envreg1", 32, _uniform, lambda w: w.trunc(w.lshr(w.launch_field("grid_workspace"), w.const("i64", 32)), "i32"))
_define("%envreg2", 32, _uniform, lambda w: w.trunc(w.launch_field("grid_workspace"), "i32"))

# Counters that nothing feeds, and registers that the driver defines.
_ZEROS = re.compile(r"%(pm[0-7](_64)?|envreg([0-9]|[12][0-9]|3[01])|reserved_smem_offset_[01])")


def find(name: str) -> SpecialRegister | None:
    """The special register of that name, or None."""
    found = _ALL.get(name)
    if found is None and _ZEROS.fullmatch(name):
        width = 64 if name.endswith("_64") else 32
        found = _ALL[name] = SpecialRegister(name, width, _uniform, lambda w: w.const(f"i{width}", 0))
    return found


def names() -> list[str]:
    """Every special register that is always there."""
    return list(_ALL)
