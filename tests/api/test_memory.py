"""Memory: allocation, copies in all directions and dimensions, fills, attributes of pointers, pools."""

from __future__ import annotations

import ctypes
import random
import threading
from ctypes import byref, c_int, c_size_t, c_uint, c_ulonglong, c_void_p, create_string_buffer

import pytest

from .conftest import Driver

HOST, DEVICE, UNIFIED = 1, 2, 4


def test_alloc_argument_checks(cuda: Driver) -> None:
    address = c_ulonglong()
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemAlloc_v2(None, 16))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemAlloc_v2(byref(address), 0))
    cuda.expect("CUDA_ERROR_OUT_OF_MEMORY", cuda.cuMemAlloc_v2(byref(address), 1 << 60))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemAllocManaged(byref(address), 16, 0))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemHostAlloc(byref(address), 16, 0x100))


def test_free_argument_checks(cuda: Driver) -> None:
    address = cuda.alloc(1024)
    cuda.check(cuda.cuMemFree_v2(0))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemFree_v2(address + 256))
    cuda.check(cuda.cuMemFree_v2(address))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemFree_v2(address))  # twice
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemFree_v2(0x1234))
    host = c_void_p()
    cuda.check(cuda.cuMemAllocHost_v2(byref(host), 64))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemFree_v2(host.value))
    cuda.check(cuda.cuMemFreeHost(host))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemFreeHost(host))


@pytest.mark.parametrize("size", [1, 7, 256, 4097, 1 << 20, (1 << 22) + 3])
def test_round_trip(cuda: Driver, size: int) -> None:
    data = random.Random(size).randbytes(size)
    first = cuda.upload(data)
    assert first % 256 == 0
    second = cuda.alloc(size)
    cuda.check(cuda.cuMemcpyDtoD_v2(second, first, size))
    assert cuda.download(second, size) == data
    cuda.check(cuda.cuMemFree_v2(first))
    cuda.check(cuda.cuMemFree_v2(second))


def test_copies_outside_an_allocation_are_refused(cuda: Driver) -> None:
    address, host = cuda.alloc(1000), create_string_buffer(4096)
    assert cuda.name_of(cuda.cuMemcpyHtoD_v2(address, host, 1001)) == "CUDA_ERROR_INVALID_VALUE"
    assert cuda.name_of(cuda.cuMemcpyHtoD_v2(address + 500, host, 501)) == "CUDA_ERROR_INVALID_VALUE"
    assert cuda.name_of(cuda.cuMemcpyDtoH_v2(host, address + 999, 2)) == "CUDA_ERROR_INVALID_VALUE"
    assert cuda.name_of(cuda.cuMemcpyHtoD_v2(ctypes.addressof(host), host, 4)) == "CUDA_ERROR_INVALID_VALUE"
    assert cuda.name_of(cuda.cuMemcpyHtoD_v2(0, host, 4)) == "CUDA_ERROR_INVALID_VALUE"
    assert cuda.name_of(cuda.cuMemsetD8_v2(address, 0, 1001)) == "CUDA_ERROR_INVALID_VALUE"
    cuda.check(cuda.cuMemcpyHtoD_v2(address + 1000, host, 0))  # nothing


def test_unified_copy_finds_the_sides_itself(cuda: Driver) -> None:
    data, back = create_string_buffer(b"unified!", 8), create_string_buffer(8)
    address = cuda.alloc(8)
    cuda.check(cuda.cuMemcpy(address, ctypes.addressof(data), 8))
    cuda.check(cuda.cuMemcpy(ctypes.addressof(back), address, 8))
    assert back.raw == b"unified!"


def test_pageable_source_may_change_after_an_async_copy(cuda: Driver) -> None:
    size = 4096
    address, stream = cuda.alloc(size * 64), c_void_p()
    cuda.check(cuda.cuStreamCreate(byref(stream), 1))
    buffer = create_string_buffer(size)
    for i in range(64):
        ctypes.memset(buffer, i, size)
        cuda.check(cuda.cuMemcpyHtoDAsync_v2(address + i * size, buffer, size, stream))
    cuda.check(cuda.cuStreamSynchronize(stream))
    assert cuda.download(address, size * 64) == b"".join(bytes([i]) * size for i in range(64))


def test_async_copy_to_pageable_memory_is_complete_on_return(cuda: Driver) -> None:
    address, stream = cuda.upload(b"done" * 256), c_void_p()
    cuda.check(cuda.cuStreamCreate(byref(stream), 1))
    back = create_string_buffer(1024)
    cuda.check(cuda.cuMemcpyDtoHAsync_v2(back, address, 1024, stream))
    assert back.raw == b"done" * 256


@pytest.mark.parametrize("is_async", [False, True])
def test_2d_copy(cuda: Driver, is_async: bool) -> None:
    address, pitch = c_ulonglong(), c_size_t()
    cuda.check(cuda.cuMemAllocPitch_v2(byref(address), byref(pitch), 100, 5, 4))
    assert pitch.value >= 100 and pitch.value % 512 == 0
    source = bytes(range(200)) * 3
    copy = cuda.new("CUDA_MEMCPY2D")
    copy.srcMemoryType, copy.srcHost, copy.srcPitch = HOST, ctypes.cast(ctypes.c_char_p(source), c_void_p), 120
    copy.srcXInBytes, copy.srcY = 10, 1
    copy.dstMemoryType, copy.dstDevice, copy.dstPitch = DEVICE, address, pitch.value
    copy.dstXInBytes, copy.dstY = 3, 2
    copy.WidthInBytes, copy.Height = 50, 3
    cuda.check(cuda.cuMemsetD8_v2(address, 0xEE, pitch.value * 5))
    if is_async:
        cuda.check(cuda.cuMemcpy2DAsync_v2(byref(copy), None))
        cuda.check(cuda.cuStreamSynchronize(None))
    else:
        cuda.check(cuda.cuMemcpy2D_v2(byref(copy)))
    result = cuda.download(address.value, pitch.value * 5)
    for row in range(5):
        line = result[row * pitch.value : row * pitch.value + 100]
        expected = bytearray(b"\xee" * 100)
        if 2 <= row < 5:
            start = (row - 2 + 1) * 120 + 10
            expected[3:53] = source[start : start + 50]
        assert line == bytes(expected)


def test_2d_copy_argument_checks(cuda: Driver) -> None:
    copy = cuda.new("CUDA_MEMCPY2D")
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemcpy2D_v2(None))
    cuda.check(cuda.cuMemcpy2D_v2(byref(copy)))  # nothing to copy
    copy.WidthInBytes = copy.Height = 16
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemcpy2D_v2(byref(copy)))  # no types
    copy.srcMemoryType = copy.dstMemoryType = DEVICE
    copy.srcDevice = copy.dstDevice = cuda.alloc(256)
    copy.srcPitch = copy.dstPitch = 16
    cuda.check(cuda.cuMemcpy2D_v2(byref(copy)))
    copy.srcPitch = 8
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemcpy2D_v2(byref(copy)))
    copy.srcPitch, copy.Height = 16, 17
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemcpy2D_v2(byref(copy)))  # beyond the allocation


def test_3d_copy(cuda: Driver) -> None:
    w, h, d = 6, 4, 3
    data = bytes(range(w * h * d))
    source, target = cuda.upload(data), cuda.alloc(8 * 5 * 4)
    cuda.check(cuda.cuMemsetD8_v2(target, 0, 160))
    copy = cuda.new("CUDA_MEMCPY3D")
    copy.srcMemoryType, copy.srcDevice, copy.srcPitch, copy.srcHeight = DEVICE, source, w, h
    copy.dstMemoryType, copy.dstDevice, copy.dstPitch, copy.dstHeight = UNIFIED, target, 8, 5
    copy.dstXInBytes, copy.dstY, copy.dstZ = 1, 1, 1
    copy.srcXInBytes, copy.srcY, copy.srcZ = 2, 1, 0
    copy.WidthInBytes, copy.Height, copy.Depth = 4, 3, 3
    cuda.check(cuda.cuMemcpy3D_v2(byref(copy)))
    expected = bytearray(160)
    for z in range(3):
        for y in range(3):
            for x in range(4):
                expected[((z + 1) * 5 + y + 1) * 8 + x + 1] = data[(z * h + y + 1) * w + x + 2]
    assert cuda.download(target, 160) == bytes(expected)


@pytest.mark.parametrize(("bits", "value"), [(8, 0xA5), (16, 0xBEEF), (32, 0xDEADBEEF)])
@pytest.mark.parametrize("is_async", [False, True])
def test_fills(cuda: Driver, bits: int, value: int, is_async: bool) -> None:
    size = bits // 8
    address, pitch = cuda.alloc(64 * 8), 64
    cuda.check(cuda.cuMemsetD8_v2(address, 0, 512))
    name = f"cuMemsetD2D{bits}"
    tail = (None,) if is_async else ()
    cuda.check(getattr(cuda, name + ("Async" if is_async else "_v2"))(address + 16, pitch, value, 5, 3, *tail))
    expected = bytearray(512)
    for row in range(3):
        expected[row * pitch + 16 : row * pitch + 16 + 5 * size] = value.to_bytes(size, "little") * 5
    assert cuda.download(address, 512) == bytes(expected)
    name = f"cuMemsetD{bits}"
    cuda.check(getattr(cuda, name + ("Async" if is_async else "_v2"))(address, value, 512 // size, *tail))
    assert cuda.download(address, 512) == value.to_bytes(size, "little") * (512 // size)


def test_fill_argument_checks(cuda: Driver) -> None:
    address = cuda.alloc(256)
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemsetD32_v2(address + 2, 0, 4))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemsetD16_v2(address + 1, 0, 4))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemsetD2D8_v2(address, 4, 0, 8, 2))  # rows overlap
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemsetD32_v2(0, 0, 4))
    cuda.check(cuda.cuMemsetD32_v2(address, 0, 0))


def test_address_range(cuda: Driver) -> None:
    address, base, size = cuda.alloc(5000), c_ulonglong(), c_size_t()
    cuda.check(cuda.cuMemGetAddressRange_v2(byref(base), byref(size), address + 4999))
    assert (base.value, size.value) == (address, 5000)
    cuda.expect("CUDA_ERROR_NOT_FOUND", cuda.cuMemGetAddressRange_v2(byref(base), byref(size), 0x1000))


def attribute(cuda: Driver, name: str, address: int, ctype: type = c_int) -> object:
    value = ctype()
    cuda.check(cuda.cuPointerGetAttribute(byref(value), cuda.values[f"CU_POINTER_ATTRIBUTE_{name}"], address))
    return value.value


def test_pointer_attributes(cuda: Driver) -> None:
    device = cuda.alloc(1000)
    assert attribute(cuda, "CONTEXT", device, c_void_p) == cuda.context
    assert attribute(cuda, "MEMORY_TYPE", device) == DEVICE
    assert attribute(cuda, "DEVICE_POINTER", device + 9, c_void_p) == device + 9
    assert attribute(cuda, "DEVICE_ORDINAL", device) == 0
    assert attribute(cuda, "IS_MANAGED", device) == 0
    assert attribute(cuda, "RANGE_START_ADDR", device + 9, c_void_p) == device
    assert attribute(cuda, "RANGE_SIZE", device + 9, c_size_t) == 1000
    managed = c_ulonglong()
    cuda.check(cuda.cuMemAllocManaged(byref(managed), 64, 1))
    assert attribute(cuda, "IS_MANAGED", managed.value) == 1
    assert attribute(cuda, "HOST_POINTER", managed.value, c_void_p) == managed.value
    host = c_void_p()
    cuda.check(cuda.cuMemHostAlloc(byref(host), 64, 2))
    assert attribute(cuda, "MEMORY_TYPE", host.value or 0) == HOST
    ids = {attribute(cuda, "BUFFER_ID", a, c_ulonglong) for a in (device, managed.value, host.value or 0)}
    assert len(ids) == 3
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuPointerGetAttribute(byref(c_void_p()), 4, device))  # no host pointer
    buffer = create_string_buffer(8)
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuPointerGetAttribute(byref(c_int()), 2, ctypes.addressof(buffer)))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuPointerGetAttribute(byref(c_int()), 99, device))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuPointerGetAttribute(None, 2, device))


def test_attributes_of_unknown_memory_have_defaults(cuda: Driver) -> None:
    kind, ordinal, pointer = c_int(77), c_int(77), c_void_p(77)
    attributes = (c_uint * 3)(2, 9, 3)
    data = (c_void_p * 3)(ctypes.addressof(kind), ctypes.addressof(ordinal), ctypes.addressof(pointer))
    buffer = create_string_buffer(8)
    cuda.check(cuda.cuPointerGetAttributes(3, attributes, data, ctypes.addressof(buffer)))
    assert (kind.value, ordinal.value, pointer.value) == (0, -2, None)


def test_registered_memory(cuda: Driver) -> None:
    buffer = create_string_buffer(1 << 16)
    at = ctypes.addressof(buffer)
    device = c_ulonglong()
    cuda.expect("CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED", cuda.cuMemHostUnregister(at))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemHostRegister_v2(at, 0, 0))
    cuda.check(cuda.cuMemHostRegister_v2(at, len(buffer), 2))
    cuda.expect("CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED", cuda.cuMemHostRegister_v2(at, 16, 0))
    cuda.check(cuda.cuMemHostGetDevicePointer_v2(byref(device), at + 8, 0))
    assert device.value == at + 8
    cuda.check(cuda.cuMemHostUnregister(at))
    cuda.expect("CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED", cuda.cuMemHostUnregister(at))


def test_host_flags(cuda: Driver) -> None:
    host, flags = c_void_p(), c_uint()
    cuda.check(cuda.cuMemHostAlloc(byref(host), 64, 1 | 4))
    cuda.check(cuda.cuMemHostGetFlags(byref(flags), host))
    assert flags.value == 1 | 2 | 4
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemHostGetFlags(byref(flags), cuda.alloc(16)))


def test_info_follows_allocations(cuda: Driver) -> None:
    before, total, after = c_size_t(), c_size_t(), c_size_t()
    cuda.check(cuda.cuMemGetInfo_v2(byref(before), byref(total)))
    assert 0 < before.value <= total.value
    address = cuda.alloc(64 << 20)
    cuda.check(cuda.cuMemGetInfo_v2(byref(after), byref(total)))
    assert before.value - after.value >= 64 << 20
    cuda.check(cuda.cuMemFree_v2(address))


def test_allocations_from_many_threads(cuda: Driver) -> None:
    errors: list[str] = []

    def worker(seed: int) -> None:
        rng = random.Random(seed)
        cuda.cuCtxSetCurrent(cuda.context)
        live: list[int] = []
        for _ in range(300):
            if live and rng.random() < 0.5:
                result = cuda.cuMemFree_v2(live.pop(rng.randrange(len(live))))
            else:
                address = c_ulonglong()
                result = cuda.cuMemAlloc_v2(byref(address), rng.choice([1, 300, 5000, 1 << 20]))
                live.append(address.value)
            if result:
                errors.append(cuda.name_of(result))
        for address in live:
            cuda.cuMemFree_v2(address)

    threads = [threading.Thread(target=worker, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert errors == []


def test_stream_ordered_allocation(cuda: Driver) -> None:
    stream, address, pool, used = c_void_p(), c_ulonglong(), c_void_p(), c_ulonglong()
    cuda.check(cuda.cuStreamCreate(byref(stream), 1))
    cuda.check(cuda.cuDeviceGetDefaultMemPool(byref(pool), 0))
    cuda.check(cuda.cuMemAllocAsync(byref(address), 4096, stream))
    cuda.check(cuda.cuMemPoolGetAttribute(pool, cuda.CU_MEMPOOL_ATTR_USED_MEM_CURRENT, byref(used)))
    assert used.value == 4096
    cuda.check(cuda.cuMemsetD8Async(address, 7, 4096, stream))
    assert (cuda.cuStreamSynchronize(stream), cuda.download(address.value, 4096)) == (0, b"\x07" * 4096)
    cuda.check(cuda.cuMemFreeAsync(address, stream))
    cuda.check(cuda.cuStreamSynchronize(stream))
    cuda.check(cuda.cuMemPoolGetAttribute(pool, cuda.CU_MEMPOOL_ATTR_USED_MEM_CURRENT, byref(used)))
    assert used.value == 0
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemFreeAsync(address, stream))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemAllocAsync(byref(address), 0, stream))
    # Either free takes memory of either allocation.
    cuda.check(cuda.cuMemAllocAsync(byref(address), 64, stream))
    cuda.check(cuda.cuMemFree_v2(address))
    cuda.check(cuda.cuMemPoolGetAttribute(pool, cuda.CU_MEMPOOL_ATTR_USED_MEM_CURRENT, byref(used)))
    assert used.value == 0


def test_context_takes_its_allocations_out_of_the_pool(driver: Driver) -> None:
    context, pool, address, used = c_void_p(), c_void_p(), c_ulonglong(), c_ulonglong()
    driver.check(driver.cuCtxCreate_v2(byref(context), 0, 0))
    driver.check(driver.cuDeviceGetDefaultMemPool(byref(pool), 0))
    driver.check(driver.cuMemAllocAsync(byref(address), 1 << 16, None))
    driver.check(driver.cuCtxDestroy_v2(context))
    driver.check(driver.cuMemPoolGetAttribute(pool, driver.CU_MEMPOOL_ATTR_USED_MEM_CURRENT, byref(used)))
    assert used.value == 0


def test_own_pool(cuda: Driver) -> None:
    properties, pool, address = cuda.new("CUmemPoolProps"), c_void_p(), c_ulonglong()
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemPoolCreate(byref(pool), byref(properties)))
    properties.allocType, properties.location.type, properties.location.id = 1, 1, 0
    properties.maxSize = 1 << 20
    cuda.check(cuda.cuMemPoolCreate(byref(pool), byref(properties)))
    cuda.check(cuda.cuMemAllocFromPoolAsync(byref(address), 1 << 19, pool, None))
    cuda.expect("CUDA_ERROR_OUT_OF_MEMORY", cuda.cuMemAllocFromPoolAsync(byref(c_ulonglong()), 1 << 20, pool, None))
    cuda.check(cuda.cuMemFreeAsync(address, None))
    cuda.check(cuda.cuMemPoolDestroy(pool))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemPoolDestroy(pool))
    cuda.check(cuda.cuDeviceGetDefaultMemPool(byref(pool), 0))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemPoolDestroy(pool))


def test_batch_copy(cuda: Driver) -> None:
    stream = c_void_p()
    cuda.check(cuda.cuStreamCreate(byref(stream), 1))
    sources = [cuda.upload(bytes([i]) * 32) for i in range(4)]
    targets = [cuda.alloc(32) for _ in range(4)]
    attributes, index = cuda.new("CUmemcpyAttributes"), c_size_t(0)
    arguments = ((c_ulonglong * 4)(*targets), (c_ulonglong * 4)(*sources), (c_size_t * 4)(*[32] * 4), 4, byref(attributes), byref(index), 1)
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemcpyBatchAsync_v2(*arguments, stream))  # when is the source read?
    attributes.srcAccessOrder = cuda.CU_MEMCPY_SRC_ACCESS_ORDER_STREAM
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemcpyBatchAsync_v2(*arguments, None))
    cuda.check(cuda.cuMemcpyBatchAsync_v2(*arguments, stream))
    cuda.check(cuda.cuStreamSynchronize(stream))
    assert [cuda.download(t, 32)[0] for t in targets] == [0, 1, 2, 3]


def test_advice_and_ranges_of_managed_memory(cuda: Driver) -> None:
    address, value, location = c_ulonglong(), c_int(9), cuda.new("CUmemLocation")
    cuda.check(cuda.cuMemAllocManaged(byref(address), 4096, 1))
    location.type = 1
    cuda.check(cuda.cuMemAdvise_v2(address, 4096, cuda.CU_MEM_ADVISE_SET_PREFERRED_LOCATION, location))
    cuda.check(cuda.cuMemPrefetchAsync_v2(address, 4096, location, 0, None))
    cuda.check(cuda.cuMemRangeGetAttribute(byref(value), 4, cuda.CU_MEM_RANGE_ATTRIBUTE_READ_MOSTLY, address, 4096))
    assert value.value == 0

    def attribute(name: str, start: int = 0, count: int = 4096) -> int:
        number = cuda.values[f"CU_MEM_RANGE_ATTRIBUTE_{name}"]
        cuda.check(cuda.cuMemRangeGetAttribute(byref(value), 4, number, address.value + start, count))
        return value.value

    assert attribute("PREFERRED_LOCATION") == attribute("LAST_PREFETCH_LOCATION") == 0
    cuda.check(cuda.cuMemAdvise_v2(address.value + 1024, 1024, cuda.CU_MEM_ADVISE_UNSET_PREFERRED_LOCATION, location))
    assert attribute("PREFERRED_LOCATION") == cuda.CU_DEVICE_INVALID  # not the same everywhere
    assert attribute("PREFERRED_LOCATION", 2048, 2048) == 0
    cuda.check(cuda.cuMemAdvise(address, 4096, cuda.CU_MEM_ADVISE_SET_ACCESSED_BY, cuda.CU_DEVICE_CPU))
    cuda.check(cuda.cuMemAdvise(address, 4096, cuda.CU_MEM_ADVISE_SET_ACCESSED_BY, 0))
    who = (c_int * 4)()
    cuda.check(cuda.cuMemRangeGetAttribute(who, 16, cuda.CU_MEM_RANGE_ATTRIBUTE_ACCESSED_BY, address, 4096))
    assert list(who) == [0, cuda.CU_DEVICE_CPU, cuda.CU_DEVICE_INVALID, cuda.CU_DEVICE_INVALID]
    location.id = 9
    cuda.expect("CUDA_ERROR_INVALID_DEVICE", cuda.cuMemPrefetchAsync_v2(address, 4096, location, 0, None))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemPrefetchAsync_v2(address, 5000, location, 0, None))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemAdvise_v2(cuda.alloc(16), 16, 1, location))  # not managed
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemAdvise_v2(address, 4096, 99, location))


def test_batches_of_prefetches_and_discards(cuda: Driver) -> None:
    stream, address = c_void_p(), c_ulonglong()
    cuda.check(cuda.cuStreamCreate(byref(stream), 1))
    size = 1 << 20
    cuda.check(cuda.cuMemAllocManaged(byref(address), size, 1))
    cuda.check(cuda.cuMemsetD8_v2(address, 7, size))
    half, locations = size // 2, (cuda.types["CUmemLocation"] * 2)()
    locations[0].type, locations[1].type = cuda.CU_MEM_LOCATION_TYPE_DEVICE, cuda.CU_MEM_LOCATION_TYPE_HOST
    addresses, sizes = (c_ulonglong * 2)(address.value, address.value + half), (c_size_t * 2)(half, half)
    batch = (addresses, sizes, 2, locations, (c_size_t * 2)(0, 1), 2)
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemPrefetchBatchAsync(*batch, 1, stream))  # flags
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemPrefetchBatchAsync(*batch, 0, None))  # the legacy stream
    wrong = (c_size_t * 2)(1, 2)  # the first location must be for the first range
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemPrefetchBatchAsync(addresses, sizes, 2, locations, wrong, 2, 0, stream))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemDiscardBatchAsync(addresses, (c_size_t * 2)(half, size), 2, 0, stream))
    cuda.check(cuda.cuMemPrefetchBatchAsync(*batch, 0, stream))
    cuda.check(cuda.cuStreamSynchronize(stream))
    assert cuda.download(address.value, 4) == b"\x07" * 4
    places = (cuda.types["CUmemLocation"] * 2)()
    cuda.check(cuda.cuMemGetLocationInfo(address, size, half, half, places))
    assert [p.type for p in places] == [cuda.CU_MEM_LOCATION_TYPE_DEVICE, cuda.CU_MEM_LOCATION_TYPE_HOST]
    cuda.check(cuda.cuMemDiscardAndPrefetchBatchAsync(*batch, 0, stream))
    cuda.check(cuda.cuMemDiscardBatchAsync(addresses, sizes, 2, 0, stream))
    cuda.check(cuda.cuMemsetD8Async(address, 9, size, stream))
    cuda.check(cuda.cuStreamSynchronize(stream))
    assert cuda.download(address.value + size - 4, 4) == b"\x09" * 4


def test_batch_of_boxes(cuda: Driver) -> None:
    stream, failed = c_void_p(), c_size_t()
    cuda.check(cuda.cuStreamCreate(byref(stream), 1))
    rows = cuda.upload(b"".join(bytes([16 * y + x for x in range(8)]) for y in range(4)))
    target = cuda.alloc(64)
    operation = cuda.new("CUDA_MEMCPY3D_BATCH_OP")
    operation.src.type = operation.dst.type = cuda.CU_MEMCPY_OPERAND_TYPE_POINTER
    operation.src.op.ptr.ptr, operation.src.op.ptr.rowLength = rows + 2, 8
    operation.dst.op.ptr.ptr = target
    operation.extent.width, operation.extent.height, operation.extent.depth = 3, 2, 1
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemcpy3DBatchAsync(1, byref(operation), byref(failed), 0, stream))
    assert failed.value == 0
    operation.srcAccessOrder = cuda.CU_MEMCPY_SRC_ACCESS_ORDER_STREAM
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemcpy3DBatchAsync_v2(1, byref(operation), 0, None))
    cuda.check(cuda.cuMemcpy3DBatchAsync_v2(1, byref(operation), 0, stream))
    cuda.check(cuda.cuStreamSynchronize(stream))
    assert cuda.download(target, 6) == bytes([2, 3, 4, 18, 19, 20])
    operation.src.op.ptr.rowLength = 2  # shorter than what is copied
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemcpy3DWithAttributesAsync(byref(operation), 0, stream))
    descriptor, array = cuda.new("CUDA_ARRAY3D_DESCRIPTOR"), c_void_p()
    descriptor.Width, descriptor.Height, descriptor.NumChannels, descriptor.Format = 4, 2, 1, cuda.CU_AD_FORMAT_UNSIGNED_INT16
    cuda.check(cuda.cuArray3DCreate_v2(byref(array), byref(descriptor)))
    operation.src.op.ptr.ptr, operation.src.op.ptr.rowLength = rows, 4  # elements of the array's two bytes
    operation.dst.type, operation.dst.op.array.array, operation.dst.op.array.offset.x = cuda.CU_MEMCPY_OPERAND_TYPE_ARRAY, array, 1
    cuda.check(cuda.cuMemcpy3DWithAttributesAsync(byref(operation), 0, stream))
    cuda.check(cuda.cuStreamSynchronize(stream))
    back = create_string_buffer(6)
    cuda.check(cuda.cuMemcpyAtoH_v2(back, array, 2, 6))
    assert back.raw == bytes([0, 1, 2, 3, 4, 5])
