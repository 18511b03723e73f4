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

    The ways meet at the branch's postdominator, except where lanes come to it in different iterations of a loop (by a `continue`): then all
    the rest of the loop is run by parts of the warp, and each of its exits may be taken in another iteration.
    """
    stop = graph.ipdom[branch]
    effects = Effects(region=_between(graph, graph.successors[branch], stop))
    around = {loop.header: loop for loop in graph.loops_of(branch)}
    repeated = [loop for loop in around.values() if stop in loop.blocks and not effects.region.isdisjoint(loop.latches)]
    exits: dict[int, None] = {}
    last = stop
    if repeated:
        outermost = repeated[-1]
        effects.region |= outermost.blocks
        for _, outside in outermost.exits(graph.successors):
            if outside in exits:
                effects.joins.add(outside)  # lanes come by several ways, in different iterations
            exits[outside] = None
        last = _common_postdominator(graph, list(exits), branch)
        effects.region |= _between(graph, list(exits), last)
        if exits:
            effects.loops.add(outermost.header)
    latched: dict[int, set[int]] = {}  # header -> labels that arrive by the back edge
    left: dict[int, set[int]] = {header: set() for header in around}  # header -> labels that leave by exits
    arrived: dict[int, set[int]] = {}
    for s in graph.successors[branch]:
        if s <= branch:
            latched.setdefault(s, set()).add(s)
        arrived.setdefault(s, set()).add(s)
        for header, loop in around.items():
            if s not in loop.blocks:
                left[header].add(s)
    for block in range(branch + 1, min(last + 1, len(graph.successors))):
        incoming = arrived.get(block)
        if not incoming:
            continue
        if len(incoming) > 1:
            effects.joins.add(block)
            label = block
        else:
            label = next(iter(incoming))
        if block == last:
            break
        for s in graph.successors[block]:
            if s <= block:
                if s in around:
                    latched.setdefault(s, set()).add(label)
                continue
            arrived.setdefault(s, set()).add(s if s in exits else label)
            for header, loop in around.items():
                if block in loop.blocks and s not in loop.blocks:
                    left[header].add(label)
    for header, back in latched.items():
        if len(back) > 1:
            effects.joins.add(header)
        if left.get(header) and (len(back | left[header]) > 1):
            effects.loops.add(header)
    return effects


def _between(graph: Graph, starts: list[int], stop: int) -> set[int]:
    """The blocks on all ways from `starts` to `stop`, without it."""
    found: set[int] = set()
    stack = list(starts)
    while stack:
        block = stack.pop()
        if block != stop and block not in found:
            found.add(block)
            stack += graph.successors[block]
    return found


def _common_postdominator(graph: Graph, blocks: list[int], default: int) -> int:
    """The nearest block through which all ways from `blocks` go (perhaps one of them); `default` where there are none."""
    n = len(graph.successors)
    if not blocks:
        return default

    def chain(block: int) -> list[int]:
        found = [block]
        while found[-1] < n and graph.ipdom[found[-1]] != found[-1]:
            found.append(graph.ipdom[found[-1]])
        return found

    common = chain(blocks[0])
    for block in blocks[1:]:
        others = set(chain(block))
        common = [b for b in common if b in others]
    return common[0] if common else n
