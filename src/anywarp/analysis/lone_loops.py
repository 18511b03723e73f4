"""Loops that are worth running lane by lane, in scalar code, where few lanes are left (`lower.lone_lanes`), and how few.

Loops behind one another go together, with what lies between them, from the block that all ways to them come through: compilers unroll a
loop by four and put another in front of it for the rest, and a lane is started once for both (the product below: 1.53, then 1.03).

A gather costs a warp the same for three lanes as for 32. So it depends on the loop from how many lanes on vectors pay. Estimated in cycles
of Zen 3, for k lanes: `k * (LEAVE + max(operations / 3.5, chain / 2))` against `70 * gathers + 2 * other operations`, where `chain` is the
latency of what an iteration hands to the next (half of it is hidden behind other lanes'). In a sparse matrix's product with a vector they
meet at 37 lanes, more than a warp has: such a loop gets scalar code alone (time over C++: 2.69 with vectors, 2.48 with up to 8
lanes by themselves, 2.18 with 16, 1.40 with all). A checksum by table waits for its last look-up: 0.54 with vectors, 1.01 without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from anywarp.abi import WARP
from anywarp.analysis import cfg
from anywarp.analysis.divergence import Graph
from anywarp.analysis.shapes import Shapes
from anywarp.ir import model
from anywarp.ir.builtin import LoadNeighbours
from anywarp.ir.model import Block, Phi, Value
from anywarp.isa import types
from anywarp.isa.base import Lane
from anywarp.isa.load_store import Load, Store
from anywarp.isa.special_registers import SpecialRegister

MAX_OPERATIONS = 200  # of a region
GATHER, GATHER_IN_HARDWARE = 70, 40  # cycles for 32 lanes; the second with AVX-512
LEAVE = 8  # cycles a lane: to start, and the branch that it leaves by
LOAD, FLOAT = 5, 4  # cycles until a load's or a floating-point operation's result is there
DEAR = 8  # cheap operations in a dear one
CHEAP = {
    *("add", "sub", "mul", "mad", "fma", "neg", "abs", "min", "max", "setp", "set", "selp", "slct", "mov", "cvt", "cvta"),
    *("and", "or", "xor", "not", "shl", "shr", "lop3", "bfe", "bfi", "prmt"),
}


@dataclass
class LoneRegion:
    """A loop, or several with what lies between them, whose lanes run by themselves from `few` lanes on downwards, and the layout of the
    memory that the function shares with its caller."""

    entry: int
    blocks: set[int]
    few: int
    inputs: list[Value]  # used in the region, from outside; the entry's phis first
    exits: list[tuple[Block, list[Phi]]]
    places: dict[tuple[str, int], int] = field(default_factory=dict)  # ("in" | "out", value id) or ("mask", block) -> byte offset
    bytes: int = 0

    def reserve(self, kind: str, key: int, size: int) -> None:
        """A place of the shared memory, aligned for vectors."""
        self.places[kind, key] = self.bytes
        self.bytes += -(-size // 64) * 64


def lone_loops(function: model.Function, shapes: Shapes, has_gathers: bool) -> dict[int, LoneRegion]:
    """The regions that are worth it, by the index of their entry. `has_gathers`: the machine has good gather instructions."""
    graph = shapes.graph
    costs = _Costs(function, shapes, GATHER_IN_HARDWARE if has_gathers else GATHER)
    groups: dict[int, list[cfg.Loop]] = {}  # loops without inner loops, by the loop around them
    for loop in sorted(graph.loops.all, key=lambda loop: loop.header):
        if loop.header in shapes.divergent_blocks and not loop.children and costs.few(loop.blocks) > 1:
            groups.setdefault(loop.parent.header if loop.parent else -1, []).append(loop)
    found: dict[int, LoneRegion] = {}
    for loops in groups.values():
        while loops:
            for n in range(len(loops), 0, -1):  # as many together as can be
                entry, blocks = _region(graph, loops[:n])
                few = costs.few(blocks)
                # one loop looks how many lanes are left each time round; several are worth it only where that does not matter
                if n == 1 or (few >= WARP and entry in shapes.divergent_blocks and _is_closed(function, graph, entry, blocks)):
                    region = _describe(function, shapes, entry, blocks, few)
                    if all(shapes.of[phi.result.id].is_varying for _, phis in region.exits for phi in phis):  # others have no value a lane
                        found[entry] = region
                        break
            loops = loops[n:]
    return found


def _region(graph: Graph, loops: list[cfg.Loop]) -> tuple[int, set[int]]:
    """The lowest block that all ways to the loops come through, and the blocks from it to their last ones."""
    entry = loops[0].header
    for loop in loops[1:]:
        while not cfg.dominates(graph.idom, entry, loop.header):
            entry = graph.idom[entry]
    blocks = set().union(*(loop.blocks for loop in loops)) | {entry}
    stack = list(blocks - {entry})
    while stack:
        for p in graph.predecessors[stack.pop()]:
            if p not in blocks:
                blocks.add(p)
                stack.append(p)
    return entry, blocks


def _is_closed(function: model.Function, graph: Graph, entry: int, blocks: set[int]) -> bool:
    """Whether control comes into the blocks at the entry alone, and values leave them in phis alone."""
    if any(p not in blocks for b in blocks - {entry} for p in graph.predecessors[b]):
        return False
    inner = _defined(function, blocks)
    outside = (b for b in function.blocks if b.index not in blocks)
    return not any(type(o) is Value and o.id in inner for b in outside for o in _used(b))


class _Costs:
    """Estimates for sets of blocks."""

    def __init__(self, function: model.Function, shapes: Shapes, gather: int) -> None:
        self.function, self.shapes, self.gather = function, shapes, gather

    def few(self, blocks: set[int]) -> int:
        """Up to how many lanes scalar code is faster; 0 where there can be none."""
        operations = sum(len(self.function.blocks[b].operations) for b in blocks)
        loops = [loop for loop in self.shapes.graph.loops.all if loop.header in blocks and loop.blocks <= blocks]
        parts = [loop.blocks for loop in loops]
        between = blocks.difference(*parts)
        if operations > MAX_OPERATIONS or any(loop.children for loop in loops):
            return 0
        vectors = scalars = 0.0
        for loop in [*loops, None]:
            counts = self._operations(loop.blocks if loop else between)
            if counts is None or (loop and not counts[0]):
                return 0
            gathers, others = counts
            vectors += self.gather * gathers + 2 * others
            scalars += max((gathers + others) / 3.5, _chain(self.function, loop) / 2 if loop else 0)
        return int(vectors / (scalars + LEAVE))

    def _operations(self, blocks: set[int]) -> tuple[int, int] | None:
        """How many gathers and other operations, dear ones weighted; nothing where there is what a lane cannot do by itself."""
        gathers = others = 0
        for op in (op for b in blocks for op in self.function.blocks[b].operations):
            if isinstance(op.op, Lane) and not isinstance(op.op, SpecialRegister):
                if getattr(op.op, "space", None) in ("local", "shared::cluster"):  # the result hangs on the lane
                    return None
                others += 1 if op.op.opcode and op.op.opcode[0] in CHEAP else DEAR
                continue
            if not isinstance(op.op, Load | Store | LoadNeighbours) or getattr(op.op, "is_ordered", False):
                return None
            if _goes_lane_by_lane(op, self.shapes):
                gathers += 2 if isinstance(op.op, LoadNeighbours) else 1
            else:
                others += 1
        return gathers, others


def _chain(function: model.Function, loop: cfg.Loop) -> int:
    """Cycles from what a phi of the header is to what it is in the next iteration, by the longest way of any."""
    header = function.blocks[loop.header]
    back = [i for i, p in enumerate(header.predecessors) if p.index in loop.blocks]
    return max((_way(function, loop, phi, [phi.operands[i] for i in back]) for phi in header.phis), default=0)


def _way(function: model.Function, loop: cfg.Loop, start: Phi, ends: list[model.Scalar]) -> int:
    ready = {start.result.id: 0}

    def latest(operands: Iterable[object]) -> int | None:
        return max((ready[o.id] for o in operands if type(o) is Value and o.id in ready), default=None)

    for b in sorted(loop.blocks):
        block = function.blocks[b]
        for phi in block.phis if b != loop.header else ():
            if (at := latest(phi.operands)) is not None:
                ready[phi.result.id] = at
        for op in block.operations:
            if (at := latest(op.inputs())) is not None:
                ready.update({r.id: at + _latency(op) for r in op.results})
    return latest(ends) or 0


def _latency(op: model.Operation) -> int:
    if not isinstance(op.op, Lane):
        return LOAD
    is_float = op.result_types[0] in ("f16", "f32", "f64")
    return (FLOAT if is_float else 1) if op.op.opcode and op.op.opcode[0] in CHEAP else 2 * DEAR


def _goes_lane_by_lane(op: model.Operation, shapes: Shapes) -> bool:
    """Whether a load or store of a part of a warp touches each lane's memory by itself."""
    shape = shapes.shape(op.operands[0].base)
    if op.op.space == "local" or shape.is_varying:
        return True
    bits = op.op.bits if isinstance(op.op, LoadNeighbours) else types.width(op.op.type)
    return shape.stride != 0 and (shape.rows > 1 or shape.stride * 8 != bits or op.op.count > 1)


def _defined(function: model.Function, blocks: set[int]) -> set[int]:
    found = {r.id for b in blocks for op in function.blocks[b].operations for r in op.results}
    return found | {phi.result.id for b in blocks for phi in function.blocks[b].phis}


def _describe(function: model.Function, shapes: Shapes, entry: int, blocks: set[int], few: int) -> LoneRegion:
    inputs = {phi.result.id: phi.result for phi in function.blocks[entry].phis}
    inner = _defined(function, blocks) - set(inputs)
    targets: dict[int, Block] = {}
    for b in sorted(blocks):
        block = function.blocks[b]
        for s in block.successors():
            if s.index not in blocks:
                targets[s.index] = s
        for operand in _used(block):
            if type(operand) is Value and operand.id not in inner:
                inputs.setdefault(operand.id, operand)
    result = LoneRegion(entry, blocks, few, list(inputs.values()), [(t, list(t.phis)) for _, t in sorted(targets.items())])
    for value in result.inputs:
        result.reserve("in", value.id, (1 if shapes.of[value.id].is_uniform else WARP) * -(-value.width // 8))
    for target, phis in result.exits:
        result.reserve("mask", target.index, 4)
        for phi in phis:
            result.reserve("out", phi.result.id, WARP * -(-phi.result.width // 8))
    return result


def _used(block: Block) -> Iterator[object]:
    for op in block.operations:
        yield from op.inputs()
    yield getattr(block.terminator, "condition", None)
    yield getattr(block.terminator, "index", None)
    for s in block.successors():
        which = s.predecessors.index(block)
        for phi in s.phis:
            yield phi.operands[which]
