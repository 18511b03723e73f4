"""Atomic read-modify-write for a warp.

Shared memory belongs to one CTA, and one thread of the machine runs a CTA: plain reads and writes are atomic there. In global memory, lanes
that all update the same place are first combined in the warp where the operation allows it and nobody asks for the old values; otherwise
the lanes go one after the other, over the set bits of the mask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anywarp.analysis.narrow_index import narrow_index
from anywarp.ir.model import Address, Constant, Value
from anywarp.lower.emit import V
from anywarp.lower.memory import MemoryEmitter, Place

_ATOMICRMW = {"add": "add", "min": "min", "max": "max", "and": "and", "or": "or", "xor": "xor", "exch": "xchg"}
_COMBINABLE = {"add", "min", "max", "and", "or", "xor"}


def combine(w: MemoryEmitter, operation: str, type: str, old: V, operands: list[V]) -> V:
    """The new value in memory. Operands are scalars of the type's integer form; `type` is a PTX type."""
    a = operands[0]
    if operation == "add":
        if type in ("f32", "f64"):
            elem = "float" if type == "f32" else "double"
            return w.bitcast(w.fadd(w.bitcast(old, elem), w.bitcast(a, elem)), old.elem)
        if type in ("f16", "bf16"):
            return _half_add(w, type, old, a)
        if type in ("f16x2", "bf16x2"):
            sixteen = w.const("i32", 16)
            low = _half_add(w, type[:-2], w.trunc(old, "i16"), w.trunc(a, "i16"))
            high = _half_add(w, type[:-2], w.trunc(w.lshr(old, sixteen), "i16"), w.trunc(w.lshr(a, sixteen), "i16"))
            return w.or_(w.zext(low, "i32"), w.shl(w.zext(high, "i32"), sixteen))
        return w.add(old, a)
    if operation in ("min", "max"):
        if type in ("f16x2", "bf16x2"):
            sixteen = w.const("i32", 16)
            low = _half_extreme(w, operation, type[:-2], w.trunc(old, "i16"), w.trunc(a, "i16"))
            high = _half_extreme(w, operation, type[:-2], w.trunc(w.lshr(old, sixteen), "i16"), w.trunc(w.lshr(a, sixteen), "i16"))
            return w.or_(w.zext(low, "i32"), w.shl(w.zext(high, "i32"), sixteen))
        if type in ("f16", "bf16"):
            return _half_extreme(w, operation, type, old, a)
        predicate = {"min": "lt", "max": "gt"}[operation]
        return w.select(w.icmp(("s" if type[0] == "s" else "u") + predicate, a, old), a, old)
    if operation in ("and", "or", "xor"):
        return w.binary(operation, old, a)
    if operation == "exch":
        return a
    if operation == "cas":
        return w.select(w.icmp("eq", old, a), operands[1], old)
    if operation == "inc":
        return w.select(w.icmp("uge", old, a), w.const(old.elem, 0), w.add(old, w.const(old.elem, 1)))
    assert operation == "dec", operation
    wraps = w.or_(w.icmp("eq", old, w.const(old.elem, 0)), w.icmp("ugt", old, a))
    return w.select(wraps, a, w.sub(old, w.const(old.elem, 1)))


def _half_add(w: MemoryEmitter, type: str, a: V, b: V) -> V:
    """Sum of two f16 or bf16 (scalars): in f32, whose precision makes the second rounding harmless, then rounded once."""
    if type == "f16":
        total = w.fadd(w.convert("fpext", w.bitcast(a, "half"), "float"), w.convert("fpext", w.bitcast(b, "half"), "float"))
        return w.bitcast(w.convert("fptrunc", total, "half"), "i16")
    sixteen = w.const("i32", 16)
    total = w.fadd(*(w.bitcast(w.shl(w.zext(v, "i32"), sixteen), "float") for v in (a, b)))
    bits = w.bitcast(total, "i32")
    odd = w.and_(w.lshr(bits, sixteen), w.const("i32", 1))
    rounded = w.trunc(w.lshr(w.add(bits, w.add(odd, w.const("i32", 0x7FFF))), sixteen), "i16")
    return w.select(w.fcmp("uno", total, total), w.const("i16", 0x7FFF), rounded)


def _half_extreme(w: MemoryEmitter, operation: str, type: str, a: V, b: V) -> V:
    """min or max of two f16 or bf16 (scalars), -0 below +0; a NaN loses against a number."""
    magnitude = w.const("i16", 0x7FFF)
    infinity = w.const("i16", 0x7C00 if type == "f16" else 0x7F80)

    def order(v: V) -> V:
        return w.xor(v, w.and_(w.ashr(v, w.const("i16", 15)), magnitude))

    nan_a, nan_b = (w.icmp("ugt", w.and_(v, magnitude), infinity) for v in (a, b))
    takes_a = w.icmp("slt" if operation == "min" else "sgt", order(a), order(b))
    number = w.select(w.or_(nan_b, w.and_(takes_a, w.not_(nan_a))), a, b)
    return w.select(w.and_(nan_a, nan_b), magnitude, number)


def atomic(
    w: MemoryEmitter,
    address: Address,
    sources: Sequence[Any],
    space: str,
    operation: str,
    type: str,
    width: int,
    wants_old: bool,
    order: str,
) -> list[V]:
    """An atomic operation of all active lanes on one element of `width` bits each. Gives the old values (32 lanes), or nothing.

    `sources` are operands of the IR. `order` is an LLVM ordering (monotonic, acquire, release, acq_rel, seq_cst)."""
    elem = f"i{width}"
    place = w.place(space, address)
    w.check_alignment(place, width // 8)
    is_shared = space.startswith("shared") and space != "shared::cluster"
    values = [w.cast(w.vector(o), elem) for o in sources]
    if place.shape.is_uniform and not wants_old and operation in _COMBINABLE and type[0] in "bus":
        total = _reduce(w, operation, type, values[0])
        update_one(w, place.pointer, elem, operation, type, [total], is_shared, order)
        return []
    uniform = place.shape.is_uniform
    if w.is_full and is_shared:  # no loop over set bits: plain reads and writes, one lane after the other
        return _each_of_all(w, place, elem, operation, type, sources, values, wants_old, order)
    where = None
    if not uniform:
        where = w.scratch("ptr")
        w.store(place.lanes(), where, 64)
    arrays = []
    for v in values:
        arrays.append(w.scratch(elem))
        w.store(v, arrays[-1], 64)
    olds = w.scratch(elem) if wants_old else None

    def one(lane: V) -> None:
        index = w.zext(lane, "i64")
        step = w.mul(index, w.const("i64", width // 8))
        pointer = place.pointer if where is None else w.load("ptr", 1, w.offset(where, w.mul(index, w.const("i64", 8))), 8)
        operands = [w.load(elem, 1, w.offset(a, step), width // 8) for a in arrays]
        old = update_one(w, pointer, elem, operation, type, operands, is_shared, order)
        if olds is not None:
            w.store(old, w.offset(olds, step), width // 8)

    w.each_lane(w.active, one)
    return [w.load(elem, 32, olds, 64)] if olds is not None else []


def _each_of_all(
    w: MemoryEmitter,
    place: Place,
    elem: str,
    operation: str,
    type: str,
    sources: Sequence[Any],
    values: list[V],
    wants_old: bool,
    order: str,
) -> list[V]:
    """A full warp's updates of shared memory, unrolled (histograms: 2.5 times natural C++ with a loop)."""
    pointer_of = (lambda lane: place.pointer) if place.shape.is_uniform else _pointers_through_stack(w, place)
    scalars = [w.cast(h.base, elem) if (h := w.get(o)).shape.is_uniform else None for o in sources]
    olds = []
    for lane in range(32):
        each = [s if s is not None else w.extract(v, lane) for s, v in zip(scalars, values)]
        olds.append(update_one(w, pointer_of(lane), elem, operation, type, each, True, order))
    return [w.concat(olds)] if wants_old else []


def _pointers_through_stack(w: MemoryEmitter, place: Place) -> Callable[[int], V]:
    """The pointer of each lane, by numbers that go through the stack: a load each, where an extract of a pointer is two instructions and
    its widening another. Where the address is made of a narrow index (`analysis.narrow_index`), that goes: 32 bytes and no arithmetic."""
    value = place.held.value
    assert value is not None
    numbers = place.numbers(w.trunc(w.cast(w.vector(value), f"i{place.held.base.bits}"), "i32"))
    is_made_here = value.width == 32 and w.home[value.id] == w.block_index  # its operands can be had
    index = narrow_index(value, w.ranges, lambda o: _is_base(w, o)) if is_made_here else None
    base, scale, elem = w.shared_base, 1, "i32"
    if index is not None:
        origin = place.numbers(w.const("i32", 0) if index.base is None else w.cast(w.get(index.base).base, "i32"))
        elem, base, scale = f"i{index.bits}", w.offset(base, w.sext(origin, "i64")), 1 << index.shift
        numbers = w.trunc(w.lshr(w.sub(numbers, origin), w.const("i32", index.shift)), elem)
    where, size = w.scratch(elem), int(elem[1:]) // 8
    w.store(numbers, where, 64)

    def pointer(lane: int) -> V:
        number = w.load(elem, 1, w.offset(where, size * lane), size, volatile=True)  # volatile, or LLVM makes extracts of it
        return w.offset(base, w.sext(number, "i64") if index is None else w.mul(w.zext(number, "i64"), w.const("i64", scale)))

    return pointer


def _is_base(w: MemoryEmitter, operand: Any) -> bool:
    if type(operand) is not Value:
        return type(operand) is Constant
    return w.shapes.shape(operand).is_uniform and (operand.id in w.held or operand.id in w.crossing)


def update_one(w: MemoryEmitter, pointer: V, elem: str, operation: str, type: str, operands: list[V], is_shared: bool, order: str) -> V:
    """One lane's update; gives the old value."""
    size = int(elem[1:]) // 8
    if is_shared:
        old = w.load(elem, 1, pointer, size)
        w.store(combine(w, operation, type, old, operands), pointer, size)
        return old
    if operation == "cas":
        failure = {"release": "monotonic", "acq_rel": "acquire"}.get(order, order)
        pair = w.name("pair")
        w.line(f"{pair} = cmpxchg ptr {pointer.name}, {operands[0].typed}, {operands[1].typed} {order} {failure}")
        return w.value(elem, 1, f"extractvalue {{ {elem}, i1 }} {pair}, 0")
    if (operation in _ATOMICRMW and type[0] in "bus") or operation == "exch":
        name = _ATOMICRMW[operation]
        if name in ("min", "max") and type[0] != "s":
            name = "u" + name
        return w.value(elem, 1, f"atomicrmw {name} ptr {pointer.name}, {operands[0].typed} {order}")
    # the rest by compare and exchange
    before, loop, done = w.new_label("cas.before"), w.new_label("cas"), w.new_label("cas.done")
    first = w.load(elem, 1, pointer, size, volatile=True)
    w.jump(before)
    w.label(before)
    w.jump(loop)
    w.label(loop)
    at = len(w.lines)
    old = V(elem, 1, w.name("old"))
    new = combine(w, operation, type, old, operands)
    pair = w.name("pair")
    w.line(f"{pair} = cmpxchg ptr {pointer.name}, {old.typed}, {new.typed} {order} monotonic")
    seen = w.value(elem, 1, f"extractvalue {{ {elem}, i1 }} {pair}, 0")
    ok = w.value("i1", 1, f"extractvalue {{ {elem}, i1 }} {pair}, 1")
    tail = w.new_label("cas.tail")
    w.jump(tail)
    w.label(tail)
    w.branch(ok, done, loop)
    w.lines.insert(at, f"  {old.name} = phi {elem} [ {first.name}, %{before} ], [ {seen.name}, %{tail} ]{w.debug}")
    w.label(done)
    return old


def _reduce(w: MemoryEmitter, operation: str, type: str, v: V) -> V:
    """All active lanes' values as one."""
    name = {"min": "smin" if type[0] == "s" else "umin", "max": "smax" if type[0] == "s" else "umax"}.get(operation, operation)
    top = (1 << v.bits) - 1
    neutral = {"add": 0, "or": 0, "xor": 0, "and": top, "umin": top, "umax": 0, "smin": top >> 1, "smax": (top >> 1) + 1}[name]
    if not w.is_full:
        v = w.select(w.lanes_of(w.active), v, w.const(v.elem, neutral))
    return w.intrinsic(f"llvm.vector.reduce.{name}", v, lanes=1)
