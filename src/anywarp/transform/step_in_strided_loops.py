"""Lets warps run in step through loops that stride over memory, such as grid-stride loops.

One warp alone takes 128 bytes here and 128 bytes a whole grid further on: each is another page, and what its neighbours need of the page is
fetched again when their turn comes. In step, a CTA touches some kilobytes at a time. Copying 64 MB in C++: one warp after the other
17.4 ms, eight warps in step every iteration 12.1, every 2nd 8.7, every 4th 7.9, every 8th 8.2, every 16th 10.7; in the order of
addresses 6.6.

    header:                       header:
      ...                           count = phi [0], [next]
      branch c ? header : out       ...
                                    branch c ? counted : out
                                  counted:
                                    more = count + 1
                                    branch more < N ? again : together
                                  together:
                                    Step            <- a cut that waits for nobody: the next warp runs up to here
                                  again:
                                    next = phi [more], [0]
                                    jump header

Legal because PTX promises no order between warps.
"""

from __future__ import annotations

from typing import Any

from anywarp.analysis import cfg
from anywarp.analysis.loop_steps import LoopSteps, is_global
from anywarp.analysis.shapes import Shapes
from anywarp.ir import model
from anywarp.ir.builtin import Step
from anywarp.ir.model import Address, Block, Branch, Constant, Jump, Operation, Phi, Value
from anywarp.isa.base import Lane, resolve
from anywarp.isa.special_registers import SpecialRegister

ACCESSES = 8  # of one warp before the next: iterations times strided accesses of one
FAR = 4096  # bytes of a stride
MAX_ROWS = 4  # of an address: warps that touch some lines, and not one a lane
MAX_DEPTH = 12  # of the arithmetic that makes a stride


def step_in_strided_loops(function: model.Function, shapes: Shapes) -> bool:
    """Changes the function in place; whether it has, so that its shapes must be found again."""
    if not shapes.graph.loops.all:
        return False
    steps = LoopSteps(function, shapes)
    found = [(loop, seen) for loop in shapes.graph.loops.all if (seen := _strided_accesses(function, shapes, steps, loop)) is not None]
    for loop, (accesses, is_grid_stride) in sorted(found, key=lambda each: -each[0].header):
        _insert(function, loop, max(1, ACCESSES // accesses), is_grid_stride)
    for i, block in enumerate(function.blocks):
        block.index = i
    return bool(found)


def _strided_accesses(function: model.Function, shapes: Shapes, steps: LoopSteps, loop: cfg.Loop) -> tuple[int, bool] | None:
    """How many accesses of an innermost loop stride, and whether by a multiple of the grid's size; None where its warps need not run in
    step. They should where it is a grid-stride loop or also stores with a stride, so that it streams. (One that only reads down a column
    may find it in the cache, as a matrix product's does.)"""
    if loop.children or len(loop.latches) != 1 or any(function.blocks[b].cut is not None for b in loop.blocks):
        return None
    latch = function.blocks[loop.latches[0]]
    if max(loop.blocks) != latch.index or not isinstance(latch.terminator, Jump | Branch):
        return None
    count, stores, is_grid_stride = 0, False, False
    for b in loop.blocks:
        for op in function.blocks[b].operations:
            address = op.operands[0] if op.operands and is_global(op) else None
            if type(address) is not Address or type(address.base) is not Value or shapes.shape(address.base).rows > MAX_ROWS:
                continue
            step = steps.of(address.base, loop) or {}
            if any(times and (number is not None or abs(times) >= FAR) for number, times in step.items()):
                count += 1
                stores |= op.op.writes
                is_grid_stride |= any(times and _is_of_grid(number, MAX_DEPTH) for number, times in step.items())
    return (count, is_grid_stride) if stores or is_grid_stride else None


def _is_of_grid(value: Any, depth: int) -> bool:
    """Whether a number is made from the grid's size."""
    definition = value.definition if type(value) is Value else None
    if not isinstance(definition, Operation) or not isinstance(definition.op, Lane) or not depth:
        return False
    if isinstance(definition.op, SpecialRegister):
        return bool(definition.op.name.startswith("%nctaid"))
    return any(_is_of_grid(i, depth - 1) for i in definition.inputs())


def _insert(function: model.Function, loop: cfg.Loop, iterations: int, is_grid_stride: bool) -> None:
    header, latch = function.blocks[loop.header], function.blocks[loop.latches[0]]
    line = latch.operations[-1].line if latch.operations else 0
    counted, together, again = (Block(f"{header.name}.{name}") for name in ("counted", "together", "again"))
    count, following = (Value(function.values + i, 32) for i in range(2))
    function.values += 2
    zero = Constant(0, 32)

    def operation(opcode: tuple[str, ...], operands: list[Any], widths: list[int]) -> list[Value]:
        results = [Value(function.values + i, width) for i, width in enumerate(widths)]
        function.values += len(results)
        types = ["pred" if width == 1 else "u32" for width in widths]
        op = Operation(resolve(opcode)[0], operands, ["u32", "u32"], results, types, line)
        for r in results:
            r.definition = op
        counted.operations.append(op)
        return results

    (more,) = operation(("add", "u32"), [count, Constant(1, 32)], [32])
    is_less, _ = operation(("setp", "lt", "u32"), [more, Constant(iterations, 32)], [1, 1])
    counted.terminator, counted.predecessors = Branch(is_less, again, together), [latch]
    together.operations.append(Operation(Step(is_grid_stride), [], [], [], [], line))
    together.terminator, together.predecessors = Jump(again), [counted]
    again.terminator, again.predecessors = Jump(header), [counted, together]
    _add_phi(again, following, [more, zero])
    _add_phi(header, count, [following if p is latch else zero for p in header.predecessors])
    header.predecessors[header.predecessors.index(latch)] = again
    latch.retarget(header, counted)
    function.blocks[latch.index + 1 : latch.index + 1] = [counted, together, again]


def _add_phi(block: Block, result: Value, operands: list[Any]) -> None:
    phi = Phi(result, block, -1)
    phi.operands = operands
    result.definition = phi
    block.phis.append(phi)
