"""Litmus kernels on our libcuda, by ctypes: launches, counts of outcomes."""

from __future__ import annotations

import ctypes
import os
import sys
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from tests.kernels import routes
from tests.litmus import kernels
from tests.litmus.kernels import BATCH, FOLDER, Shape

PORTABLE_AND_MAPPED = 3  # CU_MEMHOSTALLOC_PORTABLE | DEVICEMAP
NON_BLOCKING = 1


@dataclass
class Outcome:
    """How often the weak outcome came up, and all outcomes (r0, r1, ...) with their counts."""

    experiments: int
    weak: int
    seen: Counter[tuple[int, ...]] = field(default_factory=Counter)


def find() -> Device | str:
    """The device, or why there is none."""
    library = routes.find_library()
    if library is None:
        return "no libcuda.so.1: build it (cmake --build build) or set ANYWARP_LIBCUDA"
    os.environ.setdefault("ANYWARP_PYTHON", sys.executable)
    os.environ.setdefault("ANYWARP_PYTHONPATH", str(routes.ROOT / "src"))
    return Device(str(library))


class Device:
    """One for a process."""

    def __init__(self, library: str) -> None:
        self._cuda = ctypes.CDLL(library)
        self._call("cuInit", 0)
        context = ctypes.c_void_p()
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
        self._call("cuCtxSetCurrent", context)
        self._streams = [ctypes.c_void_p() for _ in range(4)]
        for stream in self._streams:
            self._call("cuStreamCreate", ctypes.byref(stream), NON_BLOCKING)

    def run(self, shape: Shape, mechanism: str, scope: str, between: str, lanes: int, experiments: int) -> Outcome:
        """Runs at least so many experiments. Raises RuntimeError where the driver fails."""
        rounds = -(-experiments // (BATCH * lanes))
        total = rounds * BATCH * lanes
        function, module = self._function(kernels.kernel(shape, mechanism, scope, between, lanes), "litmus")
        size = total * shape.registers
        buffers = [self._zeros(n) for n in (256 * BATCH * lanes, size, 256)]
        roles = len(shape.roles)
        grid, block = {"warps": (1, 32 * roles), "ctas": (roles, lanes), "streams": (1, lanes)}[between]
        launches = range(roles) if between == "streams" else range(1)
        for role in launches:
            arguments = [*map(ctypes.c_uint64, buffers), ctypes.c_uint32(rounds), ctypes.c_uint32(role)]
            pointers = (ctypes.c_void_p * 5)(*map(ctypes.addressof, arguments))
            self._call("cuLaunchKernel", function, grid, 1, 1, block, 1, 1, 0, self._streams[role], pointers, None)
        self._call("cuCtxSynchronize")
        data = ctypes.create_string_buffer(size)
        self._call("cuMemcpyDtoH_v2", data, ctypes.c_uint64(buffers[1]), ctypes.c_size_t(size))
        for address in buffers:
            self._call("cuMemFree_v2", ctypes.c_uint64(address))
        self._call("cuModuleUnload", module)
        columns = np.frombuffer(data.raw, np.uint8).reshape(shape.registers, total)
        outcomes, counts = np.unique(columns, axis=1, return_counts=True)
        result = Outcome(total, 0)
        for values, count in zip(outcomes.T, counts):
            result.seen[tuple(int(v) for v in values)] = int(count)
            if eval(shape.weak, {"__builtins__": {}}, {f"r{i}": int(v) for i, v in enumerate(values)}):
                result.weak += int(count)
        return result

    def run_with_host(self, mechanism: str, rounds: int) -> tuple[int, int]:
        """Message passing between a kernel and this thread, both ways: (rounds done, rounds in which data was older than its flag)."""
        flag = {"fence": "fence.acq_rel.sys;\n  st.relaxed.sys.global.u32", "release": "st.release.sys.global.u32"}[mechanism]
        text = (FOLDER / "host.ptx").read_text(encoding="utf-8").replace("FLAG", flag)
        function, module = self._function(text, "with_host")
        memory = ctypes.c_void_p()
        self._call("cuMemHostAlloc", ctypes.byref(memory), ctypes.c_size_t(1024), PORTABLE_AND_MAPPED)
        assert memory.value is not None
        cell = [ctypes.c_uint32.from_address(memory.value + 128 * i) for i in range(5)]
        for each in cell:
            each.value = 0
        arguments = (ctypes.c_uint64(memory.value), ctypes.c_uint32(rounds))
        pointers = (ctypes.c_void_p * 2)(*map(ctypes.addressof, arguments))
        self._call("cuLaunchKernel", function, 1, 1, 1, 1, 1, 1, 0, self._streams[0], pointers, None)
        wrong = done = 0
        while done < rounds and cell[4].value == 0:
            if cell[1].value > done:
                done += 1
                wrong += cell[0].value != done
                cell[3].value = done
                cell[2].value = done
        self._call("cuCtxSynchronize")
        wrong += cell[4].value != 0
        self._call("cuMemFreeHost", memory)
        self._call("cuModuleUnload", module)
        return done, wrong

    def _function(self, ptx: str, entry: str) -> tuple[ctypes.c_void_p, ctypes.c_void_p]:
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuModuleLoadData", ctypes.byref(module), ptx.encode() + b"\0")
        self._call("cuModuleGetFunction", ctypes.byref(function), module, entry.encode())
        return function, module

    def _zeros(self, size: int) -> int:
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        self._call("cuMemsetD8_v2", address, 0, ctypes.c_size_t(size))
        return address.value

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._cuda, name)(*arguments)
        if status:
            text = ctypes.c_char_p()
            self._cuda.cuGetErrorName(status, ctypes.byref(text))
            raise RuntimeError(f"{name}: {(text.value or b'?').decode()} ({status})")
