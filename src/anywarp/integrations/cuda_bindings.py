"""cuda.bindings.runtime: its calls go to our libcudart, not to the CUDA runtime inside the package.

The module `cuda.bindings._internal.runtime` has NVIDIA's runtime linked in, with its symbols stripped, so src/runtime/redirect finds
nothing in it. It hands its functions to the package's other modules as Cython modules do: capsules with addresses in `__pyx_capi__`, read
when such a module is imported (Cython's documentation, "Sharing declarations between Cython modules"). Between the two, `redirect` puts
the addresses of our functions into the capsules; the types stay what they are.
"""

from __future__ import annotations

import ctypes
import os
import sys
from types import ModuleType

from anywarp import runtime_paths

# What the headers call by another name, by CUDA's major version (cuda_runtime_api.h, `#define`).
_RENAMED = {
    12: {
        "cudaGetDeviceProperties": "cudaGetDeviceProperties_v2",
        "cudaStreamGetCaptureInfo": "cudaStreamGetCaptureInfo_v2",
        "cudaSignalExternalSemaphoresAsync": "cudaSignalExternalSemaphoresAsync_v2",
        "cudaWaitExternalSemaphoresAsync": "cudaWaitExternalSemaphoresAsync_v2",
    }
}


def redirect(module: ModuleType) -> None:
    """Changes the capsules of `_internal.runtime` or `_internal.runtime_ptds` (per-thread default stream), which has just been imported."""
    major = int(sys.modules["cuda.bindings"].__version__.split(".")[0])
    library = ctypes.CDLL(os.path.join(runtime_paths.library_dir(), f"libcudart.so.{major}"))
    set_pointer = ctypes.pythonapi.PyCapsule_SetPointer
    set_pointer.argtypes, set_pointer.restype = [ctypes.py_object, ctypes.c_void_p], ctypes.c_int
    suffixes = ("_ptds", "_ptsz", "") if module.__name__.endswith("_ptds") else ("",)
    for name, capsule in module.__pyx_capi__.items():
        symbol = name.lstrip("_")
        symbol = _RENAMED.get(major, {}).get(symbol, symbol)
        for suffix in suffixes:
            # A function of a newer version than ours is missing: it stays the package's own, which finds no driver of NVIDIA's and says so.
            if hasattr(library, symbol + suffix):
                set_pointer(capsule, ctypes.cast(getattr(library, symbol + suffix), ctypes.c_void_p))
                break
