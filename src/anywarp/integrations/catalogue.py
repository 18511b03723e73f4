"""The clients that Anywarp is tested with: which packages they are, what they need, and the command that installs them.

For `anywarp doctor` and the tests in tests/clients, which skip with `install` where a client is missing. `anywarp doctor FILE` is about a
program rather than a package; that is in cli/examine.py.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata


@dataclass(frozen=True)
class Need:
    """Something that a client needs besides itself. `test` is called in the interpreter that the client runs in."""

    what: str
    test: Callable[[], bool]
    mend: str  # the command, or what to do


@dataclass(frozen=True)
class Client:
    name: str
    module: str  # what a program imports
    distribution: str  # its name in the package index
    install: str
    tested: str  # the version that the tests ran with
    needs: tuple[Need, ...] = ()
    note: str = ""  # what `anywarp run` does for it
    page: str = ""  # docs/clients/<page>.md

    def version(self) -> str | None:
        """The installed version, or None."""
        try:
            return metadata.version(self.distribution)
        except metadata.PackageNotFoundError:
            return None

    def is_importable(self) -> bool:
        """Whether the package is there, without importing it."""
        try:
            return importlib.util.find_spec(self.module) is not None
        except (ImportError, ValueError):
            return False

    def missing(self) -> list[Need]:
        """What it needs and lacks."""
        return [need for need in self.needs if not need.test()]


def _has_distribution(*names: str) -> Callable[[], bool]:
    """One of several distributions (the names of CUDA 12 and 13 differ)."""

    def test() -> bool:
        for name in names:
            try:
                metadata.version(name)
                return True
            except metadata.PackageNotFoundError:
                continue
        return False

    return test


def _has_program(*names: str) -> Callable[[], bool]:
    return lambda: any(shutil.which(name) for name in names)


def _has_toolkit_file(*names: str) -> Callable[[], bool]:
    """One of several files of an installed CUDA toolkit, for those who do not use the packages."""

    def test() -> bool:
        roots = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
        return any(root and os.path.exists(os.path.join(root, name)) for root in roots for name in names)

    return test


def _either(*tests: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: any(test() for test in tests)


_PYTHON = os.path.basename(sys.executable) if shutil.which(os.path.basename(sys.executable)) else sys.executable
_PIP = f"{_PYTHON} -m pip install"

_NVVM = Need(
    "libNVVM",
    _either(_has_distribution("nvidia-nvvm", "nvidia-cuda-nvcc-cu12"), _has_toolkit_file("lib64/libnvvm.so", "nvvm/lib64/libnvvm.so")),
    f"{_PIP} 'numba-cuda[cu13]'",
)
_NVRTC = Need(
    "NVRTC",
    _either(_has_distribution("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12"), _has_toolkit_file("lib64/libnvrtc.so")),
    f"{_PIP} 'numba-cuda[cu13]'",
)
_HEADERS = Need(
    "CUDA's headers",
    _either(_has_distribution("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu12"), _has_toolkit_file("include/cuda_fp16.h")),
    f"{_PIP} nvidia-cuda-runtime nvidia-cuda-cccl",
)
_COMPILER = Need("a C compiler", _has_program("cc", "gcc", "clang"), "apt-get install gcc")

CLIENTS = (
    Client(
        "numba-cuda",
        "numba_cuda",
        "numba-cuda",
        f"{_PIP} 'numba-cuda[cu13]'",
        "0.30.4",
        (_NVVM, _NVRTC),
        "nvJitLink is made missing, so that PTX goes to the driver",
        "numba-cuda",
    ),
    Client(
        "Triton",
        "triton",
        "triton",
        f"{_PIP} triton torch",
        "3.9.0",
        (_COMPILER,),
        "PTX passes through; CPU tensors are taken as they are",
        "triton",
    ),
    Client(
        "tinygrad",
        "tinygrad",
        "tinygrad",
        f"{_PIP} tinygrad",
        "0.14.0",
        (),
        "finds the driver by itself; DEV=CUDA:PTX chooses its own PTX renderer",
        "tinygrad",
    ),
    Client(
        "cuda-python",
        "cuda.bindings",
        "cuda-bindings",
        f"{_PIP} cuda-python cuda-core",
        "13.5.0",
        (),
        "cuda.core links with the driver",
        "cuda-python",
    ),
    Client("PyCUDA", "pycuda", "pycuda", f"{_PIP} pycuda", "2026.1", (), "hand it PTX: drv.module_from_buffer(ptx)", "pycuda"),
    Client(
        "CuPy",
        "cupy",
        "cupy-cuda13x",
        f"{_PIP} cupy-cuda13x nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cuda-cccl",
        "14.2.0",
        (_NVRTC, _HEADERS),
        "NVRTC is asked for PTX; the CUDA runtime inside its modules is sent to ours",
        "cupy",
    ),
    Client(
        "JAX",
        "jax_plugins.xla_cuda13",
        "jax-cuda13-plugin",
        f"{_PIP} jax jax-cuda13-plugin jax-cuda13-pjrt",
        "0.10.2",
        (),
        "PTX passes through; XLA's own matrix kernels stand in for cuBLAS",
        "jax",
    ),
)


def client(name: str) -> Client:
    """A client by its name. Raises KeyError."""
    return {c.name: c for c in CLIENTS}[name]
