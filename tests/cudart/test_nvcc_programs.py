"""Programs that nvcc builds run unmodified on our libcudart: with the CUDA runtime as a shared library, and linked in statically."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import PROGRAMS, run_program

Build = Callable[..., Path]

OPTIONS = {"per_thread_streams": ("--default-stream", "per-thread"), "dynamic_parallelism": ("-rdc=true",), "device_graphs": ("-rdc=true",)}
CUDART = ("shared", "static")
# Each of these needs arguments, or has a test of its own.
SPECIAL = {"faults", "device_output"}


@pytest.mark.parametrize("cudart", CUDART)
@pytest.mark.parametrize("name", sorted({p.stem for p in PROGRAMS.glob("*.cu")} - SPECIAL))
def test_program_passes(name: str, cudart: str, build_with_nvcc: Build, library_dir: Path) -> None:
    binary = build_with_nvcc(f"{name}.cu", options=OPTIONS.get(name, ()), cudart=cudart)
    assert "passed" in run_program(binary, library_dir).splitlines()


def test_device_printf_is_written_at_synchronisation(build_with_nvcc: Build, library_dir: Path) -> None:
    out = run_program(build_with_nvcc("device_output.cu"), library_dir)
    assert sorted(out.splitlines()) == ["passed", *(f"thread {i} of block 0: {i * 0.25:.2f} said" for i in range(3))]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("assert", r"faults\.cu:\d+: .*fail_assert.*: block: \[\d,0,0\], thread: \[\d+,0,0\] Assertion .*too many threads.* failed"),
        ("trap", r"fail_trap"),
        ("address", r"fail_address.*0x40"),
        ("alignment", r"fail_alignment.*misaligned"),
    ],
)
def test_fault_is_an_error_that_a_reset_clears(kind: str, message: str, build_with_nvcc: Build, library_dir: Path) -> None:
    out = run_program(build_with_nvcc("faults.cu"), library_dir, kind)
    assert "passed" in out
    assert re.search(message, out), out


@pytest.mark.parametrize("cudart", CUDART)
def test_relocatable_device_code_is_linked_when_it_is_loaded(cudart: str, build_with_nvcc: Build, library_dir: Path) -> None:
    binary = build_with_nvcc("linked/main.cu", "linked/other.cu", options=("-rdc=true",), cudart=cudart)
    assert "passed" in run_program(binary, library_dir).splitlines()


def test_program_with_machine_code_only_gets_no_kernel_image(nvcc: str, tmp_path: Path, library_dir: Path) -> None:
    binary = tmp_path / "program"
    command = [nvcc, "-cudart", "shared", "-gencode", "arch=compute_80,code=sm_80", str(PROGRAMS / "vector_add.cu"), "-o", str(binary)]
    subprocess.run(command, check=True, capture_output=True)
    out = run_program(binary, library_dir, returncode=1)
    assert "cudaGetLastError(): cudaErrorNoKernelImageForDevice" in out
    assert "sm_80" in out  # what the image holds


def test_stripped_program_says_why_it_cannot_be_served(build_with_nvcc: Build, library_dir: Path, tmp_path: Path) -> None:
    stripped = tmp_path / "stripped"
    subprocess.run(["strip", "-o", str(stripped), str(build_with_nvcc("vector_add.cu", cudart="static"))], check=True)
    out = run_program(stripped, library_dir, returncode=1)
    assert f"anywarp: {stripped}: it has the CUDA runtime inside" in out and "-cudart shared" in out


def test_trace_shows_the_calls(build_with_nvcc: Build, library_dir: Path) -> None:
    out = run_program(build_with_nvcc("vector_add.cu"), library_dir, ANYWARP_TRACE="1")
    assert re.search(r"__cudaRegisterFunction\(.*deviceName=\"_Z3addPKfS0_Pfi\"", out)
    assert re.search(r"cudaMemcpy\(dst=0x\w+, src=0x\w+, count=4, kind=cudaMemcpyHostToDevice\) = cudaSuccess, \d", out)
    assert re.search(r"__cudaLaunchKernel\(kernel=0x\w+, gridDim=\{391, 1, 1\}, blockDim=\{256, 1, 1\}", out)
