"""External memory and semaphores: descriptors of the operating system."""

from __future__ import annotations

import mmap
import os
import struct
from ctypes import byref, c_ulonglong, c_void_p, create_string_buffer
from typing import Any

import pytest

from .conftest import Driver
from .test_graph_nodes import semaphore

OPAQUE, WIN32, TIMELINE = 1, 2, 9


def memory_file(size: int) -> int:
    descriptor = os.memfd_create("external")
    os.ftruncate(descriptor, size)
    return descriptor


def describe(cuda: Driver, descriptor: int, size: int, kind: int = OPAQUE) -> Any:
    description = cuda.new("CUDA_EXTERNAL_MEMORY_HANDLE_DESC")
    description.type, description.handle.fd, description.size = kind, descriptor, size
    return description


def test_argument_checks(cuda: Driver) -> None:
    memory, made, descriptor = c_void_p(), c_void_p(), memory_file(4096)
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuImportExternalMemory(byref(memory), byref(describe(cuda, descriptor, 0))))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuImportExternalMemory(byref(memory), byref(describe(cuda, descriptor, 8192))))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuImportExternalMemory(byref(memory), byref(describe(cuda, descriptor, 4096, 77))))
    cuda.expect("CUDA_ERROR_NOT_SUPPORTED", cuda.cuImportExternalMemory(byref(memory), byref(describe(cuda, descriptor, 4096, WIN32))))
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuImportExternalMemory(byref(memory), byref(describe(cuda, 9999, 4096))))
    d = cuda.new("CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC")
    d.type, d.handle.fd = OPAQUE, descriptor
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuImportExternalSemaphore(byref(made), byref(d)))  # no eventfd
    d.type = WIN32
    cuda.expect("CUDA_ERROR_NOT_SUPPORTED", cuda.cuImportExternalSemaphore(byref(made), byref(d)))
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuDestroyExternalMemory(None))
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuDestroyExternalSemaphore(None))
    os.close(descriptor)


def test_buffers_are_the_files_bytes(cuda: Driver) -> None:
    descriptor, memory, address = memory_file(8192), c_void_p(), c_ulonglong()
    view = mmap.mmap(descriptor, 8192)
    cuda.check(cuda.cuImportExternalMemory(byref(memory), byref(describe(cuda, descriptor, 8192))))
    buffer = cuda.new("CUDA_EXTERNAL_MEMORY_BUFFER_DESC")
    buffer.offset, buffer.size = 4096, 8192
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuExternalMemoryGetMappedBuffer(byref(address), memory, byref(buffer)))
    buffer.size = 4096
    cuda.check(cuda.cuExternalMemoryGetMappedBuffer(byref(address), memory, byref(buffer)))
    cuda.check(cuda.cuMemsetD8_v2(address, 0x41, 4096))
    cuda.check(cuda.cuCtxSynchronize())
    assert view[4095:4098] == b"\0AA"
    view[4096:4100] = b"host"
    assert cuda.download(address.value, 5) == b"hostA"
    cuda.check(cuda.cuDestroyExternalMemory(memory))
    assert cuda.download(address.value, 5) == b"hostA"  # the buffer keeps the memory
    cuda.check(cuda.cuMemFree_v2(address))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemFree_v2(address))


def test_arrays_over_external_memory(cuda: Driver) -> None:
    descriptor, memory, mipmap, level = memory_file(8192), c_void_p(), c_void_p(), c_void_p()
    view = mmap.mmap(descriptor, 8192)
    cuda.check(cuda.cuImportExternalMemory(byref(memory), byref(describe(cuda, descriptor, 8192))))
    d = cuda.new("CUDA_EXTERNAL_MEMORY_MIPMAPPED_ARRAY_DESC")
    d.offset, d.numLevels = 4096, 1
    d.arrayDesc.Width, d.arrayDesc.Height, d.arrayDesc.NumChannels, d.arrayDesc.Format = 64, 128, 1, cuda.CU_AD_FORMAT_UNSIGNED_INT8
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuExternalMemoryGetMappedMipmappedArray(byref(mipmap), memory, byref(d)))
    d.arrayDesc.Height = 64
    cuda.check(cuda.cuExternalMemoryGetMappedMipmappedArray(byref(mipmap), memory, byref(d)))
    cuda.check(cuda.cuMipmappedArrayGetLevel(byref(level), mipmap, 0))
    cuda.check(cuda.cuMemcpyHtoA_v2(level, 0, b"array", 5))
    assert view[4096:4101] == b"array"
    cuda.check(cuda.cuDestroyExternalMemory(memory))
    back = create_string_buffer(5)
    cuda.check(cuda.cuMemcpyAtoH_v2(back, level, 0, 5))
    assert back.raw == b"array"
    cuda.check(cuda.cuMipmappedArrayDestroy(mipmap))


@pytest.mark.parametrize("kind", [OPAQUE, TIMELINE])
def test_streams_wait_for_semaphores(cuda: Driver, kind: int) -> None:
    descriptor = os.eventfd(0) if kind == OPAQUE else memory_file(4096)
    kept = os.dup(descriptor)
    view = mmap.mmap(kept, 4096) if kind == TIMELINE else None
    made, stream, address = semaphore(cuda, descriptor, kind), c_void_p(), cuda.upload(bytes(4))
    cuda.check(cuda.cuStreamCreate(byref(stream), 1))
    semaphores, wait = (c_void_p * 1)(made), (cuda.types["CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS"] * 1)()
    wait[0].params.fence.value = 5
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuWaitExternalSemaphoresAsync(semaphores, wait, 0, stream))
    cuda.check(cuda.cuWaitExternalSemaphoresAsync(semaphores, wait, 1, stream))
    cuda.check(cuda.cuMemsetD32Async(address, 1, 1, stream))
    cuda.expect("CUDA_ERROR_NOT_READY", cuda.cuStreamQuery(stream))
    if view is None:
        os.write(kept, struct.pack("<Q", 1))
    else:
        view[:8] = struct.pack("<Q", 5)
    cuda.check(cuda.cuStreamSynchronize(stream))
    signal = (cuda.types["CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS"] * 1)()
    signal[0].params.fence.value = 9
    cuda.check(cuda.cuSignalExternalSemaphoresAsync(semaphores, signal, 1, stream))
    cuda.check(cuda.cuStreamSynchronize(stream))
    assert struct.unpack("<Q", os.read(kept, 8) if view is None else view[:8])[0] == (1 if view is None else 9)
    cuda.check(cuda.cuDestroyExternalSemaphore(made))
    os.close(kept)
