"""Loads and stores: how the lanes' addresses hang together decides the code.

| addresses | whole warp | part of a warp |
|---|---|---|
| uniform | one scalar access | one scalar access |
| element after element (per row) | one vector access a row | a masked vector access |
| the same within each row | one scalar access a row | lane by lane |
| anything else | lane by lane | lane by lane, inactive lanes at a safe place |

Shared addresses are offsets from `Cta.shared`; they are sign-extended, so that `tile[tid - 1]` stays affine where lane 0 is off. Local
addresses are offsets in the lane's own block of `Warp.local`. An address that is no multiple of the access's size traps
(`check_alignment`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from anywarp import abi
from anywarp.ir.model import Address, Constant, Operation
from anywarp.isa.addresses import CLUSTER_SHIFT
from anywarp.isa.shape import Shape
from anywarp.lower import calls, pattern
from anywarp.lower.alignment import call_misaligned
from anywarp.lower.emit import WARP, V
from anywarp.lower.lane_access import INLINE_SITES, SIZES, call_load_each, call_store_each, call_store_some, load_each, store_each
from anywarp.lower.offsets import fold_constants
from anywarp.lower.prefetch import Prefetch
from anywarp.lower.values import Held, ValueEmitter


@dataclass
class Place:
    """Where the lanes access memory: pointers of `shape` (strides in bytes), and the i1 on which the shape hangs, if on any."""

    shape: Shape
    pointer: V  # of shape.rows lanes
    row: Callable[[int], V]  # one of them: the constant offset can then be part of the access
    condition: V | None
    lanes: Callable[[], V]  # 32 pointers, exact
    space: str
    held: Held  # the address without its offset
    offset: int
    numbers: Callable[[V], V]  # integers with the low bits of addresses, from those of `held`


class MemoryEmitter(ValueEmitter):
    """Emits accesses. Sizes and alignments in bytes."""

    shared_base: V
    local_base: V
    local_bytes: int
    argument_base: V  # of a device function
    lane_accesses: int  # of the kernel: how many will go lane by lane
    is_probing = False  # a variant that finds out which thread faults: shows every access to the runtime before it is made
    current: Operation | None = None  # whose code is being emitted
    safe_pointer: V  # 64 readable bytes that nobody writes
    block_index: int  # of the block that is being emitted
    hints: Prefetch | None = None
    _clusters: bool | None = None

    # ------------------------------------------------------------------------------------------------ addresses

    def place(self, space: str, address: Address) -> Place:
        """The place of an access in a state space ("" or "generic", "global", "const", "param", "shared", "local")."""
        address = fold_constants(self, address)
        if space == "argument":  # always at a constant
            assert type(address.base) is Constant
            address = Address(Constant(calls.block_offset(address.base.value + address.offset), 64))
        held = self.get(address.base)
        shape = held.shape
        block_base, block_bytes = (self.local_base, self.local_bytes) if space == "local" else (self.argument_base, calls.GRANULE)

        def without_offset(v: V, rows: int) -> V:
            if space == "shared::cluster":
                window = self.trunc(v, "i32") if v.bits > 32 else v
                return self.cluster_pointers(self.add(window, self.const("i32", address.offset)) if address.offset else window)
            if space.startswith("shared"):
                wide = self.sext(self.trunc(v, "i32") if v.bits > 32 else v, "i64")
                return self.offset(self.shared_base, wide)
            if space.startswith("param") and v.bits == 32:  # compilers select between parameters by addresses in 32-bit registers
                start = self.convert("ptrtoint", self.launch_field("params"), "i64")
                return self.convert("inttoptr", self.add(start, self.sext(self.sub(v, self.trunc(start, "i32")), "i64")), "ptr")
            wide = self.zext(v, "i64") if v.bits < 64 else v
            if space in ("local", "argument"):
                per_row = WARP // rows
                blocks = self.lane_constants("i64", [block_bytes * r * per_row for r in range(rows)]) if rows > 1 else None
                if blocks is not None:
                    wide = self.add(wide, blocks)
                return self.offset(block_base, wide)
            return self.convert("inttoptr", wide, "ptr")

        far = 0 if space == "shared::cluster" else address.offset

        def lanes() -> V:
            return self._offset_lanes(without_offset(self.cast(self.vector(address.base), f"i{held.base.bits}"), WARP), far)

        def row(r: int) -> V:
            return self.offset(self.extract(first, r), far)

        def numbers(v: V) -> V:
            return self.add(v, self.const(v.elem, address.offset)) if address.offset else v

        if self.is_probing and space != "argument" and not space.startswith("param"):
            self._probe(lanes())
        base = self.cast(held.base, f"i{held.base.bits}")
        if space in ("local", "argument"):
            shape = Shape(shape.rows, 0 if shape.rows == WARP else shape.stride + block_bytes, 1, shape.deviation)
        first = without_offset(base, base.n)
        pointer = self._offset_lanes(first, far)
        return Place(shape, pointer, row, self.test(held.shape), lanes, space, held, address.offset, numbers)

    def _probe(self, pointers: V) -> None:
        """Shows the runtime where each active lane is about to access memory."""
        addresses = self.scratch("ptr")
        self.store(pointers, addresses, 64)
        assert self.current is not None
        op = self.current.op
        line, writes = self.const("i32", self.current.line), self.const("i32", int(op.writes and (op.is_atomic or not op.reads)))
        self.service("probe", "void", self.launch, self.cta, self.active, addresses, line, writes)

    def check_alignment(self, place: Place, size: int) -> None:
        """Traps where an active lane's address is not a multiple of `size` bytes (a power of two).

        Shared windows, local blocks and parameters begin at multiples of 16 and more, so the low bits of offsets decide. Where lanes step
        by a multiple of the size, the first address of each row tells for all of them, and also where the shape's run-time test fails: the
        addresses then differ from the shape's by multiples of 2^32."""
        size = min(size, 16) if place.space in ("local", "argument", "param") else size
        held, shape = place.held, place.held.shape
        if size <= 1 or place.space == "argument":
            return
        if any(s >= size and (place.offset - o) % size == 0 for s, o in held.aligned):
            return
        by_row = not shape.is_varying and shape.stride % size == 0
        if by_row:
            if (shape.multiple | place.offset) & (size - 1) == 0:
                return
            first = place.numbers(self.cast(held.base, f"i{held.base.bits}"))
        else:
            assert held.value is not None
            first = place.numbers(self.cast(self.vector(held.value), f"i{held.base.bits}"))
        low = self.and_(first, self.const(first.elem, size - 1, first.n))
        if 1 < first.n < WARP and not self.is_full:  # a row counts where a lane of it is active
            wrong = self.mask_of(self.broadcast(self.icmp("ne", low, self.zero_like(low)), WARP))
            bits = self.and_(wrong, self.active)
        else:
            if first.n == WARP and not self.is_full:
                low = self.select(self.lanes_of(self.active), low, self.zero_like(low))
            bits = self.intrinsic("llvm.vector.reduce.or", low, lanes=1) if first.n > 1 else low
        is_wrong = self.icmp("ne", bits, self.zero_like(bits))
        self.guard_alignment(is_wrong, lambda: place.pointer if by_row else place.lanes(), size, place.shape.stride)
        held.aligned += ((size, place.offset),)

    def guard_alignment(self, wrong: V, pointers: Callable[[], V], size: int, stride: int) -> None:
        """Traps where an i1 holds: of the active lanes' pointers (one of each row, whose lanes step by `stride`) some is no multiple of
        `size`."""
        bad, good = self.new_label("misaligned"), self.new_label("aligned")
        self.line(f"br i1 {wrong.name}, label %{bad}, label %{good}")
        self.label(bad)
        state = self.snapshot()
        call_misaligned(self, pointers(), size, stride, self.trap_reason(abi.Trap.MISALIGNED))
        self.line("unreachable")
        self.restore(state)
        self.label(good)

    def trap_if(self, condition: V, reason: abi.Trap, lanes: V, detail: Callable[[], V]) -> None:
        """Ends the grid where an i1 holds; `lanes` are to blame, `detail` gives a pointer to report."""
        bad, good = self.new_label("trap"), self.new_label("fine")
        self.line(f"br i1 {self.not_(condition).name}, label %{good}, label %{bad}, !prof !1")
        self.label(bad)
        state = self.snapshot()
        address = self.convert("ptrtoint", detail(), "i64")
        table = self.launch_field("services")
        function = self.load("ptr", 1, self.offset(table, abi.service_offset("trap")), 8, invariant=True)
        operands = (self.launch, self.cta, lanes, self.trap_reason(reason), address)
        self.line(f"call void {function.name}({', '.join(v.typed for v in operands)}) noreturn")
        self.line("unreachable")
        self.restore(state)
        self.label(good)

    def trap_reason(self, reason: abi.Trap) -> V:
        """What the trap service is told. With the line: LLVM makes one of calls at the ends of blocks, which then has no line."""
        return self.const("i32", int(reason) | (self.current.line << 8 if self.current is not None else 0))

    def cluster_pointers(self, window: V) -> V:
        """Pointers for 32-bit addresses in the cluster's shared window: `mapa` puts a CTA's rank plus one into the top 8 bits; all else is
        in one's own memory."""
        ctas = self.mul(self.mul(self.launch_field("cluster", 0), self.launch_field("cluster", 1)), self.launch_field("cluster", 2))
        rank = self.sub(self.lshr(window, self.const("i32", CLUSTER_SHIFT)), self.const("i32", 1))
        is_named = self.icmp("ult", rank, ctas)
        index = self.zext(self.select(is_named, rank, self.cta_field("cluster_rank")), "i64")
        place = self.offset(self.cta_field("cluster"), self.mul(index, self.const("i64", 8)))
        if window.n == 1:
            base = self.load("i64", 1, place, 8)
        else:
            base = self._gather(self.broadcast(place, WARP), "i64", 1, False)[0]
        if 1 < window.n < WARP:  # one of each row
            base = self.shuffle(base, None, [r * (WARP // window.n) for r in range(window.n)])
        low = self.zext(self.and_(window, self.const("i32", (1 << CLUSTER_SHIFT) - 1)), "i64")
        return self.convert("inttoptr", self.add(base, self.select(is_named, low, self.sext(window, "i64"))), "ptr")

    def _offset_lanes(self, pointer: V, offset: int) -> V:
        if not offset:
            return pointer
        return self.value("ptr", pointer.n, f"getelementptr i8, {pointer.typed}, i64 {offset}")

    def pointer_of(self, space: str, address: Address) -> tuple[V, bool]:
        """(pointers, uniform?): one pointer where all lanes have the same address, else 32."""
        place = self.place(space, address)
        if place.shape.is_uniform:
            return place.pointer, True
        return place.lanes(), False

    def _hint(self, space: str, address: Address, place: Place, size: int) -> None:
        if self.hints is not None and space in ("global", "generic", ""):
            self.hints.hint(self, self.block_index, address, place, size)

    def prefetch(self, pointer: V) -> None:
        """A hint that the line of a pointer will be read."""
        self.module.declare("llvm.prefetch.p0", "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        self.line(f"call void @llvm.prefetch.p0({pointer.typed}, i32 0, i32 3, i32 1)")

    # ------------------------------------------------------------------------------------------------ control within an instruction

    def choose(
        self, condition: V, if_true: Callable[[], Sequence[V]], if_false: Callable[[], Sequence[V]], likely: bool = False
    ) -> list[V]:
        """Two ways to the same results, decided at run time by an i1."""
        yes, no, end = self.new_label("then"), self.new_label("else"), self.new_label("endif")
        weights = ", !prof !1" if likely else ""
        self.line(f"br i1 {condition.name}, label %{yes}, label %{no}{weights}")
        outcomes: list[tuple[str, Sequence[V]]] = []
        for label, code in ((yes, if_true), (no, if_false)):
            self.label(label)
            state = self.snapshot()
            values = code()
            self.restore(state)  # what was computed inside does not reach the code behind
            last = self.new_label("from")
            self.jump(last)
            self.label(last)
            self.jump(end)
            outcomes.append((last, values))
        self.label(end)
        results = []
        for a, b in zip(outcomes[0][1], outcomes[1][1]):
            n = max(a.n, b.n)
            assert a.n == n and b.n == n, "both ways must give as many lanes"
            results.append(self.value(a.elem, n, f"phi {a.type} [ {a.name}, %{outcomes[0][0]} ], [ {b.name}, %{outcomes[1][0]} ]"))
        return results

    def each_lane(self, mask: V, body: Callable[[V], None]) -> None:
        """Runs `body(lane)` for every set bit of a mask, from the lowest; `lane` is an i32."""
        before, loop, end = self.new_label("lanes.before"), self.new_label("lanes"), self.new_label("lanes.end")
        self.jump(before)
        self.label(before)
        some = self.icmp("ne", mask, self.const("i32", 0))
        self.branch(some, loop, end)
        self.label(loop)
        rest_name = self.name("rest")
        at = len(self.lines)
        rest = V("i32", 1, rest_name)
        lane = self.first_lane(rest)
        body(lane)
        left = self.and_(rest, self.sub(rest, self.const("i32", 1)))
        more = self.icmp("ne", left, self.const("i32", 0))
        tail = self.new_label("lanes.next")
        self.jump(tail)
        self.label(tail)
        self.branch(more, loop, end)
        self.lines.insert(at, f"  {rest_name} = phi i32 [ {mask.name}, %{before} ], [ {left.name}, %{tail} ]{self.debug}")
        self.label(end)

    def guarded(self, guard: V | None, results: Sequence[tuple[str, int]], code: Callable[[], Sequence[V]]) -> list[V]:
        """Runs code for the active lanes whose guard holds (an i1 or 32 of them), and not at all where there are none.
        `results`: element type and lanes of each result; lanes without the guard get 0."""
        if guard is None:
            return list(code())
        outer = self.active
        if guard.n == 1:
            condition, inner = guard, outer
        else:
            inner = self.and_(outer, self.mask_of(guard))
            condition = self.icmp("ne", inner, self.const("i32", 0))

        def inside() -> Sequence[V]:
            self.active = inner
            values = code()
            self.active = outer
            return values

        return self.choose(condition, inside, lambda: [self.const(e, 0, n) for e, n in results])

    # ------------------------------------------------------------------------------------------------ loads

    def load_lanes(self, space: str, address: Address, elem: str, count: int, ordered: bool = False) -> list[V]:
        """Loads `count` consecutive elements for every active lane; each result has the rows of the address's shape where its stride is
        0, else 32 lanes."""
        place = self.place(space, address)
        self.check_alignment(place, SIZES[elem] * count)
        self._hint(space, address, place, SIZES[elem] * count)

        def fast() -> list[V]:
            return self._load_shaped(place, elem, count, ordered)

        if place.condition is None:
            return fast()
        return self.choose(place.condition, fast, lambda: self._gather(place.lanes(), elem, count, ordered, is_cold=True), likely=True)

    def load_neighbours(self, space: str, address: Address, elem: str, count: int) -> list[V]:
        """As `load_lanes`, from addresses that vary and are multiples of one element's size only."""
        place = self.place(space, address)
        self.check_alignment(place, SIZES[elem])
        return self._gather(place.lanes(), elem, count, False)

    def _load_shaped(self, place: Place, elem: str, count: int, ordered: bool) -> list[V]:
        size = SIZES[elem]
        shape = place.shape
        is_whole = ordered and elem == "i128"  # vectors are split there, and each element must stay whole
        if shape.is_uniform:
            if count == 1 or is_whole:
                return [self.load(elem, 1, self.offset(place.pointer, size * i), size, ordered=ordered) for i in range(count)]
            whole = self.load(elem, count, place.pointer, size * count if count & (count - 1) == 0 else size, ordered=ordered)
            return [self.extract(whole, i) for i in range(count)]
        is_known = shape.stride == 0 and shape.rows <= 4  # a scalar a row
        if (
            self.is_full
            and not ordered
            and elem in ("i32", "i64")
            and not is_known
            and not (shape.rows <= 2 and shape.stride == size * count)
        ):
            at = self._window(place, size, count)
            if at is not None:
                first = self.extract(place.pointer, 0)
                values = pattern.load(self, first, at, elem, size, count)
                return values if shape.stride or shape.is_varying else [self._first_of_rows(v, shape) for v in values]
        if not shape.is_varying and (self.is_full or (not ordered and self._single_row_masked(shape, elem, size, count))):
            if shape.stride == size * count and (count == 1 or self.is_full) and not is_whole:
                return self._load_rows(place, elem, size, count, ordered)
            if shape.stride == 0:
                parts = [[self.load(elem, 1, self.offset(place.row(r), size * i), size, ordered=ordered)
                          for r in range(shape.rows)] for i in range(count)]  # fmt: skip
                return [self.concat(p) for p in parts]
        if shape.stride == 0 and not shape.is_varying:
            return [self._reduce_rows(v, shape) for v in self._gather(place.lanes(), elem, count, ordered)]
        return self._gather(place.lanes(), elem, count, ordered)

    def _window(self, place: Place, size: int, count: int) -> pattern.Window | None:
        distances = pattern.offsets(self, place)
        return None if distances is None else pattern.window(distances, size, count)

    def _first_of_rows(self, v: V, shape: Shape) -> V:
        return self.shuffle(v, None, [r * shape.row_lanes for r in range(shape.rows)])

    def _reduce_rows(self, v: V, shape: Shape) -> V:
        """The rows of a value that was loaded lane by lane: the row's number from any active lane of it."""
        lanes = self.lanes_of(self.active)
        zero = self.const(v.elem, 0, WARP)
        kept = self.select(lanes, v, zero)
        out = kept
        step = 1
        while step < shape.row_lanes:  # or over the row, inactive lanes being 0 and active ones alike
            out = self.or_(out, self.shuffle(out, None, [lane ^ step for lane in range(WARP)]))
            step *= 2
        return self._first_of_rows(out, shape)

    def _single_row_masked(self, shape: Shape, elem: str, size: int, count: int) -> bool:
        return shape.rows == 1 and count == 1 and size in (4, 8) and shape.stride == size

    def _load_rows(self, place: Place, elem: str, size: int, count: int, ordered: bool) -> list[V]:
        """Rows whose lanes' elements follow one another."""
        shape = place.shape
        if not self.is_full:
            mask = self.lanes_of(self.active)
            name = f"llvm.masked.load.v{WARP}{elem}.p0"
            vector = f"<{WARP} x {elem}>"
            self.module.declare(name, f"declare {vector} @{name}(ptr, <{WARP} x i1>, {vector})")
            return [
                self.value(
                    elem, WARP, f"call {vector} @{name}(ptr align {size} {place.pointer.name}, {mask.typed}, {vector} zeroinitializer)"
                )
            ]
        rows = []
        n = shape.row_lanes * count
        for r in range(shape.rows):
            rows.append(self.load(elem, n, place.row(r), size, ordered=ordered))
        if count == 1:
            return [self.concat(rows)]
        return self._deinterleave(rows, count)

    def _deinterleave(self, parts: list[V], count: int) -> list[V]:
        """Components of vectors that lie one after the other."""
        out = []
        for i in range(count):
            pieces = [self.shuffle(p, None, range(i, p.n, count)) for p in parts]
            out.append(self.concat(pieces))
        return out

    def _gather(self, pointers: V, elem: str, count: int, ordered: bool, is_cold: bool = False) -> list[V]:
        """Lane by lane; lanes that are off read at a safe place. `is_cold`: on a slow path."""
        if not self.is_full:
            pointers = self.select(self.lanes_of(self.active), pointers, self.broadcast(self.safe_pointer, WARP))
        if is_cold or self.lane_accesses > INLINE_SITES:
            return call_load_each(self, pointers, elem, count, ordered, self.scratch(elem, WARP * count))
        if count == 1 and not ordered and elem in ("i32", "i64"):
            vector = f"<{WARP} x {elem}>"
            name = f"llvm.masked.gather.v{WARP}{elem}.v{WARP}p0"
            self.module.declare(name, f"declare {vector} @{name}(<{WARP} x ptr>, <{WARP} x i1>, {vector})")
            lanes = self.const("i1", 1, WARP)
            call = f"call {vector} @{name}(<{WARP} x ptr> align {SIZES[elem]} {pointers.name}, {lanes.typed}, {vector} poison)"
            return [self.value(elem, WARP, call)]
        return load_each(self, pointers, elem, count, ordered)

    # ------------------------------------------------------------------------------------------------ stores

    def store_lanes(
        self,
        space: str,
        address: Address,
        values: Sequence[Callable[[], V]],
        uniform: Sequence[V | None],
        elem: str,
        ordered: bool = False,
    ) -> None:
        """Stores consecutive elements for every active lane. `values` give 32 lanes when called, `uniform` the scalar where it is one."""
        place = self.place(space, address)
        self.check_alignment(place, SIZES[elem] * len(values))
        self._hint(space, address, place, SIZES[elem] * len(values))
        if place.condition is None:
            self._store_shaped(place, values, uniform, elem, ordered)
            return

        def fast() -> list[V]:
            self._store_shaped(place, values, uniform, elem, ordered)
            return []

        def slow() -> list[V]:
            self._scatter(place.lanes(), [v() for v in values], elem, ordered, is_cold=True)
            return []

        self.choose(place.condition, fast, slow, likely=True)

    def _store_shaped(
        self, place: Place, values: Sequence[Callable[[], V]], uniform: Sequence[V | None], elem: str, ordered: bool
    ) -> None:
        size = SIZES[elem]
        shape, count = place.shape, len(values)
        if shape.is_uniform:  # every lane writes the same place: one of them wins, here the last
            last = self.sub(self.const("i32", 31), self.flag_intrinsic("llvm.ctlz", self.active, True))
            for i, (code, scalar) in enumerate(zip(values, uniform)):
                if scalar is None:
                    scalar = self.extract(code(), 31 if self.is_full else last)
                self.store(scalar, self.offset(place.pointer, size * i), size, ordered)
            return
        if not shape.is_varying and shape.stride == size * count and self.is_full and not (ordered and elem == "i128"):
            if count == 1:
                whole = values[0]()
                for r in range(shape.rows):
                    part = whole if shape.rows == 1 else self.shuffle(whole, None, range(r * shape.row_lanes, (r + 1) * shape.row_lanes))
                    self.store(part, place.row(r), size, ordered)
            else:
                joined = self.concat([self.broadcast(v(), WARP) for v in values] + [values[-1]()] * (0 if count & (count - 1) == 0 else 1))
                for r in range(shape.rows):
                    lanes = [c * WARP + lane for lane in range(r * shape.row_lanes, (r + 1) * shape.row_lanes) for c in range(count)]
                    self.store(self.shuffle(joined, None, lanes), place.row(r), size, ordered)
            return
        at = self._window(place, size, count) if self._may_blend(place, elem, ordered) else None
        if at is not None and at.is_apart:
            window = at
            vectors = [self.broadcast(v(), WARP) for v in values]
            first, distance = self.extract(place.pointer, 0), self._shared_offset(place)

            def blend() -> list[V]:
                pattern.blend(self, first, window, vectors, elem, size)
                return []

            def each() -> list[V]:
                self._scatter(place.lanes(), vectors, elem, ordered, is_cold=True)
                return []

            self.choose(pattern.is_in_shared(self, distance, window, size), blend, each, likely=True)
            return
        if shape.rows == 1 and shape.stride == size and count == 1 and size in (4, 8) and not ordered:
            self._store_part(values[0](), place.pointer, elem)
            return
        self._scatter(place.lanes(), [v() for v in values], elem, ordered)

    def _store_part(self, v: V, pointer: V, elem: str) -> None:
        """Element after element, those of the active lanes. Without mask registers a masked store is slow (48 cycles for 32 lanes on Zen 3,
        where plain ones take 4), and in most warps that are not whole, most vectors are."""
        size = SIZES[elem]
        lanes = self.lanes_of(self.active)
        n = WARP if "avx512f" in self.module.features else 32 // size
        name = f"llvm.masked.store.v{n}{elem}.p0"
        self.module.declare(name, f"declare void @{name}(<{n} x {elem}>, ptr, <{n} x i1>)")
        if n == WARP:
            self.line(f"call void @{name}({v.typed}, ptr align {size} {pointer.name}, {lanes.typed})")
            return
        all_ones = (1 << n) - 1
        for first in range(0, WARP, n):
            part, there = self.shuffle(v, None, range(first, first + n)), self.shuffle(lanes, None, range(first, first + n))
            at = self.offset(pointer, first * size)
            bits = self.and_(self.lshr(self.active, self.const("i32", first)), self.const("i32", all_ones))
            whole, some, after = self.new_label("store.whole"), self.new_label("store.some"), self.new_label("stored")
            self.line(f"switch {bits.typed}, label %{some} [ i32 {all_ones}, label %{whole} i32 0, label %{after} ]")
            self.label(whole)
            self.store(part, at, size)
            self.jump(after)
            self.label(some)
            self.line(f"call void @{name}({part.typed}, ptr align {size} {at.name}, {there.typed})")
            self.jump(after)
            self.label(after)

    def _may_blend(self, place: Place, elem: str, ordered: bool) -> bool:
        """Whether nobody else can write between the lanes: in shared memory of a CTA, where no cluster's CTAs reach it."""
        return place.space in ("shared", "shared::cta") and elem in ("i32", "i64") and not ordered and not self._reaches_clusters()

    def _reaches_clusters(self) -> bool:
        if self._clusters is None:
            words = {part for op in self.function.operations() for part in (*op.op.opcode, str(op.extra))}
            self._clusters = bool(self.function.callees) or any("cluster" in part or part == "mapa" for part in words)
        return self._clusters

    def _shared_offset(self, place: Place) -> V:
        """Lane 0's offset in the shared window (i64)."""
        base = self.extract(self.cast(place.held.base, f"i{place.held.base.bits}"), 0)
        wide = self.sext(self.trunc(base, "i32") if base.bits > 32 else base, "i64")
        return self.add(wide, self.const("i64", place.offset)) if place.offset else wide

    def _scatter(self, pointers: V, values: list[V], elem: str, ordered: bool, is_cold: bool = False) -> None:
        """Lane by lane, in ascending order (the highest lane wins where two write the same place)."""
        size = SIZES[elem]
        if self.is_full:
            if is_cold or self.lane_accesses > INLINE_SITES:
                call_store_each(self, pointers, values, elem, ordered)
            else:
                store_each(self, pointers, values, elem, ordered)
            return
        if is_cold or self.lane_accesses > INLINE_SITES:
            call_store_some(self, pointers, values, elem, ordered, self.active)
            return
        where = self.scratch("ptr")
        self.store(pointers, where, 64)
        what = []
        for v in values:
            what.append(self.scratch(elem))
            self.store(v, what[-1], 64)

        def one(lane: V) -> None:
            index = self.zext(lane, "i64")
            pointer = self.load("ptr", 1, self.offset(where, self.mul(index, self.const("i64", 8))), 8)
            for i, w in enumerate(what):
                v = self.load(elem, 1, self.offset(w, self.mul(index, self.const("i64", size))), size)
                self.store(v, self.offset(pointer, size * i), size, ordered)

        self.each_lane(self.active, one)

    # ------------------------------------------------------------------------------------------------ the dynamic stack

    stack_at: int

    def _stack_pointers(self) -> V:
        blocks = self.lane_constants("i64", [self.local_bytes * lane + self.stack_at for lane in range(WARP)])
        return self.offset(self.local_base, blocks)

    def stack_ends(self) -> V:
        """The local address behind each lane's stack (32 x i32)."""
        return self._gather(self._stack_pointers(), "i32", 1, False)[0]

    def set_stack_ends(self, ends: V) -> None:
        self._scatter(self._stack_pointers(), [self.broadcast(ends, WARP)], "i32", False)

    def local_blocks(self) -> list[tuple[V, int]]:
        """Where the lanes' local memory lies to which generic addresses may point: first byte, bytes."""
        return [(self.local_base, WARP * self.local_bytes)]

    def begin_stack(self) -> None:
        """Empties the stacks of all lanes, where the function has any."""
        if self.stack_at >= 0:
            for lane in range(WARP):
                place = self.offset(self.local_base, self.local_bytes * lane + self.stack_at)
                self.store(self.const("i32", self.stack_at + 16), place, 4)
