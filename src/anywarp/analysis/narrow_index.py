"""Addresses that are a base for all lanes plus a small index times a power of two: histograms and tables of at most 65,536 elements.

The index needs 8 or 16 bits where the address takes 32: cheaper to take apart, lane by lane.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from anywarp.analysis.ranges import Ranges
from anywarp.ir.model import Constant, Operation, Scalar, Value
from anywarp.isa import integer, logic, types


@dataclass(frozen=True, slots=True)
class NarrowIndex:
    """address = base + (index << shift) modulo 2^32, the index a number of `bits` bits (8 or 16); without a base 0."""

    base: Scalar | None
    shift: int
    bits: int


def narrow_index(address: Scalar, ranges: Ranges, is_base: Callable[[Scalar], bool]) -> NarrowIndex | None:
    """How an address of 32 bits is made, if it is of this form; `is_base` says which operands may be the base."""
    base: Scalar | None = None
    rest = address
    op = _operation(address)
    if op is not None and isinstance(op.op, integer.Add) and not op.op.sat:
        for a, b in (op.operands, op.operands[::-1]):
            if is_base(a):
                base, rest = a, b
    op = _operation(rest)
    if op is None:
        return None
    shift = _shift(op)
    if shift is None and isinstance(op.op, integer.Mad) and op.op.mode == "lo" and base is None and is_base(op.operands[2]):
        base, shift = op.operands[2], _power(op.operands[1])
    if shift is None:
        return None
    index = op.operands[0]
    limit = ranges.limit(index)
    if isinstance(op.op, integer.MulWide) and types.is_signed(op.op.type) and limit > 1 << (index.width - 1):
        return None
    bits = next((bits for bits in (8, 16) if limit <= 1 << bits), None)
    return NarrowIndex(base, shift, bits) if bits is not None and bits + shift <= 32 else None


def _operation(value: Scalar) -> Operation | None:
    definition = value.definition if type(value) is Value else None
    return definition if isinstance(definition, Operation) else None


def _shift(op: Operation) -> int | None:
    """k where the operation is its first operand times 2^k."""
    if isinstance(op.op, logic.Shl):
        amount = op.operands[1]
        return int(amount.value) if type(amount) is Constant and amount.value < 32 else None
    if isinstance(op.op, integer.MulWide) or (isinstance(op.op, integer.Mul) and op.op.mode == "lo"):
        return _power(op.operands[1])
    return None


def _power(operand: Scalar) -> int | None:
    value = operand.value if type(operand) is Constant else 0
    return value.bit_length() - 1 if value and not value & (value - 1) else None
