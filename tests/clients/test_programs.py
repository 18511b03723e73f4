"""Every program of tests/clients/programs; each checks itself against NumPy or PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"
CLIENTS = {
    "numba_cuda": "numba-cuda",
    "triton": "Triton",
    "tinygrad": "tinygrad",
    "pycuda": "PyCUDA",
    "cuda_python": "cuda-python",
    "cupy": "CuPy",
    "jax": "JAX",
}
ENVIRONMENT = {"tinygrad": {"DEV": "CUDA:PTX"}, "numba_cuda": {"NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS": "0"}}
FILES = sorted(str(path.relative_to(PROGRAMS)) for path in PROGRAMS.glob("*/*.py"))


@pytest.mark.parametrize("file", FILES)
def test_runs_unmodified(file: str, run_program: Callable[..., str]) -> None:
    folder = file.split("/")[0]
    run_program(CLIENTS[folder], file, **ENVIRONMENT.get(folder, {}))


def test_every_folder_has_a_client() -> None:
    assert {path.name for path in PROGRAMS.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(CLIENTS)


def test_device_print_reaches_standard_output(run_program: Callable[..., str]) -> None:
    printed = run_program("numba-cuda", "numba_cuda/library.py")
    assert sorted(line for line in printed.splitlines() if line.startswith("thread")) == [f"thread {i} 1.500000" for i in range(4)]
