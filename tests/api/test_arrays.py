"""Arrays: creation, copies in and out, mipmapped arrays."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_void_p, create_string_buffer
from typing import Any

from .conftest import Driver

HOST, DEVICE, ARRAY = 1, 2, 3


def descriptor(
    cuda: Driver, width: int, height: int = 0, depth: int = 0, channels: int = 1, form: str = "UNSIGNED_INT8", flags: int = 0
) -> Any:
    d = cuda.new("CUDA_ARRAY3D_DESCRIPTOR")
    d.Width, d.Height, d.Depth, d.NumChannels, d.Flags = width, height, depth, channels, flags
    d.Format = cuda.values[f"CU_AD_FORMAT_{form}"]
    return d


def create(cuda: Driver, *arguments: Any, **more: Any) -> int:
    array = c_void_p()
    cuda.check(cuda.cuArray3DCreate_v2(byref(array), byref(descriptor(cuda, *arguments, **more))))
    return array.value or 0


def test_argument_checks(cuda: Driver) -> None:
    array = c_void_p()

    def attempt(*arguments: Any, **more: Any) -> str:
        return cuda.name_of(cuda.cuArray3DCreate_v2(byref(array), byref(descriptor(cuda, *arguments, **more))))

    assert attempt(0) == "CUDA_ERROR_INVALID_VALUE"
    assert attempt(8, channels=3) == "CUDA_ERROR_INVALID_VALUE"
    assert attempt(8, 8, 0, flags=1) == "CUDA_ERROR_INVALID_VALUE"  # layers, but how many
    assert attempt(8, 4, 6, flags=4) == "CUDA_ERROR_INVALID_VALUE"  # a cube's faces are square
    assert attempt(8, 8, form="BC1_UNORM") == "CUDA_ERROR_NOT_SUPPORTED"
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuArrayCreate_v2(byref(array), None))
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuArrayDestroy(None))


def test_descriptor_comes_back(cuda: Driver) -> None:
    array = create(cuda, 10, 4, 3, channels=2, form="FLOAT")
    d3, d2 = cuda.new("CUDA_ARRAY3D_DESCRIPTOR"), cuda.new("CUDA_ARRAY_DESCRIPTOR")
    cuda.check(cuda.cuArray3DGetDescriptor_v2(byref(d3), array))
    cuda.check(cuda.cuArrayGetDescriptor_v2(byref(d2), array))
    assert (d3.Width, d3.Height, d3.Depth, d3.NumChannels) == (10, 4, 3, 2)
    assert (d2.Width, d2.Height, d2.Format) == (10, 4, cuda.CU_AD_FORMAT_FLOAT)
    cuda.check(cuda.cuArrayDestroy(array))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuArrayGetDescriptor_v2(None, array))


def test_linear_copies(cuda: Driver) -> None:
    array, other = create(cuda, 64), create(cuda, 64)
    cuda.check(cuda.cuMemcpyHtoA_v2(array, 4, b"0123456789", 10))
    cuda.check(cuda.cuMemcpyAtoA_v2(other, 8, array, 6, 8))
    back = create_string_buffer(8)
    cuda.check(cuda.cuMemcpyAtoH_v2(back, other, 8, 8))
    assert back.raw == b"23456789"
    device = cuda.alloc(8)
    cuda.check(cuda.cuMemcpyAtoD_v2(device, other, 8, 8))
    assert cuda.download(device, 8) == b"23456789"
    cuda.check(cuda.cuMemcpyDtoA_v2(other, 56, device, 8))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemcpyDtoA_v2(other, 57, device, 8))


def test_3d_round_trip(cuda: Driver) -> None:
    array, data, back = create(cuda, 6, 5, 4, channels=2), bytes(range(240)), create_string_buffer(240)
    copy = cuda.new("CUDA_MEMCPY3D")
    copy.srcMemoryType, copy.srcHost, copy.srcPitch, copy.srcHeight = HOST, ctypes.cast(ctypes.c_char_p(data), c_void_p), 12, 5
    copy.dstMemoryType, copy.dstArray = ARRAY, array
    copy.WidthInBytes, copy.Height, copy.Depth = 12, 5, 4
    cuda.check(cuda.cuMemcpy3D_v2(byref(copy)))
    part = cuda.new("CUDA_MEMCPY3D")
    part.srcMemoryType, part.srcArray, part.srcXInBytes, part.srcY, part.srcZ = ARRAY, array, 2, 1, 2
    part.dstMemoryType, part.dstHost, part.dstPitch, part.dstHeight = HOST, ctypes.addressof(back), 4, 2
    part.WidthInBytes, part.Height, part.Depth = 4, 2, 2
    cuda.check(cuda.cuMemcpy3D_v2(byref(part)))
    expected = b"".join(data[(z * 5 + y) * 12 + 2 : (z * 5 + y) * 12 + 6] for z in (2, 3) for y in (1, 2))
    assert back.raw[:16] == expected
    part.Depth = 3
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemcpy3D_v2(byref(part)))


def test_mipmapped_array(cuda: Driver) -> None:
    made, level = c_void_p(), c_void_p()
    cuda.check(cuda.cuMipmappedArrayCreate(byref(made), byref(descriptor(cuda, 16, 4)), 99))  # clamped to 5 levels
    d, sizes = cuda.new("CUDA_ARRAY3D_DESCRIPTOR"), []
    for i in range(5):
        cuda.check(cuda.cuMipmappedArrayGetLevel(byref(level), made, i))
        cuda.check(cuda.cuArray3DGetDescriptor_v2(byref(d), level))
        sizes.append((d.Width, d.Height))
    assert sizes == [(16, 4), (8, 2), (4, 1), (2, 1), (1, 1)]
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMipmappedArrayGetLevel(byref(level), made, 5))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuArrayDestroy(level))
    cuda.check(cuda.cuMipmappedArrayDestroy(made))
