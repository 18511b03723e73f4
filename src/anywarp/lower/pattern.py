"""Accesses whose lanes lie in a fixed pattern within a small window of memory: vectors and constant shuffles in the place of 32 elements.

The pattern is the distance of every lane's address from lane 0's, the same in every warp: an affine address with a small stride (members of
structures, reversed arrays), or one that hangs on the thread's number alone (`data[2 * t - (t & 3)]`: see `analysis.thread_values`).

Loads read the whole window, also the bytes between the lanes' elements: less than a page lies between any two, so these can be read where
the lanes' own can be. Stores write nothing but the lanes' bytes; only in shared memory, which one thread of the machine reads and writes
while it runs the CTA, the window is read, blended and written back, for part of a warp too (a masked store costs 12 cycles for 32 bytes
on Zen 3, and a walk over the lanes more).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anywarp.ir.model import Operation, Value
from anywarp.isa import integer
from anywarp.isa.shape import WARP
from anywarp.lower.emit import V

if TYPE_CHECKING:
    from anywarp.lower.memory import MemoryEmitter, Place

MOST_PARTS = 4  # vectors of 32 elements in a window
MAX_DEPTH = 4


@dataclass(frozen=True)
class Window:
    """Where the lanes' elements are: element `index[lane]` of the window that begins `low` bytes from lane 0's address."""

    low: int
    index: tuple[int, ...]
    starts: tuple[int, ...]  # first elements of the vectors of `part` elements that make up the window
    part: int

    @property
    def elements(self) -> int:
        return self.starts[-1] + self.part

    @property
    def is_apart(self) -> bool:
        """No two lanes have the same address, nor, of several elements each, parts of one another's."""
        return len(set(self.index)) == WARP


def offsets(w: MemoryEmitter, place: Place) -> tuple[int, ...] | None:
    """Each lane's distance in bytes from lane 0, where it is the same in every warp."""
    held = place.held
    if place.space in ("local", "argument", "shared::cluster") or held.value is None:
        return None
    if held.shape.rows == 1:
        return tuple(held.shape.stride * lane for lane in range(WARP))
    return _distances(w, held.value, MAX_DEPTH)


def _distances(w: MemoryEmitter, value: Value, depth: int) -> tuple[int, ...] | None:
    known = w.shapes.threads.distances(value)
    definition = value.definition
    if known is not None or not depth or not isinstance(definition, Operation):
        return known
    if isinstance(definition.op, integer.Add) and not definition.op.sat:
        a, b = definition.operands
        for x, y in ((a, b), (b, a)):
            if type(x) is Value and w.shapes.shape(y).is_uniform:
                return _distances(w, x, depth - 1)
    return None


def window(distances: Sequence[int], size: int, count: int) -> Window | None:
    """The window of a pattern of `count` elements of `size` bytes a lane, or None where it is too large or out of step."""
    low = min(distances)
    if any((d - low) % size for d in distances):
        return None
    index = tuple((d - low) // size for d in distances)
    elements = max(index) + count
    part = WARP if elements >= WARP else 1 << (elements.bit_length() - 1)
    if elements > MOST_PARTS * part:
        return None
    starts = [*range(0, elements - part, part), elements - part]
    return Window(low, index, tuple(starts), part)


def load(w: MemoryEmitter, first: V, at: Window, elem: str, size: int, count: int) -> list[V]:
    """The lanes' elements; `first` points to lane 0's."""
    base = w.offset(first, at.low)
    parts = [w.load(elem, at.part, w.offset(base, s * size), size) for s in at.starts]
    return [_pick(w, at, parts, [i + c for i in at.index]) for c in range(count)]


def _pick(w: MemoryEmitter, at: Window, parts: list[V], elements: list[int]) -> V:
    result: V | None = None
    done = [False] * WARP
    for start, part in zip(at.starts, parts):
        mine = [not d and start <= e < start + at.part for d, e in zip(done, elements)]
        if not any(mine):
            continue
        if at.part < WARP or result is None:
            chosen = w.shuffle(part, None, [e - start if m else -1 for e, m in zip(elements, mine)])
            if result is None:
                result = chosen
            else:
                result = w.shuffle(result, chosen, [lane + WARP * m for lane, m in enumerate(mine)])
        else:
            result = w.shuffle(result, part, [WARP + e - start if m else lane for lane, (e, m) in enumerate(zip(elements, mine))])
        done = [d or m for d, m in zip(done, mine)]
    assert result is not None and all(done)
    return result


def is_in_shared(w: MemoryEmitter, offset: V, at: Window, size: int) -> V:
    """An i1: the whole window lies in the CTA's shared memory. `offset`: lane 0's (i64)."""
    low = w.add(offset, w.const("i64", at.low))
    room = w.sub(w.zext(w.launch_field("total_shared"), "i64"), w.const("i64", at.elements * size))
    return w.and_(w.icmp("sge", low, w.const("i64", 0)), w.icmp("sle", low, room))


def blend(w: MemoryEmitter, first: V, at: Window, values: Sequence[V], elem: str, size: int) -> None:
    """Stores the active lanes' elements by reading, blending and writing their window."""
    base = w.offset(first, at.low)
    lane_of = {i + c: (lane, c) for lane, i in enumerate(at.index) for c in range(len(values))}
    written = 0
    for start in at.starts:
        inside = [lane_of.get(start + e) if start + e >= written else None for e in range(at.part)]
        written = start + at.part
        pointer = w.offset(base, start * size)
        new: V | None = None
        for c, v in enumerate(values):
            mine = [x is not None and x[1] == c for x in inside]
            if not any(mine):
                continue
            chosen = w.shuffle(v, None, [x[0] if x is not None and x[1] == c else -1 for x in inside])
            new = chosen if new is None else w.shuffle(new, chosen, [e + at.part * m for e, m in enumerate(mine)])
        if new is None:
            continue
        if w.is_full and all(x is not None for x in inside):
            w.store(new, pointer, size)
            continue
        if w.is_full:
            old = w.load(elem, at.part, pointer, size)
            w.store(w.shuffle(new, old, [e + at.part * (x is None) for e, x in enumerate(inside)]), pointer, size)
            continue
        old = w.load(elem, at.part, pointer, size, volatile=True)  # or LLVM makes a masked store of it again
        bits = w.lane_constants("i32", [0 if x is None else 1 << x[0] for x in inside])
        takes = w.icmp("ne", w.and_(w.broadcast(w.active, at.part), bits), w.const("i32", 0, at.part))
        w.store(w.select(takes, new, old), pointer, size)
