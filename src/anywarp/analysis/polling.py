"""Loops that wait for somebody: they poll memory until another thread has written it.

A loop polls where the condition of one of its exits hangs, inside the loop, on a volatile, relaxed or acquire load, on an atomic exchange,
or on a compare-and-swap whose expected value does not change in the loop (a lock). A compare-and-swap that expects what it just read is a
retry, not a wait: each round some lane succeeds.
"""

from __future__ import annotations

from anywarp.analysis import cfg
from anywarp.ir import model
from anywarp.ir.model import Branch, Constant, Operation, Switch, Value


def polling_loops(function: model.Function, loops: cfg.Loops) -> list[cfg.Loop]:
    """The loops of a kernel that poll, in no special order."""
    return [loop for loop in loops.all if _polls(function, loop)]


def _polls(function: model.Function, loop: cfg.Loop) -> bool:
    inside = [function.blocks[i] for i in loop.blocks]
    defined = {r.id for b in inside for op in b.operations for r in op.results} | {p.result.id for b in inside for p in b.phis}
    if not any(_is_candidate(op, defined) for b in inside for op in b.operations):
        return False
    seen: set[int] = set()
    stack: list[object] = []
    for block in inside:
        t = block.terminator
        if (any(s.index not in loop.blocks for s in block.successors()) and isinstance(t, (Branch, Switch))) or isinstance(
            t, (Branch, Switch)
        ):
            stack.append(t.condition if isinstance(t, Branch) else t.index)
    while stack:
        value = stack.pop()
        if type(value) is not Value or value.id in seen or value.id not in defined:
            continue
        seen.add(value.id)
        definition = value.definition
        if isinstance(definition, Operation):
            if _is_candidate(definition, defined):
                return True
            stack += list(definition.inputs())
        else:
            assert definition is not None
            stack += definition.operands
    return False


def _is_candidate(op: Operation, defined: set[int]) -> bool:
    """Whether an operation of a loop reads what others write, as one who waits does."""
    kind = getattr(op.op, "polling", None)
    if kind is None:
        return False
    return bool(kind(lambda i: type(op.operands[i]) is Value and op.operands[i].id in defined, lambda i: _constant(op.operands[i])))


def _constant(operand: object) -> int | None:
    return operand.value if type(operand) is Constant else None
