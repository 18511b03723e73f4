"""libcudart through ctypes, without a compiler: exports, versions, layouts, errors, memory, streams."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
from ctypes import byref, c_int, c_size_t, c_uint, c_void_p, create_string_buffer
from pathlib import Path

import pytest

from anywarp.api import table

from .conftest import NAMES, Runtime

HOST_TO_DEVICE, DEVICE_TO_HOST = 1, 2


@pytest.mark.parametrize("major", sorted(NAMES))
def test_every_symbol_is_exported_under_its_version(major: int, library_dir: Path) -> None:
    lines = subprocess.run(
        ["nm", "-D", "--defined-only", str(library_dir / NAMES[major])], capture_output=True, text=True, check=True
    ).stdout
    found = {line.split()[-1] for line in lines.splitlines() if " T " in line}
    wanted = {s for f in table.load("runtime").exported(major) for s in (f.symbol, f.twin_symbol) if s}
    assert found == {f"{s}@@{NAMES[major]}" for s in wanted}


def test_versions(cuda: Runtime) -> None:
    version = c_int()
    cuda.check(cuda.cudaRuntimeGetVersion(byref(version)))
    assert version.value // 1000 == cuda.major
    cuda.check(cuda.cudaDriverGetVersion(byref(version)))
    assert version.value >= 13000
    cuda.expect("cudaErrorInvalidValue", cuda.cudaDriverGetVersion(None))


def test_last_error_is_kept_until_it_is_asked_for(cuda: Runtime) -> None:
    cuda.expect("cudaErrorInvalidDevice", cuda.cudaSetDevice(999))
    cuda.check(cuda.cudaSetDevice(0))
    cuda.expect("cudaErrorInvalidDevice", cuda.cudaPeekAtLastError())
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(cuda.cudaGetLastError()))
    thread.start()
    thread.join()
    assert seen == [0]  # each thread has its own
    cuda.expect("cudaErrorInvalidDevice", cuda.cudaGetLastError())
    cuda.check(cuda.cudaGetLastError())


def test_not_ready_is_no_last_error(cuda: Runtime) -> None:
    stream, release = c_void_p(), threading.Event()
    cuda.check(cuda.cudaStreamCreate(byref(stream)))
    wait = cuda.types["cudaHostFn_t"](lambda _: release.wait(20) and None)
    cuda.check(cuda.cudaLaunchHostFunc(stream, wait, None))
    cuda.expect("cudaErrorNotReady", cuda.cudaStreamQuery(stream))
    cuda.check(cuda.cudaPeekAtLastError())
    release.set()
    cuda.check(cuda.cudaStreamSynchronize(stream))
    cuda.check(cuda.cudaStreamQuery(stream))
    cuda.check(cuda.cudaStreamDestroy(stream))


@pytest.mark.parametrize(
    ("major", "symbol", "struct", "size"),
    [
        (11, "cudaGetDeviceProperties", "cudaDeviceProp_v11", 728),
        (12, "cudaGetDeviceProperties", "cudaDeviceProp_v11", 728),
        (12, "cudaGetDeviceProperties_v2", "cudaDeviceProp_v12", 1032),
        (13, "cudaGetDeviceProperties", "cudaDeviceProp", 1008),
    ],
)
def test_device_properties_have_the_layout_of_their_version(major: int, symbol: str, struct: str, size: int, library_dir: Path) -> None:
    cuda = Runtime(library_dir, major)
    buffer = create_string_buffer(b"\xee" * (size + 64), size + 64)
    cuda.check(getattr(cuda, symbol)(buffer, 0))
    assert buffer.raw[size:] == b"\xee" * 64  # nothing is written behind it
    properties = cuda.types[struct].from_buffer(buffer)
    value = c_int()
    for member, attribute in (
        ("multiProcessorCount", 16),
        ("major", 75),
        ("warpSize", 10),
        ("l2CacheSize", 38),
        ("maxBlocksPerMultiProcessor", 106),
    ):
        cuda.check(cuda.cudaDeviceGetAttribute(byref(value), attribute, 0))
        assert getattr(properties, member) == value.value
    assert properties.name
    cuda.expect("cudaErrorInvalidDevice", getattr(cuda, symbol)(buffer, 99))


@pytest.mark.parametrize(("major", "size"), [(11, 24), (12, 24), (13, 88)])
def test_pointer_attributes_have_the_size_of_their_version(major: int, size: int, library_dir: Path) -> None:
    cuda = Runtime(library_dir, major)
    pointer = c_void_p()
    cuda.check(cuda.cudaMalloc(byref(pointer), 64))
    buffer = create_string_buffer(b"\xee" * 128, 128)
    cuda.check(cuda.cudaPointerGetAttributes(buffer, pointer.value))
    assert buffer.raw[size:] == b"\xee" * (128 - size)
    attributes = cuda.types["cudaPointerAttributes"].from_buffer(buffer)
    assert (attributes.type, attributes.device, attributes.devicePointer) == (2, 0, pointer.value)
    cuda.check(cuda.cudaFree(pointer))


def test_memory_round_trip(cuda: Runtime) -> None:
    data, back, pointer = create_string_buffer(b"0123456789abcdef", 16), create_string_buffer(16), c_void_p()
    cuda.check(cuda.cudaMalloc(byref(pointer), 16))
    cuda.check(cuda.cudaMemcpy(pointer, data, 16, HOST_TO_DEVICE))
    cuda.check(cuda.cudaMemset(c_void_p(pointer.value + 4), ord("x"), 4))  # type: ignore[operator]
    cuda.check(cuda.cudaMemcpyAsync(back, pointer, 16, DEVICE_TO_HOST, None))
    cuda.check(cuda.cudaDeviceSynchronize())
    assert back.raw == b"0123xxxx89abcdef"
    cuda.check(cuda.cudaFree(pointer))


def test_memory_argument_checks(cuda: Runtime) -> None:
    pointer, pitch = c_void_p(), c_size_t()
    cuda.expect("cudaErrorInvalidValue", cuda.cudaMalloc(None, 16))
    cuda.expect("cudaErrorMemoryAllocation", cuda.cudaMalloc(byref(pointer), 1 << 60))
    cuda.check(cuda.cudaMalloc(byref(pointer), 0))
    assert pointer.value is None
    cuda.check(cuda.cudaFree(None))
    cuda.check(cuda.cudaFreeHost(None))
    cuda.expect("cudaErrorInvalidMemcpyDirection", cuda.cudaMemcpy(pointer, pointer, 0, 9))
    cuda.expect("cudaErrorInvalidValue", cuda.cudaMallocPitch(byref(pointer), None, 4, 4))
    cuda.check(cuda.cudaMallocPitch(byref(pointer), byref(pitch), 100, 3))
    assert pitch.value >= 100
    cuda.check(cuda.cudaFree(pointer))


def test_launch_of_something_unknown(cuda: Runtime) -> None:
    dim3 = cuda.types["dim3"]
    cuda.expect(
        "cudaErrorInvalidDeviceFunction", cuda.cudaLaunchKernel(ctypes.addressof(c_int()), dim3(1, 1, 1), dim3(1, 1, 1), None, 0, None)
    )
    cuda.expect("cudaErrorInvalidSymbol", cuda.cudaGetSymbolSize(byref(c_size_t()), ctypes.addressof(c_int())))
    cuda.expect("cudaErrorMissingConfiguration", getattr(cuda, "__cudaPopCallConfiguration")(None, None, None, None))


def test_context_of_the_driver_api_is_used(library_dir: Path) -> None:
    # In a process of its own: contexts stay current.
    code = f"""
from ctypes import *
from anywarp.api.bindings import Library
driver, runtime = Library({str(library_dir / "libcuda.so.1")!r}), Library({str(library_dir / "libcudart.so.13")!r}, "runtime", 13)
context, current, pointer, active, flags = c_void_p(), c_void_p(), c_void_p(), c_int(), c_uint()
assert driver.cuInit(0) == 0 and driver.cuCtxCreate_v2(byref(context), 0, 0) == 0
assert runtime.cudaMalloc(byref(pointer), 16) == 0
assert driver.cuCtxGetCurrent(byref(current)) == 0 and current.value == context.value
assert driver.cuDevicePrimaryCtxGetState(0, byref(flags), byref(active)) == 0 and active.value == 0
assert runtime.cudaSetDevice(0) == 0
assert driver.cuDevicePrimaryCtxGetState(0, byref(flags), byref(active)) == 0 and active.value == 1
assert driver.cuCtxGetCurrent(byref(current)) == 0 and current.value != context.value
"""
    source = Path(table.__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(source)}, timeout=120)
    assert done.returncode == 0, done.stderr


def test_missing_function_is_named_once(library_dir: Path) -> None:
    code = f"""
from anywarp.api.bindings import Library
runtime = Library({str(library_dir / "libcudart.so.12")!r}, "runtime", 12)
for _ in range(3):
    assert runtime.name_of(runtime.cudaVDPAUGetDevice(None, 0, None)) == "cudaErrorNotSupported"
assert runtime.name_of(runtime.cudaGetLastError()) == "cudaErrorNotSupported"
"""
    source = Path(table.__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(source)}, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("cudaVDPAUGetDevice is not supported: needs VDPAU surfaces") == 1


def test_every_runtime_sees_the_devices_of_the_environment(library_dir: Path) -> None:
    code = f"""
from ctypes import *
from anywarp.api.bindings import Library
for name, major in {[(n, m) for m, n in NAMES.items()]!r}:
    runtime = Library({str(library_dir)!r} + "/" + name, "runtime", major)
    count, device, pointer = c_int(), c_int(), c_void_p()
    assert runtime.cudaGetDeviceCount(byref(count)) == 0 and count.value == 3
    assert runtime.cudaSetDevice(2) == 0 and runtime.cudaMalloc(byref(pointer), 16) == 0
    assert runtime.cudaGetDevice(byref(device)) == 0 and device.value == 2
    attributes = runtime.types["cudaPointerAttributes"]()
    assert runtime.cudaPointerGetAttributes(byref(attributes), pointer) == 0 and attributes.device == 2
"""
    source = Path(table.__file__).resolve().parents[2]
    env = {"PYTHONPATH": str(source), "ANYWARP_DEVICES": "3"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr


def test_streams_and_events(cuda: Runtime) -> None:
    stream, begin, end, milliseconds, flags = c_void_p(), c_void_p(), c_void_p(), ctypes.c_float(), c_uint()
    cuda.check(cuda.cudaStreamCreateWithFlags(byref(stream), 1))
    cuda.check(cuda.cudaStreamGetFlags(stream, byref(flags)))
    assert flags.value == 1
    cuda.check(cuda.cudaEventCreate(byref(begin)))
    cuda.check(cuda.cudaEventCreate(byref(end)))
    cuda.check(cuda.cudaEventRecord(begin, stream))
    cuda.check(cuda.cudaEventRecord(end, stream))
    cuda.check(cuda.cudaEventSynchronize(end))
    cuda.check(cuda.cudaEventElapsedTime(byref(milliseconds), begin, end))
    assert milliseconds.value >= 0
    cuda.check(cuda.cudaEventDestroy(begin))
    cuda.check(cuda.cudaEventDestroy(end))
    cuda.check(cuda.cudaStreamDestroy(stream))
    cuda.expect("cudaErrorInvalidValue", cuda.cudaStreamCreateWithFlags(byref(stream), 77))


def test_a_graph_is_captured_again(cuda: Runtime) -> None:
    """The callback is told the runtime's parameters, before and after."""
    if cuda.major < 13:
        pytest.skip("cudaStreamBeginRecaptureToGraph is of CUDA 13")
    stream, graph, memory = c_void_p(), c_void_p(), c_void_p()
    cuda.check(cuda.cudaStreamCreate(byref(stream)))
    cuda.check(cuda.cudaMalloc(byref(memory), 64))
    told: list[tuple[int, int]] = []

    @cuda.types["cudaGraphRecaptureCallback_t"]  # type: ignore[untyped-decorator]
    def callback(data: int, node: int, before: int, after: int, status: int) -> int:
        old, new = (ctypes.cast(p, ctypes.POINTER(cuda.types["cudaGraphNodeParams"]))[0] for p in (before, after))
        told.append((old.memset.value, new.memset.value))
        return 0

    def again(value: int) -> int:
        data = cuda.types["cudaGraphRecaptureCallbackData"]()
        data.callbackFunc = callback
        cuda.check(cuda.cudaStreamBeginRecaptureToGraph(stream, 0, graph, byref(data)))
        del data
        cuda.check(cuda.cudaMemsetAsync(memory, value, 64, stream))
        return int(cuda.cudaStreamEndCapture(stream, byref(graph)))

    cuda.check(cuda.cudaStreamBeginCapture(stream, 0))
    cuda.check(cuda.cudaMemsetAsync(memory, 1, 64, stream))
    cuda.check(cuda.cudaStreamEndCapture(stream, byref(graph)))
    cuda.check(again(1))
    assert told == []
    cuda.check(again(9))
    assert told == [(1, 9)]
