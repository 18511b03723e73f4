"""Merges loads of neighbouring elements from one address a lane into one load of two or four elements.

    a = ld [p-8]                a, b, c, d = neighbours [p-8]
    ... b = ld [p-4] ...   =>   ...
    ... c = ld [p]   ...
    ... d = ld [p+4] ...

Where every lane has an address of its own, an element costs a scalar load and an insertion into a vector; four of them at once are one
16-byte load a lane and a transposition. Compilers unroll loops over a thread's own elements by four, so such groups are common.

Legal because all lanes that load one element load the others: the loads stand in one block, or in blocks that are only run together (one
dominates the other, which postdominates it, in the same loop), so no byte is read that the program does not read. Between the first and
the others no store, no load that orders others (acquire, volatile) and no cut may stand, except for `.nc`, which promises that nobody
writes the memory while the kernel runs.
"""

from __future__ import annotations

from anywarp.analysis.cfg import dominates
from anywarp.analysis.shapes import Shapes
from anywarp.ir import model
from anywarp.ir.builtin import LoadNeighbours
from anywarp.ir.model import Address, Operation, Value
from anywarp.isa import types
from anywarp.isa.load_store import Load

COUNTS = (4, 2)


def merge_neighbouring_loads(function: model.Function, shapes: Shapes) -> None:
    """Rewrites blocks in place; `shapes` stay true, since results and their definitions' places only move up."""
    groups: list[list[tuple[model.Block, Operation]]] = []
    for block in function.blocks:
        open_groups: dict[object, list[tuple[model.Block, Operation]]] = {}
        for op in block.operations:
            key = _key(op, shapes)
            if key is not None:
                if key not in open_groups:
                    open_groups[key] = []
                    groups.append(open_groups[key])
                open_groups[key].append((block, op))
            elif not _may_be_passed(op):
                open_groups = {k: g for k, g in open_groups.items() if getattr(g[0][1].op, "nc", False)}
    _join_across_blocks(function, shapes, groups)
    gone: set[int] = set()
    for group in groups:
        for members in _runs(group):
            _merge(members, gone)
    if gone:
        for block in function.blocks:
            block.operations = [op for op in block.operations if id(op) not in gone]


def _may_be_passed(op: Operation) -> bool:
    """Whether a load may move up across an operation: it touches no memory, or is a load that orders nothing."""
    if op.op.writes or op.op.is_atomic or op.op.is_cut or op.op.is_convergent:
        return False
    return not op.op.reads or (isinstance(op.op, Load) and not op.op.is_ordered)


def _key(op: Operation, shapes: Shapes) -> tuple[object, ...] | None:
    """What loads of one group have in common, or None for anything that is no plain load from addresses that vary."""
    if not isinstance(op.op, Load) or op.guard is not None or op.op.count != 1 or op.op.is_ordered or len(op.results) != 1:
        return None
    address = op.operands[0]
    if type(address) is not Address or type(address.base) is not Value or not shapes.shape(address.base).is_varying:
        return None
    width = types.width(op.op.type)
    if width not in (32, 64) or op.results[0].width != width:
        return None
    return address.base.id, op.extra or op.op.space, width, bool(getattr(op.op, "nc", False))


def _join_across_blocks(function: model.Function, shapes: Shapes, groups: list[list[tuple[model.Block, Operation]]]) -> None:
    """Adds groups of `.nc` loads to the group of the same address in an earlier block that is only run together with theirs."""
    earlier: dict[object, list[list[tuple[model.Block, Operation]]]] = {}
    for group in groups:
        block, op = group[0]
        key = _key(op, shapes)
        if not op.op.nc:
            continue
        for other in earlier.get(key, ()):
            home = other[0][0]
            if _run_together(function, shapes, home.index, block.index):
                other += group
                group.clear()
                break
        else:
            earlier.setdefault(key, []).append(group)


def _run_together(function: model.Function, shapes: Shapes, first: int, second: int) -> bool:
    graph = shapes.graph
    if graph.loops.innermost[first] is not graph.loops.innermost[second]:
        return False
    if any(block.cut is not None for block in function.blocks[first:second]):
        return False
    return dominates(graph.idom, first, second) and dominates(graph.ipdom, second, first)


def _runs(group: list[tuple[model.Block, Operation]]) -> list[list[tuple[model.Block, Operation]]]:
    """Neighbours of a group, four or two at a time, each element once."""
    by_offset = {op.operands[0].offset: (block, op) for block, op in reversed(group)}
    size = types.width(group[0][1].op.type) // 8 if group else 0
    found, offsets = [], sorted(by_offset)
    while offsets:
        for count in COUNTS:
            wanted = [offsets[0] + size * i for i in range(count)]
            if count * size <= 16 and all(o in by_offset for o in wanted):
                found.append([by_offset[o] for o in wanted])
                offsets = [o for o in offsets if o not in wanted]
                break
        else:
            offsets = offsets[1:]
    return found


def _merge(members: list[tuple[model.Block, Operation]], gone: set[int]) -> None:
    """Puts one load of all in the place of the first in order."""
    block, first = min(members, key=lambda m: (m[0].index, m[0].operations.index(m[1])))
    operations = [op for _, op in members]
    load = LoadNeighbours(str(first.extra or first.op.space or ""), types.width(first.op.type), len(members))
    merged = Operation(load, [operations[0].operands[0]], [first.types[0]], [op.results[0] for op in operations],
                       [op.result_types[0] for op in operations], first.line)  # fmt: skip
    for op in operations:
        op.results[0].definition = merged
        if op is not first:
            gone.add(id(op))
    block.operations[block.operations.index(first)] = merged
