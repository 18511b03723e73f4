"""Accesses lane by lane, as functions of the module.

A gather or scatter of 32 lanes is some hundred LLVM instructions. A few in a kernel are worth having in place; in kernels with many, and on
slow paths, they are calls: the object of a bitonic sort with 40 of them took 10.6 s before and 2.0 s so.
"""

from __future__ import annotations

from collections.abc import Sequence

from anywarp.lower.emit import WARP, Emitter, Module, V, vector_type

SIZES = {"i8": 1, "i16": 2, "i32": 4, "i64": 8, "i128": 16}
INLINE_SITES = 16  # lane-by-lane accesses of a kernel up to which they are emitted in place


def load_each(g: Emitter, pointers: V, elem: str, count: int, ordered: bool) -> list[V]:
    """`count` consecutive elements from each of 32 pointers; each result has 32 lanes."""
    size = SIZES[elem]
    if count == 1:
        return [g.concat([g.load(elem, 1, g.extract(pointers, lane), size, ordered=ordered) for lane in range(WARP)])]
    if ordered and elem == "i128":  # a vector would be split inside them
        each = [g.extract(pointers, lane) for lane in range(WARP)]
        return [g.concat([g.load(elem, 1, g.offset(p, size * i), size, ordered=True) for p in each]) for i in range(count)]
    loaded = [g.load(elem, count, g.extract(pointers, lane), size, ordered=ordered) for lane in range(WARP)]
    if count == 4 and size == 4:
        eights = [_transposed(g, loaded[lane : lane + 8]) for lane in range(0, WARP, 8)]
        return [g.concat([eight[i] for eight in eights]) for i in range(4)]
    joined = g.concat(loaded)
    return [g.shuffle(joined, None, range(i, joined.n, count)) for i in range(count)]


def _transposed(g: Emitter, rows: list[V]) -> list[V]:
    """Columns (8 elements each) of 8 rows of 4, by the unpacking instructions of machines with vectors of 256 bits (LLVM finds permutations
    and blends for the shuffle of all, 309 instructions for a warp in the place of 210)."""
    pairs = [g.concat([rows[i], rows[i + 4]]) for i in range(4)]
    low = [g.shuffle(pairs[i], pairs[i + 1], [0, 8, 1, 9, 4, 12, 5, 13]) for i in (0, 2)]
    high = [g.shuffle(pairs[i], pairs[i + 1], [2, 10, 3, 11, 6, 14, 7, 15]) for i in (0, 2)]
    first, second = [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]
    return [g.shuffle(a, b, order) for a, b in (low, high) for order in (first, second)]


def store_each(g: Emitter, pointers: V, values: Sequence[V], elem: str, ordered: bool) -> None:
    """Consecutive elements to each of 32 pointers, in ascending order of lanes."""
    size = SIZES[elem]
    for lane in range(WARP):
        pointer = g.extract(pointers, lane)
        for i, v in enumerate(values):
            g.store(g.extract(v, lane), g.offset(pointer, size * i), size, ordered)


def call_load_each(g: Emitter, pointers: V, elem: str, count: int, ordered: bool, out: V) -> list[V]:
    """As `load_each`, by a call; `out` is scratch memory for 32 * count elements."""
    name = f"aw.gather.{elem}.{count}{'.ordered' if ordered else ''}"
    g.module.helper(name, lambda: _gather_text(g.module, name, elem, count, ordered))
    g.line(f"call void @{name}({pointers.typed}, ptr {out.name})")
    return [g.load(elem, WARP, g.offset(out, WARP * SIZES[elem] * i), 16) for i in range(count)]


def call_store_each(g: Emitter, pointers: V, values: Sequence[V], elem: str, ordered: bool) -> None:
    """As `store_each`, by a call."""
    name = f"aw.scatter.{elem}.{len(values)}{'.ordered' if ordered else ''}"
    g.module.helper(name, lambda: _scatter_text(g.module, name, elem, len(values), ordered))
    g.line(f"call void @{name}({pointers.typed}, {', '.join(v.typed for v in values)})")


def call_store_some(g: Emitter, pointers: V, values: Sequence[V], elem: str, ordered: bool, lanes: V) -> None:
    """Consecutive elements to the pointers of the lanes of an i32 mask, by a call that walks its bits from the lowest."""
    name = f"aw.scatter.some.{elem}.{len(values)}{'.ordered' if ordered else ''}"
    g.module.helper(name, lambda: _scatter_some_text(name, elem, len(values), ordered))
    g.module.declare("llvm.cttz.i32", "declare i32 @llvm.cttz.i32(i32, i1)")
    g.line(f"call void @{name}({pointers.typed}, {', '.join(v.typed for v in values)}, {lanes.typed})")


def _gather_text(module: Module, name: str, elem: str, count: int, ordered: bool) -> str:
    g = Emitter(module)
    values = load_each(g, V("ptr", WARP, "%pointers"), elem, count, ordered)
    out = V("ptr", 1, "%out")
    for i, v in enumerate(values):
        g.store(v, g.offset(out, WARP * SIZES[elem] * i), 16)
    return _function(name, f"<{WARP} x ptr> %pointers, ptr %out", g.lines)


def _scatter_text(module: Module, name: str, elem: str, count: int, ordered: bool) -> str:
    g = Emitter(module)
    values = [V(elem, WARP, f"%value{i}") for i in range(count)]
    store_each(g, V("ptr", WARP, "%pointers"), values, elem, ordered)
    parameters = ", ".join(f"{vector_type(elem, WARP)} %value{i}" for i in range(count))
    return _function(name, f"<{WARP} x ptr> %pointers, {parameters}", g.lines)


def _scatter_some_text(name: str, elem: str, count: int, ordered: bool) -> str:
    size = SIZES[elem]
    vector = vector_type(elem, WARP)
    kind = "store atomic volatile" if ordered else "store"
    lines = [
        f"  %where = alloca [{WARP} x ptr], align 64",
        f"  store <{WARP} x ptr> %pointers, ptr %where, align 64",
        "  %some = icmp ne i32 %lanes, 0",
    ]
    for i in range(count):
        lines += [f"  %what{i} = alloca [{WARP} x {elem}], align 64", f"  store {vector} %value{i}, ptr %what{i}, align 64"]
    lines += [
        "  br i1 %some, label %each, label %end",
        "each:",
        "  %rest = phi i32 [ %lanes, %entry ], [ %left, %each ]",
        "  %lane = call i32 @llvm.cttz.i32(i32 %rest, i1 true)",
        "  %index = zext i32 %lane to i64",
        f"  %place = getelementptr [{WARP} x ptr], ptr %where, i64 0, i64 %index",
        "  %pointer = load ptr, ptr %place, align 8",
    ]
    for i in range(count):
        lines += [
            f"  %element{i} = getelementptr [{WARP} x {elem}], ptr %what{i}, i64 0, i64 %index",
            f"  %v{i} = load {elem}, ptr %element{i}, align {size}",
            f"  %to{i} = getelementptr i8, ptr %pointer, i64 {i * size}",
            f"  {kind} {elem} %v{i}, ptr %to{i}{' monotonic' if ordered else ''}, align {size}",
        ]
    lines += [
        "  %less = sub i32 %rest, 1",
        "  %left = and i32 %rest, %less",
        "  %more = icmp ne i32 %left, 0",
        "  br i1 %more, label %each, label %end",
        "end:",
    ]
    parameters = ", ".join(f"{vector} %value{i}" for i in range(count))
    return _function(name, f"<{WARP} x ptr> %pointers, {parameters}, i32 %lanes", ["entry:", *lines])


def _function(name: str, parameters: str, lines: list[str]) -> str:
    return "\n".join([f"define internal void @{name}({parameters}) noinline nounwind {{", *lines, "  ret void", "}"])
