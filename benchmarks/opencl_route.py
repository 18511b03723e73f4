"""The same kernel through PoCL: kernels/NAME.cu read as OpenCL C (portable.h), libOpenCL by ctypes.

Debian: pocl-opencl-icd and ocl-icd-libopencl1. Environment variables that set PoCL's threads are read when it starts.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import re
from typing import Any

import numpy as np

from benchmarks.cases import KERNELS, Array, Case, Work, scalar

CL_MEM_READ_WRITE_COPY = 1 | 1 << 5
CL_DEVICE_TYPE_CPU = 2


class Unavailable(RuntimeError):
    """OpenCL cannot be used; the message says why."""


class OpenCl:
    """PoCL's first device with a context and an in-order queue."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("OpenCL")
        if name is None:
            raise Unavailable("no libOpenCL: apt install ocl-icd-libopencl1 pocl-opencl-icd")
        self.library = ctypes.CDLL(name)
        for function in ("clCreateContext", "clCreateCommandQueue", "clCreateProgramWithSource", "clCreateKernel", "clCreateBuffer"):
            getattr(self.library, function).restype = ctypes.c_void_p
        self.device = self._pocl()
        self.status = ctypes.c_int()
        self.context = ctypes.c_void_p(self.create("clCreateContext", None, 1, ctypes.byref(self.device), None, None))
        self.queue = ctypes.c_void_p(self.create("clCreateCommandQueue", self.context, self.device, ctypes.c_uint64(0)))

    def _pocl(self) -> ctypes.c_void_p:
        platforms, count = (ctypes.c_void_p * 16)(), ctypes.c_uint()
        self.library.clGetPlatformIDs(16, platforms, ctypes.byref(count))
        for platform in platforms[: count.value]:
            text = ctypes.create_string_buffer(256)
            self.library.clGetPlatformInfo(ctypes.c_void_p(platform), 0x0902, ctypes.c_size_t(256), text, None)
            if b"Portable Computing Language" in text.value:
                device = ctypes.c_void_p()
                self.call("clGetDeviceIDs", ctypes.c_void_p(platform), ctypes.c_uint64(CL_DEVICE_TYPE_CPU), 1, ctypes.byref(device), None)
                version = ctypes.create_string_buffer(256)
                self.library.clGetPlatformInfo(ctypes.c_void_p(platform), 0x0901, ctypes.c_size_t(256), version, None)
                self.version = version.value.decode()
                return device
        raise Unavailable("no PoCL: apt install pocl-opencl-icd")

    def call(self, name: str, *arguments: Any) -> None:
        status = getattr(self.library, name)(*arguments)
        if status:
            raise RuntimeError(f"{name}: OpenCL error {status}")

    def create(self, name: str, *arguments: Any) -> int:
        value = getattr(self.library, name)(*arguments, ctypes.byref(self.status))
        if self.status.value:
            raise RuntimeError(f"{name}: OpenCL error {self.status.value}")
        return int(value)

    def kernel(self, text: str, name: str) -> ctypes.c_void_p:
        """Compiles a program. Raises RuntimeError with its log."""
        source = ctypes.c_char_p(text.encode())
        program = ctypes.c_void_p(self.create("clCreateProgramWithSource", self.context, 1, ctypes.byref(source), None))
        status = self.library.clBuildProgram(program, 1, ctypes.byref(self.device), b"-cl-std=CL1.2", None, None)
        if status:
            log = ctypes.create_string_buffer(8192)
            self.library.clGetProgramBuildInfo(program, self.device, 0x1183, ctypes.c_size_t(len(log)), log, None)
            raise RuntimeError(f"OpenCL error {status}: {log.value.decode(errors='replace')}")
        return ctypes.c_void_p(self.create("clCreateKernel", program, name.encode()))


def source_text(stem: str) -> str:
    """A kernel's text with what it includes."""
    text = (KERNELS / f"{stem}.cu").read_text()
    return re.sub(r'#include "(.*)"', lambda m: (KERNELS / m[1]).read_text(), text).replace("#pragma once", "")


class Pocl:
    """A case's work on PoCL's device."""

    name = "PoCL"

    def __init__(self, opencl: OpenCl, case: Case, work: Work) -> None:
        if case.opencl:
            raise Unavailable(case.opencl)
        self.opencl, self.work = opencl, work
        self.kernel = opencl.kernel(source_text(case.source), case.source)
        self.buffers: dict[int, ctypes.c_void_p] = {}
        for i, argument in enumerate(work.arguments):
            if isinstance(argument, np.ndarray):
                data = argument.ctypes.data_as(ctypes.c_void_p)
                size = ctypes.c_size_t(argument.nbytes)
                buffer = opencl.create("clCreateBuffer", opencl.context, ctypes.c_uint64(CL_MEM_READ_WRITE_COPY), size, data)
                self.buffers[i] = value = ctypes.c_void_p(buffer)
            else:
                value = scalar(argument)
            opencl.call("clSetKernelArg", self.kernel, i, ctypes.c_size_t(ctypes.sizeof(value)), ctypes.byref(value))
        self.local = (ctypes.c_size_t * 3)(*work.block)
        self.global_ = (ctypes.c_size_t * 3)(*[g * b for g, b in zip(work.grid, work.block)])

    def run(self) -> None:
        enqueue = self.opencl.library.clEnqueueNDRangeKernel
        for _ in range(self.work.launches):
            status = enqueue(self.opencl.queue, self.kernel, 3, None, self.global_, self.local, 0, None, None)
            if status:
                raise RuntimeError(f"clEnqueueNDRangeKernel: OpenCL error {status}")
        self.opencl.call("clFinish", self.opencl.queue)

    def results(self) -> list[Array]:
        out = []
        for i in self.work.outputs:
            array = np.empty_like(self.work.arguments[i])
            size, data = ctypes.c_size_t(array.nbytes), array.ctypes.data_as(ctypes.c_void_p)
            self.opencl.call("clEnqueueReadBuffer", self.opencl.queue, self.buffers[i], 1, ctypes.c_size_t(0), size, data, 0, None, None)
            out.append(array)
        return out

    def close(self) -> None:
        for buffer in self.buffers.values():
            self.opencl.library.clReleaseMemObject(buffer)
