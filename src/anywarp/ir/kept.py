"""Which device functions stay functions though they could be inlined: large ones that a kernel calls from many places.

A call is inlined by default, since the code of a warp is best where all shapes are known. A kernel that would grow beyond `LARGE`
statements by that keeps those functions whose copies cost most: reference counts of Python's arrays, which a kernel of 630 statements
calls 106 times, made 1.7 MB of code in 17 s; as functions 0.3 MB in 4 s. Only functions whose meaning cannot depend on it are kept: without
loops, without anything that the lanes of a warp do together (lanes that come to a kept function from different calls never meet in it),
without waiting for what others write where a result tells of it (a loop around the call would not be seen to poll, `analysis/polling.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from anywarp.ir.names import is_parameter_access
from anywarp.ptx import tree

LARGE = 2_000  # statements of a kernel with all calls inlined, from which on functions are kept
MANY = 4  # calls of a function that is kept, at least
WORTH_A_CALL = 40  # statements of a function that is kept, at least

_EVERY_LANE_TOGETHER = {
    *("activemask", "bar", "barrier", "clusterlaunchcontrol", "cp", "elect", "griddepcontrol", "ldmatrix", "match", "mbarrier", "mma"),
    *("movmatrix", "redux", "setmaxnreg", "shfl", "stmatrix", "tcgen05", "vote", "wgmma", "wmma"),
    *("exit", "brx"),  # these leave the function, or may go back in it
}


@dataclass
class _Summary:
    """What matters of a function's body."""

    statements: int = 0
    calls: dict[str, int] = field(default_factory=dict)  # of functions with a body
    may_be_kept: bool = True
    may_wait: bool = False  # reads what others write


def kept_functions(module: tree.Module, entry: tree.Function) -> frozenset[str]:
    """The functions of the module that calls from the entry (and from its callees) do not inline."""
    summaries: dict[str, _Summary] = {}
    order: list[str] = []  # callees first
    if not _collect(module, entry, summaries, order, set()):
        return frozenset()  # recursion somewhere: its functions stay functions anyway
    kept: set[str] = set()
    allowed = {name for name in order if name != entry.name and _may_be_kept(module, name, summaries)}
    while True:
        sizes: dict[str, int] = {}
        for name in order:
            s = summaries[name]
            sizes[name] = s.statements + sum(n * sizes[callee] for callee, n in s.calls.items() if callee not in kept)
        places = dict.fromkeys(order, 0)
        places[entry.name] = 1
        for name in reversed(order):
            copies = 1 if name in kept else places[name]
            for callee, n in summaries[name].calls.items():
                places[callee] += copies * n
        if sizes[entry.name] <= LARGE:
            break
        gains = {name: (places[name] - 1) * sizes[name] for name in allowed - kept if places[name] >= MANY and sizes[name] >= WORTH_A_CALL}
        if not gains:
            break
        kept.add(max(sorted(gains), key=gains.__getitem__))
    return frozenset(kept)


def _collect(module: tree.Module, function: tree.Function, summaries: dict[str, _Summary], order: list[str], open_: set[str]) -> bool:
    """Summarises a function and what it calls, callees first; False where it recurses."""
    if function.name in summaries:
        return True
    if function.name in open_:
        return False
    open_.add(function.name)
    summary = _summary(module, function)
    for name in summary.calls:
        if not _collect(module, module.functions[name], summaries, order, open_):
            return False
    open_.remove(function.name)
    summaries[function.name] = summary
    order.append(function.name)
    return True


def _may_be_kept(module: tree.Module, name: str, summaries: dict[str, _Summary]) -> bool:
    reached, stack = {name}, [name]
    while stack:
        for callee in summaries[stack.pop()].calls:
            if callee not in reached:
                reached.add(callee)
                stack.append(callee)
    if not all(summaries[f].may_be_kept for f in reached):
        return False
    return not (module.functions[name].returns and any(summaries[f].may_wait for f in reached))


def _statements(statements: list[tree.Statement]) -> Iterator[tree.Statement]:
    for statement in statements:
        yield statement
        if isinstance(statement, tree.Block):
            yield from _statements(statement.statements)


def _summary(module: tree.Module, function: tree.Function) -> _Summary:
    result = _Summary()
    parameters = {p.name for p in (*function.returns, *function.params)}
    assert function.body is not None
    statements = list(_statements(function.body))
    result.may_be_kept = not _has_loop(statements)
    for statement in statements:
        if not isinstance(statement, tree.Instruction):
            continue
        result.statements += 1
        opcode, operands = statement.opcode, statement.operands
        name = opcode[0]
        result.may_be_kept &= name not in _EVERY_LANE_TOGETHER
        result.may_wait |= name == "atom" or (name == "ld" and not {"volatile", "acquire", "relaxed", "mmio"}.isdisjoint(opcode))
        if name == "call":
            target = next((o for o in operands if not isinstance(o, tree.Arguments)), None)
            callee = module.functions.get(module.aliases.get(target.name, target.name)) if isinstance(target, tree.Symbol) else None
            if callee is not None and callee.body is not None:
                result.calls[callee.name] = result.calls.get(callee.name, 0) + 1
        accesses_parameter = is_parameter_access(opcode)
        for operand in operands:
            if isinstance(operand, tree.Symbol) and operand.name in parameters:
                result.may_be_kept = False  # the parameter's address
            elif isinstance(operand, tree.Address) and isinstance(operand.base, tree.Symbol) and operand.base.name in parameters:
                result.may_be_kept &= accesses_parameter
    return result


def _has_loop(statements: list[tree.Statement]) -> bool:
    """Whether the jumps of a body make a cycle. Labels are told apart by name alone; two of one name (in two blocks) count as a loop."""
    following: dict[str, list[str]] = {"": []}  # by label, the labels to which control goes from there
    current: str | None = ""  # none behind an unconditional jump
    for statement in statements:
        if isinstance(statement, tree.Label):
            if statement.name in following:
                return True
            if current is not None:
                following[current].append(statement.name)
            current = statement.name
            following[current] = []
        elif isinstance(statement, tree.Instruction) and current is not None:
            if statement.opcode[0] == "bra" and statement.operands and isinstance(target := statement.operands[0], tree.Symbol):
                following[current].append(target.name)
            if statement.opcode[0] in ("bra", "ret", "trap") and statement.guard is None:
                current = None
    finished: set[str] = set()
    path: list[tuple[str, Iterator[str]]] = [("", iter(following[""]))]
    on_path = {""}
    while path:
        label, rest = path[-1]
        step = next(rest, None)
        if step is None:
            path.pop()
            on_path.discard(label)
            finished.add(label)
        elif step in on_path:
            return True
        elif step not in finished:
            path.append((step, iter(following.get(step, ()))))
            on_path.add(step)
    return False
