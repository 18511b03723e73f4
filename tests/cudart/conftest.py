"""Fixtures for the runtime API's tests: programs built by nvcc or clang, and libcudart through ctypes.

The programs in `programs/` check themselves and print "passed". They are built with the CUDA runtime as a shared library and PTX only
(what `-arch=compute_80` means), then run with our libraries in front.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from anywarp.api.bindings import Library

PROGRAMS = Path(__file__).parent / "programs"
Run = Callable[..., str]
NAMES = {11: "libcudart.so.11.0", 12: "libcudart.so.12", 13: "libcudart.so.13"}


class Runtime(Library):
    """One libcudart, with a way to expect results."""

    def __init__(self, folder: Path, major: int) -> None:
        super().__init__(folder / NAMES[major], "runtime", major)
        self.major = major

    def expect(self, name: str, result: int) -> None:
        assert self.name_of(result) == name

    def check(self, result: int) -> None:
        self.expect("cudaSuccess", result)


@pytest.fixture(scope="session", params=sorted(NAMES))
def runtime(request: pytest.FixtureRequest, library_dir: Path) -> Runtime:
    return Runtime(library_dir, request.param)


@pytest.fixture
def cuda(runtime: Runtime) -> Runtime:
    """The runtime without an error from an earlier test."""
    runtime.cudaGetLastError()
    return runtime


def run_program(binary: Path, library_dir: Path, *arguments: str, returncode: int = 0, **environment: str) -> str:
    """What the program prints, stderr after stdout. Keywords are environment variables."""
    env = {**os.environ, "LD_LIBRARY_PATH": str(library_dir), **environment}
    done = subprocess.run([str(binary), *arguments], capture_output=True, text=True, env=env, timeout=300, errors="replace")
    command = f"LD_LIBRARY_PATH={library_dir} {binary} {' '.join(arguments)}"
    assert done.returncode == returncode, f"exit code {done.returncode}: {command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def nvcc() -> str:
    """nvcc's path, from $PATH or $CUDA_HOME."""
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    path = shutil.which("nvcc") or shutil.which("nvcc", path=f"{home}/bin")
    if path is None:
        pytest.skip("nvcc is not installed: install the CUDA toolkit or set CUDA_HOME")
    return path


@pytest.fixture(scope="session")
def build_with_nvcc(nvcc: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Builds sources (names in `programs/`) into one program."""
    folder = tmp_path_factory.mktemp("nvcc")

    def build(*sources: str, options: tuple[str, ...] = ()) -> Path:
        binary = folder / Path(sources[0]).with_suffix("").as_posix().replace("/", "_")
        command = [nvcc, "-std=c++17", "-cudart", "shared", "-gencode", "arch=compute_80,code=compute_80", *options]
        command += [*(str(PROGRAMS / s) for s in sources), "-o", str(binary)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return binary

    return build
