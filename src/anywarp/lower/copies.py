"""Copies from memory to memory by a warp: a few bytes a lane (cp.async), or blocks of any size (cp.async.bulk)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anywarp.ir.model import Address
from anywarp.lower.emit import WARP, V
from anywarp.lower.memory import MemoryEmitter, Place

_UNITS = {4: ("i32", 1), 8: ("i64", 1), 16: ("i32", 4)}  # bytes: LLVM type and number of what is moved at a time

_COPY_BYTES = """define internal void @copy.bytes(ptr %to, ptr %from, i64 %bytes) noinline nounwind "no-builtins" {
entry:
  %whole = and i64 %bytes, -64
  %some = icmp ne i64 %whole, 0
  br i1 %some, label %blocks, label %rest
blocks:
  %i = phi i64 [ 0, %entry ], [ %next, %blocks ]
  %a = getelementptr i8, ptr %from, i64 %i
  %b = getelementptr i8, ptr %to, i64 %i
  %v = load <64 x i8>, ptr %a, align 1
  store <64 x i8> %v, ptr %b, align 1
  %next = add i64 %i, 64
  %more = icmp ult i64 %next, %whole
  br i1 %more, label %blocks, label %rest
rest:
  %left = icmp ult i64 %whole, %bytes
  br i1 %left, label %single, label %done
single:
  %j = phi i64 [ %whole, %rest ], [ %j.next, %single ]
  %c = getelementptr i8, ptr %from, i64 %j
  %d = getelementptr i8, ptr %to, i64 %j
  %w = load i8, ptr %c, align 1
  store i8 %w, ptr %d, align 1
  %j.next = add i64 %j, 1
  %j.more = icmp ult i64 %j.next, %bytes
  br i1 %j.more, label %single, label %done
done:
  ret void
}"""


def copy_bytes(w: MemoryEmitter, to: V, source: V, count: V) -> None:
    """Copies `count` (i64) bytes between two places; no call leaves the object, whose loader knows no libc."""
    w.module.helper("copy.bytes", lambda: _COPY_BYTES)
    w.line(f"call void @copy.bytes({to.typed}, {source.typed}, {count.typed})")


def copy_lanes(w: MemoryEmitter, to_space: str, to: Address, from_space: str, source: Address, size: int, taken: V | None) -> None:
    """Copies 4, 8 or 16 bytes of every active lane. `taken` (32 x i32): so many come from the source, the others become zeros; a lane
    that takes none does not read."""
    target, origin = w.place(to_space, to), w.place(from_space, source)
    w.check_alignment(target, size)
    if taken is None:
        w.check_alignment(origin, size)
    whole = _is_row(target, size) and _is_row(origin, size) and w.is_full
    conditions = [p.condition for p in (target, origin) if p.condition is not None]
    if taken is not None:
        conditions.append(w.icmp("eq", w.mask_of(w.icmp("eq", taken, w.const("i32", size))), w.const("i32", -1)))
    if not whole:
        _lane_by_lane(w, target, origin, size, taken)
        return
    if not conditions:
        _rows(w, target, origin, size)
        return
    condition = conditions[0]
    for other in conditions[1:]:
        condition = w.and_(condition, other)

    def by_row() -> list[V]:
        _rows(w, target, origin, size)
        return []

    def by_lane() -> list[V]:
        _lane_by_lane(w, target, origin, size, taken)
        return []

    w.choose(condition, by_row, by_lane, likely=True)


def _is_row(place: Place, size: int) -> bool:
    return not place.shape.is_varying and place.shape.stride == size


def _rows(w: MemoryEmitter, target: Place, origin: Place, size: int) -> None:
    """Lanes that follow one another in both places."""
    rows = max(target.shape.rows, origin.shape.rows)
    lanes = WARP // rows

    def pointer(place: Place, row: int) -> V:
        within = row * lanes % place.shape.row_lanes
        return w.offset(w.extract(place.pointer, row * lanes // place.shape.row_lanes), within * size)

    parts = [w.load("i32", lanes * size // 4, pointer(origin, row), size) for row in range(rows)]
    for row, part in enumerate(parts):
        w.store(part, pointer(target, row), size)


def _lane_by_lane(w: MemoryEmitter, target: Place, origin: Place, size: int, taken: V | None) -> None:
    to, source = target.lanes(), origin.lanes()
    if not w.is_full:
        active = w.lanes_of(w.active)
        to = w.select(active, to, w.broadcast(w.shared_scratch("copies of no lane", 64), WARP))
        source = w.select(active, source, w.broadcast(w.safe_pointer, WARP))
    if taken is None:
        _move(w, to, source, size, None)
        return
    nothing = w.icmp("eq", taken, w.const("i32", 0))
    source = w.select(nothing, w.broadcast(w.safe_pointer, WARP), source)
    everything = w.icmp("eq", taken, w.const("i32", size))
    partial = w.and_(w.mask_of(w.not_(w.or_(nothing, everything))), w.active)
    kept = w.sext(everything, "i32")
    where, origins, counts = w.scratch("ptr"), w.scratch("ptr"), w.scratch("i32")

    def some_partial() -> list[V]:
        for v, array in ((to, where), (source, origins), (taken, counts)):
            w.store(v, array, 64)

        def one(lane: V) -> None:
            index = w.zext(lane, "i64")
            eight, four = w.mul(index, w.const("i64", 8)), w.mul(index, w.const("i64", 4))
            pointer = w.load("ptr", 1, w.offset(where, eight), 8)
            count = w.zext(w.load("i32", 1, w.offset(counts, four), 4), "i64")
            elem, n = _UNITS[size]
            w.store(w.const(elem, 0, n), pointer, size)
            copy_bytes(w, pointer, w.load("ptr", 1, w.offset(origins, eight), 8), count)

        w.each_lane(w.active, one)
        return []

    def none_partial() -> list[V]:
        _move(w, to, source, size, kept)
        return []

    w.choose(w.icmp("eq", partial, w.const("i32", 0)), none_partial, some_partial, likely=True)


def _move(w: MemoryEmitter, to: V, source: V, size: int, kept: V | None) -> None:
    """One unit a lane; `kept`: 32 x i32, 0 where it becomes zeros."""
    elem, n = _UNITS[size]
    for lane in range(WARP):
        alignment = size if kept is None and w.is_full else min(size, 4)  # the safe place is no multiple of 16
        unit = w.load(elem, n, w.extract(source, lane), alignment)
        if kept is not None:
            mask = w.shuffle(kept, None, [lane] * (size // 4))
            unit = w.and_(unit, mask if n > 1 else w.reinterpret(mask, elem, 1))
        w.store(unit, w.extract(to, lane), size)


# ------------------------------------------------------------------------------------------------------------ bulk copies


def counted_loop(w: MemoryEmitter, count: V, body: Callable[[V], None]) -> None:
    """Runs `body(i)` for i (i64) from 0 to `count` - 1."""
    before, loop, end = w.new_label("count.before"), w.new_label("count"), w.new_label("count.end")
    w.jump(before)
    w.label(before)
    w.branch(w.icmp("ne", count, w.const("i64", 0)), loop, end)
    w.label(loop)
    at = len(w.lines)
    index = V("i64", 1, w.name("index"))
    body(index)
    following = w.add(index, w.const("i64", 1))
    more = w.icmp("ult", following, count)
    tail = w.new_label("count.next")
    w.jump(tail)
    w.label(tail)
    w.branch(more, loop, end)
    w.lines.insert(at, f"  {index.name} = phi i64 [ 0, %{before} ], [ {following.name}, %{tail} ]{w.debug}")
    w.label(end)


class PerLane:
    """Values of 32 lanes that are read again lane by lane: kept as scalars where uniform, else in stack memory."""

    def __init__(self, w: MemoryEmitter) -> None:
        self.w = w

    def pointer(self, place: Place) -> Callable[[V], V]:
        """A function of the lane that gives its pointer."""
        if place.shape.is_uniform:
            return lambda lane: place.pointer
        return self._array(place.lanes())

    def number(self, operand: Any, elem: str) -> Callable[[V], V]:
        """A function of the lane that gives an operand."""
        held = self.w.get(operand)
        if held.shape.is_uniform:
            scalar = self.w.cast(held.base, elem)
            return lambda lane: scalar
        return self._array(self.w.cast(self.w.vector(operand), elem))

    def _array(self, v: V) -> Callable[[V], V]:
        array = self.w.scratch(v.elem)
        size = v.bits // 8
        self.w.store(v, array, 64)

        def read(lane: V) -> V:
            index = self.w.mul(self.w.zext(lane, "i64"), self.w.const("i64", size))
            return self.w.load(v.elem, 1, self.w.offset(array, index), size)

        return read


def for_ctas(w: MemoryEmitter, mask: V | None, pointers: list[V], body: Callable[[list[V]], None]) -> None:
    """Runs `body(pointers)` for the same shared addresses in every CTA of the cluster whose bit is set; without a mask, for these alone."""
    if mask is None:
        body(pointers)
        return
    table = w.cta_field("cluster")
    own = w.convert("ptrtoint", w.shared_base, "i64")

    def one(rank: V) -> None:
        base = w.load("i64", 1, w.offset(table, w.mul(w.zext(rank, "i64"), w.const("i64", 8))), 8)
        distance = w.sub(base, own)
        body([w.offset(p, distance) for p in pointers])

    w.each_lane(mask, one)
