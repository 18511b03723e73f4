"""Whether all lanes agree on a predicate, found with scalar code.

`i < n` for an affine i changes at most once along the lanes, as long as i does not wrap: if lane 0 and lane 31 agree, all do. So the guard
of a kernel and the condition of a grid-stride loop cost two scalar comparisons; the vector comparison is left to the one warp whose lanes
part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from anywarp.ir import builtin
from anywarp.ir.model import Operation, Value
from anywarp.isa import comparison, logic, types
from anywarp.isa.integer import widening_holds
from anywarp.lower.emit import WARP, V

if TYPE_CHECKING:
    from anywarp.lower.values import ValueEmitter

ORDERED = {"lt", "le", "gt", "ge", "lo", "ls", "hi", "hs"}
MAX_DEPTH = 4


class Agreement(NamedTuple):
    """`agree` (None: always): all 32 lanes have the value `value`."""

    agree: V | None
    value: V


def agreement(w: ValueEmitter, operand: Any, live: int, depth: int = 0) -> Agreement | None:
    """Scalar code for a predicate's agreement, or None where there is none that is cheap.

    `live`: the values that are there at the start of the block that is being emitted, as bits by id. Behind a cut, the numbers that a
    predicate was made from may be gone.
    """
    held = w.get(operand)
    if held.shape.is_uniform:
        return Agreement(None, held.base)
    definition = operand.definition if type(operand) is Value else None
    if depth == MAX_DEPTH or not isinstance(definition, Operation) or not _is_at_hand(w, definition, live):
        return None
    op = definition.op
    if isinstance(op, (builtin.Not, logic.Not)):
        inner = agreement(w, definition.operands[0], live, depth + 1)
        return inner and Agreement(inner.agree, w.not_(inner.value))
    if isinstance(op, (logic.And, logic.Or, logic.Xor)) and op.type == "pred":
        a, b = (agreement(w, o, live, depth + 1) for o in definition.operands)
        if a is None or b is None:
            return None
        return Agreement(_both(w, a.agree, b.agree), w.binary(op.opcode[0], a.value, b.value))
    if isinstance(op, comparison.SetPredicate) and op.BoolOp is None and op.CmpOp in ORDERED and op.type not in comparison.FLOAT_SHAPE:
        return _comparison(w, op, definition, definition.results.index(operand))
    return None


def _is_at_hand(w: ValueEmitter, definition: Operation, live: int) -> bool:
    """Whether the operands can be read in the block that is being emitted."""
    readable = (type(i) is not Value or i.id in w.held or (i.id in w.crossing and live >> i.id & 1) for i in definition.inputs())
    return definition.results[0].id in w.held and all(readable)


def _comparison(w: ValueEmitter, op: comparison.SetPredicate, definition: Operation, which: int) -> Agreement | None:
    shapes = tuple(w.shapes.shape(o) for o in definition.operands)
    if any(s.rows > 1 for s in shapes):
        return None
    first = [w.cast(w.get(o).base, f"i{types.width(op.type)}") for o in definition.operands]
    last = [w.add(v, w.const(v.elem, s.stride * (WARP - 1))) if s.stride else v for v, s in zip(first, shapes)]
    begin = comparison.compare(w, op.CmpOp, op.type, False, *first)
    end = comparison.compare(w, op.CmpOp, op.type, False, *last)
    agree = _both(w, w.icmp("eq", begin, end), widening_holds(w, shapes, tuple(first), types.is_signed(op.type)))
    for shape in shapes:
        agree = _both(w, agree, w.test(shape))
    return Agreement(agree, begin if which == 0 else w.not_(begin))


def _both(w: ValueEmitter, a: V | None, b: V | None) -> V | None:
    if a is None or b is None:
        return a or b
    return w.and_(a, b)
