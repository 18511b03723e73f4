"""One launch, run by the reference interpreter and by a compiled route, compared byte for byte.

    case = Case(ptx, "kernel", grid=(2, 1, 1), block=(64, 1, 1), arguments=[Buffer(bytes(512)), 128])
    compare(case)                      # interpreter against the compiled route; raises Difference
    outcome = interpret(case)          # the interpreter alone: outcome.buffers[0] is the first buffer afterwards

A route (`Route`) is whoever runs PTX for real: routes.py finds them. Buffers have the same addresses on both sides, so pointers that a
kernel stores compare as well. Kernels whose result depends on the order of threads have no place here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from anywarp.ptx import parse, tree
from anywarp.reference import KernelError, Machine, Memory, Options
from anywarp.reference.machine import pack_arguments

Dim = tuple[int, int, int]


@dataclass
class Buffer:
    """Global memory with its contents before the launch; passed to the kernel by address."""

    data: bytes
    name: str = "buffer"


@dataclass
class Case:
    """A launch: buffers and plain numbers (bit patterns, floats, or bytes for aggregates) as arguments, in order."""

    ptx: str
    entry: str
    grid: Dim = (1, 1, 1)
    block: Dim = (32, 1, 1)
    arguments: Sequence[Buffer | int | float | bytes] = ()
    dynamic_shared: int = 0
    options: Options = field(default_factory=Options)

    @property
    def buffers(self) -> list[Buffer]:
        return [a for a in self.arguments if isinstance(a, Buffer)]


@dataclass
class Outcome:
    """What a launch left: the buffers' bytes, or the error that ended it; what it printed; instructions executed (interpreter only)."""

    buffers: list[bytes]
    error: str | None = None
    output: str = ""
    executed: int = 0


class Difference(AssertionError):
    """The compiled route and the interpreter do not agree."""


class Route(Protocol):
    """Something that runs PTX. Device memory is named by address."""

    name: str
    has_services: bool  # printf, malloc, trap work
    runs_ctas_together: bool  # CTAs may wait for one another

    def allocate(self, data: bytes) -> int: ...

    def read(self, address: int, size: int) -> bytes: ...

    def release(self, address: int) -> None: ...

    def launch(self, ptx: str, entry: str, grid: Dim, block: Dim, parameters: bytes, dynamic_shared: int) -> None:
        """Runs to the end. Raises RuntimeError with the reason where the launch fails."""


def interpret(case: Case, addresses: Sequence[int] | None = None, module: tree.Module | None = None) -> Outcome:
    """Runs a case on the interpreter, its buffers at the given addresses (or anywhere)."""
    memory = Memory()
    module = module or parse(case.ptx)
    places = list(addresses) if addresses is not None else []
    if addresses is None:
        places = [memory.allocate(b.data, b.name) for b in case.buffers]
    else:
        for buffer, address in zip(case.buffers, places, strict=True):
            memory.place(address, buffer.data, buffer.name)
    machine = Machine(module, memory, case.options)
    error = None
    try:
        machine.launch(case.entry, case.grid, case.block, _arguments(case, places), case.dynamic_shared)
    except KernelError as failure:
        error = f"{type(failure).__name__}: {failure}"
    after = [memory.read(a, len(b.data)) for a, b in zip(places, case.buffers, strict=True)]
    return Outcome(after, error, "".join(machine.output), machine.executed)


def run_compiled(case: Case, route: Route, addresses: Sequence[int], parameters: bytes) -> Outcome:
    try:
        route.launch(case.ptx, case.entry, case.grid, case.block, parameters, case.dynamic_shared)
    except RuntimeError as failure:
        return Outcome([], str(failure))
    return Outcome([route.read(a, len(b.data)) for a, b in zip(addresses, case.buffers, strict=True)])


def compare(case: Case, route: Route) -> Outcome:
    """Runs a case on both and gives the interpreter's outcome. Raises Difference. A launch that fails must fail on both; then the
    buffers may hold anything."""
    module = parse(case.ptx)
    addresses = [route.allocate(b.data) for b in case.buffers]
    try:
        function = module.functions[case.entry]
        want = interpret(case, addresses, module)
        got = run_compiled(case, route, addresses, pack_arguments(function, _arguments(case, addresses)))
    finally:
        for address in addresses:
            route.release(address)
    if (want.error is None) != (got.error is None):
        raise Difference(f"interpreter: {want.error or 'no error'}; {route.name}: {got.error or 'no error'}")
    if want.error is None:
        for buffer, reference, compiled in zip(case.buffers, want.buffers, got.buffers, strict=True):
            if reference != compiled:
                raise Difference(f"{buffer.name}: {first_difference(reference, compiled, route.name)}")
    return want


def first_difference(reference: bytes, compiled: bytes, name: str) -> str:
    """Where two buffers differ, by 32-bit words, in words."""
    words = [i for i in range(0, len(reference), 4) if reference[i : i + 4] != compiled[i : i + 4]]
    lines = [f"{len(words)} of {len(reference) // 4} words differ"]
    for at in words[:8]:
        want, got = (int.from_bytes(x[at : at + 4], "little") for x in (reference, compiled))
        lines.append(f"  word {at // 4}: interpreter {want:#010x}, {name} {got:#010x}")
    return "\n".join(lines)


def _arguments(case: Case, addresses: Sequence[int]) -> list[int | float | bytes]:
    at = iter(addresses)
    return [next(at) if isinstance(a, Buffer) else a for a in case.arguments]
