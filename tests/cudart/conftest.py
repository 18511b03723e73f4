"""Fixtures for the runtime API's tests: programs built by nvcc or clang, and libcudart through ctypes.

The programs in `programs/` check themselves and print "passed". They are built with PTX only (what `-arch=compute_80` means), compiled
once and linked with the CUDA runtime as a shared library and, as nvcc does unless it is told otherwise, as a static one; then run with
our libraries in front.
"""

from __future__ import annotations

import os
import re
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
    given = {"LD_LIBRARY_PATH": str(library_dir), "LD_AUDIT": str(library_dir / "libanywarp-redirect.so"), **environment}
    env = {**os.environ, **given}
    done = subprocess.run([str(binary), *arguments], capture_output=True, text=True, env=env, timeout=300, errors="replace")
    command = " ".join([*(f"{k}={v}" for k, v in given.items()), str(binary), *arguments])
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
    """build("a.cu", options=…, cudart="static"): one program of sources (names in `programs/`)."""
    folder = tmp_path_factory.mktemp("nvcc")

    def run(*command: str) -> None:
        done = subprocess.run([nvcc, *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def build(*sources: str, options: tuple[str, ...] = (), cudart: str = "shared") -> Path:
        target = ("-gencode", "arch=compute_80,code=compute_80", *options)
        objects = []
        for source in sources:
            name = re.sub(r"\W", "_", "".join((source, *options)))
            objects.append(folder / f"{name}.o")
            if not objects[-1].exists():
                run("-std=c++17", *target, "-c", str(PROGRAMS / source), "-o", str(objects[-1]))
        binary = objects[0].with_suffix(f".{cudart}")
        run("-cudart", cudart, *target, *(str(o) for o in objects), "-o", str(binary))
        return binary

    return build
