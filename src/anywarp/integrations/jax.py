"""JAX with its CUDA plugin: XLA's kernels come to the driver as PTX, and the closed libraries that XLA asks for at its start are missing in
an orderly way.

`prepare` runs before the plugin is imported:

- XLA compiles no program before cuDNN has given it a handle, and prints cuBLAS's status where that fails. The stand-ins for both
  (src/runtime/standins/README.md) are loaded first; XLA's own `dlopen` by name then finds them loaded. XLA takes its own matrix kernels.
- XLA starts `bin/ptxas` of the folder that a flag names; ours passes PTX through. nvJitLink, which makes machine code, is made missing.
- Choosing matrix kernels by trying them out costs a compilation for each candidate, seconds in all, and measures little here: off by flag.

What the user has in `XLA_FLAGS` comes behind, so it wins. `show_device` makes JAX's look for `/dev/nvidia0` succeed where our driver has a
device: JAX leaves the plugin alone otherwise.
"""

from __future__ import annotations

import ctypes
import os
from types import ModuleType

from anywarp import runtime_paths
from anywarp.integrations import nvjitlink

_STANDINS = ("libcudnn.so.9", "libcublas.so.13", "libcublasLt.so.13", "libcublas.so.12", "libcublasLt.so.12")
_loaded: list[ctypes.CDLL] = []


def prepare() -> None:
    """Before `jax_plugins.xla_cuda12` or `xla_cuda13` is imported."""
    if _loaded:
        return
    for name in _STANDINS:
        path = runtime_paths.standin(name)
        if path is not None:
            _loaded.append(ctypes.CDLL(path))
    nvjitlink.disable()
    flags = ["--xla_gpu_autotune_level=0"]
    if ptxas := runtime_paths.program("ptxas"):
        flags.append(f"--xla_gpu_cuda_data_dir={os.path.dirname(os.path.dirname(ptxas))}")
    os.environ["XLA_FLAGS"] = " ".join([*flags, os.environ.get("XLA_FLAGS", "")]).strip()
    # The check wants a dozen closed libraries of certain versions. JAX's own variable switches it off.
    os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")


def show_device(module: ModuleType) -> None:
    """After `jax._src.hardware_utils` was imported: a device of our driver counts as one."""
    look = module.has_visible_nvidia_gpu

    def has_visible_nvidia_gpu() -> bool:
        return bool(look()) or _has_device()

    module.has_visible_nvidia_gpu = has_visible_nvidia_gpu  # type: ignore[attr-defined]


def _has_device() -> bool:
    count = ctypes.c_int()
    driver = ctypes.CDLL(runtime_paths.DRIVER)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
