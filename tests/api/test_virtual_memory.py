"""Virtual memory management: reserve, create, map, allow access, unmap; sharing by file descriptor."""

from __future__ import annotations

import os
from ctypes import byref, c_int, c_size_t, c_ulonglong, c_void_p
from typing import Any

from .conftest import Driver

MIB2 = 2 << 20


def properties(cuda: Driver, handle_types: int = 0) -> Any:
    p = cuda.new("CUmemAllocationProp")
    p.type, p.location.type, p.location.id, p.requestedHandleTypes = 1, 1, 0, handle_types
    return p


def create(cuda: Driver, size: int, handle_types: int = 0) -> int:
    handle = c_ulonglong()
    cuda.check(cuda.cuMemCreate(byref(handle), size, byref(properties(cuda, handle_types)), 0))
    return handle.value


def reserve(cuda: Driver, size: int) -> int:
    address = c_ulonglong()
    cuda.check(cuda.cuMemAddressReserve(byref(address), size, 0, 0, 0))
    return address.value


def allow(cuda: Driver, address: int, size: int, flags: int = 3) -> str:
    description = cuda.new("CUmemAccessDesc")
    description.location.type, description.location.id, description.flags = 1, 0, flags
    return cuda.name_of(cuda.cuMemSetAccess(address, size, byref(description), 1))


def test_granularity(cuda: Driver) -> None:
    size = c_size_t()
    cuda.check(cuda.cuMemGetAllocationGranularity(byref(size), byref(properties(cuda)), 0))
    assert size.value == MIB2
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemGetAllocationGranularity(byref(size), None, 0))


def test_argument_checks(cuda: Driver) -> None:
    handle, address = c_ulonglong(), c_ulonglong()
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemCreate(byref(handle), 1000, byref(properties(cuda)), 0))
    cuda.expect("CUDA_ERROR_OUT_OF_MEMORY", cuda.cuMemCreate(byref(handle), 1 << 60, byref(properties(cuda)), 0))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemAddressReserve(byref(address), 1000, 0, 0, 0))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemAddressReserve(byref(address), MIB2, 3, 0, 0))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemRelease(12345))
    base = reserve(cuda, 2 * MIB2)
    memory = create(cuda, MIB2)
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemMap(base, 2 * MIB2, 0, memory, 0))  # more than there is
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemMap(base + 2 * MIB2, MIB2, 0, memory, 0))  # not reserved
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemUnmap(base, MIB2))  # not mapped
    cuda.check(cuda.cuMemMap(base, MIB2, 0, memory, 0))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemMap(base, MIB2, 0, memory, 0))  # mapped
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemAddressFree(base, 2 * MIB2))  # mapped
    assert allow(cuda, base, 2 * MIB2) == "CUDA_ERROR_INVALID_VALUE"  # a hole
    cuda.check(cuda.cuMemUnmap(base, MIB2))
    cuda.check(cuda.cuMemRelease(memory))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemRelease(memory))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemAddressFree(base, MIB2))  # another size
    cuda.check(cuda.cuMemAddressFree(base, 2 * MIB2))


def test_a_range_of_several_mappings_is_one_memory(cuda: Driver) -> None:
    base = reserve(cuda, 3 * MIB2)
    for i in range(2):
        memory = create(cuda, MIB2)
        cuda.check(cuda.cuMemMap(base + i * MIB2, MIB2, 0, memory, 0))
        cuda.check(cuda.cuMemRelease(memory))  # the mapping holds it
    assert allow(cuda, base, 2 * MIB2) == "CUDA_SUCCESS"
    cuda.check(cuda.cuMemsetD8_v2(base, 1, 2 * MIB2))
    data = b"across" * 1000
    cuda.check(cuda.cuMemcpyHtoD_v2(base + MIB2 - 3000, data, len(data)))
    assert cuda.download(base + MIB2 - 3000, len(data)) == data
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemsetD8_v2(base + MIB2, 1, MIB2 + 1))
    kind, flags, location = c_int(), c_ulonglong(), cuda.new("CUmemLocation")
    cuda.check(cuda.cuPointerGetAttribute(byref(kind), cuda.CU_POINTER_ATTRIBUTE_MEMORY_TYPE, base))
    assert kind.value == 2
    location.type = 1
    cuda.check(cuda.cuMemGetAccess(byref(flags), byref(location), base + 5))
    assert flags.value == 3
    cuda.check(cuda.cuMemUnmap(base, 2 * MIB2))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemcpyHtoD_v2(base, data, 4))
    cuda.check(cuda.cuMemAddressFree(base, 3 * MIB2))


def test_memory_mapped_twice_is_shared(cuda: Driver) -> None:
    first, second = reserve(cuda, MIB2), reserve(cuda, MIB2)
    memory = create(cuda, MIB2, handle_types=1)
    descriptor, imported = c_int(-1), c_ulonglong()
    cuda.check(cuda.cuMemExportToShareableHandle(byref(descriptor), memory, 1, 0))
    cuda.check(cuda.cuMemImportFromShareableHandle(byref(imported), c_void_p(descriptor.value), 1))
    os.close(descriptor.value)
    cuda.check(cuda.cuMemMap(first, MIB2, 0, memory, 0))
    cuda.check(cuda.cuMemMap(second, MIB2, 0, imported, 0))
    for base in (first, second):
        assert allow(cuda, base, MIB2) == "CUDA_SUCCESS"
    cuda.check(cuda.cuMemcpyHtoD_v2(first + 100, b"shared", 6))
    assert cuda.download(second + 100, 6) == b"shared"
    retained = c_ulonglong()
    cuda.check(cuda.cuMemRetainAllocationHandle(byref(retained), c_void_p(first + 7)))
    assert retained.value == memory
    for base in (first, second):
        cuda.check(cuda.cuMemUnmap(base, MIB2))
        cuda.check(cuda.cuMemAddressFree(base, MIB2))
    for handle in (memory, memory, imported.value):
        cuda.check(cuda.cuMemRelease(handle))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemRelease(memory))


def test_export_only_if_it_was_asked_for(cuda: Driver) -> None:
    memory = create(cuda, MIB2)
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemExportToShareableHandle(byref(c_int()), memory, 1, 0))
    cuda.check(cuda.cuMemRelease(memory))
