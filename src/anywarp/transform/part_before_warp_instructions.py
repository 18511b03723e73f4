"""Parts blocks in front of instructions at which lanes of a warp wait for one another, for the per-lane dispatcher (`lower.dispatch`).

    block:                      block:
      a                           a
      vote.sync ...               jump block.gather
      b                         block.gather:        <- the dispatcher enters it when the lanes that the vote names wait here
                                  vote.sync ...
                                  b

Where blocks run in a fixed order, lanes come together at joins by themselves. The dispatcher lets each lane go on as it comes, so one could
vote alone.
"""

from __future__ import annotations

from anywarp.ir import model


def gathers(op: model.Operation) -> bool:
    """Whether the lanes that the operation names execute it together, whenever they come (PTX ISA 9.7.13: `.sync`)."""
    declared = op.op
    return bool(declared.is_convergent and not declared.is_cut and "sync" in getattr(declared, "opcode", ()))


def part_before_warp_instructions(function: model.Function) -> None:
    """Changes the function in place: such an operation is the first of its block."""
    blocks: list[model.Block] = []
    for block in function.blocks:
        blocks.append(block)
        while (at := next((i for i, op in enumerate(block.operations) if i and gathers(op)), None)) is not None:
            rest = model.Block(f"{block.name}.gather")
            rest.operations, block.operations = block.operations[at:], block.operations[:at]
            rest.terminator, block.terminator = block.terminator, model.Jump(rest)
            rest.predecessors = [block]
            for successor in rest.successors():
                successor.predecessors[successor.predecessors.index(block)] = rest
            blocks.append(rest)
            block = rest
    function.blocks = blocks
    for i, block in enumerate(blocks):
        block.index = i
