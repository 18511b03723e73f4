"""numba-cuda and cuda.core: PTX goes to the driver, not to nvJitLink.

Both link with nvJitLink where they find it, and what it gives is machine code, which no CPU runs. Where it is missing, they use the
driver's `cuLink*` with PTX. They look for a library that is loaded already before they search the disk, so an empty one under nvJitLink's
name (one without its functions) makes nvJitLink missing, for them and in this process only.
"""

from __future__ import annotations

import ctypes
import warnings

from anywarp import runtime_paths

_loaded: list[ctypes.CDLL] = []


def disable() -> None:
    """Makes nvJitLink missing in this process. Does nothing where it is loaded already or the stand-in was not built."""
    if _loaded:
        return
    for major in (13, 12):
        path = runtime_paths.standin(f"libnvJitLink.so.{major}")
        if path is not None:
            _loaded.append(ctypes.CDLL(path))
    # cuda.core warns that nvJitLink "is too old"; here it is not wanted.
    warnings.filterwarnings("ignore", message=r"libnvJitLink\.so\* is too old", category=RuntimeWarning)
