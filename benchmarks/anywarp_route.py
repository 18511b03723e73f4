"""One kernel through libcuda by ctypes: inputs stay on the device, a run is some launches and one synchronise."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from anywarp import runtime_paths
from benchmarks.cases import KERNELS, Array, Case, Work, scalar
from benchmarks.natural_route import build, compiler


class CudaError(RuntimeError):
    """A driver function did not give CUDA_SUCCESS."""


class Driver:
    """libcuda.so.1 with device 0's primary context current."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL(runtime_paths.driver())
        self.call("cuInit", 0)
        context = ctypes.c_void_p()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
        self.call("cuCtxSetCurrent", context)

    def call(self, name: str, *arguments: Any) -> None:
        """Raises CudaError with the error's name."""
        result = getattr(self.library, name)(*arguments)
        if result:
            text = ctypes.c_char_p()
            self.library.cuGetErrorName(result, ctypes.byref(text))
            raise CudaError(f"{name}: {(text.value or b'?').decode()}")

    def function(self, ptx: bytes, name: str) -> ctypes.c_void_p:
        """A kernel of a PTX text."""
        log = ctypes.create_string_buffer(4096)
        options = (ctypes.c_int * 2)(5, 6)  # CU_JIT_ERROR_LOG_BUFFER and its size
        values = (ctypes.c_void_p * 2)(ctypes.cast(log, ctypes.c_void_p).value, len(log))
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        try:
            self.call("cuModuleLoadDataEx", ctypes.byref(module), ptx + b"\0", 2, options, values)
        except CudaError as error:
            raise CudaError(f"{error} {log.value.decode(errors='replace')}") from None
        self.call("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
        return function

    def upload(self, array: Array) -> ctypes.c_uint64:
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(array.nbytes))
        self.call("cuMemcpyHtoD_v2", address, array.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(array.nbytes))
        return address


class Anywarp:
    """A case's work on the device."""

    name = "anywarp"

    def __init__(self, driver: Driver, case: Case, work: Work) -> None:
        self.driver, self.work = driver, work
        self.function = driver.function((KERNELS / f"{case.source}.ptx").read_bytes(), case.source)
        self.values = [driver.upload(a) if isinstance(a, np.ndarray) else scalar(a) for a in work.arguments]
        self.parameters = (ctypes.c_void_p * len(self.values))(*[ctypes.addressof(v) for v in self.values])
        self.shape = (ctypes.c_uint * 7)(*work.grid, *work.block, 0)
        self.loop = ctypes.CDLL(str(build(KERNELS.parent / "launch_loop.cpp", "c++"))) if work.launches > 1 and compiler() else None

    def run(self) -> None:
        launch = self.driver.library.cuLaunchKernel
        if self.loop is not None and self.work.launches > 1:
            if self.loop.launch_repeatedly(launch, self.function, self.shape, self.parameters, self.work.launches):
                raise CudaError("cuLaunchKernel failed")
        else:
            for _ in range(self.work.launches):
                self.driver.call("cuLaunchKernel", self.function, *self.shape, None, self.parameters, None)
        self.driver.call("cuCtxSynchronize")

    def results(self) -> list[Array]:
        """Copies of the outputs."""
        out = []
        for i in self.work.outputs:
            array = np.empty_like(self.work.arguments[i])
            self.driver.call("cuMemcpyDtoH_v2", array.ctypes.data_as(ctypes.c_void_p), self.values[i], ctypes.c_size_t(array.nbytes))
            out.append(array)
        return out

    def close(self) -> None:
        for value, argument in zip(self.values, self.work.arguments):
            if isinstance(argument, np.ndarray):
                self.driver.call("cuMemFree_v2", value)
