"""Orders, dominance and loops, against their definitions on random graphs."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from anywarp.analysis import cfg


@st.composite
def graphs(draw: st.DrawFn, largest: int = 9) -> cfg.Graph:
    """A graph whose nodes are all reachable from 0, which nothing enters."""
    n = draw(st.integers(2, largest))
    graph: cfg.Graph = [[] for _ in range(n)]
    for node in range(1, n):
        graph[draw(st.integers(0, node - 1))].append(node)
    for _ in range(draw(st.integers(0, n))):
        a, b = draw(st.integers(0, n - 1)), draw(st.integers(1, n - 1))
        if b not in graph[a]:
            graph[a].append(b)
    return graph


def reaches(graph: cfg.Graph, start: int, without: int) -> set[int]:
    if start == without:
        return set()
    seen, stack = {start}, [start]
    while stack:
        for s in graph[stack.pop()]:
            if s != without and s not in seen:
                seen.add(s)
                stack.append(s)
    return seen


def dominators(graph: cfg.Graph, node: int) -> set[int]:
    return {d for d in range(len(graph)) if d == node or node not in reaches(graph, 0, d)}


@given(graphs())
@settings(max_examples=300, deadline=None)
def test_immediate_dominators_are_the_closest_dominators(graph: cfg.Graph) -> None:
    idom = cfg.immediate_dominators(graph)
    for node in range(1, len(graph)):
        strict = dominators(graph, node) - {node}
        assert idom[node] in strict
        assert strict == dominators(graph, idom[node])


@given(graphs())
@settings(max_examples=200, deadline=None)
def test_postdominators_lie_on_every_way_to_the_exit(graph: cfg.Graph) -> None:
    ipdom = cfg.immediate_postdominators(graph)
    ends = {n for n in range(len(graph)) if not graph[n]}
    for node in range(len(graph)):
        p = ipdom[node]
        if p < len(graph) and reaches(graph, node, -1) & ends:
            assert not reaches(graph, node, p) & ends, f"a way from {node} to an exit goes around {p}"


@given(graphs())
@settings(max_examples=300, deadline=None)
def test_the_layout_keeps_loops_together_and_forward_edges_forward(graph: cfg.Graph) -> None:
    loops = cfg.find_loops(graph, cfg.immediate_dominators(graph))
    order = cfg.layout_order(graph, loops)
    assert sorted(order) == list(range(len(graph)))
    if loops.is_irreducible:
        return
    place = {node: i for i, node in enumerate(order)}
    for loop in loops.all:
        places = sorted(place[b] for b in loop.blocks)
        assert places == list(range(places[0], places[0] + len(places)))
        assert order[places[0]] == loop.header
    headers = {loop.header: loop for loop in loops.all}
    for node, targets in enumerate(graph):
        for target in targets:
            is_back = target in headers and node in headers[target].blocks
            assert is_back or place[target] > place[node]


def test_a_cycle_with_two_entries_is_irreducible() -> None:
    graph = [[1, 2], [2], [1, 3], []]
    assert cfg.find_loops(graph, cfg.immediate_dominators(graph)).is_irreducible


def test_frontiers_of_a_diamond_are_its_join() -> None:
    graph = [[1, 2], [3], [3], []]
    assert cfg.dominance_frontiers(graph, cfg.immediate_dominators(graph)) == [set(), {3}, {3}, set()]
