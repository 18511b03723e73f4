"""The same programs built by clang with our own headers: no component of NVIDIA's takes part."""

from __future__ import annotations

from pathlib import Path

import pytest

from anywarp.toolchain.compile import Clang, compile_program, find_clang

from .conftest import PROGRAMS, run_program


@pytest.fixture(scope="session")
def clang() -> Clang:
    found = find_clang()
    if found is None:
        pytest.skip("clang is not installed: pip install ziglang")
    return found


PASSING = [
    "vector_add",
    "tiled_matrix_multiply",
    "shuffle_reduction",
    "shared_histogram",
    "stream_pipeline",
    "cooperative",
    "device_output",
]
PASSING += ["error_paths", "graphs", "pitched_memory", "stream_ordered_memory", "symbols", "templates"]


@pytest.mark.parametrize("name", PASSING)
def test_program_passes(name: str, clang: Clang, tmp_path: Path, library_dir: Path) -> None:
    program = tmp_path / name
    compile_program(clang, PROGRAMS / f"{name}.cu", program, library_dir)
    assert "passed" in run_program(program, library_dir).splitlines()


def test_failed_assertion_is_an_error_that_a_reset_clears(clang: Clang, tmp_path: Path, library_dir: Path) -> None:
    program = tmp_path / "faults"
    compile_program(clang, PROGRAMS / "faults.cu", program, library_dir)
    out = run_program(program, library_dir, "assert")
    assert "passed" in out and "too many threads" in out
