"""Calls of device functions that stay functions: recursive ones, those behind an address, large ones with many callers.

Arguments and results lie in a block of memory for each lane on the caller's stack, all lanes' first 16 bytes before all lanes' second (no
parameter begins in the middle of 16 bytes, and no access crosses them), so that one vector store passes an argument of all lanes. An
indirect call goes through the functions that it may mean, once for the lanes that mean each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anywarp import abi
from anywarp.ir.builtin import CallFunction
from anywarp.lower.emit import WARP, V

if TYPE_CHECKING:
    from anywarp.lower.kernel import KernelEmitter

GRANULE = 16  # bytes


def symbol_of(kernel: KernelEmitter, name: str) -> str:
    """The LLVM name of a device function."""
    return f"function.{list(kernel.callee_names).index(name)}"


def call_function(w: KernelEmitter, call: CallFunction, address: V | None, values: list[V]) -> list[V]:
    """Emits a `builtin.CallFunction` for the active lanes; gives its results (32 lanes each)."""
    block = w.scratch("i8", max(64, WARP * call.block_bytes))
    for start, parts in _granules(call.argument_places).items():
        _store_granule(w, w.offset(block, WARP * start), [(offset, w.cast(values[i], f"i{width}")) for i, offset, width in parts])
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
        part = w.offset(block, WARP * (offset & -GRANULE))
        step = 8 * GRANULE // width
        whole = w.load(f"i{width}", WARP * step, part, GRANULE)
        results.append(w.shuffle(whole, None, [lane * step + offset % GRANULE * 8 // width for lane in range(WARP)]))
    return results


def block_offset(offset: int) -> int:
    """Where a byte of the first lane's block lies; lane l has it 16 * l bytes further on."""
    return WARP * (offset & -GRANULE) + offset % GRANULE


def _granules(places: list[tuple[int, int]]) -> dict[int, list[tuple[int, int, int]]]:
    """The parts (number, offset in the granule, bits) by the first byte of their 16."""
    granules: dict[int, list[tuple[int, int, int]]] = {}
    for i, (offset, width) in enumerate(places):
        granules.setdefault(offset & -GRANULE, []).append((i, offset % GRANULE, width))
    return granules


def _store_granule(w: KernelEmitter, pointer: V, parts: list[tuple[int, V]]) -> None:
    """Writes 16 bytes a lane: the parts (32 lanes each) at their offsets."""
    unit = min(v.bits for _, v in parts)
    step = 8 * GRANULE // unit
    whole: V | None = None
    for offset, v in parts:
        pieces = v.bits // unit
        first = offset * 8 // unit
        units = w.reinterpret(v, f"i{unit}", WARP * pieces) if pieces > 1 else v
        spread = [-1] * (WARP * step)
        for lane in range(WARP):
            for piece in range(pieces):
                spread[lane * step + first + piece] = lane * pieces + piece
        placed = w.shuffle(units, None, spread)
        if whole is None:
            whole = placed
        else:
            n = WARP * step
            whole = w.shuffle(whole, placed, [n + i if first <= i % step < first + pieces else i for i in range(n)])
    assert whole is not None
    w.store(whole, pointer, GRANULE)


def _call(w: KernelEmitter, name: str, lanes: V, block: V) -> None:
    w.line(f"call void @{symbol_of(w, name)}(ptr {w.launch.name}, ptr {w.cta.name}, ptr {w.warp.name}, {lanes.typed}, ptr {block.name})")
