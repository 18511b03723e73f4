"""Control-flow graphs as lists of successor numbers: orders, dominance, loops. Knows nothing of instructions.

A graph is `successors[i]`, the numbers of the nodes that follow node i; node 0 is the entry, and every node is reachable.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Graph = list[list[int]]


def predecessors(successors: Graph) -> Graph:
    """The reverse graph; predecessors in ascending order, each once."""
    result: Graph = [[] for _ in successors]
    for node, targets in enumerate(successors):
        for target in dict.fromkeys(targets):
            result[target].append(node)
    return result


def postorder(successors: Graph, entry: int = 0) -> list[int]:
    """The nodes that the entry reaches, each after its unvisited successors (depth first)."""
    seen = [False] * len(successors)
    seen[entry] = True
    order: list[int] = []
    stack = [(entry, iter(successors[entry]))]
    while stack:
        node, children = stack[-1]
        for child in children:
            if not seen[child]:
                seen[child] = True
                stack.append((child, iter(successors[child])))
                break
        else:
            order.append(node)
            stack.pop()
    return order


def immediate_dominators(successors: Graph, entry: int = 0) -> list[int]:
    """idom of every node; the entry's is itself, an unreachable node's is -1. Cooper, Harvey and Kennedy's iteration."""
    order = postorder(successors, entry)[::-1]
    number = [-1] * len(successors)
    for position, node in enumerate(order):
        number[node] = position
    preds = predecessors(successors)
    idom = [-1] * len(successors)
    idom[entry] = entry
    changed = True
    while changed:
        changed = False
        for node in order[1:]:
            new = -1
            for p in preds[node]:
                if idom[p] < 0:
                    continue
                if new < 0:
                    new = p
                    continue
                a, b = p, new
                while a != b:
                    while number[a] > number[b]:
                        a = idom[a]
                    while number[b] > number[a]:
                        b = idom[b]
                new = a
            if idom[node] != new:
                idom[node] = new
                changed = True
    return idom


def immediate_postdominators(successors: Graph) -> list[int]:
    """ipdom of every node; the number `len(successors)` stands for the exit behind all nodes without successors, and for nodes from
    which no exit can be reached."""
    n = len(successors)
    reverse: Graph = [[] for _ in range(n + 1)]
    for node, targets in enumerate(successors):
        for target in dict.fromkeys(targets):
            reverse[target].append(node)
        if not targets:
            reverse[n].append(node)
    idom = immediate_dominators(reverse, n)
    if any(d < 0 for d in idom):  # endless loops: let some node of each reach the exit
        for node in range(n - 1, -1, -1):
            if idom[node] < 0:
                reverse[n].append(node)
                idom = immediate_dominators(reverse, n)
    return idom


def dominance_frontiers(successors: Graph, idom: list[int]) -> list[set[int]]:
    result: list[set[int]] = [set() for _ in successors]
    for node, preds in enumerate(predecessors(successors)):
        if len(preds) > 1:
            for p in preds:
                runner = p
                while runner != idom[node]:
                    result[runner].add(node)
                    runner = idom[runner]
    return result


@dataclass(eq=False)
class Loop:
    """A natural loop. `blocks` holds the header and all nodes of inner loops."""

    header: int
    blocks: set[int]
    latches: list[int]
    parent: Loop | None = None
    children: list[Loop] = field(default_factory=list)

    @property
    def depth(self) -> int:
        return 1 if self.parent is None else self.parent.depth + 1

    def exits(self, successors: Graph) -> list[tuple[int, int]]:
        """Edges (inside, outside) that leave the loop."""
        return [(b, s) for b in sorted(self.blocks) for s in dict.fromkeys(successors[b]) if s not in self.blocks]


@dataclass
class Loops:
    """The loop forest. `innermost[i]` is the innermost loop of node i; `is_irreducible` where some cycle has two entries."""

    all: list[Loop]
    innermost: list[Loop | None]
    is_irreducible: bool


def find_loops(successors: Graph, idom: list[int]) -> Loops:
    preds = predecessors(successors)
    order = postorder(successors)
    position = {node: i for i, node in enumerate(reversed(order))}
    is_irreducible = False
    by_header: dict[int, list[int]] = {}
    for node, targets in enumerate(successors):
        for target in dict.fromkeys(targets):
            if position[target] <= position[node]:  # a retreating edge
                if dominates(idom, target, node):
                    by_header.setdefault(target, []).append(node)
                else:
                    is_irreducible = True
    loops: list[Loop] = []
    for header, latches in by_header.items():
        blocks = {header}
        stack = [latch for latch in latches if latch != header]
        while stack:
            node = stack.pop()
            if node not in blocks:
                blocks.add(node)
                stack += [p for p in preds[node] if p not in blocks]
        loops.append(Loop(header, blocks, latches))
    loops.sort(key=lambda loop: len(loop.blocks))
    innermost: list[Loop | None] = [None] * len(successors)
    for loop in loops:  # small to large
        for node in loop.blocks:
            if innermost[node] is None:
                innermost[node] = loop
    for i, loop in enumerate(loops):
        for outer in loops[i + 1 :]:
            if loop.header in outer.blocks:
                loop.parent = outer
                outer.children.append(loop)
                break
    return Loops(loops, innermost, is_irreducible)


def dominates(parents: list[int], a: int, b: int) -> bool:
    """Whether `a` is `b` or above it in a tree of immediate dominators, or postdominators (their exit is no index of the list)."""
    while b != a:
        if not 0 <= b < len(parents) or parents[b] == b:
            return False
        b = parents[b]
    return True


def layout_order(successors: Graph, loops: Loops) -> list[int]:
    """A topological order of the acyclic part (back edges to headers left out) in which the blocks of every loop are
    contiguous, its header first and its latch last. For an irreducible graph, any reverse postorder."""
    if loops.is_irreducible:
        return postorder(successors)[::-1]

    def member(node: int, loop: Loop | None) -> int | Loop:
        """The node itself, or the child loop of `loop` that holds it."""
        inner = loops.innermost[node]
        if inner is loop:
            return node
        assert inner is not None
        while inner.parent is not loop:
            inner = inner.parent
            assert inner is not None
        return inner

    def order(loop: Loop | None, entry: int) -> list[int]:
        seen: set[object] = set()
        out: list[list[int]] = []

        def edges(item: int | Loop) -> list[int | Loop]:
            nodes = sorted(item.blocks) if isinstance(item, Loop) else [item]
            result: list[int | Loop] = []
            for node in nodes:
                for s in successors[node]:
                    if loop is not None and (s == loop.header or s not in loop.blocks):
                        continue
                    target = member(s, loop)
                    if target is not item:
                        result.append(target)
            return list(dict.fromkeys(result))

        start = member(entry, loop)
        seen.add(start)
        stack = [(start, iter(edges(start)))]
        while stack:
            item, children = stack[-1]
            for child in children:
                if child not in seen:
                    seen.add(child)
                    stack.append((child, iter(edges(child))))
                    break
            else:
                out.append([item] if isinstance(item, int) else order(item, item.header))
                stack.pop()
        return [node for group in reversed(out) for node in group]

    return order(None, 0)
