"""Blocks of operations over registers, before SSA, and what is done to their graph: cleaning, and loops with one way in and one latch.

A loop with several ways in (irreducible flow) gets a block in front that all of them go through, and a register that says where to:

    a ──► b ──► c ──► d        a ──► way = 0 ─┐
    └──────────►│     │        a ──► way = 1 ─┤
          ▲───────────┘                       ▼
                                  ┌──────► choose ──► b ──► way = 1 ─┐
                                  │           └─────► c ──► d        │
                                  └───────── way = 0 ◄──────┘ ◄──────┘
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from anywarp.analysis import cfg
from anywarp.ir import builtin
from anywarp.ir.model import Constant
from anywarp.ir.names import Register
from anywarp.ir.operands import RawOperation, RawScalar


@dataclass(eq=False)
class RawBlock:
    name: str
    operations: list[RawOperation] = field(default_factory=list)
    kind: str = "fall"  # "jump", "branch", "switch", "exit", "fall"
    condition: RawScalar | None = None  # of a branch or switch
    targets: list[str] = field(default_factory=list)
    is_uniform: bool = False
    line: int = 0
    next: list[RawBlock] = field(default_factory=list)  # targets, resolved


def tidy(blocks: list[RawBlock], new_register: Callable[[int], Register]) -> list[RawBlock]:
    """Drops unreachable blocks, threads empty jumps, merges chains, gives every loop one way in and a latch of its own. The entry is first.
    `new_register`: a register of so many bits."""
    entry = blocks[0]

    def threaded(block: RawBlock) -> RawBlock:
        seen: set[int] = set()
        while block.kind == "jump" and not block.operations and block.next[0] is not block and id(block) not in seen:
            seen.add(id(block))
            block = block.next[0]
        return block

    for block in blocks:
        block.next = [threaded(n) for n in block.next]
        if block.kind in ("branch", "switch") and len({id(n) for n in block.next}) == 1:
            block.kind, block.next, block.condition = "jump", block.next[:1], None
    reachable = _reachable(entry)
    uses: dict[int, int] = {}
    for block in reachable:
        for n in block.next:
            uses[id(n)] = uses.get(id(n), 0) + 1
    for block in reachable:  # merge chains
        while block is not entry and block.kind == "jump" and uses[id(block.next[0])] == 1 and block.next[0] is not block:
            if block.operations and block.operations[-1].op.is_cut:
                break
            following = block.next[0]
            block.operations += following.operations
            block.kind, block.condition, block.next = following.kind, following.condition, following.next
            block.is_uniform, block.line = following.is_uniform, following.line
            following.operations, following.kind, following.next = [], "merged", []
    reachable, loops = _loops(entry)
    if loops.is_irreducible:
        _make_reducible(entry, new_register)
        reachable, loops = _loops(entry)
    for loop in loops.all:
        # One of its own: lanes that leave an inner loop for the next round of the outer one must wait behind the inner loop for the rest.
        if len(loop.latches) > 1 or loops.innermost[loop.latches[0]] is not loop:
            header = reachable[loop.header]
            latch = RawBlock(f"{header.name}.latch", kind="jump", next=[header])
            for number in loop.latches:
                block = reachable[number]
                block.next = [latch if n is header else n for n in block.next]
    return _reachable(entry)


def _reachable(entry: RawBlock) -> list[RawBlock]:
    seen: dict[int, RawBlock] = {id(entry): entry}
    stack = [entry]
    while stack:
        for n in stack.pop().next:
            if id(n) not in seen:
                seen[id(n)] = n
                stack.append(n)
    return list(seen.values())


def _loops(entry: RawBlock) -> tuple[list[RawBlock], cfg.Loops]:
    reachable = _reachable(entry)
    numbers = {id(b): i for i, b in enumerate(reachable)}
    graph = [[numbers[id(n)] for n in b.next] for b in reachable]
    return reachable, cfg.find_loops(graph, cfg.immediate_dominators(graph))


# --------------------------------------------------------------------------------------------------- irreducible flow


def _make_reducible(entry: RawBlock, new_register: Callable[[int], Register]) -> None:
    """Changes the graph so that every cycle has one block that all ways in come to."""
    waiting = [_reachable(entry)]
    while waiting:
        for cycle in _cycles(waiting.pop()):
            inside = {id(b) for b in cycle}
            ways_in = [(b, n) for b in _reachable(entry) if id(b) not in inside for n in b.next if id(n) in inside]
            entries = list({id(n): n for _, n in ways_in}.values())
            header = entries[0]
            if len(entries) > 1:
                header = _choose(_reachable(entry), entries, new_register(32))
            waiting.append([b for b in cycle if b is not header])


def _choose(blocks: list[RawBlock], entries: list[RawBlock], way: Register) -> RawBlock:
    """Sends all edges to `entries` through a block that chooses among them; gives that block."""
    choose = RawBlock(f"{entries[0].name}.choose", kind="switch", condition=way, next=list(entries))
    numbers = {id(b): i for i, b in enumerate(entries)}

    def through(block: RawBlock, target: RawBlock) -> RawBlock:
        number = numbers.get(id(target))
        if number is None:
            return target
        move = RawOperation(builtin.Resize(32, 32, False), [Constant(number, 32)], ["b32"], [way], ["b32"], block.line)
        return RawBlock(f"{block.name}.to.{target.name}", [move], "jump", line=block.line, next=[choose])

    for block in blocks:
        made: dict[int, RawBlock] = {}
        for target in block.next:
            made.setdefault(id(target), through(block, target))
        block.next = [made[id(target)] for target in block.next]
    return choose


def _cycles(blocks: list[RawBlock]) -> Iterator[list[RawBlock]]:
    """The strongly connected components of more than one block, of the graph restricted to `blocks` (Tarjan)."""
    numbers = {id(b): i for i, b in enumerate(blocks)}
    graph = [[numbers[id(n)] for n in b.next if id(n) in numbers] for b in blocks]
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    open_: list[int] = []
    is_open = [False] * len(blocks)
    for root in range(len(blocks)):
        stack = [(root, 0)] if root not in index else []
        while stack:
            node, at = stack.pop()
            if at == 0:
                index[node] = low[node] = len(index)
                open_.append(node)
                is_open[node] = True
            elif is_open[graph[node][at - 1]]:
                low[node] = min(low[node], low[graph[node][at - 1]])
            while at < len(graph[node]):
                target = graph[node][at]
                at += 1
                if target not in index:
                    stack += [(node, at), (target, 0)]
                    break
                if is_open[target]:
                    low[node] = min(low[node], index[target])
            else:
                if low[node] == index[node]:
                    component: list[int] = []
                    while not component or component[-1] != node:
                        component.append(open_.pop())
                        is_open[component[-1]] = False
                    if len(component) > 1:
                        yield [blocks[i] for i in sorted(component)]
