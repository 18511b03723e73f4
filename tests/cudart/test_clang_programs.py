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


@pytest.mark.parametrize("name", ["vector_add", "tiled_matrix_multiply", "shuffle_reduction", "shared_histogram", "stream_pipeline"])
def test_program_passes(name: str, clang: Clang, tmp_path: Path, library_dir: Path) -> None:
    program = tmp_path / name
    compile_program(clang, PROGRAMS / f"{name}.cu", program, library_dir)
    assert "passed" in run_program(program, library_dir).splitlines()
