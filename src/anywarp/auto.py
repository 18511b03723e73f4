"""`import anywarp.auto`: this process, and those that it starts, find our CUDA driver. Import it before any CUDA package.

For notebooks and test-suites (`pytest -p anywarp`), where no `anywarp run` stands in front. The driver is loaded by its path for all to
see; whoever asks for `libcuda.so.1` later gets it, since the loader knows it by that name. Modules with the CUDA runtime linked in
statically are sent to ours: those that are loaded already, and those that will be. Raises RuntimeError where another libcuda.so.1 is
loaded already, and runtime_paths.RuntimeNotFound where ours is not built. Warns where the loader does not let later modules be seen.
"""

from __future__ import annotations

import ctypes
import os
import warnings

from anywarp import runtime_paths
from anywarp.integrations import environment, hooks
from anywarp.settings import INTEGRATIONS

__all__ = ["driver"]


def _load(path: str) -> ctypes.CDLL:
    loaded = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    if ctypes.CDLL(runtime_paths.DRIVER)._handle != loaded._handle:
        raise RuntimeError(
            f"another {runtime_paths.DRIVER} is loaded in this process already: import anywarp.auto before any CUDA package, "
            "or start the program with `anywarp run`"
        )
    return loaded


def _redirect() -> None:
    path = runtime_paths.redirect()
    if path is not None and ctypes.CDLL(path).anywarp_redirect_start() != 0:
        warnings.warn(
            "modules with the CUDA runtime linked in statically cannot be served in this process: start it with `anywarp run`",
            RuntimeWarning,
            stacklevel=3,
        )


driver = runtime_paths.driver()
_library = _load(driver)
_redirect()
os.environ.update(environment.variables(os.environ))
if INTEGRATIONS.get():
    hooks.install()
