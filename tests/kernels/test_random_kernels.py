"""A fixed sample of random kernels (fuzz/kernel_generator.py): the compiled code agrees with the interpreter.

`python -m fuzz.kernels` runs more.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings

from fuzz.flow import If, Loop
from fuzz.kernel_generator import case_of, kernels, random_kernel
from fuzz.kernels import CORPUS, reduced, rerun, verdict
from fuzz.program import Kernel, Plain
from tests.kernels import routes
from tests.kernels.differential import Route, interpret

SAMPLE = 12
FULL = 300


def check(seed: int) -> str:
    """What the compiler lacks for the kernel of a seed, or "". Raises AssertionError where it is wrong."""
    kind, text, _ = verdict(random_kernel(seed, 20), seed, routes.available()[0])
    assert kind in ("", "unsupported"), f"{text}\nrun again: python -m fuzz.kernels --seed {seed} --size 20"
    return text


@pytest.mark.parametrize("seed", range(SAMPLE))
def test_compiled_code_agrees_with_the_interpreter(seed: int) -> None:
    lacking = check(seed)
    if lacking:
        pytest.xfail(f"not compiled yet: {lacking}")


@pytest.mark.full
def test_compiled_code_agrees_on_the_whole_sample() -> None:
    for seed in range(SAMPLE, FULL):
        check(seed)


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.ptx")), ids=lambda path: path.stem)
@pytest.mark.parametrize("route", routes.available(), ids=lambda route: route.name)
def test_kernels_that_once_failed_agree(path: Path, route: Route) -> None:
    assert rerun(path, route) == 0


@settings(max_examples=15, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(kernels())
def test_random_kernels_give_the_same_in_every_order_of_threads(kernel: Kernel) -> None:
    case = case_of(kernel)
    first = interpret(case)
    assume("OutOfFuel" not in str(first.error))  # loops in loops in loops: right, but longer than the interpreter goes on
    assert first.error is None
    case.options.seed, case.options.resident = 5, 1
    assert interpret(case).buffers == first.buffers


def test_random_kernels_are_varied() -> None:
    texts = [random_kernel(seed).text() for seed in range(150)]
    for what in (
        "bar.sync 0", "bar.sync 1", "barrier.sync 0", "bar.arrive", "bar.red", "bar.warp.sync", "brx.idx", "call (result), f",
        "call (result), %u0", "call (r2)", "red.shared", "atom.shared", "atom.global.cas", "shfl.sync", "vote.sync", "match.any",
        "redux.sync", "bra L", "@!%p", "exit;", "nanosleep", "ld.acquire", "ld.global.nc", "st.local", "st.global.v4", "ld.v", "addc",
        "%strided", ".f16",
    ):  # fmt: skip
        assert sum(what in text for text in texts) >= 2, what


def test_reduction_keeps_what_matters_and_little_else() -> None:
    wanted = Plain(["add.u32 %r0, %r0, 1;"])
    noise = [Plain([f"mov.b32 %r{i}, {i};"]) for i in range(1, 7)]
    kernel = Kernel([*noise[:3], If("%p0", [noise[3], Loop(None, 2, "until", [noise[4], wanted])], [noise[5]])], grid=(3, 1, 1))
    small = reduced(kernel, lambda k: "add.u32 %r0, %r0, 1;" in k.text())
    assert small.body == [wanted]
    assert small.grid == (1, 1, 1)
