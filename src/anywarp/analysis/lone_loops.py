"""Loops that are worth running lane by lane, in scalar code, where few lanes are left (`lower.lone_lanes`), and how few.

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
from anywarp.analysis.shapes import Shapes
from anywarp.ir import model
from anywarp.ir.builtin import LoadNeighbours
from anywarp.ir.model import Block, Phi, Value
from anywarp.isa import types
from anywarp.isa.base import Lane
from anywarp.isa.load_store import Load, Store
from anywarp.isa.special_registers import SpecialRegister

MAX_OPERATIONS = 200  # of a loop
GATHER, GATHER_IN_HARDWARE = 70, 40  # cycles for 32 lanes; the second with AVX-512
LEAVE = 8  # cycles a lane: to start, and the branch that it leaves by
LOAD, FLOAT = 5, 4  # cycles until a load's or a floating-point operation's result is there
DEAR = 8  # cheap operations in a dear one
CHEAP = {
    *("add", "sub", "mul", "mad", "fma", "neg", "abs", "min", "max", "setp", "set", "selp", "slct", "mov", "cvt", "cvta"),
    *("and", "or", "xor", "not", "shl", "shr", "lop3", "bfe", "bfi", "prmt"),
}


@dataclass
class LoneLoop:
    """A loop whose lanes run by themselves from `few` lanes on downwards, and the layout of the memory that the function shares with its
    caller."""

    loop: cfg.Loop
    few: int
    inputs: list[Value]  # used in the loop, from outside; the header's phis first
    exits: list[tuple[Block, list[Phi]]]
    places: dict[tuple[str, int], int] = field(default_factory=dict)  # ("in" | "out", value id) or ("mask", block) -> byte offset
    bytes: int = 0

    def reserve(self, kind: str, key: int, size: int) -> None:
        """A place of the shared memory, aligned for vectors."""
        self.places[kind, key] = self.bytes
        self.bytes += -(-size // 64) * 64


def lone_loops(function: model.Function, shapes: Shapes, has_gathers: bool) -> dict[int, LoneLoop]:
    """The loops that are worth it, by the index of their header. `has_gathers`: the machine has good gather instructions."""
    found = {}
    if not shapes.graph.loops.is_irreducible:
        for loop in shapes.graph.loops.all:
            if loop.header in shapes.divergent_blocks and not loop.children:
                few = _few(function, shapes, loop, GATHER_IN_HARDWARE if has_gathers else GATHER)
                if few > 1:
                    lone = _describe(function, shapes, loop, few)
                    if all(shapes.of[phi.result.id].is_varying for _, phis in lone.exits for phi in phis):  # others have no value a lane
                        found[loop.header] = lone
    return found


def _few(function: model.Function, shapes: Shapes, loop: cfg.Loop, gather: int) -> int:
    """Up to how many lanes scalar code is faster; 0 where there can be none."""
    operations = [op for b in loop.blocks for op in function.blocks[b].operations]
    gathers = others = 0
    for op in operations:
        if isinstance(op.op, Lane) and not isinstance(op.op, SpecialRegister):
            if getattr(op.op, "space", None) in ("local", "shared::cluster"):  # the result hangs on the lane
                return 0
            others += 1 if op.op.opcode and op.op.opcode[0] in CHEAP else DEAR
            continue
        if not isinstance(op.op, Load | Store | LoadNeighbours) or getattr(op.op, "is_ordered", False):
            return 0
        if _goes_lane_by_lane(op, shapes):
            gathers += 2 if isinstance(op.op, LoadNeighbours) else 1
        else:
            others += 1
    if not gathers or len(operations) > MAX_OPERATIONS:
        return 0
    iteration = max((gathers + others) / 3.5, _chain(function, loop) / 2)
    return int((gather * gathers + 2 * others) / (iteration + LEAVE))


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


def _describe(function: model.Function, shapes: Shapes, loop: cfg.Loop, few: int) -> LoneLoop:
    header = function.blocks[loop.header]
    inner = {r.id for b in loop.blocks for op in function.blocks[b].operations for r in op.results}
    inner |= {phi.result.id for b in loop.blocks if b != loop.header for phi in function.blocks[b].phis}
    inputs = {phi.result.id: phi.result for phi in header.phis}
    targets: dict[int, Block] = {}
    for b in sorted(loop.blocks):
        block = function.blocks[b]
        for s in block.successors():
            if s.index not in loop.blocks:
                targets[s.index] = s
        for operand in _used(block):
            if type(operand) is Value and operand.id not in inner:
                inputs.setdefault(operand.id, operand)
    result = LoneLoop(loop, few, list(inputs.values()), [(t, list(t.phis)) for _, t in sorted(targets.items())])
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
