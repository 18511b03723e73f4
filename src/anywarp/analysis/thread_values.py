"""Values that hang on nothing but a thread's place in its block, computed for every thread.

Where warps are whole lines of a block, `tid.x` is `32 * w + lane` with w below 32 (a block has at most 1,024 threads). So whatever is made
of it and of constants takes 1,024 known values, and its shape can be read off them: `tid / 32` in the form that compilers give to a
signed division is the warp's own number, `tid % 32 < 4` the same constant in every warp, `2 * tid - (tid & 3)` rows of four. The rules of
`isa` (`stride`) see single operations and miss these; they stay in charge of everything that hangs on more.

Integer operations only, those that thread numbers go through: `_COMPUTE` states their meaning for many threads at once
(`tests/analysis` holds each against its declaration's `reference`). A value is computed when `analysis.shapes` asks for it.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from typing import Any

from anywarp.ir import builtin
from anywarp.ir.model import Address, Constant, Operation, Value
from anywarp.isa import comparison, conversion, integer, logic, move, types
from anywarp.isa.shape import WARP, Shape
from anywarp.isa.special_registers import SpecialRegister

MAX_THREADS = 1024  # of a block
LARGEST_MULTIPLE = 1 << 30

Threads = list[int]  # one value a thread, unsigned, warp after warp
Compute = Callable[[Any, list[Threads]], "Threads | None"]


class ThreadValues:
    """Values by thread for one layout of threads in warps (`line`, `rows16`, ...), with memory."""

    def __init__(self, layout: str) -> None:
        self.layout = layout.removesuffix(".partial")
        self._known: dict[int, Threads | None] = {}
        self._distances: dict[int, tuple[int, ...] | None] = {}
        self.threads = MAX_THREADS if self.layout == "line" else WARP
        self.is_able = self.layout == "line" or self.layout.startswith("rows")

    def of(self, operand: Any) -> Threads | None:
        """A value's number in every thread, or None where it hangs on something else."""
        if type(operand) is Constant:
            return [operand.value] * self.threads
        if type(operand) is not Value or not self.is_able:
            return None
        if operand.id not in self._known:
            self._known[operand.id] = None  # whoever comes back here does so through a phi, which is never known
            definition = operand.definition
            if isinstance(definition, Operation):
                self._known[operand.id] = self._compute(definition, definition.results.index(operand))
        return self._known[operand.id]

    def _compute(self, op: Operation, which: int) -> Threads | None:
        declaration = op.op
        if isinstance(declaration, SpecialRegister):
            return self._register(declaration.name)
        compute = _COMPUTE.get(type(declaration))
        if compute is None or any(type(o) in (tuple, Address) or o.width != types.width(t) for o, t in zip(op.operands, op.types)):
            return None
        if not any(type(o) is Value for o in op.operands):
            return None
        operands: list[Threads] = []
        for o in sorted(op.operands, key=lambda o: type(o) is Constant):  # a value that is not known ends it at once
            if type(o) is not Constant and self.of(o) is None:
                return None
        for o in op.operands:
            threads = self.of(o)
            assert threads is not None
            operands.append(threads)
        result = compute(declaration, operands)
        if result is not None and which == 1:
            return [1 - v for v in result]
        return result

    def _register(self, name: str) -> Threads | None:
        if name == "%tid.x":
            width = MAX_THREADS if self.layout == "line" else int(self.layout[4:])
            return [t % width for t in range(self.threads)]
        if name == "%laneid":
            return [t % WARP for t in range(self.threads)]
        return None

    def shape(self, value: Value) -> Shape | None:
        """The shape with the fewest rows that a known value has in every warp, or None where it is not known or has none."""
        threads = self.of(value)
        return None if threads is None else shape_of(threads, value.width)

    def constant(self, value: Value) -> tuple[int, ...] | None:
        """A known value's 32 numbers where they are the same in every warp."""
        threads = self.of(value)
        if threads is None:
            return None
        first = threads[:WARP]
        return tuple(first) if threads == first * (len(threads) // WARP) else None

    def distances(self, value: Value) -> tuple[int, ...] | None:
        """How far a known value's number in each lane is from that in lane 0, where it is the same in every warp."""
        if value.id not in self._distances:
            self._distances[value.id] = None
            threads = self.of(value)
            if threads is not None:
                firsts = [first for first in threads[::WARP] for _ in range(WARP)]
                from_first = list(map(operator.sub, threads, firsts))
                if from_first == from_first[:WARP] * (len(threads) // WARP):
                    self._distances[value.id] = tuple(from_first[:WARP])
        return self._distances[value.id]


def shape_of(threads: Threads, width: int) -> Shape | None:
    """The shape with the fewest rows that numbers of `width` bits have in every warp of 32, or None."""
    mask = (1 << width) - 1
    if len(threads) > WARP and shape_of(threads[:WARP], width) is None:  # most that have none have none in the first warp
        return None
    steps = [(b - a) & mask for a, b in itertools.pairwise(threads)]
    for rows in (1, 2, 4, 8, 16):
        lanes = WARP // rows
        step = steps[0]
        if (step and width == 1) or any(steps[k::lanes].count(step) != len(steps[k::lanes]) for k in range(lanes - 1)):
            continue
        stride = step - (1 << width) if step >> (width - 1) else step
        if abs(stride) * WARP >= 1 << (width - 1) and stride:
            return None
        bits = 0
        for base in threads[::lanes]:
            bits |= base
        if width == 1:  # a predicate, and its complement with it
            return Shape(rows)
        return Shape(rows, stride, min(bits & -bits, LARGEST_MULTIPLE) if bits else LARGEST_MULTIPLE)
    return None


# --------------------------------------------------------------------------------------------------- meanings of operations


def _mask(op: Any) -> int:
    return (1 << types.width(str(op.operand_type("d")))) - 1


def _wrap(values: Threads, op: Any) -> Threads:
    """Numbers modulo the result's width."""
    m = _mask(op)
    return values if min(values) >= 0 and max(values) <= m else [v & m for v in values]


def _signed(values: Threads, type: str) -> Threads:
    """Bit patterns of a type's width as the numbers that the type reads in them."""
    half = 1 << (types.width(type) - 1)
    if not types.is_signed(type) or max(values) < half:
        return values
    return [v - 2 * half if v >= half else v for v in values]


def _add(op: integer.Add, o: list[Threads]) -> Threads | None:
    return None if op.sat else _wrap(list(map(operator.add, *o)), op)


def _sub(op: integer.Sub, o: list[Threads]) -> Threads | None:
    return None if op.sat else _wrap(list(map(operator.sub, *o)), op)


def _mul(op: integer.Mul, o: list[Threads]) -> Threads | None:
    return _wrap(list(map(operator.mul, *o)), op) if op.mode == "lo" else None


def _mad(op: integer.Mad, o: list[Threads]) -> Threads | None:
    return _wrap([a * b + c for a, b, c in zip(*o)], op) if op.mode == "lo" else None


def _mul_wide(op: integer.MulWide, o: list[Threads]) -> Threads:
    return _wrap(list(map(operator.mul, _signed(o[0], op.type), _signed(o[1], op.type))), op)


def _mad_wide(op: integer.MadWide, o: list[Threads]) -> Threads:
    return _wrap([a * b + c for a, b, c in zip(_signed(o[0], op.type), _signed(o[1], op.type), o[2])], op)


def _extremum(op: Any, o: list[Threads]) -> Threads | None:
    if op.relu:
        return None
    type = str(op.operand_type("d"))
    return _wrap(list(map(min if op.opcode[0] == "min" else max, _signed(o[0], type), _signed(o[1], type))), op)


def _neg(op: integer.Negate, o: list[Threads]) -> Threads:
    return _wrap([-a for a in o[0]], op)


def _and(op: Any, o: list[Threads]) -> Threads:
    return list(map(operator.and_, *o))


def _or(op: Any, o: list[Threads]) -> Threads:
    return list(map(operator.or_, *o))


def _xor(op: Any, o: list[Threads]) -> Threads:
    return list(map(operator.xor, *o))


def _not(op: logic.Not, o: list[Threads]) -> Threads:
    m = (1 << types.width(op.type)) - 1 if op.type != "pred" else 1
    return [a ^ m for a in o[0]]


def _not_predicate(op: Any, o: list[Threads]) -> Threads:
    return [1 - a for a in o[0]]


def _shl(op: logic.Shl, o: list[Threads]) -> Threads:
    return _wrap([a << b if b < 64 else 0 for a, b in zip(*o)], op)


def _shr(op: logic.Shr, o: list[Threads]) -> Threads:
    return _wrap(list(map(operator.rshift, _signed(o[0], op.type), [min(b, 64) for b in o[1]])), op)


def _setp(op: comparison.SetPredicate, o: list[Threads]) -> Threads | None:
    if op.BoolOp is not None or types.is_float(op.type):
        return None
    name = comparison.UNSIGNED_NAMES.get(op.CmpOp, op.CmpOp)
    a, b = _signed(o[0], op.type), _signed(o[1], op.type)
    return list(map(getattr(operator, name), a, b))


def _selp(op: Any, o: list[Threads]) -> Threads:
    return [a if c else b for a, b, c in zip(*o)]


def _select(op: Any, o: list[Threads]) -> Threads:
    return [a if p else b for p, a, b in zip(*o)]


def _mov(op: Any, o: list[Threads]) -> Threads:
    return o[0]


def _cvt(op: conversion.ConvertInteger, o: list[Threads]) -> Threads | None:
    return None if op.sat else _wrap(_signed(o[0], op.atype), op)


def _resize(op: builtin.Resize, o: list[Threads]) -> Threads:
    m = (1 << op.to_width) - 1
    return [a & m for a in _signed(o[0], f"{'s' if op.signed else 'u'}{op.from_width}")]


_COMPUTE: dict[type, Compute] = {
    integer.Add: _add, integer.Sub: _sub, integer.Mul: _mul, integer.Mad: _mad, integer.MulWide: _mul_wide, integer.MadWide: _mad_wide,
    integer.Minimum: _extremum, integer.Maximum: _extremum, integer.Negate: _neg,
    logic.And: _and, logic.Or: _or, logic.Xor: _xor, logic.Not: _not, logic.Shl: _shl, logic.Shr: _shr,
    comparison.SetPredicate: _setp, comparison.SelectByPredicate: _selp,
    move.Move: _mov, conversion.ConvertInteger: _cvt,
    builtin.Select: _select, builtin.Not: _not_predicate, builtin.Resize: _resize,
}  # fmt: skip
