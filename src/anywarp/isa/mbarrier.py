"""mbarrier objects (PTX ISA 9.7.13.15): barriers in shared memory that count arrivals of threads and bytes of asynchronous copies.

The object is 64 bits whose layout PTX leaves open; ours:

    bits 0-19    arrivals that the current phase still waits for
    bits 20-39   arrivals that a phase waits for
    bits 40-60   bytes (tx-count) that the current phase still waits for, two's complement
    bit 63       parity of the current phase

A phase completes when neither arrivals nor bytes are missing; then the parity flips and the arrivals begin anew. The `state` that an
arrival gives is the object as it was before, of which the parity and the count matter.

All CTAs of a cluster run on one thread of the machine, so plain reads and writes are atomic. Waiting is polling: `test_wait` and `try_wait`
answer at once, and a loop that hangs on the answer yields in every round (`polling`), so that those who arrive get their turn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from anywarp.isa.base import Lane, Memory, instruction
from anywarp.isa.shape import VARYING, Shape

Lanes = dict[int, tuple[Any, ...]]
_COUNT = (1 << 20) - 1
_TX_SHIFT, _TX_BITS = 40, 21
_CTA = "shared shared::cta"
_ANY = "shared shared::cta shared::cluster"

_TEXT = """define internal i64 @mbarrier.update(ptr %at, i64 %count, i64 %dropped, i64 %bytes) noinline nounwind {
  %old = load volatile i64, ptr %at, align 8
  %tx = shl i64 %bytes, 40
  %fields = and i64 %old, 2305843009213693951
  %added = add i64 %fields, %tx
  %without = and i64 %added, 2305843009213693951
  %fewer = shl i64 %dropped, 20
  %less = sub i64 %without, %fewer
  %now = sub i64 %less, %count
  %expected.0 = lshr i64 %now, 20
  %expected = and i64 %expected.0, 1048575
  %missing = and i64 %now, 2305841909703114751
  %complete = icmp eq i64 %missing, 0
  %phase = and i64 %old, -9223372036854775808
  %same = or i64 %now, %phase
  %flipped = xor i64 %phase, -9223372036854775808
  %renewed.0 = shl i64 %expected, 20
  %renewed.1 = or i64 %renewed.0, %expected
  %renewed = or i64 %renewed.1, %flipped
  %new = select i1 %complete, i64 %renewed, i64 %same
  store volatile i64 %new, ptr %at, align 8
  ret i64 %old
}"""


@dataclass(frozen=True)
class Barrier:
    """An object taken apart: the plain meaning of all operations."""

    pending: int
    expected: int
    bytes: int
    parity: int

    @classmethod
    def of(cls, state: int) -> Barrier:
        tx = state >> _TX_SHIFT & ((1 << _TX_BITS) - 1)
        return cls(state & _COUNT, state >> 20 & _COUNT, tx - (1 << _TX_BITS) if tx >> (_TX_BITS - 1) else tx, state >> 63)

    @property
    def state(self) -> int:
        return self.pending | self.expected << 20 | (self.bytes & ((1 << _TX_BITS) - 1)) << _TX_SHIFT | self.parity << 63

    def arrive(self, count: int) -> Barrier:
        return replace(self, pending=self.pending - count)._settled()

    def expect(self, count: int) -> Barrier:
        """More bytes, or fewer where negative."""
        return replace(self, bytes=self.bytes + count)._settled()

    def drop(self, count: int) -> Barrier:
        return replace(self, expected=self.expected - count).arrive(count)

    def _settled(self) -> Barrier:
        if self.pending or self.bytes:
            return self
        return replace(self, pending=self.expected, parity=self.parity ^ 1)


def update(w: Any, pointer: Any, count: Any, dropped: Any, more_bytes: Any) -> Any:
    """One operation on the object at a pointer: the numbers are i64; gives the old object."""
    w.module.helper("mbarrier.update", lambda: _TEXT)
    return w.value("i64", 1, f"call i64 @mbarrier.update({pointer.typed}, {count.typed}, {dropped.typed}, {more_bytes.typed})")


def arrive(
    w: Any,
    space: str,
    address: Any,
    count: Any | None,
    wants_state: bool,
    drops: bool = False,
    expected_bytes: Any | None = None,
    arrives: bool = True,
) -> Any:
    """An operation of every active lane, one after the other. `count` and `expected_bytes` are operands (None: 1 and 0). Gives the old
    objects of 32 lanes, or None."""
    place = w.place(space, address)
    w.check_alignment(place, 8)
    zero, one = w.const("i64", 0), w.const("i64", 1)

    def spread(operand: Any) -> Any:
        held = w.get(operand)
        if held.shape.is_uniform:
            return w.cast(held.base, "i32")
        array = w.scratch("i32")
        w.store(w.cast(w.vector(operand), "i32"), array, 64)
        return array

    counts = spread(count) if count is not None else None
    sizes = spread(expected_bytes) if expected_bytes is not None else None
    pointers = None
    if not place.shape.is_uniform:
        pointers = w.scratch("ptr")
        w.store(place.lanes(), pointers, 64)
    olds = w.scratch("i64") if wants_state else None

    def number(source: Any, index: Any) -> Any:
        if source.elem == "ptr":
            source = w.load("i32", 1, w.offset(source, w.mul(index, w.const("i64", 4))), 4)
        return w.sext(source, "i64")

    def each(lane: Any) -> None:
        index = w.zext(lane, "i64")
        pointer = place.pointer if pointers is None else w.load("ptr", 1, w.offset(pointers, w.mul(index, w.const("i64", 8))), 8)
        n = one if counts is None else number(counts, index)
        n = n if arrives else zero
        old = update(w, pointer, n, n if drops else zero, zero if sizes is None else number(sizes, index))
        if olds is not None:
            w.store(old, w.offset(olds, w.mul(index, w.const("i64", 8))), 8)

    w.each_lane(w.active, each)
    return w.load("i64", 32, olds, 64) if olds is not None else None


class _Operation(Memory):
    """What the operations have in common."""

    modifiers = {"sem": "release relaxed acquire", "scope": "cta cluster", "ss": _CTA, "any": _ANY}
    types = {"count": "u32", "bytes": "u32", "state": "b64", "a": "b64"}
    section = "9.7.13.15"
    since = (7, 0)
    target = 80
    reads = True
    writes = True

    @property
    def space(self) -> str:
        found = getattr(self, "any", None) or getattr(self, "ss", None)
        return "shared::cluster" if found == "shared::cluster" else "shared" if found else ""

    def change(self, b: Barrier, *operands: int) -> Barrier:
        """The object after the operation of one lane."""
        raise NotImplementedError

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        out = {}
        for lane, (address, *operands) in lanes.items():
            old = memory.load(address, 8)
            memory.store(address, 8, self.change(Barrier.of(old), *operands).state)
            out[lane] = old
        return out if self.form.operands[0].is_result else {}


@instruction
class Init(_Operation):
    """mbarrier.init: an object that waits for `count` arrivals"""

    syntax = "mbarrier.init{.ss}.b64 [a], count"
    results = ()

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        for address, count in lanes.values():
            memory.store(address, 8, Barrier(count, count, 0, 0).state)
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        count = op.operands[1]

        def wide(v: Any) -> Any:
            v = w.zext(w.cast(v, "i32"), "i64")
            return w.or_(v, w.shl(v, w.const("i64", 20)))

        held = w.get(count)
        scalar = wide(held.base) if held.shape.is_uniform else None
        w.store_lanes(self.space, op.operands[0], [lambda: wide(w.vector(count))], [scalar], "i64", True)


@instruction
class Invalidate(_Operation):
    """mbarrier.inval: the memory may be used for something else"""

    syntax = "mbarrier.inval{.ss}.b64 [a]"
    results = ()

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        for (address,) in lanes.values():
            memory.load(address, 8)
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        return None


@instruction
class ExpectBytes(_Operation):
    """mbarrier.expect_tx: the current phase waits for more bytes"""

    syntax = ("mbarrier.expect_tx{.sem}{.scope}{.any}.b64 [a], bytes",)
    results = ()
    since = (8, 0)
    target = 90

    def change(self, b: Barrier, *operands: int) -> Barrier:
        return b.expect(operands[0])

    def lower(self, w: Any, op: Any) -> Any:
        arrive(w, self.space, op.operands[0], None, False, expected_bytes=op.operands[1], arrives=False)


@instruction
class CompleteBytes(_Operation):
    """mbarrier.complete_tx: bytes have come, as an asynchronous copy says it"""

    syntax = ("mbarrier.complete_tx{.sem}{.scope}{.any}.b64 [a], bytes",)
    results = ()
    since = (8, 0)
    target = 90

    def change(self, b: Barrier, *operands: int) -> Barrier:
        return b.expect(-operands[0])

    def lower(self, w: Any, op: Any) -> Any:
        place = w.place(self.space, op.operands[0])
        w.check_alignment(place, 8)
        complete_bytes(w, place, w.cast(w.vector(op.operands[1]), "i32"))


def complete_bytes(w: Any, place: Any, counts: Any) -> None:
    """Bytes have come for the barriers of all active lanes: `counts` are i32, one or 32."""
    pointers, sizes = w.scratch("ptr"), w.scratch("i32")
    w.store(place.lanes(), pointers, 64)
    w.store(w.broadcast(counts, 32), sizes, 64)
    zero = w.const("i64", 0)

    def each(lane: Any) -> None:
        index = w.zext(lane, "i64")
        pointer = w.load("ptr", 1, w.offset(pointers, w.mul(index, w.const("i64", 8))), 8)
        size = w.zext(w.load("i32", 1, w.offset(sizes, w.mul(index, w.const("i64", 4))), 4), "i64")
        update(w, pointer, zero, zero, w.neg(size))

    w.each_lane(w.active, each)


_ARRIVE_FORMS = (
    "{0}{{.sem}}{{.scope}}{{.any}}.b64 state, [a]{{, count}}",
    "{0}.expect_tx{{.sem}}{{.scope}}{{.any}}.b64 state, [a], bytes",
    "{0}.noComplete{{.sem}}{{.scope}}{{.ss}}.b64 state, [a], count",
    "{0}{{.any}}{{.sem}}{{.scope}}.b64 state, [a]{{, count}}",
    "{0}.expect_tx{{.any}}{{.sem}}{{.scope}}.b64 state, [a], bytes",
)


@instruction
class Arrive(_Operation):
    """mbarrier.arrive, mbarrier.arrive_drop: counts arrivals, perhaps after more bytes are expected; a drop also lowers what the next
    phases wait for. The result is the object before"""

    syntax = tuple(f.format(f"mbarrier.{name}") for name in ("arrive", "arrive_drop") for f in _ARRIVE_FORMS)
    section = "9.7.13.15.13"

    @property
    def drops(self) -> bool:
        return self.opcode[1] == "arrive_drop"

    def change(self, b: Barrier, *operands: int) -> Barrier:
        if "expect_tx" in self.opcode:
            b = replace(b, bytes=b.bytes + operands[0])
            return b.drop(1) if self.drops else b.arrive(1)
        count = operands[0] if operands else 1
        return b.drop(count) if self.drops else b.arrive(count)

    def lower(self, w: Any, op: Any) -> Any:
        given = op.operands[1] if len(op.operands) > 1 else None
        if "expect_tx" in self.opcode:
            return [arrive(w, self.space, op.operands[0], None, True, self.drops, given)]
        return [arrive(w, self.space, op.operands[0], given, True, self.drops)]


@instruction
class TestWait(_Operation):
    """mbarrier.test_wait, mbarrier.try_wait: has the phase of a state, or of a parity, completed? try_wait may sleep before it answers"""

    syntax = tuple(
        f"mbarrier.{name}{parity}{order}.b64 done, [a], {operand}{hint}"
        for name, hint in (("test_wait", ""), ("try_wait", "{, hint}"))
        for parity, operand in (("", "state"), (".parity", "phase"))
        for order in ("{.sem}{.scope}{.ss}", "{.ss}{.sem}{.scope}")
    )
    types = {"done": "pred", "state": "b64", "phase": "u32", "hint": "u32", "a": "b64"}
    section = "9.7.13.15.16"
    writes = False

    @property
    def by_parity(self) -> bool:
        return "parity" in self.opcode

    def shape(self, *operands: Shape) -> Shape:
        return Shape(1) if operands[0].is_uniform and operands[1].is_uniform else VARYING

    def polling(self, in_loop: Any, constant: Any) -> bool:
        return True

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        out = {}
        for lane, (address, given, *_) in lanes.items():
            parity = given & 1 if self.by_parity else given >> 63
            out[lane] = int(Barrier.of(memory.load(address, 8)).parity != parity)
        return out

    def lower(self, w: Any, op: Any) -> Any:
        address, given = op.operands[0], op.operands[1]
        (now,) = w.load_lanes(self.space, address, "i64", 1, True)
        held = w.get(given)
        v = held.base if held.shape.is_uniform else w.vector(given)
        v = w.cast(v, "i32" if self.by_parity else "i64")
        if self.by_parity:
            v = w.shl(w.zext(v, "i64"), w.const("i64", 63))
        result = w.icmp("slt", w.xor(now, v), w.const("i64", 0))
        return [result if w.get(address.base).shape.is_uniform and held.shape.is_uniform else w.broadcast(result, 32)]


@instruction
class PendingCount(Lane):
    """mbarrier.pending_count: arrivals that were missing when a state was taken"""

    syntax = "mbarrier.pending_count.b64 count, state"
    types = {"count": "u32", "state": "b64"}
    section = "9.7.13.15.17"
    since = (7, 0)
    target = 80

    def reference(self, state: int) -> int:
        return Barrier.of(state).pending

    def lower(self, g: Any, state: Any) -> Any:
        return g.trunc(g.and_(state, g.const("i64", _COUNT)), "i32")
