"""Memory pools: attributes, reuse, trimming, pools of host and managed memory, pools that other processes import."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from ctypes import byref, c_int, c_ulonglong, c_void_p
from typing import Any

from .conftest import Driver

MIB = 1 << 20


def new_stream(cuda: Driver) -> int:
    stream = c_void_p()
    cuda.check(cuda.cuStreamCreate(byref(stream), 1))
    return stream.value or 0


def new_pool(cuda: Driver, handle_types: int = 0, most: int = 0, location: str = "DEVICE", kind: int = 1) -> int:
    properties, pool = cuda.new("CUmemPoolProps"), c_void_p()
    properties.allocType, properties.location.type = kind, cuda.values[f"CU_MEM_LOCATION_TYPE_{location}"]
    properties.handleTypes, properties.maxSize = handle_types, most
    cuda.check(cuda.cuMemPoolCreate(byref(pool), byref(properties)))
    return pool.value or 0


def take(cuda: Driver, pool: int, size: int, stream: int) -> int:
    address = c_ulonglong()
    cuda.check(cuda.cuMemAllocFromPoolAsync(byref(address), size, pool, stream))
    return address.value


def number(cuda: Driver, pool: int, name: str) -> int:
    value = c_ulonglong()
    cuda.check(cuda.cuMemPoolGetAttribute(pool, cuda.values[f"CU_MEMPOOL_ATTR_{name}"], byref(value)))
    return value.value


def set_attribute(cuda: Driver, pool: int, name: str, value: Any) -> None:
    cuda.check(cuda.cuMemPoolSetAttribute(pool, cuda.values[f"CU_MEMPOOL_ATTR_{name}"], byref(value)))


def hold(cuda: Driver, stream: int) -> tuple[threading.Event, Any]:
    """Keeps a stream from going on until the event is set; the second value must live as long."""
    release = threading.Event()
    wait = cuda.types["CUhostFn"](lambda _: release.wait(20) and None)
    cuda.check(cuda.cuLaunchHostFunc(stream, wait, None))
    return release, wait


def test_argument_checks(cuda: Driver) -> None:
    pool, stream, address, properties = new_pool(cuda), new_stream(cuda), c_ulonglong(), cuda.new("CUmemPoolProps")
    other = c_void_p()
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemPoolCreate(byref(other), byref(properties)))  # no type
    properties.allocType, properties.location.type, properties.location.id = 1, 1, 99
    cuda.expect("CUDA_ERROR_INVALID_DEVICE", cuda.cuMemPoolCreate(byref(other), byref(properties)))
    properties.location.id, properties.handleTypes = 0, cuda.CU_MEM_HANDLE_TYPE_FABRIC
    cuda.expect("CUDA_ERROR_NOT_SUPPORTED", cuda.cuMemPoolCreate(byref(other), byref(properties)))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemAllocFromPoolAsync(byref(address), 0, pool, stream))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemAllocFromPoolAsync(byref(address), 8, None, stream))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemFreeAsync(12345, stream))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemPoolSetAttribute(pool, cuda.CU_MEMPOOL_ATTR_USED_MEM_HIGH, byref(c_ulonglong(5))))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemPoolSetAttribute(pool, cuda.CU_MEMPOOL_ATTR_USED_MEM_CURRENT, byref(c_ulonglong(0))))
    cuda.check(cuda.cuMemPoolDestroy(pool))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemPoolTrimTo(pool, 0))


def test_freed_memory_is_used_again_in_its_stream_at_once(cuda: Driver) -> None:
    pool, stream = new_pool(cuda), new_stream(cuda)
    release, keep = hold(cuda, stream)
    first = take(cuda, pool, MIB, stream)
    cuda.check(cuda.cuMemFreeAsync(first, stream))
    assert take(cuda, pool, MIB, stream) == first  # though the stream has not got there
    assert (number(cuda, pool, "USED_MEM_CURRENT"), number(cuda, pool, "RESERVED_MEM_CURRENT")) == (MIB, MIB)
    assert number(cuda, pool, "USED_MEM_HIGH") == MIB
    release.set()
    cuda.check(cuda.cuStreamSynchronize(stream))
    del keep


def test_other_streams_take_memory_as_the_attributes_allow(cuda: Driver) -> None:
    pool, first, second = new_pool(cuda), new_stream(cuda), new_stream(cuda)
    set_attribute(cuda, pool, "REUSE_ALLOW_INTERNAL_DEPENDENCIES", c_int(0))
    set_attribute(cuda, pool, "RELEASE_THRESHOLD", c_ulonglong(64 * MIB))
    release, keep = hold(cuda, first)
    freed = take(cuda, pool, MIB, first)
    cuda.check(cuda.cuMemFreeAsync(freed, first))
    other = take(cuda, pool, MIB, second)
    assert other != freed  # still in use
    set_attribute(cuda, pool, "REUSE_ALLOW_INTERNAL_DEPENDENCIES", c_int(1))
    assert take(cuda, pool, MIB, second) == freed  # the second stream now waits for the first
    cuda.expect("CUDA_ERROR_NOT_READY", cuda.cuStreamQuery(second))
    release.set()
    cuda.check(cuda.cuStreamSynchronize(second))
    cuda.check(cuda.cuMemFreeAsync(freed, first))
    cuda.check(cuda.cuStreamSynchronize(first))
    set_attribute(cuda, pool, "REUSE_ALLOW_INTERNAL_DEPENDENCIES", c_int(0))
    assert take(cuda, pool, MIB, second) == freed  # complete: opportunistic
    del keep


def test_memory_beyond_the_threshold_goes_back_at_synchronisation(cuda: Driver) -> None:
    pool, stream = new_pool(cuda), new_stream(cuda)
    blocks = [take(cuda, pool, MIB, stream) for _ in range(4)]
    set_attribute(cuda, pool, "RELEASE_THRESHOLD", c_ulonglong(2 * MIB))
    for block in blocks:
        cuda.check(cuda.cuMemFreeAsync(block, stream))
    assert number(cuda, pool, "USED_MEM_CURRENT") == 0
    cuda.check(cuda.cuStreamSynchronize(stream))
    assert (number(cuda, pool, "RESERVED_MEM_CURRENT"), number(cuda, pool, "RESERVED_MEM_HIGH")) == (2 * MIB, 4 * MIB)
    cuda.check(cuda.cuMemPoolTrimTo(pool, MIB))
    assert number(cuda, pool, "RESERVED_MEM_CURRENT") == MIB
    set_attribute(cuda, pool, "RESERVED_MEM_HIGH", c_ulonglong(0))
    assert number(cuda, pool, "RESERVED_MEM_HIGH") == MIB
    cuda.check(cuda.cuMemPoolTrimTo(pool, 0))
    assert number(cuda, pool, "RESERVED_MEM_CURRENT") == 0


def test_a_pool_has_its_greatest_size(cuda: Driver) -> None:
    pool, stream, address = new_pool(cuda, most=2 * MIB), new_stream(cuda), c_ulonglong()
    first = take(cuda, pool, MIB + MIB // 2, stream)
    cuda.expect("CUDA_ERROR_OUT_OF_MEMORY", cuda.cuMemAllocFromPoolAsync(byref(address), MIB, pool, stream))
    cuda.check(cuda.cuMemFreeAsync(first, stream))
    cuda.check(cuda.cuStreamSynchronize(stream))
    take(cuda, pool, MIB, stream)
    assert number(cuda, pool, "MAX_POOL_SIZE") == 2 * MIB


def test_what_pools_hold_serves_other_allocations(program: Callable[..., str]) -> None:
    program(
        """
        context, stream, pool, a, total, free = c_void_p(), c_void_p(), c_void_p(), c_ulonglong(), c_size_t(), c_size_t()
        check(cuda.cuInit(0)); check(cuda.cuCtxCreate_v2(byref(context), 0, 0)); check(cuda.cuStreamCreate(byref(stream), 1))
        check(cuda.cuDeviceGetDefaultMemPool(byref(pool), 0))
        check(cuda.cuMemPoolSetAttribute(pool, cuda.CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, byref(c_ulonglong(2**63))))
        check(cuda.cuMemGetInfo_v2(byref(free), byref(total)))
        most = total.value * 3 // 4
        check(cuda.cuMemAllocAsync(byref(a), most, stream)); check(cuda.cuMemFreeAsync(a, stream))
        check(cuda.cuMemAlloc_v2(byref(a), most))
        """
    )


def test_pools_of_host_and_managed_memory(cuda: Driver) -> None:
    stream, kind, location = new_stream(cuda), c_int(), cuda.new("CUmemLocation")
    host, managed = new_pool(cuda, location="HOST"), new_pool(cuda, location="NONE", kind=cuda.CU_MEM_ALLOCATION_TYPE_MANAGED)
    for pool, expected in ((host, cuda.CU_MEMORYTYPE_HOST), (managed, cuda.CU_MEMORYTYPE_DEVICE)):
        address = take(cuda, pool, 4096, stream)
        ctypes.memset(address, 7, 4096)
        cuda.check(cuda.cuPointerGetAttribute(byref(kind), cuda.CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address))
        assert kind.value == expected
        found = c_void_p()
        cuda.check(cuda.cuPointerGetAttribute(byref(found), cuda.CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, address))
        assert found.value == pool
        cuda.check(cuda.cuMemFreeAsync(address, stream))
    cuda.check(cuda.cuStreamSynchronize(stream))
    location.type = cuda.CU_MEM_LOCATION_TYPE_HOST
    current = c_void_p()
    cuda.check(cuda.cuMemSetMemPool(byref(location), 1, host))
    cuda.check(cuda.cuMemGetMemPool(byref(current), byref(location), 1))
    assert current.value == host
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemSetMemPool(byref(location), 1, managed))
    cuda.check(cuda.cuMemPoolDestroy(host))
    cuda.check(cuda.cuMemGetMemPool(byref(current), byref(location), 1))
    assert current.value != host


def test_access_is_kept(cuda: Driver) -> None:
    pool, flags, description, location = new_pool(cuda), c_int(), cuda.new("CUmemAccessDesc"), cuda.new("CUmemLocation")
    location.type = description.location.type = 1
    cuda.check(cuda.cuMemPoolGetAccess(byref(flags), pool, byref(location)))
    assert flags.value == cuda.CU_MEM_ACCESS_FLAGS_PROT_READWRITE
    description.flags = cuda.CU_MEM_ACCESS_FLAGS_PROT_NONE
    cuda.expect("CUDA_ERROR_INVALID_DEVICE", cuda.cuMemPoolSetAccess(pool, byref(description), 1))  # its own memory
    description.flags = cuda.CU_MEM_ACCESS_FLAGS_PROT_READ
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemPoolSetAccess(pool, byref(description), 1))


def test_memory_of_a_destroyed_pool_lives_on(cuda: Driver) -> None:
    pool, stream = new_pool(cuda), new_stream(cuda)
    address = take(cuda, pool, 4096, stream)
    cuda.check(cuda.cuMemPoolDestroy(pool))
    cuda.check(cuda.cuMemsetD8Async(address, 3, 4096, stream))
    cuda.check(cuda.cuMemFreeAsync(address, stream))
    cuda.check(cuda.cuStreamSynchronize(stream))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemFreeAsync(address, stream))


def test_export_checks(cuda: Driver) -> None:
    plain, shared, stream = new_pool(cuda), new_pool(cuda, handle_types=1), new_stream(cuda)
    handle, data, imported = c_int(), cuda.new("CUmemPoolPtrExportData"), c_void_p()
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemPoolExportToShareableHandle(byref(handle), plain, 1, 0))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemPoolExportToShareableHandle(byref(handle), shared, 1, 1))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemPoolExportPointer(byref(data), take(cuda, plain, 64, stream)))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemPoolImportFromShareableHandle(byref(imported), 9999, 1, 0))
    cuda.check(cuda.cuMemPoolExportToShareableHandle(byref(handle), shared, 1, 0))
    cuda.check(cuda.cuMemPoolImportFromShareableHandle(byref(imported), handle.value, 1, 0))
    address = c_ulonglong()
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemAllocFromPoolAsync(byref(address), 64, imported, stream))  # importers do not allocate
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemPoolImportPointer(byref(address), imported, byref(data)))  # nobody's data
    source = take(cuda, shared, 64, stream)
    cuda.check(cuda.cuMemPoolExportPointer(byref(data), source))
    cuda.check(cuda.cuMemPoolImportPointer(byref(address), imported, byref(data)))
    assert address.value != source
    cuda.check(cuda.cuMemsetD8Async(source, 0x5A, 64, stream))
    cuda.check(cuda.cuStreamSynchronize(stream))
    assert cuda.download(address.value, 64) == b"\x5a" * 64
    cuda.check(cuda.cuMemFreeAsync(address, stream))
    cuda.check(cuda.cuMemFreeAsync(source, stream))


def test_exportable_pools_cut_and_join(cuda: Driver) -> None:
    pool, stream = new_pool(cuda, handle_types=1, most=MIB), new_stream(cuda)
    blocks = [take(cuda, pool, MIB // 4, stream) for _ in range(4)]
    assert len(set(blocks)) == 4
    address = c_ulonglong()
    cuda.expect("CUDA_ERROR_OUT_OF_MEMORY", cuda.cuMemAllocFromPoolAsync(byref(address), 512, pool, stream))
    for block in blocks:
        cuda.check(cuda.cuMemFreeAsync(block, stream))
    cuda.check(cuda.cuStreamSynchronize(stream))
    whole = take(cuda, pool, MIB, stream)
    assert cuda.download(whole, 16) == bytes(16)  # pages were given back
