"""The interpreter leaves what the kernel files of tests/kernels/programs expect, in any order of threads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kernels import case_file
from tests.kernels.differential import interpret

FILES = case_file.programs()
each = pytest.mark.parametrize("path", FILES, ids=[p.stem for p in FILES])


@each
def test_leaves_what_the_file_expects(path: Path) -> None:
    kernel = case_file.read(path)
    kernel.check(interpret(kernel.case))


@each
def test_result_does_not_depend_on_the_order_of_threads(path: Path) -> None:
    kernel = case_file.read(path)
    first = interpret(kernel.case)
    kernel.case.options.seed = 7
    kernel.case.options.resident = 2
    second = interpret(kernel.case)
    if kernel.prints is not None:
        kernel.prints = "".join(sorted(kernel.prints.splitlines(True)))
        second.output = "".join(sorted(second.output.splitlines(True)))
    kernel.check(second)
    if kernel.is_ordered and kernel.fails is None:
        assert first.buffers == second.buffers
