"""Every kernel of tests/kernels/programs as AArch64 code under emulation: the same bytes as the interpreter's."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aarch64 import emulated
from tests.kernels import case_file
from tests.kernels.routes import ROOT
from tests.kernels.test_programs import FILES, check


@pytest.fixture(scope="module")
def route() -> Iterator[emulated.Emulated]:
    if reason := emulated.missing():
        pytest.skip(reason)
    checkout = hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]
    folder = Path(tempfile.gettempdir()) / f"anywarp-aarch64-{os.getuid()}-{checkout}"
    result = emulated.Emulated(emulated.build(folder))
    yield result
    result.close()


@pytest.mark.parametrize("path", FILES, ids=[p.stem for p in FILES])
def test_aarch64_code_agrees_with_the_interpreter(path: Path, route: emulated.Emulated) -> None:
    check(case_file.read(path), route)
