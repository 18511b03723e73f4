"""Every kernel of programs/: the compiled code leaves the same bytes as the interpreter, and what the file expects."""

from __future__ import annotations

from pathlib import Path

import pytest

from anywarp.ptx import UnsupportedInstruction, parse
from anywarp.reference.machine import pack_arguments
from tests.kernels import case_file, routes
from tests.kernels.differential import Route, compare, run_compiled

FILES = case_file.programs()
SERVICES = (  # what calls the runtime
    "vprintf", "malloc", "trap;", "brkpt;", "bulk.tensor", "tex.", "suld.", "barrier_in_recursion", "barrier_behind_address",
)  # fmt: skip


@pytest.fixture(scope="module", params=[*(r.name for r in routes.available()), *routes.missing])
def route(request: pytest.FixtureRequest) -> object:
    if request.param in routes.missing:
        pytest.skip(routes.missing[request.param])
    return next(r for r in routes.available() if r.name == request.param)


@pytest.mark.parametrize("path", FILES, ids=[p.stem for p in FILES])
def test_compiled_code_agrees_with_the_interpreter(path: Path, route: Route) -> None:
    kernel = case_file.read(path)
    case = kernel.case
    if not route.has_services and any(name in case.ptx for name in SERVICES):
        pytest.skip(f"{route.name} has no runtime services")
    if kernel.needs == "concurrent CTAs" and not route.runs_ctas_together:
        pytest.skip(f"{route.name} runs one CTA after the other")
    try:
        check(kernel, route)
    except UnsupportedInstruction as error:
        pytest.xfail(f"not compiled yet: {error}")


def check(kernel: case_file.KernelFile, route: Route) -> None:
    case = kernel.case
    if kernel.is_ordered and kernel.fails is None:
        compare(case, route)
    addresses = [route.allocate(b.data) for b in case.buffers]
    try:
        given = iter(addresses)
        arguments = [next(given) if isinstance(a, case_file.Buffer) else a for a in case.arguments]
        outcome = run_compiled(case, route, addresses, pack_arguments(parse(case.ptx).functions[case.entry], arguments))
    finally:
        for address in addresses:
            route.release(address)
    if kernel.fails is not None:
        assert outcome.error is not None, f"expected {kernel.fails}"
        return
    kernel.prints = None  # goes to stdout
    kernel.check(outcome)
