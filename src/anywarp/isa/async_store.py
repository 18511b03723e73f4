"""Stores and reductions that tell an mbarrier of their bytes (PTX ISA 9.7.9.12 st.async, 9.7.13.7 red.async), and accesses to multicast
memory (9.7.9.14 multimem).

The asynchronous ones happen at once and the bytes are reported right after: between issue and report PTX orders nothing. A multicast object
here has one device, whose memory is the only replica: the reduction over the replicas is that one value, and a store to all is a store.
"""

from __future__ import annotations

from typing import Any

from anywarp.isa import types
from anywarp.isa.atomics import lower_vector, operation
from anywarp.isa.base import Memory, OperandType, instruction
from anywarp.isa.load_store import SCOPES
from anywarp.isa.mbarrier import Barrier, complete_bytes
from anywarp.isa.shape import Shape

Lanes = dict[int, tuple[Any, ...]]


def elements(data: Any) -> tuple[Any, ...]:
    """The elements of a vector, or the one element."""
    return data if isinstance(data, tuple) else (data,)


class _Vector(Memory):
    """What has one element or a vector of them as its data."""

    vec: str | None

    @property
    def count(self) -> int:
        return int(self.vec[1]) if self.vec else 1

    @property
    def bytes(self) -> int:
        return self.count * types.width(self.type) // 8

    def operand_type(self, name: str) -> OperandType:
        if name == "mbar":
            return "b64"
        return (self.type, self.count) if self.vec else self.type

    def store(self, w: Any, space: str, address: Any, data: Any) -> None:
        elem = f"i{types.width(self.type)}"
        values = elements(data)
        held = [w.get(v) for v in values]
        scalars = [w.cast(h.base, elem) if h.shape.is_uniform else None for h in held]
        w.store_lanes(space, address, [lambda v=v: w.cast(w.vector(v), elem) for v in values], scalars, elem, True)

    def packed(self, data: Any) -> int:
        """A vector's elements as one number."""
        width = types.width(self.type)
        return sum(v << width * i for i, v in enumerate(data)) if isinstance(data, tuple) else int(data)


def _report(memory: Any, address: int, count: int) -> None:
    memory.store(address, 8, Barrier.of(memory.load(address, 8)).expect(-count).state)


@instruction
class StoreAsync(_Vector):
    """st.async: stores to the shared memory of a CTA of the cluster and tells its mbarrier; with .release to global memory, without one"""

    syntax = (
        "st.async{.weak}{.cluster}{.ss}{.mbarrier::complete_tx::bytes}{.vec}.type [a], b, [mbar]",
        "st.async{.mmio}.release.scope{.global}.wide [a], b",
    )
    modifiers = {
        "ss": "shared::cluster",
        "vec": "v2 v4",
        "type": "b32 b64 u32 u64 s32 s64 f32 f64",
        "wide": "b8 b16 b32 b64 u8 u16 u32 u64 s8 s16 s32 s64 f32 f64",
        "scope": SCOPES,
    }
    results = ()
    section = "9.7.9.12"
    since = (8, 1)
    target = 90
    writes = True
    ss: str | None
    wide: str | None
    scope: str | None

    def operand_type(self, name: str) -> OperandType:
        return self.wide if self.wide else super().operand_type(name)

    def address_space(self, name: str) -> str:
        return "global" if self.scope else self.ss or ""

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        for address, data, *bar in lanes.values():
            memory.store(address, types.width(self.wide) // 8 if self.wide else self.bytes, self.packed(data))
            if bar:
                _report(memory, bar[0], self.bytes)
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        if self.wide:
            w.line("fence release")
            self.type = self.wide
        space = "global" if self.wide else self.ss or ""
        self.store(w, space, op.operands[0], op.operands[1])
        if not self.wide:
            bar = w.place(space, op.operands[2])
            w.check_alignment(bar, 8)
            complete_bytes(w, bar, w.const("i32", self.bytes))


@instruction
class StoreAsyncWide(StoreAsync):
    """st.async.b128: one register of 128 bits"""

    syntax = (
        "st.async{.weak}{.ss}.mbarrier::complete_tx::bytes.type [a], b, [mbar]",
        "st.async.cluster{.ss}.mbarrier::complete_tx::bytes.type [a], b, [mbar]",
    )
    modifiers = {"ss": "shared::cluster", "type": "b128"}
    since = (9, 2)
    vec = None
    wide = None
    scope = None


_ASYNC = {"inc": "u32", "dec": "u32", "min": "u32 s32", "max": "u32 s32", "add": "u32 s32 u64", "and": "b32", "or": "b32", "xor": "b32"}


@instruction
class ReduceAsync(_Vector):
    """red.async: updates the shared memory of a CTA of the cluster and tells its mbarrier; with .release global memory, without one"""

    syntax = (
        "red.async{.relaxed}{.cluster}{.ss}.mbarrier::complete_tx::bytes.op.type [a], b, [mbar]",
        "red.async{.mmio}.release.scope{.global}.op.type [a], b",
    )
    modifiers = {"ss": "shared::cluster", "op": "inc dec min max add and or xor", "type": "u32 s32 u64 s64 b32", "scope": SCOPES}
    results = ()
    section = "9.7.13.7"
    since = (8, 1)
    target = 90
    reads = True
    writes = True
    ss: str | None
    op: str
    scope: str | None
    vec = None

    def check(self) -> str | None:
        allowed = "u32 s32 u64 s64" if self.scope and self.op == "add" else _ASYNC[self.op]
        return None if self.type in allowed.split() else f"red.async.{self.op} takes {allowed}"

    def address_space(self, name: str) -> str:
        return "global" if self.scope else self.ss or ""

    @property
    def space(self) -> str:
        return "global" if self.scope else self.ss or ""

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        compute = operation(self.op, self.type)
        for address, data, *bar in lanes.values():
            memory.store(address, self.bytes, compute(memory.load(address, self.bytes), data))
            if bar:
                _report(memory, bar[0], self.bytes)
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        order = "release" if self.scope else "monotonic"
        lower_vector(w, self.space, self.op, self.type, op.operands[0], elements(op.operands[1]), False, order)
        if not self.scope:
            bar = w.place(self.space, op.operands[2])
            w.check_alignment(bar, 8)
            complete_bytes(w, bar, w.const("i32", self.bytes))


# --------------------------------------------------------------------------------------------------------------- multimem

_FLOATS = "f16 f16x2 bf16 bf16x2 e4m3 e5m2 e4m3x2 e5m2x2 e4m3x4 e5m2x4"


@instruction
class MultimemLoadReduce(_Vector):
    """multimem.ld_reduce: the reduction of all replicas of a value"""

    syntax = (
        "multimem.ld_reduce{.sem}{.scope}{.global}.op{.acc}{.vec}.type d, [a]",
        "multimem.ld_reduce.weak{.global}.op{.acc}{.vec}.type d, [a]",
    )
    modifiers = {
        "sem": "relaxed acquire",
        "scope": SCOPES,
        "op": "min max add and or xor",
        "acc": "acc::f32 acc::f16",
        "vec": "v2 v4 v8",
        "type": f"b32 b64 u32 u64 s32 s64 f32 f64 {_FLOATS}",
    }
    section = "9.7.9.14.1"
    since = (8, 1)
    target = 90
    reads = True
    sem: str | None

    def shape(self, *operands: Shape) -> Shape:
        return Shape(32)

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        out: dict[int, Any] = {}
        width = types.width(self.type)
        for lane, (address,) in lanes.items():
            whole = memory.load(address, self.bytes)
            values = tuple(whole >> width * i & ((1 << width) - 1) for i in range(self.count))
            out[lane] = values if self.vec else values[0]
        return out

    def lower(self, w: Any, op: Any) -> Any:
        values = w.load_lanes("global", op.operands[0], f"i{types.width(self.type)}", self.count, self.sem is not None)
        if self.sem == "acquire":
            w.line("fence acquire")
        return [w.broadcast(v, 32) for v in values]


@instruction
class MultimemStore(_Vector):
    """multimem.st: stores to all replicas"""

    syntax = ("multimem.st{.sem}{.scope}{.global}{.vec}.type [a], b", "multimem.st.weak{.global}{.vec}.type [a], b")
    modifiers = {
        "sem": "relaxed release",
        "scope": SCOPES,
        "vec": "v2 v4 v8",
        "type": f"b32 b64 u32 u64 s32 s64 f32 f64 {_FLOATS}",
    }
    results = ()
    section = "9.7.9.14.2"
    since = (8, 1)
    target = 90
    writes = True
    sem: str | None

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        for address, data in lanes.values():
            memory.store(address, self.bytes, self.packed(data))
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        if self.sem == "release":
            w.line("fence release")
        self.store(w, "global", op.operands[0], op.operands[1])


@instruction
class MultimemReduce(_Vector):
    """multimem.red: an update of all replicas"""

    syntax = "multimem.red{.sem}{.scope}{.global}.op{.vec}.type [a], b"
    modifiers = {
        "sem": "relaxed release",
        "scope": SCOPES,
        "op": "min max add and or xor",
        "vec": "v2 v4 v8",
        "type": "b32 b64 u32 u64 s32 s64 f16 f16x2 bf16 bf16x2 f32 f64",
    }
    results = ()
    section = "9.7.9.14.3"
    since = (8, 1)
    target = 90
    reads = True
    writes = True
    space = "global"
    op: str
    sem: str | None

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        compute, size = operation(self.op, self.type), types.width(self.type) // 8
        for address, data in lanes.values():
            for i, value in enumerate(elements(data)):
                at = address + size * i
                memory.store(at, size, compute(memory.load(at, size), value))
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        order = "release" if self.sem == "release" else "monotonic"
        lower_vector(w, self.space, self.op, self.type, op.operands[0], elements(op.operands[1]), False, order)
