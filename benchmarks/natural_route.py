"""The same job in C++: kernels/NAME.cpp, compiled by the machine's g++ with OpenMP for this very CPU, called in this process."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import KERNELS, Array, Case, Work, scalar

FLAGS = {
    "c++": ["-O3", "-march=native", "-fopenmp"],
    "c++ fast": ["-O3", "-march=native", "-fopenmp", "-ffast-math"],
}


def compiler() -> str | None:
    return shutil.which(os.environ.get("CXX", "g++"))


@functools.cache
def _version(cxx: str) -> bytes:
    """What the machine code depends on besides the source: `-march=native` means another thing on another CPU."""
    version = subprocess.run([cxx, "--version"], capture_output=True, check=True).stdout
    lines = Path("/proc/cpuinfo").read_bytes().split(b"\n\n")[0].splitlines()
    return version + b"".join(line for line in lines if line.startswith((b"model name", b"flags", b"Features", b"CPU part")))


def build(path: Path, flavour: str) -> Path:
    """The shared library of a C++ file, from a folder of the user's cache. Raises CalledProcessError, FileNotFoundError."""
    cxx = compiler()
    if cxx is None:
        raise FileNotFoundError("no g++: apt install g++")
    text = b"".join(p.read_bytes() for p in sorted(KERNELS.glob("*.inc"))) + path.read_bytes()
    key = hashlib.sha256(text + _version(cxx) + " ".join(FLAGS[flavour]).encode()).hexdigest()[:24]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "anywarp-benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{path.stem}-{key}.so"
    if not target.exists():
        new = target.with_suffix(f".{os.getpid()}")
        subprocess.run([cxx, "-std=c++17", *FLAGS[flavour], "-shared", "-fPIC", "-o", str(new), str(path)], check=True)
        new.rename(target)
    return target


class Natural:
    """A case's work in C++."""

    def __init__(self, case: Case, work: Work, flavour: str) -> None:
        self.name, self.work = flavour, work
        library = ctypes.CDLL(str(build(KERNELS / f"{case.source}.cpp", flavour)))
        self.function = getattr(library, case.source)
        self.function.restype = None
        self.repeated = getattr(library, f"{case.source}_repeated") if work.launches > 1 else None
        self.arrays = [aligned_copy(a) if isinstance(a, np.ndarray) else None for a in work.arguments]
        self.values: list[Any] = []
        for argument, array in zip([*work.arguments, *work.natural_extra], [*self.arrays, *(None for _ in work.natural_extra)]):
            self.values.append(scalar(argument) if array is None else array.ctypes.data_as(ctypes.c_void_p))

    def run(self) -> None:
        if self.repeated is not None and self.work.launches > 1:
            self.repeated(ctypes.c_int(self.work.launches), *self.values)
        else:
            self.function(*self.values)

    def results(self) -> list[Array]:
        out = []
        for i in self.work.outputs:
            array = self.arrays[i]
            assert array is not None
            out.append(array.copy())
        return out

    def close(self) -> None:
        self.arrays = []


def aligned_copy(array: Array, alignment: int = 4096) -> Array:
    """A copy that begins at a page, as device memory does."""
    raw = np.empty(array.nbytes + alignment, np.uint8)
    skip = -raw.ctypes.data % alignment
    copy: Array = raw[skip : skip + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
