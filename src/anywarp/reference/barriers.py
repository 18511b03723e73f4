"""Barriers of a CTA and of a cluster, and among lanes of a warp (PTX ISA 9.7.13: bar, barrier, bar.warp, barrier.cluster)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from anywarp.ptx import tree
from anywarp.reference.errors import Undefined
from anywarp.reference.program import FunctionDecoder, Reader, Step, Writer
from anywarp.reference.semantics import meaning

if TYPE_CHECKING:
    from anywarp.reference.machine import Cta, Thread


@dataclass
class Barrier:
    """One of the 16 of a CTA: who has come since it last completed."""

    expected: int | None = None  # threads; None: all of the CTA that have not exited
    arrived: list[Thread] = field(default_factory=list)  # those of `arrive`
    waiting: list[Thread] = field(default_factory=list)
    votes: list[tuple[str, int]] = field(default_factory=list)  # predicates of barrier.red


class Barriers:
    """All barriers of a CTA."""

    def __init__(self, cta: Cta) -> None:
        self.cta = cta
        self._barriers: dict[int, Barrier] = {}

    def arrive(self, t: Thread, number: int, expected: int | None, waits: bool, vote: tuple[str, int, Writer] | None = None) -> None:
        """A thread comes to a barrier; where it completes, everybody who waits goes on. Raises Undefined for what PTX forbids."""
        from anywarp.reference.machine import AT_BARRIER

        if number > 15:
            raise Undefined(f"barrier {number}: there are 16")
        if expected is not None and (expected % 32 or expected == 0):
            raise Undefined(f"barrier {number} with {expected} threads, which is no multiple of the warp size")
        barrier = self._barriers.setdefault(number, Barrier())
        if (barrier.arrived or barrier.waiting) and barrier.expected != expected:
            raise Undefined(f"barrier {number} expects {barrier.expected} threads, this one says {expected}")
        barrier.expected = expected
        (barrier.waiting if waits else barrier.arrived).append(t)
        if vote is not None:
            barrier.votes.append((vote[0], vote[1]))
        if waits:
            t.state, t.wait = AT_BARRIER, vote[2] if vote else None
        self._complete(number, barrier)

    def _complete(self, number: int, barrier: Barrier) -> None:
        from anywarp.reference.machine import EXITED, RUNS

        came = barrier.waiting + barrier.arrived
        if not came:
            return
        if barrier.expected is None:
            is_complete = len({id(t) for t in came}) >= sum(t.state != EXITED for t in self.cta.threads)
        else:
            total = len(came)
            for warp in {id(t.warp): t.warp for t in came}.values():  # a warp counts whole where all its live lanes are here
                mine = sum(t.warp is warp for t in came)
                if mine == warp.live.bit_count():
                    total += 32 - mine
            if total > barrier.expected:
                raise Undefined(f"{total} threads at barrier {number}, which expects {barrier.expected}")
            is_complete = total == barrier.expected
        if not is_complete:
            return
        del self._barriers[number]
        predicates = [p for _, p in barrier.votes]
        results = {"popc": sum(predicates), "and": int(all(predicates)), "or": int(any(predicates))}
        for t in barrier.waiting:
            if t.wait is not None:
                t.wait(t, results[barrier.votes[0][0]])
            t.state, t.wait = RUNS, None

    def thread_exited(self) -> None:
        for number, barrier in list(self._barriers.items()):
            if barrier.expected is None:
                self._complete(number, barrier)


@meaning("bar", "barrier")
def _barrier(decoder: FunctionDecoder, instruction: tree.Instruction) -> Step:
    opcode, operands = instruction.opcode, list(instruction.operands)
    if "warp" in opcode:
        return _warp_barrier(decoder.source(operands[0], "b32"))
    if "cluster" in opcode:
        return _cluster_arrive if "arrive" in opcode else _cluster_wait
    result: Writer | None = None
    operation = ""
    predicate: Reader | None = None
    if "red" in opcode:
        operation = next(p for p in opcode if p in ("popc", "and", "or"))
        result = decoder.target(operands.pop(0), "u32" if operation == "popc" else "pred")
        predicate = decoder.source(operands.pop(), "pred")
    number = decoder.source(operands[0], "u32")
    count = decoder.source(operands[1], "u32") if len(operands) > 1 else None
    waits = "arrive" not in opcode

    def step(t: Thread) -> None:
        vote = (operation, predicate(t), result) if predicate and result else None
        t.cta.barriers.arrive(t, number(t), count(t) if count else None, waits, vote)

    return step


def _warp_barrier(mask: Reader) -> Step:
    def nothing(threads: list[Thread]) -> None:
        """Coming together is all."""

    def step(t: Thread) -> None:
        members = mask(t)
        t.warp.gather(t, ("bar.warp.sync", members), members, nothing)

    return step


# Cluster barriers: an arrival and a wait, in phases. A thread's own phase is the number of its arrivals.


def _cluster_arrive(t: Thread) -> None:
    record = _cluster(t)
    record.phases[t] = record.phases.get(t, 0) + 1
    _cluster_advance(t)


def _cluster_wait(t: Thread) -> None:
    from anywarp.reference.machine import AT_CLUSTER

    record = _cluster(t)
    if record.completed < record.phases.get(t, 0):
        t.state = AT_CLUSTER
        record.waiting.append(t)
    _cluster_advance(t)


@dataclass
class ClusterBarrier:
    completed: int = 0
    phases: dict[Thread, int] = field(default_factory=dict)
    waiting: list[Thread] = field(default_factory=list)


def _cluster(t: Thread) -> ClusterBarrier:
    first = t.cta.cluster[0].barriers
    if not hasattr(first, "cluster"):
        first.cluster = ClusterBarrier()  # type: ignore[attr-defined]
    record: ClusterBarrier = first.cluster  # type: ignore[attr-defined]
    return record


def _cluster_advance(t: Thread) -> None:
    from anywarp.reference.machine import EXITED, RUNS

    record = _cluster(t)
    live = [x for cta in t.cta.cluster for x in cta.threads if x.state != EXITED]
    reached = min((record.phases.get(x, 0) for x in live), default=0)
    if reached > record.completed:
        record.completed = reached
        for x in record.waiting:
            if record.completed >= record.phases[x]:
                x.state = RUNS
        record.waiting = [x for x in record.waiting if x.state != RUNS]
