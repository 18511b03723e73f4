"""The management library: what monitoring code asks, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

_PRELUDE = """
import os
from ctypes import *
nvml, cuda = CDLL("{folder}/libnvidia-ml.so.1"), CDLL("{folder}/libcuda.so.1")
class Memory(Structure): _fields_ = [(n, c_ulonglong) for n in ("total", "free", "used")]
class Process(Structure): _fields_ = [("pid", c_uint), ("used", c_ulonglong), ("gpu", c_uint), ("compute", c_uint)]
class Pci(Structure):
    _fields_ = [("legacy", c_char * 16)] + [(n, c_uint) for n in ("domain", "bus", "device", "pci", "subsystem")] + [("id", c_char * 32)]
device = c_void_p()
def start():
    assert nvml.nvmlInit_v2() == 0 and nvml.nvmlDeviceGetHandleByIndex_v2(0, byref(device)) == 0
"""


@pytest.fixture
def run(library_dir: Path) -> object:
    if not (library_dir / "libnvidia-ml.so.1").exists():
        pytest.skip(f"no libnvidia-ml.so.1 in {library_dir}: build the target anywarp_nvml")

    def program(code: str, **environment: str) -> None:
        full = _PRELUDE.format(folder=library_dir) + textwrap.dedent(code)
        done = subprocess.run([sys.executable, "-c", full], capture_output=True, text=True, env={**os.environ, **environment}, timeout=60)
        assert done.returncode == 0, done.stderr

    return program


def test_nothing_is_answered_before_init(run) -> None:  # type: ignore[no-untyped-def]
    run(
        """
        count = c_uint()
        assert nvml.nvmlDeviceGetCount_v2(byref(count)) == nvml.nvmlShutdown() == 1
        assert nvml.nvmlInitWithFlags(0) == 0 and nvml.nvmlShutdown() == 0 and nvml.nvmlShutdown() == 1
        nvml.nvmlErrorString.restype = c_char_p
        assert b"nvmlInit" in nvml.nvmlErrorString(1)
        """
    )


def test_devices(run) -> None:  # type: ignore[no-untyped-def]
    run(
        """
        start()
        count, index, text, pci, back = c_uint(), c_uint(), create_string_buffer(96), Pci(), c_void_p()
        assert nvml.nvmlDeviceGetCount_v2(byref(count)) == 0 and count.value == 3
        assert nvml.nvmlDeviceGetHandleByIndex_v2(3, byref(back)) == 2
        assert nvml.nvmlDeviceGetHandleByIndex_v2(2, byref(device)) == 0
        assert nvml.nvmlDeviceGetIndex(device, byref(index)) == 0 and index.value == 2
        assert nvml.nvmlDeviceGetName(device, text, 2) == 7 and nvml.nvmlDeviceGetName(device, text, 96) == 0 and text.value
        for ask, find in (("UUID", nvml.nvmlDeviceGetHandleByUUID), ("Pci", nvml.nvmlDeviceGetHandleByPciBusId_v2)):
            if ask == "UUID": assert nvml.nvmlDeviceGetUUID(device, text, 96) == 0 and text.value.startswith(b"GPU-"); key = text.value
            else: assert nvml.nvmlDeviceGetPciInfo_v3(device, byref(pci)) == 0; key = pci.id
            assert find(key, byref(back)) == 0 and back.value == device.value, ask
            assert find(b"nonsense", byref(back)) == 6
        major, minor, expected = c_int(), c_int(), c_int()
        assert nvml.nvmlDeviceGetCudaComputeCapability(device, byref(major), byref(minor)) == 0
        assert cuda.cuDeviceGetAttribute(byref(expected), 75, 2) == 0 and expected.value == major.value
        version, number = create_string_buffer(32), c_int()
        assert nvml.nvmlSystemGetDriverVersion(version, 32) == 0 and version.value.count(b".") == 2
        assert nvml.nvmlSystemGetCudaDriverVersion_v2(byref(number)) == 0 and number.value >= 13000
        assert nvml.nvmlDeviceGetTemperature(device, 0, byref(index)) == 3           # a processor's is not a device's
        """,
        ANYWARP_DEVICES="3",
    )


def test_memory_and_processes(run) -> None:  # type: ignore[no-untyped-def]
    run(
        """
        start()
        memory, count, processes = Memory(), c_uint(4), (Process * 4)()
        assert nvml.nvmlDeviceGetMemoryInfo(device, byref(memory)) == 0 and memory.used == 0 and memory.free == memory.total > 0
        assert nvml.nvmlDeviceGetComputeRunningProcesses_v3(device, byref(count), processes) == 0 and count.value == 0
        active, flags = c_int(), c_uint()
        cuda.cuDevicePrimaryCtxGetState(0, byref(flags), byref(active))
        assert active.value == 0                                                      # asking has not put the device into use
        context, address = c_void_p(), c_ulonglong()
        assert cuda.cuDevicePrimaryCtxRetain(byref(context), 0) == 0 and cuda.cuCtxSetCurrent(context) == 0
        assert cuda.cuMemAlloc_v2(byref(address), c_size_t(8 << 20)) == 0
        assert nvml.nvmlDeviceGetMemoryInfo(device, byref(memory)) == 0 and 8 << 20 <= memory.used < 9 << 20
        assert memory.used + memory.free == memory.total
        count.value = 0
        assert nvml.nvmlDeviceGetComputeRunningProcesses_v3(device, byref(count), None) == 7 and count.value == 1
        assert nvml.nvmlDeviceGetComputeRunningProcesses_v3(device, byref(count), processes) == 0
        assert processes[0].pid == os.getpid() and processes[0].used == memory.used
        rates = (c_uint * 2)()
        assert nvml.nvmlDeviceGetUtilizationRates(device, rates) == 0 and rates[0] <= 100
        """
    )
