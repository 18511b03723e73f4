"""Tensor copies (PTX ISA 9.7.9.25.5: cp.async.bulk.tensor, cp.reduce.async.bulk.tensor, cp.async.bulk.prefetch.tensor).

A box of a tensor in global memory, as a tensor map describes it (`tensor_map`), goes to shared memory or back. The work is the runtime's
service `tensor`, one call a lane: programs let one lane of a CTA do it. As all asynchronous copies here it is done at once and reported to
the mbarrier.
"""

from __future__ import annotations

from typing import Any

from anywarp import abi
from anywarp.isa.atomics import operation
from anywarp.isa.base import OperandType, instruction
from anywarp.isa.bulk_copy import HINT, MULTICAST, _Bulk, forms, lower_report, report
from anywarp.isa.tensor_map import TensorMap

Lanes = dict[int, tuple[Any, ...]]
_DIMENSIONS = "1d 2d 3d 4d 5d"
_LOAD = "cp.async.bulk.tensor.dim.to.global"


class _TensorCopy(_Bulk):
    """What tensor copies have in common."""

    modifiers = {
        "dim": _DIMENSIONS,
        "to": "shared::cluster shared::cta",
        "mode": "tile im2col_no_offs tile::gather4 tile::scatter4",
        "gather": "im2col",
        "op": "add min max inc dec and or xor",
    }
    section = "9.7.9.25.5.2"
    dim: str
    mode: str | None = None
    gather: str | None = None
    op: str | None = None

    @property
    def is_im2col(self) -> bool:
        return self.gather is not None or self.mode == "im2col_no_offs"

    @property
    def has_four_rows(self) -> bool:
        """Whether the copy is of four rows that lie anywhere in a tensor of two dimensions."""
        return (self.mode or "")[-1:] == "4"

    def check(self) -> str | None:
        if self.has_four_rows:
            is_load = self.operation is abi.TensorOperation.LOAD or "prefetch" in self.opcode
            if self.dim != "2d" or self.op or is_load != (self.mode == "tile::gather4"):
                return "rows are gathered to shared memory and scattered from there, in two dimensions"
        return "im2col needs three dimensions at least" if self.is_im2col and int(self.dim[0]) < 3 else None

    def corners(self, coordinates: list[Any]) -> list[list[Any]]:
        """The coordinates of each box that is copied: one, or four rows that begin in the same column."""
        return [[coordinates[0], row] for row in coordinates[1:]] if self.has_four_rows else [coordinates]

    @property
    def offset_count(self) -> int:
        return int(self.dim[0]) - 2 if self.gather else 0

    def operand_type(self, name: str) -> OperandType:
        if name == "coordinates":
            return "b32", 5 if self.has_four_rows else int(self.dim[0])
        if name == "offsets":
            return "u16", self.offset_count
        return super().operand_type(name)

    def address_space(self, name: str) -> str:
        return {"map": "", "dst": "shared::cluster", "src": "shared"}.get(name, "shared::cluster")

    @property
    def operation(self) -> abi.TensorOperation:
        if self.op:
            return abi.TensorOperation[self.op.upper()]
        return abi.TensorOperation.LOAD if self.opcode[5].startswith("shared") else abi.TensorOperation.STORE

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        for operands in lanes.values():
            given = self.named(operands)
            m = TensorMap.of(memory.read(given["map"], abi.TENSOR_MAP.size))
            coordinates = [(c ^ 1 << 31) - (1 << 31) for c in given["coordinates"]]
            places = [e for c in self.corners(coordinates) for e in m.boxes(c, self.is_im2col, given.get("offsets", ()))]
            size = m.element_bytes
            if self.operation is not abi.TensorOperation.LOAD:
                combine = operation(self.op, m.type) if self.op else lambda old, new: new
                for number, outside in enumerate(places):
                    if outside is not None:
                        new = memory.load(m.place(given["src"], number), size)
                        memory.store(outside, size, combine(memory.load(outside, size), new))
                continue
            ranks = [r for r in range(16) if given["mask"] >> r & 1] if "mask" in given else [None]
            for rank in ranks:
                target = memory.peer_address(given["dst"], rank)
                for number, outside in enumerate(places):
                    memory.store(m.place(target, number), size, m.fill if outside is None else memory.load(outside, size))
                report(memory, memory.peer_address(given["mbar"], rank), size * len(places))
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        from anywarp.lower.copies import PerLane, for_ctas

        given = self.named(op.operands)
        per_lane = PerLane(w)
        map_of = per_lane.pointer(w.place("", given["map"]))
        inside = w.place("shared::cluster" if "dst" in given else "shared", given["dst"] if "dst" in given else given["src"])
        w.check_alignment(inside, 128)
        shared = per_lane.pointer(inside)
        bar = per_lane.pointer(w.place("shared::cluster", given["mbar"])) if "mbar" in given else None
        coordinates = [per_lane.number(c, "i32") for c in given["coordinates"]]
        offsets = [per_lane.number(o, "i16") for o in given.get("offsets", ())]
        mask = per_lane.number(given["mask"], "i16") if "mask" in given else None
        places, moves = w.scratch("i32", 5), w.scratch("i16", 4)
        operation = w.const("i32", int(self.operation) | (256 if self.is_im2col else 0))

        def one(lane: Any) -> None:
            for i, o in enumerate(offsets):
                w.store(o(lane), w.offset(moves, 2 * i), 2)
            of_map = w.convert("ptrtoint", map_of(lane), "i64")
            only = w.shl(w.const("i32", 1), lane)

            def copy(pointers: list[Any]) -> None:
                where = w.convert("ptrtoint", pointers[0], "i64")
                count = w.const("i32", 0)
                for corner in self.corners(coordinates):
                    for i, c in enumerate(corner):
                        w.store(c(lane), w.offset(places, 4 * i), 4)
                    box = w.service("tensor", "i32", w.launch, w.cta, only, operation, of_map, where, places, moves)
                    count, where = w.add(count, box), w.add(where, w.zext(box, "i64"))
                if bar is not None:
                    lower_report(w, pointers[1], w.zext(count, "i64"))

            ranks = None if mask is None else w.zext(mask(lane), "i32")
            for_ctas(w, ranks, [shared(lane)] + ([bar(lane)] if bar is not None else []), copy)

        w.each_lane(w.active, one)


@instruction
class TensorLoad(_TensorCopy):
    """cp.async.bulk.tensor to shared memory"""

    syntax = (
        *forms(f"{_LOAD}{{.mode}}.mbarrier::complete_tx::bytes*", "[dst], [map, coordinates], [mbar]", MULTICAST, HINT),
        *forms(f"{_LOAD}.gather.mbarrier::complete_tx::bytes*", "[dst], [map, coordinates], [mbar], offsets", MULTICAST, HINT),
        *forms(f"{_LOAD}{{.mode}}.mbarrier::complete_tx::bytes*.cta_group", "[dst], [map, coordinates], [mbar]", MULTICAST),
    )
    modifiers = {**_TensorCopy.modifiers, "cta_group": "cta_group::1 cta_group::2"}


@instruction
class TensorStore(_TensorCopy):
    """cp.async.bulk.tensor to global memory, cp.reduce.async.bulk.tensor"""

    syntax = (
        *forms("cp.async.bulk.tensor.dim.global.shared::cta{.mode}.bulk_group", "[map, coordinates], [src]", HINT),
        *forms("cp.reduce.async.bulk.tensor.dim.global.shared::cta.op{.mode}.bulk_group", "[map, coordinates], [src]", HINT),
    )


@instruction
class TensorPrefetch(_TensorCopy):
    """cp.async.bulk.prefetch.tensor: a hint"""

    syntax = (
        *forms("cp.async.bulk.prefetch.tensor.dim.L2.global{.mode}", "[map, coordinates]", HINT),
        *forms("cp.async.bulk.prefetch.tensor.dim.L2.global.gather", "[map, coordinates], offsets", HINT),
    )

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        return None
