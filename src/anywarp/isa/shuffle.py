"""Shuffles: a lane reads another lane's register (PTX ISA 9.7.9.5 and 9.7.9.6).

Lane numbers come from `b` (a lane, an offset or an exclusive-or pattern) and `c`, which packs a segment mask (bits 12 to 8: 0x1c00 splits
the warp into segments of 4) and a clamp (bits 4 to 0). What is a constant decides the code:

- b and c constant: one shufflevector, and the predicate is a constant;
- b uniform (a loop over offsets), c constant: a rotation of the warp, an exclusive-or of lane numbers, or the broadcast of one lane;
- anything else: a permutation with 32 indices, two instructions on AVX-512, 36 on AVX2 (see `permute`).

What a lane reads from one that is not active, or not in its membermask, is undefined: here whatever that register holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from anywarp.isa.base import Warp, instruction
from anywarp.isa.shape import Shape

if TYPE_CHECKING:
    from anywarp.lower.emit import V
    from anywarp.lower.warp import WarpEmitter

WARP = 32
Lanes = dict[int, tuple[Any, ...]]


def source_lane(mode: str, lane: int, b: int, c: int) -> tuple[int, bool]:
    """The lane that `lane` would read, and whether that is in range."""
    segment, clamp = c >> 8 & 31, c & 31
    b &= 31
    least = lane & segment
    most = least | (clamp & ~segment)
    if mode == "up":
        return lane - b, lane - b >= most
    j = {"down": lane + b, "bfly": lane ^ b, "idx": least | (b & ~segment)}[mode]
    return j, j <= most


class Shuffle(Warp):
    """shfl: exchanges a register among lanes; p says whether the source lane was in range (else the lane keeps its own)"""

    modifiers = {"mode": "up down bfly idx"}
    types = {"d": "b32", "p": "pred", "a": "b32", "b": "b32", "c": "b32", "membermask": "b32"}
    mode: Any

    def shape_of(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> Shape:
        return Shape(1) if self._is_broadcast(operands[1].is_uniform, constants[2]) else Shape(WARP)

    def _is_broadcast(self, is_b_uniform: bool, c: int | None) -> bool:
        """One lane, always in range, is read by all."""
        return self.mode == "idx" and is_b_uniform and c is not None and c & 0x1F1F == 0x1F

    def reference(self, lanes: Lanes) -> dict[int, Any]:
        result = {}
        for lane, (a, b, c, *_) in lanes.items():
            j, in_range = source_lane(self.mode, lane, b, c)
            result[lane] = (lanes[j][0] if in_range and j in lanes else a, int(in_range))
        return result

    def undefined(self, lanes: Lanes) -> set[int]:
        result = set()
        for lane, (_, b, c, *rest) in lanes.items():
            j, in_range = source_lane(self.mode, lane, b, c)
            if in_range and (j not in lanes or (rest and not rest[0] >> j & 1)):
                result.add(lane)
        return result

    def lower(self, w: WarpEmitter, a: V, b: V, c: V, membermask: V | None = None) -> tuple[V, V]:
        offset, clamp = constant(b), constant(c)
        if offset is not None and clamp is not None:
            return self._constant(w, a, offset, clamp)
        lane, ones = w.lane_ids(), w.const("i32", 31)
        b = w.and_(b, ones)
        if clamp is not None:
            segments = w.lane_constants("i32", [(lane & (clamp >> 8)) & 31 for lane in range(WARP)])
            ends = w.lane_constants("i32", [lane & (s := clamp >> 8 & 31) | (clamp & 31 & ~s) for lane in range(WARP)])
            others = w.const("i32", ~(clamp >> 8) & 31)
        else:
            segment = w.and_(w.lshr(c, w.const("i32", 8)), ones)
            others = w.xor(segment, ones)
            segments = w.and_(lane, segment)
            ends = w.or_(segments, w.and_(c, others))
        uniform = b.n == 1
        read: Callable[[], V]
        if self.mode == "idx":
            if self._is_broadcast(uniform, clamp):
                return w.extract(a, b), w.const("i1", 1)
            j = w.or_(segments, w.and_(b, others))
            one = uniform and others.name == "31"
            read = (lambda: w.wide(w.extract(a, b))) if one else (lambda: permute(w, a, j))
        elif self.mode == "bfly":
            j = w.xor(lane, b)
            read = (lambda: exchange(w, a, b)) if uniform else (lambda: permute(w, a, j))
        else:
            j = w.add(lane, b) if self.mode == "down" else w.sub(lane, b)
            by = b if self.mode == "down" or not uniform else w.and_(w.neg(b), ones)
            read = (lambda: rotate(w, a, by)) if uniform else (lambda: permute(w, a, w.and_(j, ones)))
        in_range = w.icmp("sge" if self.mode == "up" else "sle", j, ends)
        if a.n == 1:  # whoever is read has the same value
            return w.wide(a), in_range
        return w.select(in_range, read(), a), in_range

    def _constant(self, w: WarpEmitter, a: V, b: int, c: int) -> tuple[V, V]:
        sources = [source_lane(self.mode, lane, b, c) for lane in range(WARP)]
        lanes = [j if in_range else lane for lane, (j, in_range) in enumerate(sources)]
        if self._is_broadcast(True, c):
            return w.extract(a, lanes[0]), w.const("i1", 1)
        in_range = w.lane_constants("i1", [int(x) for _, x in sources])
        if a.n == 1 or lanes == list(range(WARP)):
            return w.wide(a), in_range
        return w.shuffle(a, None, lanes), in_range


@instruction
class ShuffleSync(Shuffle):
    __doc__ = Shuffle.__doc__
    syntax = "shfl.sync.mode.b32 d{|p}, a, b, c, membermask"
    section = "9.7.9.6"
    since = (6, 0)
    target = 30


@instruction
class ShuffleUnsynchronised(Shuffle):
    """shfl without .sync and membermask: the deprecated form"""

    syntax = "shfl.mode.b32 d{|p}, a, b, c"
    section = "9.7.9.5"
    since = (3, 0)
    target = 30


def constant(a: V) -> int | None:
    """The unsigned value of an operand that is a constant integer."""
    return int(a.name) & 0xFFFFFFFF if a.n == 1 and a.is_constant and a.name.lstrip("-").isdigit() else None


def permute(w: WarpEmitter, a: V, index: V) -> V:
    """`a[index[l]]` in each lane l: 32 x i32, indices (32 x i32) from 0 to 31.

    AVX-512: two two-source permutes. AVX2: each quarter of the result from four one-source permutes and three blends by index bits 3
    and 4. Elsewhere: the vector goes to the stack and comes back lane by lane."""
    if "avx512f" in w.module.features:
        low, high = halves(w, a)
        parts = [w.call("i32", 16, "llvm.x86.avx512.vpermi2var.d.512", [low, i, high]) for i in halves(w, index)]
        return w.concat(parts)
    if "avx2" in w.module.features:
        return _permute_avx2(w, a, index)
    return _permute_memory(w, a, index)


def halves(w: WarpEmitter, a: V) -> list[V]:
    return [w.shuffle(a, None, range(16 * i, 16 * i + 16)) for i in range(2)]


def quarters(w: WarpEmitter, a: V) -> list[V]:
    return [w.shuffle(a, None, range(8 * i, 8 * i + 8)) for i in range(4)]


def permute_8(w: WarpEmitter, a: V, index: V) -> V:
    """AVX2's permute of 8 lanes; it reads the indices' low three bits."""
    return w.call("i32", 8, "llvm.x86.avx2.permd", [a, index])


def bit_set(w: WarpEmitter, a: V, bit: int) -> V:
    """Whether a bit is set, as a sign test: that is what AVX2's blend reads."""
    shifted = a if bit == 31 else w.shl(a, w.const("i32", 31 - bit))
    return w.icmp("slt", shifted, w.const("i32", 0))


def _permute_avx2(w: WarpEmitter, a: V, index: V) -> V:
    sources = quarters(w, a)
    parts = []
    for i in quarters(w, index):
        found = [permute_8(w, s, i) for s in sources]
        odd = bit_set(w, i, 3)
        low, high = w.select(odd, found[1], found[0]), w.select(odd, found[3], found[2])
        parts.append(w.select(bit_set(w, i, 4), high, low))
    return w.concat(parts)


def _permute_memory(w: WarpEmitter, a: V, index: V) -> V:
    place = w.scratch("i32")
    w.store(a, place, 64)
    result = w.undefined("i32", WARP)
    wide = w.zext(index, "i64")
    for lane in range(WARP):
        at = w.value("ptr", 1, f"getelementptr i32, {place.typed}, {w.extract(wide, lane).typed}")
        result = w.insert(result, w.load("i32", 1, at, 4), lane)
    return result


def rotate(w: WarpEmitter, a: V, by: V) -> V:
    """`a[(l + by) % 32]` in each lane l; `by` is one number from 0 to 31."""
    if "avx512f" in w.module.features:
        return permute(w, a, w.and_(w.add(w.lane_ids(), by), w.const("i32", 31)))
    if "avx2" not in w.module.features:  # twice in a row on the stack, then read from the middle
        place = w.scratch("i32", 2 * WARP)
        w.store(a, place, 64)
        w.store(a, w.offset(place, 4 * WARP), 64)
        at = w.value("ptr", 1, f"getelementptr i32, {place.typed}, {w.zext(by, 'i64').typed}")
        return w.load("i32", WARP, at, 4)
    index = w.add(w.lane_constants("i32", range(8)), w.and_(by, w.const("i32", 7)))
    parts = [permute_8(w, q, index) for q in quarters(w, a)]
    crosses = w.icmp("ugt", index, w.const("i32", 7))
    parts = [w.select(crosses, parts[(i + 1) % 4], parts[i]) for i in range(4)]
    for bit, step in ((3, 1), (4, 2)):
        chosen = bit_set(w, w.broadcast(by, 8), bit)
        parts = [w.select(chosen, parts[(i + step) % 4], parts[i]) for i in range(4)]
    return w.concat(parts)


def exchange(w: WarpEmitter, a: V, pattern: V) -> V:
    """`a[l ^ pattern]` in each lane l; `pattern` is one number from 0 to 31."""
    if "avx2" not in w.module.features or "avx512f" in w.module.features:
        return permute(w, a, w.xor(w.lane_ids(), pattern))
    index = w.xor(w.lane_constants("i32", range(8)), pattern)
    parts = [permute_8(w, q, index) for q in quarters(w, a)]
    for bit, step in ((3, 1), (4, 2)):
        chosen = bit_set(w, w.broadcast(pattern, 8), bit)
        parts = [w.select(chosen, parts[i ^ step], parts[i]) for i in range(4)]
    return w.concat(parts)
