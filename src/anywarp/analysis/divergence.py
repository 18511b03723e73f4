"""Where the lanes of a warp part, and where values show it.

Three sources of divergence (docs/architecture.md section 2): the branch whose condition differs between lanes; synchronisation dependence:
a block that lanes reach on different paths from such a branch, so that its phis differ between them; and values that leave a loop in
different iterations.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from anywarp.analysis import cfg


@dataclass
class Graph:
    """A kernel's control flow, blocks numbered in layout order, with what the divergence rules ask of it."""

    successors: list[list[int]]
    predecessors: list[list[int]] = field(init=False)
    idom: list[int] = field(init=False)
    ipdom: list[int] = field(init=False)
    loops: cfg.Loops = field(init=False)

    def __post_init__(self) -> None:
        self.predecessors = cfg.predecessors(self.successors)
        self.idom = cfg.immediate_dominators(self.successors)
        self.ipdom = cfg.immediate_postdominators(self.successors)
        self.loops = cfg.find_loops(self.successors, self.idom)

    def loops_of(self, block: int) -> list[cfg.Loop]:
        """The loops around a block, innermost first."""
        result = []
        loop = self.loops.innermost[block]
        while loop is not None:
            result.append(loop)
            loop = loop.parent
        return result


@dataclass
class Effects:
    """What one divergent branch makes divergent."""

    joins: set[int] = field(default_factory=set)  # blocks that lanes reach on different paths
    loops: set[int] = field(default_factory=set)  # headers of loops that lanes leave in different iterations
    region: set[int] = field(default_factory=set)  # blocks that a part of the warp may run without the rest


def effects_of(graph: Graph, branch: int) -> Effects:
    """The effects of a divergent branch at the end of a block.

    Labels spread from the branch's successors in layout order: a block's label is the successor through which all lanes that come to it
    passed; where two labels meet is a join, which is a label of its own from there on. Back edges are looked at one by one: a loop around
    the branch whose latch and exits see different labels is left by lanes in different iterations.
    """
    effects = Effects()
    stop = graph.ipdom[branch]
    labels: dict[int, int] = {}
    latched: dict[int, set[int]] = {}  # header -> labels that arrive by the back edge
    for s in graph.successors[branch]:
        if s <= branch:
            latched.setdefault(s, set()).add(s)
        else:
            labels[s] = s
    around = {loop.header: loop for loop in graph.loops_of(branch)}
    left: dict[int, set[int]] = {header: set() for header in around}  # header -> labels that leave by exits
    arrived: dict[int, set[int]] = {}
    for s in graph.successors[branch]:
        arrived.setdefault(s, set()).add(s)
        for header, loop in around.items():
            if s not in loop.blocks:
                left[header].add(s)
    for block in range(branch + 1, min(stop + 1, len(graph.successors))):
        incoming = arrived.get(block)
        if not incoming:
            continue
        if len(incoming) > 1:
            effects.joins.add(block)
            label = block
        else:
            label = next(iter(incoming))
        labels[block] = label
        if block == stop:
            break
        for s in graph.successors[block]:
            if s <= block:
                if s in around:
                    latched.setdefault(s, set()).add(label)
                continue
            arrived.setdefault(s, set()).add(label)
            for header, loop in around.items():
                if block in loop.blocks and s not in loop.blocks:
                    left[header].add(label)
    for header, back in latched.items():
        if len(back) > 1:
            effects.joins.add(header)
        if left.get(header) and (len(back | left[header]) > 1):
            effects.loops.add(header)
    # control dependence: everything between the branch and its postdominator
    stack = list(graph.successors[branch])
    while stack:
        block = stack.pop()
        if block != stop and block not in effects.region:
            effects.region.add(block)
            stack += graph.successors[block]
    return effects
