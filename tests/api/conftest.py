"""Fixtures for the API tests: the driver through ctypes, a context of one's own, programs in processes of their own."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from anywarp.api.bindings import Library

ROOT = Path(__file__).resolve().parents[2]

# What programs in processes of their own start with; `{library}` is filled in.
PRELUDE = """
from ctypes import *
from anywarp.api.bindings import Library
cuda = Library("{library}")
def check(result):
    assert result == 0, cuda.name_of(result)
def error(result):
    return cuda.name_of(result)
"""


class Driver(Library):
    """The driver, with short ways to say common things."""

    def check(self, result: int) -> None:
        assert result == 0, self.name_of(result)

    def new(self, c_type: str, value: Any = None) -> Any:
        """A variable of a C type."""
        return self.types[c_type]() if value is None else self.types[c_type](value)

    def alloc(self, size: int) -> int:
        address = self.new("CUdeviceptr")
        self.check(self.cuMemAlloc_v2(ctypes.byref(address), size))
        return int(address.value)

    def upload(self, data: bytes) -> int:
        address = self.alloc(len(data))
        self.check(self.cuMemcpyHtoD_v2(address, data, len(data)))
        return address

    def download(self, address: int, size: int) -> bytes:
        buffer = ctypes.create_string_buffer(size)
        self.check(self.cuMemcpyDtoH_v2(buffer, address, size))
        return buffer.raw

    def module(self, ptx: str) -> int:
        module = self.new("CUmodule")
        self.check(self.cuModuleLoadData(ctypes.byref(module), ptx.encode()))
        return int(module.value)

    def function(self, module: int, name: str) -> int:
        function = self.new("CUfunction")
        self.check(self.cuModuleGetFunction(ctypes.byref(function), module, name.encode()))
        return int(function.value)

    def launch(self, function: int, grid: int, block: int, *arguments: Any, stream: int | None = None, shared: int = 0) -> int:
        """Launches with ctypes values as arguments; the result code."""
        pointers = (ctypes.c_void_p * max(len(arguments), 1))(*(ctypes.addressof(a) for a in arguments))
        return int(self.cuLaunchKernel(function, grid, 1, 1, block, 1, 1, shared, stream, pointers, None))

    def expect(self, name: str, result: int) -> None:
        assert self.name_of(result) == name


@pytest.fixture(scope="session")
def driver(library_dir: Path) -> Driver:
    """The driver, initialized."""
    cuda = Driver(library_dir / "libcuda.so.1")
    cuda.check(cuda.cuInit(0))
    return cuda


@pytest.fixture
def cuda(driver: Driver) -> Iterator[Driver]:
    """The driver with a new current context; errors that stay in it die with it."""
    context = driver.new("CUcontext")
    driver.check(driver.cuCtxCreate_v2(ctypes.byref(context), 0, 0))
    driver.context = context.value
    yield driver
    driver.cuCtxDestroy_v2(context)


@pytest.fixture
def program(library_dir: Path) -> Callable[..., str]:
    """Runs Python code in a process of its own, with the driver as `cuda`; returns what it printed. Keywords are environment variables."""

    def run(code: str, returncode: int = 0, merge_stderr: bool = False, **environment: str) -> str:
        full = PRELUDE.format(library=library_dir / "libcuda.so.1") + textwrap.dedent(code)
        env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment}
        done = subprocess.run([sys.executable, "-c", full], capture_output=True, text=True, env=env, timeout=120)
        assert done.returncode == returncode, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + (done.stderr if merge_stderr else "")

    return run
