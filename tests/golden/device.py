"""A CUDA device through whatever libcuda.so.1 is at hand, NVIDIA's or ours: load a module of many entries, launch them, copy."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass

ERROR_LOG = (5, 6)  # CU_JIT_ERROR_LOG_BUFFER and its size in bytes
_LOG_BYTES = 8192
_MINOR_12 = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 5, 7: 6, 8: 7, 9: 8}  # CUDA 12.x to PTX 8.y


class DriverError(Exception):
    """A driver function failed; the message names it, the error and, for a module, the first line of the compiler's log."""


@dataclass(frozen=True)
class About:
    """What a record must say of the device it comes from."""

    name: str
    capability: tuple[int, int]
    driver: str  # as nvidia-smi shows it, or that of the CUDA version

    @property
    def slug(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-") + f"-sm{self.capability[0]}{self.capability[1]}"


class Device:
    """The first device, in its primary context. One for a process."""

    def __init__(self, library: str) -> None:
        self._cuda = ctypes.CDLL(library)
        self._call("cuInit", 0)
        name = ctypes.create_string_buffer(256)
        self._call("cuDeviceGetName", name, 256, 0)
        version = ctypes.c_int()
        self._call("cuDriverGetVersion", ctypes.byref(version))
        self.cuda_version = (version.value // 1000, version.value % 1000 // 10)
        capability = (self._attribute(75), self._attribute(76))
        self.about = About(name.value.decode(), capability, _driver_version() or "CUDA {}.{}".format(*self.cuda_version))
        context = ctypes.c_void_p()
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
        self._call("cuCtxSetCurrent", context)

    @property
    def header(self) -> str:
        """The first lines of a module for this device, in the newest PTX that the driver reads."""
        major, minor = self.about.capability
        target = f"sm_{major}{minor}" + ("a" if major >= 9 else "")
        version = "{}.{}".format(*self.ptx_version)
        return f".version {version}\n.target {target}\n.address_size 64\n"

    @property
    def ptx_version(self) -> tuple[int, int]:
        major, minor = self.cuda_version
        if major == 12:
            return 8, _MINOR_12.get(minor, 8)
        return max(major, 11) - 4, minor

    def load(self, ptx: str) -> ctypes.c_void_p:
        """A module. Raises DriverError with what the driver's compiler says."""
        module = ctypes.c_void_p()
        log = ctypes.create_string_buffer(_LOG_BYTES)
        options = (ctypes.c_int * 2)(*ERROR_LOG)
        values = (ctypes.c_void_p * 2)(ctypes.addressof(log), _LOG_BYTES)
        status = self._cuda.cuModuleLoadDataEx(ctypes.byref(module), ptx.encode() + b"\0", 2, options, values)
        if status:
            lines = [line for line in log.value.decode(errors="replace").splitlines() if line.strip()]
            raise DriverError(lines[0].strip() if lines else self._name(status))
        return module

    def unload(self, module: ctypes.c_void_p) -> None:
        self._call("cuModuleUnload", module)

    def launch(self, module: ctypes.c_void_p, entry: str, ctas: int, threads: int, *pointers: int) -> None:
        """A launch on the default stream; `synchronise` says how it went."""
        function = ctypes.c_void_p()
        self._call("cuModuleGetFunction", ctypes.byref(function), module, entry.encode())
        arguments = [ctypes.c_uint64(p) for p in pointers]
        addresses = (ctypes.c_void_p * max(1, len(arguments)))(*map(ctypes.addressof, arguments))
        self._call("cuLaunchKernel", function, ctas, 1, 1, threads, 1, 1, 0, None, addresses, None)

    def synchronise(self) -> None:
        self._call("cuCtxSynchronize")

    def allocate(self, data: bytes) -> int:
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(1, len(data))))
        self._call("cuMemcpyHtoD_v2", address, data, ctypes.c_size_t(len(data)))
        return address.value

    def read(self, address: int, size: int) -> bytes:
        data = ctypes.create_string_buffer(max(1, size))
        self._call("cuMemcpyDtoH_v2", data, ctypes.c_uint64(address), ctypes.c_size_t(size))
        return data.raw[:size]

    def release(self, address: int) -> None:
        self._call("cuMemFree_v2", ctypes.c_uint64(address))

    def _attribute(self, number: int) -> int:
        value = ctypes.c_int()
        self._call("cuDeviceGetAttribute", ctypes.byref(value), number, 0)
        return value.value

    def _name(self, status: int) -> str:
        text = ctypes.c_char_p()
        self._cuda.cuGetErrorName(status, ctypes.byref(text))
        return (text.value or b"error").decode() + f" ({status})"

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._cuda, name)(*arguments)
        if status:
            raise DriverError(f"{name}: {self._name(status)}")


def _driver_version() -> str:
    try:
        with open("/proc/driver/nvidia/version", encoding="utf-8") as file:
            found = re.search(r"\d+\.\d+(\.\d+)*", file.readline().partition("Kernel Module")[2])
            return found[0] if found else ""
    except OSError:
        return ""
