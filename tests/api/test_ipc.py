"""Memory, events and pools between processes."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from ctypes import byref, c_int, c_ulonglong, c_void_p
from pathlib import Path
from typing import Any

import pytest

from .conftest import PRELUDE, ROOT, Driver

_CHILD = """
import os, socket, sys
context = c_void_p()
check(cuda.cuInit(0)); check(cuda.cuCtxCreate_v2(byref(context), 0, 0))
def receive(c_type):
    value = cuda.types[c_type]()
    data = sys.stdin.buffer.read(sizeof(value))
    memmove(byref(value), data, sizeof(value))
    return value
def tell(data=b"."):
    sys.stdout.buffer.write(data); sys.stdout.buffer.flush()
def hear():
    return sys.stdin.buffer.read(1)
"""


class Peer:
    """Another process with a context of its own; both sides talk through pipes."""

    def __init__(self, library: Path, code: str, descriptor: int | None = None) -> None:
        full = PRELUDE.format(library=library) + textwrap.dedent(_CHILD) + textwrap.dedent(code)
        keep = () if descriptor is None else (descriptor,)
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", full, *map(str, keep)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=keep, env=environment
        )

    def send(self, data: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(bytes(data))
        self.process.stdin.flush()

    def hear(self, size: int = 1) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.read(size)

    def finish(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(60) == 0


@pytest.fixture
def library(library_dir: Path) -> Path:
    return library_dir / "libcuda.so.1"


@pytest.fixture
def peers() -> Iterator[list[Peer]]:
    """Peers that a failing test leaves behind are ended."""
    started: list[Peer] = []
    yield started
    for peer in started:
        peer.process.kill()
        peer.process.wait()


def memory_handle(cuda: Driver, address: int) -> Any:
    handle = cuda.new("CUipcMemHandle")
    cuda.check(cuda.cuIpcGetMemHandle(byref(handle), address))
    return handle


def test_argument_checks(cuda: Driver) -> None:
    handle, address, event = cuda.new("CUipcMemHandle"), c_ulonglong(), c_void_p()
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuIpcGetMemHandle(None, cuda.alloc(8)))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuIpcGetMemHandle(byref(handle), 64))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuIpcOpenMemHandle_v2(byref(address), handle, 0))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuIpcOpenMemHandle_v2(byref(address), handle, 1))  # zeros are nobody's
    cuda.expect("CUDA_ERROR_INVALID_CONTEXT", cuda.cuIpcOpenMemHandle_v2(byref(address), memory_handle(cuda, cuda.alloc(8)), 1))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuIpcCloseMemHandle(cuda.alloc(8)))
    cuda.check(cuda.cuEventCreate(byref(event), 2))
    event_handle = cuda.new("CUipcEventHandle")
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuIpcGetEventHandle(byref(event_handle), event))  # it is not for other processes
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuIpcOpenEventHandle(byref(event), event_handle))


@pytest.mark.parametrize("size", [300, 5 << 20])
def test_memory_is_one(cuda: Driver, library: Path, peers: list[Peer], size: int) -> None:
    neighbours = [cuda.upload(bytes([i]) * 300) for i in range(5)]
    address = cuda.upload(b"before" + bytes(size - 6))
    peer = Peer(
        library,
        """
        handle, address, again, base, size = receive("CUipcMemHandle"), c_ulonglong(), c_ulonglong(), c_ulonglong(), c_size_t()
        check(cuda.cuIpcOpenMemHandle_v2(byref(address), handle, 1))
        check(cuda.cuIpcOpenMemHandle_v2(byref(again), handle, 1))
        assert address.value == again.value
        check(cuda.cuMemGetAddressRange_v2(byref(base), byref(size), address))
        assert base.value == address.value
        buffer = create_string_buffer(6)
        check(cuda.cuMemcpyDtoH_v2(buffer, address, 6))
        assert buffer.raw == b"before", buffer.raw
        check(cuda.cuMemsetD8_v2(address, 0x77, size))
        check(cuda.cuCtxSynchronize())
        assert error(cuda.cuMemFree_v2(address)) == "CUDA_ERROR_INVALID_VALUE"  # it is the other's
        check(cuda.cuIpcCloseMemHandle(address)); check(cuda.cuIpcCloseMemHandle(address))
        assert error(cuda.cuIpcCloseMemHandle(address)) == "CUDA_ERROR_INVALID_VALUE"
        tell(size.value.to_bytes(8, "little"))
        """,
    )
    peers.append(peer)
    peer.send(memory_handle(cuda, address))
    assert int.from_bytes(peer.hear(8), "little") == size
    peer.finish()
    assert cuda.download(address, size) == b"\x77" * size
    assert [cuda.download(n, 300) for n in neighbours] == [bytes([i]) * 300 for i in range(5)]
    cuda.check(cuda.cuMemFree_v2(address))
    for _ in range(2):  # memory that was shared is private and new again
        fresh = cuda.alloc(size)
        cuda.check(cuda.cuMemsetD8_v2(fresh, 1, size))
        assert cuda.download(fresh, size) == b"\x01" * size
        cuda.check(cuda.cuMemFree_v2(fresh))


def test_events_order_processes(cuda: Driver, library: Path, peers: list[Peer]) -> None:
    address, event, stream = cuda.upload(bytes(4)), c_void_p(), c_void_p()
    cuda.check(cuda.cuStreamCreate(byref(stream), 1))
    cuda.check(cuda.cuEventCreate(byref(event), 2 | 4))
    handle, back = cuda.new("CUipcEventHandle"), c_int()
    cuda.check(cuda.cuIpcGetEventHandle(byref(handle), event))
    peer = Peer(
        library,
        """
        memory, event_handle = receive("CUipcMemHandle"), receive("CUipcEventHandle")
        address, event, stream = c_ulonglong(), c_void_p(), c_void_p()
        check(cuda.cuIpcOpenMemHandle_v2(byref(address), memory, 1))
        check(cuda.cuIpcOpenEventHandle(byref(event), event_handle))
        check(cuda.cuStreamCreate(byref(stream), 1))
        tell(); hear()                                  # the other has recorded
        assert error(cuda.cuEventQuery(event)) == "CUDA_ERROR_NOT_READY"
        check(cuda.cuStreamWaitEvent(stream, event, 0))
        check(cuda.cuMemsetD32Async(address, 2, 1, stream))
        assert error(cuda.cuStreamQuery(stream)) == "CUDA_ERROR_NOT_READY"
        tell()
        check(cuda.cuEventSynchronize(event))
        check(cuda.cuStreamSynchronize(stream))
        tell()
        """,
    )
    peers.append(peer)
    peer.send(memory_handle(cuda, address))
    peer.send(handle)
    peer.hear()
    left, right = socket.socketpair()
    wait = cuda.types["CUhostFn"](lambda _: left.recv(1) and None)
    cuda.check(cuda.cuLaunchHostFunc(stream, wait, None))
    cuda.check(cuda.cuMemsetD32Async(address, 1, 1, stream))
    cuda.check(cuda.cuEventRecord(event, stream))
    peer.send(b".")
    peer.hear()
    cuda.expect("CUDA_ERROR_NOT_READY", cuda.cuEventQuery(event))
    right.send(b"!")
    peer.hear()
    peer.finish()
    cuda.check(cuda.cuEventQuery(event))
    cuda.check(cuda.cuMemcpyDtoH_v2(byref(back), address, 4))
    assert back.value == 2
    left.close()
    right.close()


def test_an_event_of_a_process_that_has_ended_is_complete(cuda: Driver, library: Path, peers: list[Peer]) -> None:
    peer = Peer(
        library,
        """
        event, stream, handle = c_void_p(), c_void_p(), cuda.types["CUipcEventHandle"]()
        check(cuda.cuStreamCreate(byref(stream), 1)); check(cuda.cuEventCreate(byref(event), 6))
        check(cuda.cuIpcGetEventHandle(byref(handle), event))
        wait = cuda.types["CUhostFn"](lambda _: hear())
        check(cuda.cuLaunchHostFunc(stream, wait, None)); check(cuda.cuEventRecord(event, stream))
        tell(bytes(handle))
        check(cuda.cuStreamSynchronize(stream))
        """,
    )
    peers.append(peer)
    handle, event = cuda.new("CUipcEventHandle"), c_void_p()
    ctypes.memmove(byref(handle), peer.hear(64), 64)
    cuda.check(cuda.cuIpcOpenEventHandle(byref(event), handle))
    cuda.expect("CUDA_ERROR_NOT_READY", cuda.cuEventQuery(event))
    peer.process.kill()
    peer.process.wait()
    cuda.check(cuda.cuEventSynchronize(event))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuIpcOpenEventHandle(byref(event), handle))  # who made it is gone


def test_pools_travel_as_descriptors(cuda: Driver, library: Path, peers: list[Peer]) -> None:
    properties, pool, handle, address, stream = cuda.new("CUmemPoolProps"), c_void_p(), c_int(), c_ulonglong(), c_void_p()
    properties.allocType, properties.location.type, properties.handleTypes, properties.maxSize = 1, 1, 1, 1 << 20
    cuda.check(cuda.cuStreamCreate(byref(stream), 1))
    cuda.check(cuda.cuMemPoolCreate(byref(pool), byref(properties)))
    cuda.check(cuda.cuMemPoolExportToShareableHandle(byref(handle), pool, 1, 0))
    for _ in range(2):
        cuda.check(cuda.cuMemAllocFromPoolAsync(byref(address), 1000, pool, stream))
    cuda.check(cuda.cuMemsetD8Async(address, 0x21, 1000, stream))
    cuda.check(cuda.cuStreamSynchronize(stream))
    data = cuda.new("CUmemPoolPtrExportData")
    cuda.check(cuda.cuMemPoolExportPointer(byref(data), address))
    peer = Peer(
        library,
        """
        pool, address, buffer, data = c_void_p(), c_ulonglong(), create_string_buffer(1000), receive("CUmemPoolPtrExportData")
        check(cuda.cuMemPoolImportFromShareableHandle(byref(pool), int(sys.argv[1]), 1, 0))
        check(cuda.cuMemPoolImportPointer(byref(address), pool, byref(data)))
        check(cuda.cuMemcpyDtoH_v2(buffer, address, 1000))
        assert buffer.raw == b"!" * 1000
        check(cuda.cuMemsetD8_v2(address, 0x3f, 1000)); check(cuda.cuCtxSynchronize())
        check(cuda.cuMemFree_v2(address))
        tell()
        """,
        descriptor=handle.value,
    )
    peers.append(peer)
    peer.send(data)
    peer.hear()
    peer.finish()
    assert cuda.download(address.value, 1000) == b"?" * 1000


def test_writers_wait_while_memory_moves(cuda: Driver) -> None:
    """A kernel's and the host's writes to memory that is being exported are neither lost nor errors."""
    import threading

    size, stop = 64 << 20, threading.Event()
    address = cuda.alloc(size)
    cuda.check(cuda.cuMemsetD8_v2(address, 1, size))
    cuda.check(cuda.cuCtxSynchronize())
    written = 0

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            value = written + 1
            ctypes.c_uint64.from_address(address + (value * 4096) % size).value = value
            written = value

    thread = threading.Thread(target=write)
    thread.start()
    memory_handle(cuda, address)
    stop.set()
    thread.join()
    first = max(1, written - size // 4096 + 1)
    for value in range(first, written + 1):
        assert ctypes.c_uint64.from_address(address + (value * 4096) % size).value == value
