"""The way out of a kernel at a misaligned address: one function of the module for each number of pointers, so that an access spends no
more than a test on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anywarp import abi
from anywarp.lower.emit import WARP, V, vector_type
from anywarp.lower.warp import WarpEmitter

if TYPE_CHECKING:
    from anywarp.lower.emit import Module


def call_misaligned(w: WarpEmitter, pointers: V, size: int, stride: int, reason: V) -> None:
    """Ends the grid, for an active lane whose pointer is no multiple of `size` bytes. `pointers`: of every lane, or the first of each row
    of lanes that step by `stride`. `reason`: for the trap service. The caller's code ends here."""
    name = f"aw.misaligned.{pointers.n}"
    w.module.helper(name, lambda: _text(w.module, name, pointers.n))
    operands = (w.launch, w.cta, w.active, pointers, w.const("i64", size), w.const("i64", stride), reason)
    w.line(f"call void @{name}({', '.join(v.typed for v in operands)})")


def _text(module: Module, name: str, n: int) -> str:
    """The call of the service is a tail call: it returns to where the kernel's own code goes on, if at all."""
    w = WarpEmitter(module, V("ptr", 1, "%launch"), V("ptr", 1, "%cta"), V("ptr", 1, "%warp"))
    active, pointers, size, stride = V("i32", 1, "%active"), V("ptr", n, "%pointers"), V("i64", 1, "%size"), V("i64", 1, "%stride")
    low = w.and_(w.convert("ptrtoint", pointers, "i64"), w.sub(size, w.const("i64", 1)))
    lanes = w.and_(w.mask_of(w.broadcast(w.icmp("ne", low, w.zero_like(low)), WARP)), active)
    lane, row_lanes = w.first_lane(lanes), w.const("i32", WARP // n)
    first = w.extract(pointers, w.binary("udiv", lane, row_lanes))
    within = w.zext(w.binary("urem", lane, row_lanes), "i64") if n < WARP else w.const("i64", 0)
    address = w.add(w.convert("ptrtoint", first, "i64"), w.mul(within, stride))
    table = w.launch_field("services")
    function = w.load("ptr", 1, w.offset(table, abi.service_offset("trap")), 8)
    operands = (w.launch, w.cta, lanes, V("i32", 1, "%reason"), address)
    w.line(f"tail call void {function.name}({', '.join(v.typed for v in operands)})")
    parameters = f"ptr %launch, ptr %cta, i32 %active, {vector_type('ptr', n)} %pointers, i64 %size, i64 %stride, i32 %reason"
    return "\n".join([f"define internal void @{name}({parameters}) noinline cold nounwind {{", *w.lines, "  ret void", "}"])
