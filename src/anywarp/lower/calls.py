"""Calls of device functions that stay functions: recursive ones and those behind an address.

Arguments and results lie in a block of memory for each lane on the caller's stack. An indirect call goes through the functions that it may
mean, once for the lanes that mean each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anywarp import abi
from anywarp.ir.builtin import CallFunction
from anywarp.lower.emit import WARP, V

if TYPE_CHECKING:
    from anywarp.lower.kernel import KernelEmitter


def symbol_of(kernel: KernelEmitter, name: str) -> str:
    """The LLVM name of a device function."""
    return f"function.{list(kernel.callee_names).index(name)}"


def call_function(w: KernelEmitter, call: CallFunction, address: V | None, values: list[V]) -> list[V]:
    """Emits a `builtin.CallFunction` for the active lanes; gives its results (32 lanes each)."""
    size = call.block_bytes
    block = w.scratch("i8", max(64, WARP * size))
    for (offset, width), v in zip(call.argument_places, values):
        v = w.cast(v, f"i{width}")
        for lane in range(WARP):
            w.store(w.extract(v, lane), w.offset(block, lane * size + offset), min(width // 8, 16))
    if call.name is not None:
        _call(w, call.name, w.active, block)
    else:
        assert address is not None
        left = w.active
        for name, index in call.candidates:
            table = w.launch_field("symbols")
            known = w.load("i64", 1, w.offset(table, 8 * index), 8, invariant=True)
            lanes = w.and_(w.active, w.mask_of(w.icmp("eq", address, known)))
            left = w.and_(left, w.not_(lanes))
            here, behind = w.new_label("target"), w.new_label("target.next")
            w.branch(w.icmp("ne", lanes, w.const("i32", 0)), here, behind)
            w.label(here)
            _call(w, name, lanes, block)
            w.jump(behind)
            w.label(behind)
        bad, fine = w.new_label("target.bad"), w.new_label("target.known")
        w.branch(w.icmp("ne", left, w.const("i32", 0)), bad, fine)
        w.label(bad)
        w.service("trap", "void", w.launch, w.cta, left, w.trap_reason(abi.Trap.BAD_ADDRESS), w.const("i64", 0))
        w.jump(fine)
        w.label(fine)
    results = []
    for offset, width in call.result_places:
        parts = [w.load(f"i{width}", 1, w.offset(block, lane * size + offset), min(width // 8, 16)) for lane in range(WARP)]
        results.append(w.concat(parts))
    return results


def _call(w: KernelEmitter, name: str, lanes: V, block: V) -> None:
    w.line(f"call void @{symbol_of(w, name)}(ptr {w.launch.name}, ptr {w.cta.name}, ptr {w.warp.name}, {lanes.typed}, ptr {block.name})")
