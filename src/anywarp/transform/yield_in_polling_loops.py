"""Puts a `Spin` on the back edge of every loop that polls, so that whoever it waits for can run.

    header:                     header:
      ...                         ...
      branch c ? header : out     branch c ? spin : out
                                spin:
                                  Spin            <- a cut: the warp leaves with YIELD and comes back here
                                  jump header

Legal because a cut changes no value; needed because a warp runs until a cut, and the thread that would write may be one of the same machine
thread.
"""

from __future__ import annotations

from anywarp.analysis import cfg
from anywarp.analysis.polling import polling_loops
from anywarp.ir import model
from anywarp.ir.builtin import Spin


def yield_in_polling_loops(function: model.Function) -> list[model.Block]:
    """Changes the function in place; gives the headers of the polling loops."""
    graph = [[s.index for s in b.successors()] for b in function.blocks]
    loops = polling_loops(function, cfg.find_loops(graph, cfg.immediate_dominators(graph)))
    headers = [function.blocks[loop.header] for loop in loops]
    for loop in sorted(loops, key=lambda each: -max(each.latches)):
        header = function.blocks[loop.header]
        for latch_index in sorted(loop.latches, reverse=True):
            latch = function.blocks[latch_index]
            spin = model.Block(f"{header.name}.spin")
            spin.operations.append(model.Operation(Spin(), [], [], [], [], latch.operations[-1].line if latch.operations else 0))
            spin.terminator = model.Jump(header)
            spin.predecessors = [latch]
            header.predecessors[header.predecessors.index(latch)] = spin
            latch.retarget(header, spin)
            function.blocks.insert(latch_index + 1, spin)
    for i, block in enumerate(function.blocks):
        block.index = i
    return headers
