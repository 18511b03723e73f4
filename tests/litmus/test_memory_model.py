"""The PTX memory model (manual, chapter 8): outcomes that it forbids never come up.

A few thousand experiments of a seeded sample of kernels; with `pytest -m full` a million of each kernel. An outcome that is allowed is
counted and not required: whether it comes up is the machine's business (`python -m tests.litmus` prints all counts).
"""

from __future__ import annotations

import itertools
import random

import pytest

from tests.litmus import kernels
from tests.litmus.device import Device, find
from tests.litmus.kernels import MECHANISMS, SCOPES, Shape

SHAPES = {shape.name: shape for shape in kernels.shapes()}
CASES = [
    (shape, mechanism, scope, between, lanes)
    for shape, mechanism, between, lanes in itertools.product(SHAPES, MECHANISMS, SCOPES, (1, 32))
    for scope in SCOPES[between]
    if mechanism in SHAPES[shape].forbidden and not (mechanism == "volatile" and scope != SCOPES[between][0])
]
SAMPLE = random.Random(3).sample(CASES, 20)
FEW, MILLION = 4096, 1 << 20


@pytest.fixture(scope="module")
def device() -> Device:
    found = find()
    if isinstance(found, str):
        pytest.skip(found)
    return found


def _name(case: tuple[str, str, str, str, int]) -> str:
    return "-".join(map(str, case))


def check(device: Device, case: tuple[str, str, str, str, int], experiments: int) -> None:
    name, mechanism, scope, between, lanes = case
    shape: Shape = SHAPES[name]
    outcome = device.run(shape, mechanism, scope, between, lanes, experiments)
    assert outcome.experiments >= experiments
    assert outcome.weak == 0, f"{outcome.weak} of {outcome.experiments}: {shape.weak}"


@pytest.mark.parametrize("case", SAMPLE, ids=_name)
def test_forbidden_outcomes_never_come_up(device: Device, case: tuple[str, str, str, str, int]) -> None:
    check(device, case, FEW)


@pytest.mark.full
@pytest.mark.parametrize("case", CASES, ids=_name)
def test_forbidden_outcomes_never_come_up_in_a_million(device: Device, case: tuple[str, str, str, str, int]) -> None:
    check(device, case, MILLION)


def test_one_of_two_threads_is_first_at_times(device: Device) -> None:
    """The experiments are ones: the threads run at once, or one after the other, and what they read tells of it."""
    outcome = device.run(SHAPES["store_buffering"], "sc", "gpu", "ctas", 1, 20_000)
    assert {(1, 0), (0, 1)} & outcome.seen.keys(), outcome.seen


@pytest.mark.parametrize("experiments", [2000, pytest.param(1_000_000, marks=pytest.mark.full)])
@pytest.mark.parametrize("mechanism", ["fence", "release"])
def test_the_host_sees_what_was_written_before_a_flag(device: Device, mechanism: str, experiments: int) -> None:
    assert device.run_with_host(mechanism, experiments) == (experiments, 0)
