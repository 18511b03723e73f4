"""The invariants of the IR, checked: for tests and for `anywarp dump`, where a broken pass should be named at once."""

from __future__ import annotations

from anywarp.analysis import cfg
from anywarp.ir import model
from anywarp.ir.model import Operation, Value
from anywarp.isa import types


class InvalidIr(Exception):
    """A pass left the IR in a state that `ir.model` rules out: a bug of the compiler."""


def verify(function: model.Function) -> None:
    """Raises InvalidIr at the first invariant that does not hold."""
    blocks = function.blocks
    for i, block in enumerate(blocks):
        _check(block.index == i, f"{block} has index {block.index}, stands at {i}")
    _check(not blocks[0].predecessors, "the entry has a predecessor")
    graph = [[s.index for s in b.successors()] for b in blocks]
    preds = cfg.predecessors(graph)
    for block in blocks:
        _check(sorted(p.index for p in block.predecessors) == preds[block.index], f"{block}: predecessors do not match the branches to it")
        _check(all(p.index < len(blocks) for p in block.predecessors), f"{block}: a predecessor is not in the function")
    idom = cfg.immediate_dominators(graph)
    definitions = _definitions(blocks)
    for block in blocks:
        for phi in block.phis:
            _check(len(phi.operands) == len(block.predecessors), f"{block}: {phi.result} has {len(phi.operands)} operands")
            for operand, p in zip(phi.operands, block.predecessors):
                _check(operand.width == phi.result.width, f"{block}: {phi.result} joins {operand} of another width")
                _used(operand, p.index, len(p.operations), definitions, idom)
        for position, op in enumerate(block.operations):
            for operand in op.inputs():
                _used(operand, block.index, position, definitions, idom)
            _widths(op, block)
            is_last = position == len(block.operations) - 1
            _check(
                not op.op.is_cut or (is_last and isinstance(block.terminator, model.Jump)),
                f"{block}: {op.op!r} is a cut and does not end its block",
            )
            _check(op.guard is None or not op.op.is_pure, f"{block}: {op.op!r} is pure and has a guard")
        t = block.terminator
        if isinstance(t, model.Branch):
            _check(t.condition.width == 1, f"{block} branches on {t.condition}")
            _used(t.condition, block.index, len(block.operations), definitions, idom)
        elif isinstance(t, model.Switch):
            _used(t.index, block.index, len(block.operations), definitions, idom)
    _loops(function, graph, idom, definitions)


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise InvalidIr(message)


def _definitions(blocks: list[model.Block]) -> dict[int, tuple[int, int]]:
    """Where each value is defined: (block, position); phis stand at -1."""
    found: dict[int, tuple[int, int]] = {}
    for block in blocks:
        for phi in block.phis:
            _check(phi.result.id not in found, f"{phi.result} is defined twice")
            _check(phi.result.definition is phi, f"{phi.result} does not know its phi")
            found[phi.result.id] = (block.index, -1)
        for position, op in enumerate(block.operations):
            for r in op.results:
                _check(r.id not in found, f"{r} is defined twice")
                _check(r.definition is op, f"{r} does not know its operation")
                found[r.id] = (block.index, position)
    return found


def _used(operand: object, block: int, position: int, definitions: dict[int, tuple[int, int]], idom: list[int]) -> None:
    """An operand's definition must dominate its use."""
    if type(operand) is not Value:
        return
    _check(operand.id in definitions, f"{operand} is used in block {block} and defined nowhere")
    home, at = definitions[operand.id]
    if home == block:
        _check(at < position, f"{operand} is used in block {block} before it is defined")
        return
    runner = block
    while runner != home:
        _check(idom[runner] != runner, f"{operand}, defined in block {home}, does not dominate its use in block {block}")
        runner = idom[runner]


def _widths(op: Operation, block: model.Block) -> None:
    _check(len(op.types) == len(op.operands), f"{block}: {op.op!r} has {len(op.operands)} operands and {len(op.types)} types")
    for operand, type_ in zip(op.operands, op.types):
        if type(operand) is tuple:
            for each in operand:
                _check(each.width == types.width(type_[0]), f"{block}: {op.op!r} reads {each} as .{type_[0]}")
        elif not isinstance(operand, model.Address) and isinstance(type_, str):
            _check(operand.width == types.width(type_), f"{block}: {op.op!r} reads {operand} of {operand.width} bits as .{type_}")
    for result, type_ in zip(op.results, op.result_types):
        _check(result.width == types.width(type_), f"{block}: {op.op!r} writes {result} of {result.width} bits as .{type_}")


def _loops(function: model.Function, graph: list[list[int]], idom: list[int], definitions: dict[int, tuple[int, int]]) -> None:
    loops = cfg.find_loops(graph, idom)
    _check(not loops.is_irreducible, "a loop has several ways in")
    for loop in loops.all:
        inside = sorted(loop.blocks)
        _check(len(loop.latches) == 1, f"the loop at {function.blocks[loop.header]} has {len(loop.latches)} latches")
        _check(
            inside == list(range(inside[0], inside[0] + len(inside))),
            f"the blocks of the loop at {function.blocks[loop.header]} are not contiguous",
        )
        _check(
            inside[0] == loop.header and inside[-1] == loop.latches[0],
            f"the loop at {function.blocks[loop.header]} is not laid out header to latch",
        )
        for block in function.blocks:
            if block.index in loop.blocks:
                continue
            reads: list[object] = [o for op in block.operations for o in op.inputs()]
            for phi in block.phis:
                reads += [o for o, p in zip(phi.operands, block.predecessors) if p.index not in loop.blocks]
            for operand in reads:
                if type(operand) is Value:
                    _check(
                        definitions[operand.id][0] not in loop.blocks,
                        f"{operand} leaves the loop at {function.blocks[loop.header]} without a phi",
                    )


__all__ = ["InvalidIr", "verify"]
