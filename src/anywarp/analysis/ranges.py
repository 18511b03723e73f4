"""Upper limits of values as unsigned numbers: which are known not to be negative, and which are 0.

An optimistic fixpoint over the SSA graph, from what CUDA promises of thread and block numbers (a block has at most 1,024 threads). An edge
counts for a phi only if its branch can go that way under what is known so far: `for (e = tid; e < 1024; e += 256)` keeps e below 1,279 and
not negative, which makes `e / 16` in its signed form (`e + (e >> 31 >>> 28) >> 4`) a shift.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from anywarp.ir import model
from anywarp.ir.builtin import Resize
from anywarp.ir.model import Branch, Constant, Operation, Phi, Value
from anywarp.isa import comparison, conversion, integer, integer_division, load_store, logic, move, types
from anywarp.isa.special_registers import SpecialRegister

PATIENCE = 4  # times that a phi's limit may grow before it counts as unlimited

REGISTERS = {
    "%tid.x": 1024, "%tid.y": 1024, "%tid.z": 64, "%ntid.x": 1025, "%ntid.y": 1025, "%ntid.z": 65, "%laneid": 32, "%warpid": 32,
    **{f"%{name}.{axis}": 1 << 31 for name in ("ctaid", "nctaid") for axis in "xyz"},
}  # fmt: skip


class Ranges:
    """`limit(operand)`: every lane's value is below it."""

    def __init__(self, function: model.Function) -> None:
        self.function = function
        self._limits: dict[int, int] = {}  # by id; values that are not in it have not been reached
        self._grown: dict[int, int] = {}
        self._solve()

    def _solve(self) -> None:
        """Looks again at whatever uses a value whose limit has grown, until none grows."""
        users: dict[int, list[Phi | Operation]] = {}
        queue: deque[Phi | Operation] = deque()
        for block in self.function.blocks:
            for phi in block.phis:
                queue.append(phi)
                for operand, source in zip(phi.operands, block.predecessors):
                    decides = _comparison(source)
                    for used in (operand, *(decides.operands if decides else ())):
                        if type(used) is Value:
                            users.setdefault(used.id, []).append(phi)
            for op in block.operations:
                queue.append(op)
                if type(op.op) in _RULES:
                    for operand in op.operands:
                        if type(operand) is Value:
                            users.setdefault(operand.id, []).append(op)
        while queue:
            item = queue.popleft()
            results = [item.result] if isinstance(item, Phi) else item.results
            for r in results:
                if self._set(r, self._phi(item) if isinstance(item, Phi) else self._result(item, r)):
                    queue += users.get(r.id, ())

    def limit(self, operand: Any) -> int:
        if type(operand) is Constant:
            return operand.value + 1
        if type(operand) is Value:
            return self._limits.get(operand.id, 1 << operand.width)
        return 1 << int(operand.width)

    def decided(self, condition: Any) -> bool | None:
        """What a predicate is in every lane, where the ranges tell."""
        definition = condition.definition if type(condition) is Value else None
        if not isinstance(definition, Operation) or not isinstance(definition.op, comparison.SetPredicate):
            return None
        op = definition.op
        if op.BoolOp is not None or types.is_float(op.type) or any(o.width != types.width(op.type) for o in definition.operands):
            return None
        value = self._compare(op, definition.operands[0], definition.operands[1])
        return value if value is None or condition is definition.results[0] else not value

    # ------------------------------------------------------------------------------------------------ rules

    def _set(self, value: Value, limit: int | None) -> bool:
        old = self._limits.get(value.id)
        if limit is None or limit == old:
            return False
        limit = min(max(limit, old or 0), 1 << value.width)
        if limit == old:
            return False
        if isinstance(value.definition, Phi) and old is not None:
            self._grown[value.id] = self._grown.get(value.id, 0) + 1
            if self._grown[value.id] > PATIENCE:
                limit = 1 << value.width
        self._limits[value.id] = limit
        return True

    def _is_reached(self, operand: Any) -> bool:
        return type(operand) is not Value or operand.id in self._limits

    def _phi(self, phi: Phi) -> int | None:
        limit = 0
        for operand, source in zip(phi.operands, phi.block.predecessors):
            if self._is_reached(operand):
                limit = max(limit, self._on_edge(operand, source, phi.block))
        return limit or None

    def _on_edge(self, operand: Any, source: model.Block, target: model.Block) -> int:
        """An operand's limit where control goes from a block to another; 0 where it cannot."""
        limit = self.limit(operand)
        t = source.terminator
        if not isinstance(t, Branch) or t.if_true is t.if_false:
            return limit
        taken = target is t.if_true
        known = self.decided(t.condition)
        if known is not None and known is not taken:
            return 0
        decides = _comparison(source)
        if decides is None:
            return limit
        op, (x, bound) = decides.op, decides.operands
        holds = taken == (t.condition is decides.results[0])
        name = comparison.UNSIGNED_NAMES.get(op.CmpOp, op.CmpOp)
        below = {("lt", True): 0, ("le", True): 1, ("ge", False): 0, ("gt", False): 1}.get((name, holds))
        if below is None or types.is_float(op.type) or x.width != types.width(op.type):
            return limit
        half = 1 << (x.width - 1)
        if types.is_signed(op.type) and (self.limit(x) > half or self.limit(bound) > half):
            return limit
        most = self.limit(bound) - 1 + below  # x < most
        if operand is x:
            return min(limit, most)
        added = operand.definition if type(operand) is Value else None
        if isinstance(added, Operation) and isinstance(added.op, integer.Add) and not added.op.sat:
            for a, b in (added.operands, added.operands[::-1]):
                if a is x and type(b) is Constant and most + b.value <= 1 << x.width:
                    return min(limit, most + b.value)
        return limit

    def _compare(self, op: comparison.SetPredicate, a: Any, b: Any) -> bool | None:
        if not (self._is_reached(a) and self._is_reached(b)):
            return None
        x, y = self.limit(a), self.limit(b)
        half = 1 << (a.width - 1)
        name = comparison.UNSIGNED_NAMES.get(op.CmpOp, op.CmpOp)
        if types.is_signed(op.type):
            if x > half:
                return None
            if y > half:  # not negative against a negative constant
                is_negative = type(b) is Constant
                return {"lt": False, "le": False, "eq": False, "gt": True, "ge": True, "ne": True}.get(name) if is_negative else None
        if type(b) is not Constant:
            return None
        c = b.value
        if x <= c:  # a < c
            return {"lt": True, "le": True, "ne": True, "gt": False, "ge": False, "eq": False}.get(name)
        if x == c + 1 and name in ("le", "gt"):
            return name == "le"
        if c == 0 and name in ("lt", "ge"):
            return name == "ge"
        return None

    def _result(self, op: Operation, result: Value) -> int | None:
        declaration, o = op.op, op.operands
        if isinstance(declaration, SpecialRegister):
            return REGISTERS.get(declaration.name, 1 << result.width)
        full = 1 << result.width
        if isinstance(declaration, load_store.Load):
            return full if types.is_signed(declaration.type) else min(full, 1 << types.width(declaration.type))
        rule = _RULES.get(type(declaration))
        if rule is None or any(not isinstance(x, Value | Constant) for x in o):
            return full
        if not all(map(self._is_reached, o)):
            return None
        limit = rule(declaration, o, [self.limit(x) for x in o])
        return full if limit is None or limit > full else limit


def _comparison(source: model.Block) -> Operation | None:
    """The comparison that decides a block's branch, if it is a plain one."""
    t = source.terminator
    definition = t.condition.definition if isinstance(t, Branch) and type(t.condition) is Value else None
    if isinstance(definition, Operation) and isinstance(definition.op, comparison.SetPredicate) and definition.op.BoolOp is None:
        return definition
    return None


# ---------------------------------------------------------------------------------------------------- limits of results


def _add(op: integer.Add, o: list[Any], n: list[int]) -> int | None:
    return None if op.sat else n[0] + n[1] - 1


def _mul(op: Any, o: list[Any], n: list[int]) -> int | None:
    if isinstance(op, integer.Mul) and op.mode != "lo":
        return None
    if isinstance(op, integer.MulWide) and types.is_signed(op.type) and max(n) > 1 << (types.width(op.type) - 1):
        return None
    return (n[0] - 1) * (n[1] - 1) + 1


def _mad(op: Any, o: list[Any], n: list[int]) -> int | None:
    return (n[0] - 1) * (n[1] - 1) + n[2] if op.mode == "lo" else None


def _and(op: logic.And, o: list[Any], n: list[int]) -> int:
    return min(n)


def _or(op: Any, o: list[Any], n: list[int]) -> int:
    return 1 << (max(n) - 1).bit_length()


def _shl(op: logic.Shl, o: list[Any], n: list[int]) -> int | None:
    return ((n[0] - 1) << o[1].value) + 1 if type(o[1]) is Constant and o[1].value < 64 else None


def _shr(op: logic.Shr, o: list[Any], n: list[int]) -> int | None:
    if types.is_signed(op.type) and n[0] > 1 << (types.width(op.type) - 1):
        return None
    return ((n[0] - 1) >> min(o[1].value, 64)) + 1 if type(o[1]) is Constant else n[0]


def _div(op: integer_division.Div, o: list[Any], n: list[int]) -> int | None:
    if type(o[1]) is not Constant or not o[1].value or (types.is_signed(op.type) and max(n) > 1 << (types.width(op.type) - 1)):
        return None
    return (n[0] - 1) // o[1].value + 1


def _rem(op: integer_division.Rem, o: list[Any], n: list[int]) -> int | None:
    if type(o[1]) is not Constant or not o[1].value or (types.is_signed(op.type) and max(n) > 1 << (types.width(op.type) - 1)):
        return None
    return min(n[0], o[1].value)


def _extremum(op: Any, o: list[Any], n: list[int]) -> int | None:
    type_ = str(op.operand_type("d"))
    if op.relu or (types.is_signed(type_) and max(n) > 1 << (types.width(type_) - 1)):
        return None
    return min(n) if op.opcode[0] == "min" else max(n)


def _selp(op: Any, o: list[Any], n: list[int]) -> int:
    return max(n[0], n[1])


def _mov(op: Any, o: list[Any], n: list[int]) -> int:
    return n[0]


def _cvt(op: conversion.ConvertInteger, o: list[Any], n: list[int]) -> int | None:
    width = types.width(op.atype)
    if op.sat or n[0] > 1 << (width - types.is_signed(op.atype)):
        return None
    return n[0]


def _resize(op: Resize, o: list[Any], n: list[int]) -> int | None:
    return n[0] if not op.signed or n[0] <= 1 << (op.from_width - 1) else None


_RULES: dict[type, Any] = {
    integer.Add: _add, integer.Mul: _mul, integer.MulWide: _mul, integer.Mad: _mad, integer.Minimum: _extremum,
    integer.Maximum: _extremum, logic.And: _and, logic.Or: _or, logic.Xor: _or, logic.Shl: _shl, logic.Shr: _shr,
    integer_division.Div: _div, integer_division.Rem: _rem, comparison.SelectByPredicate: _selp, move.Move: _mov,
    conversion.ConvertInteger: _cvt, Resize: _resize,
}  # fmt: skip
