"""Long blocks are parted for LLVM (`lower.control.PART`): programs compute the same in parts, wherever these begin."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import anywarp.isa  # noqa: F401
from anywarp import ptx
from anywarp.ir.build import build
from anywarp.lower import control
from anywarp.lower.kernel import lower
from tests.kernels import case_file, routes
from tests.kernels.differential import Case
from tests.kernels.jit import variant_of
from tests.kernels.test_programs import check

FOLDER = Path(__file__).parent / "programs"
PROGRAMS = [  # straight and with barriers, divergent, with functions, lanes by themselves, and the per-lane dispatcher
    *("shared_histogram", "barrier_in_loop", "guarded_everything", "carry_chain", "recursion", "rows_in_two_loops"),
    *("spin_lock_around_body", "loop_with_varying_trips"),
]


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_in_parts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = case_file.read(FOLDER / f"{name}.ptx")
    assert parts(kernel.case) == 0
    monkeypatch.setattr(control, "PART", 8)
    assert parts(kernel.case) >= 1
    check(kernel, routes.available()[0])  # which compiles in this process


def parts(case: Case) -> int:
    """How many begin within blocks of the kernel's LLVM IR."""
    text = lower(build(ptx.parse(case.ptx), case.entry), variant_of(case.block)).text
    return len(re.findall(r"^part\.\d+:", text, re.MULTILINE))
