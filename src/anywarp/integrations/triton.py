"""Triton on tensors of PyTorch's CPU build: the active driver where torch.cuda is not there.

Triton's CUDA driver asks torch.cuda whether it is active as soon as torch is imported, and refuses pointers that CUDA did not allocate.
Here every address of the process is the device's too, so a CPU tensor's pointer is as good as any. A launch on CPU tensors returns when the
kernel has run: the next line of the program may read the tensor, and nothing of torch would wait for it.

`prepare` runs when `triton.runtime.driver` has been imported; the driver itself is made when Triton first asks for one.
"""

from __future__ import annotations

import ctypes
import sys
import time
from types import ModuleType
from typing import Any

from anywarp import runtime_paths


def prepare(module: ModuleType) -> None:
    """Lets Triton's choice of a driver (`_create_driver` of triton.runtime.driver) fall on ours where torch has no CUDA."""
    choose = module._create_driver

    def create_driver() -> Any:
        torch = sys.modules.get("torch")
        if torch is None or torch.cuda.is_available():
            return choose()
        return driver_class()()

    module._create_driver = create_driver  # type: ignore[attr-defined]


def addresses(arguments: Any) -> Any:
    """Kernel arguments with the address of each tensor in its place; Triton passes whole numbers on unchecked."""
    return tuple(addresses(a) if isinstance(a, (tuple, list)) else a.data_ptr() if hasattr(a, "data_ptr") else a for a in arguments)


class Event:
    """What Triton's benchmarks use of torch.cuda.Event. Launches on CPU tensors are synchronous, so the host's clock is the device's."""

    def __init__(self, enable_timing: bool = False, **_: Any) -> None:
        self.time_ns = 0

    def record(self, stream: Any = None) -> None:
        self.time_ns = time.perf_counter_ns()

    def elapsed_time(self, end: Event) -> float:
        """Milliseconds to `end`."""
        return (end.time_ns - self.time_ns) / 1e6

    def synchronize(self) -> None:
        pass

    def query(self) -> bool:
        return True


class DeviceInterface:
    """What Triton uses of the module torch.cuda."""

    Event = Event

    @staticmethod
    def synchronize(device: Any = None) -> None:
        _synchronize()

    @staticmethod
    def current_device() -> int:
        return 0

    @staticmethod
    def is_available() -> bool:
        return True


def _call(function: str, *arguments: Any) -> None:
    """A function of the driver. Raises RuntimeError as Triton's own driver does."""
    library = ctypes.CDLL(runtime_paths.DRIVER)
    status = getattr(library, function)(*arguments)
    if status != 0:
        text = ctypes.c_char_p()
        library.cuGetErrorString(status, ctypes.byref(text))
        raise RuntimeError(f"Triton Error [CUDA]: {(text.value or b'unknown error').decode()}")


def _synchronize() -> None:
    _call("cuCtxSynchronize")


def _capability(device: int) -> tuple[int, int]:
    major, minor = ctypes.c_int(), ctypes.c_int()
    _call("cuDeviceComputeCapability", ctypes.byref(major), ctypes.byref(minor), device)
    return major.value, minor.value


def driver_class() -> Any:
    """The driver, a subclass of Triton's own for CUDA."""
    from triton.backends.nvidia.driver import CudaDriver, CudaLauncher, CudaUtils

    class CpuTensorDriver(CudaDriver):  # type: ignore[misc]
        """CUDA kernels on CPU tensors."""

        def __init__(self) -> None:
            # Not the base class's constructor: it takes devices and streams from torch.cuda once torch is imported, and torch.cuda
            # initialises the driver.
            _call("cuInit", 0)
            self.utils = CudaUtils()
            self.launcher_cls = CudaLauncher
            self.get_device_capability = _capability
            self.get_current_device = lambda: 0
            self.set_current_device = lambda device: None
            self.get_current_stream = lambda device: 0
            launch, properties = self.utils.launch, self.utils.get_device_properties

            def launch_and_wait(*arguments: Any) -> Any:
                result = launch(*arguments[:-1], addresses(arguments[-1]))
                _synchronize()
                return result

            if not hasattr(launch, "is_anywarp"):
                launch_and_wait.is_anywarp = True  # type: ignore[attr-defined]
                self.utils.launch = launch_and_wait
                self.utils.get_device_properties = lambda index: properties(index or 0)  # torch.device("cpu").index is None

        @staticmethod
        def is_active() -> bool:
            return True

        def get_active_torch_device(self) -> Any:
            import torch

            return torch.device("cpu")

        def get_device_interface(self) -> Any:
            return DeviceInterface

        def get_empty_cache_for_benchmark(self) -> Any:
            import torch

            return torch.empty(4 << 20, dtype=torch.int)

        def allocate_default_profile_scratch(self, size: int, alignment: int, stream: Any) -> Any:
            import torch

            return torch.zeros(size, dtype=torch.int8)

    return CpuTensorDriver
