"""The compiled routes that are there: our libcuda through ctypes, and `tests.kernels.jit` if that module exists.

`ANYWARP_LIBCUDA` names the library; otherwise it is looked for in the build folder and in the installed package. `jit` has to offer a class
`Jit` that is a `differential.Route`.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
from functools import lru_cache
from pathlib import Path

from tests.kernels.differential import Dim, Route

ROOT = Path(__file__).parents[2]


@lru_cache(maxsize=1)
def available() -> tuple[Route, ...]:
    """All routes that can be used on this machine."""
    found: list[Route] = []
    if importlib.util.find_spec("tests.kernels.jit") is not None:
        found.append(importlib.import_module("tests.kernels.jit").Jit())
    library = find_library()
    if library is not None:
        found.append(Driver(library))
    return tuple(found)


def find_library() -> Path | None:
    """Our libcuda.so.1."""
    named = os.environ.get("ANYWARP_LIBCUDA")
    if named:
        return Path(named)
    places = [*ROOT.glob("build/**/libcuda.so.1"), *ROOT.glob("src/anywarp/**/libcuda.so.1")]
    spec = importlib.util.find_spec("anywarp")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        places += Path(place).rglob("libcuda.so.1")
    return max(places, key=lambda p: p.stat().st_mtime, default=None)


class Driver:
    """The driver API, as a client calls it."""

    def __init__(self, library: Path) -> None:
        self.name = "libcuda"
        self._cuda = ctypes.CDLL(str(library))
        self._modules: dict[str, ctypes.c_void_p] = {}
        context = ctypes.c_void_p()
        self._call("cuInit", 0)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
        self._call("cuCtxSetCurrent", context)

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._cuda, name)(*arguments)
        if status:
            text = ctypes.c_char_p()
            self._cuda.cuGetErrorName(status, ctypes.byref(text))
            raise RuntimeError(f"{name}: {(text.value or b'?').decode()} ({status})")

    def allocate(self, data: bytes) -> int:
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(1, len(data))))
        self._call("cuMemcpyHtoD_v2", address, data, ctypes.c_size_t(len(data)))
        return address.value

    def read(self, address: int, size: int) -> bytes:
        data = ctypes.create_string_buffer(size)
        self._call("cuMemcpyDtoH_v2", data, ctypes.c_uint64(address), ctypes.c_size_t(size))
        return data.raw

    def release(self, address: int) -> None:
        self._call("cuMemFree_v2", ctypes.c_uint64(address))

    def launch(self, ptx: str, entry: str, grid: Dim, block: Dim, parameters: bytes, dynamic_shared: int) -> None:
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuModuleLoadData", ctypes.byref(module), ptx.encode() + b"\0")
        try:
            self._call("cuModuleGetFunction", ctypes.byref(function), module, entry.encode())
            size = ctypes.c_size_t(len(parameters))
            buffer = ctypes.create_string_buffer(parameters, max(1, len(parameters)))
            extra = (ctypes.c_void_p * 5)(1, ctypes.addressof(buffer), 2, ctypes.addressof(size), 0)
            self._call("cuLaunchKernel", function, *grid, *block, dynamic_shared, None, None, extra)
            self._call("cuCtxSynchronize")
        finally:
            self._cuda.cuModuleUnload(module)
