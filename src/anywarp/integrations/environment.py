"""The environment that a CUDA program needs to find us: search paths, and what each client wants to be told.

Standard library only and quick: `anywarp run` is as fast as this.
"""

from __future__ import annotations

import os
import sys

from anywarp import runtime_paths

TYPE_CHECKING = False  # as in anywarp/__init__.py
if TYPE_CHECKING:
    from collections.abc import Mapping


def prepend(folder: str, current: str | None) -> str:
    """A search path with `folder` in front and nowhere else."""
    return os.pathsep.join([folder, *[p for p in (current or "").split(os.pathsep) if p and p != folder]])


def variables(current: Mapping[str, str]) -> dict[str, str]:
    """What to set on top of the environment `current`; what the user has set stays. Raises runtime_paths.RuntimeNotFound."""
    libraries = runtime_paths.library_dir()
    result = {
        "LD_LIBRARY_PATH": prepend(libraries, current.get("LD_LIBRARY_PATH")),
        # Python programs of any environment: sitecustomize.py there prepares client packages as they are imported.
        "PYTHONPATH": prepend(runtime_paths.startup_dir(), current.get("PYTHONPATH")),
    }
    if programs := runtime_paths.path_dir():
        result["PATH"] = prepend(programs, current.get("PATH", os.defpath))
    if redirect := runtime_paths.redirect():
        # Programs and extension modules with the CUDA runtime linked in statically (src/runtime/redirect).
        result["LD_AUDIT"] = prepend(redirect, current.get("LD_AUDIT"))
    defaults = {"ANYWARP_PYTHON": sys.executable, **_clients(libraries)}
    if not libraries.startswith(runtime_paths.PACKAGE + os.sep):
        # The libraries do not lie in this package: the compiler and the client's hooks must be told what belongs together.
        defaults["ANYWARP_PYTHONPATH"] = os.path.dirname(runtime_paths.PACKAGE)
        defaults["ANYWARP_RUNTIME_DIR"] = os.path.dirname(libraries)
    for name, value in defaults.items():
        if value and not current.get(name):
            result[name] = value
    return result


def _clients(libraries: str) -> dict[str, str]:
    ptxas = runtime_paths.program("ptxas") or ""
    return {
        # Triton starts its own ptxas, whose machine code no CPU runs; the stand-in passes PTX through. It asks ldconfig for libcuda.so.1
        # unless it is told.
        "TRITON_PTXAS_PATH": ptxas,
        "TRITON_PTXAS_BLACKWELL_PATH": ptxas,
        "TRITON_LIBCUDA_PATH": libraries,
        # CuPy asks NVRTC for machine code otherwise.
        "CUPY_COMPILE_WITH_PTX": "1",
    }
