"""Runs one case by every route, interleaved, and compares the results. A process measures for one number of threads.

`python -m benchmarks.measure THREADS ROUNDS SCALE PEERS CASE …` writes one JSON line a case: the parent (__main__) reads them.
With one thread the process is pinned to one core and its CPU time counts, so that other programs' turns on that core do not (what they do
to caches and memory does). With several threads it is the time on the wall, since waiting for one another is part of a launch there.
"""

from __future__ import annotations

import ctypes
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from benchmarks.anywarp_route import Anywarp, Driver
from benchmarks.cases import CASES, Array, Case, Work

PEERS = ("c++", "c++ fast", "PoCL")


class Route(Protocol):
    """A way to do a case's work."""

    name: str

    def run(self) -> None: ...
    def results(self) -> list[Array]: ...
    def close(self) -> None: ...


def difference(work: Work, ours: list[Array], theirs: list[Array]) -> str:
    """What differs beyond the case's tolerance, or nothing."""
    for number, (a, b) in enumerate(zip(ours, theirs)):
        x, y = work.view(a).astype(np.float64).ravel(), work.view(b).astype(np.float64).ravel()
        bound = work.tolerance * max(1.0, float(np.max(np.abs(y))))
        wrong = ~(np.abs(x - y) <= bound)
        if np.count_nonzero(wrong) > work.mismatches * x.size:
            at = int(np.argmax(wrong))
            return f"output {number}: {np.count_nonzero(wrong)} of {x.size} differ, first at {at}: {x[at]} and {y[at]}"
    return ""


class Session:
    """The routes that this process can use; why the others cannot stands in `reasons`."""

    def __init__(self, peers: tuple[str, ...]) -> None:
        self.driver = Driver()
        self.reasons: dict[str, str] = {}
        self.peers = peers
        self.opencl: Any = None
        if "PoCL" in peers:
            from benchmarks.opencl_route import OpenCl, Unavailable

            try:
                self.opencl = OpenCl()
            except Unavailable as error:
                self.reasons["PoCL"] = str(error)

    def routes(self, case: Case, work: Work, reasons: dict[str, str]) -> list[Route]:
        """anywarp first; a peer that cannot is left out, with its reason."""
        from benchmarks.natural_route import FLAGS, Natural
        from benchmarks.opencl_route import Pocl

        out: list[Route] = [Anywarp(self.driver, case, work)]
        for peer in self.peers:
            try:
                if peer in FLAGS:
                    out.append(Natural(case, work, peer))
                elif self.opencl is not None:
                    out.append(Pocl(self.opencl, case, work))
            except (RuntimeError, OSError) as error:
                reasons[peer] = str(error)
        return out


def measure(session: Session, case: Case, scale: float, rounds: int, clock: Callable[[], float]) -> dict[str, Any]:
    """Seconds of every round by route, with what went wrong."""
    work = case.make(scale)
    record: dict[str, Any] = {"case": case.name, "group": case.group, "seconds": {}, "problems": {}, "reasons": dict(session.reasons)}
    try:
        routes = session.routes(case, work, record["reasons"])
    except RuntimeError as error:
        record["problems"]["anywarp"] = str(error)
        return record
    results: dict[str, list[Array]] = {}
    for route in list(routes):
        try:
            launches, work.launches = work.launches, 1
            route.run()
            work.launches = launches
            results[route.name] = route.results()
            route.run()
        except RuntimeError as error:
            record["problems"][route.name] = str(error)
            routes.remove(route)
    for name, result in results.items():
        if name not in ("anywarp", "c++ fast") and "anywarp" in results and (wrong := difference(work, results["anywarp"], result)):
            record["problems"][name] = f"anywarp and {name}: {wrong}"
    seconds: dict[str, list[float]] = {route.name: [] for route in routes}
    start = time.perf_counter()
    for number in range(rounds):
        for route in routes if number % 2 else routes[::-1]:
            before = clock()
            route.run()
            seconds[route.name].append(clock() - before)
        if number >= 4 and time.perf_counter() - start > 10:
            break
    for route in routes:
        route.close()
    record["seconds"] = seconds
    return record


def ratio(record: dict[str, Any], peer: str) -> tuple[float, float, float, float] | None:
    """anywarp's time over the peer's: of the minima, then median and quartiles of the rounds' own ratios."""
    ours, theirs = record["seconds"].get("anywarp"), record["seconds"].get(peer)
    if not ours or not theirs:
        return None
    each = sorted(a / b for a, b in zip(ours, theirs))
    if len(each) > 1:
        low, middle, high = statistics.quantiles(each, n=4, method="inclusive")
    else:
        low = middle = high = each[0]
    return min(ours) / min(theirs), middle, low, high


def main(arguments: list[str]) -> None:
    threads, rounds, scale = int(arguments[0]), int(arguments[1]), float(arguments[2])
    clock = time.process_time if threads == 1 else time.perf_counter
    if threads == 1:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    session = Session(tuple(p for p in arguments[3].split(",") if p))
    chosen = [c for c in CASES if c.name in arguments[4:]]
    for case in chosen:
        print(json.dumps({"threads": threads, **measure(session, case, scale, rounds, clock)}), flush=True)
    ctypes.CDLL(None).fflush(None)
    os._exit(0)  # PoCL's threads do not always end


if __name__ == "__main__":
    main(sys.argv[1:])
