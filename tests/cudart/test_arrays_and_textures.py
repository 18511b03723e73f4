"""Arrays, copies to and from them, and texture and surface objects of libcudart, through ctypes."""

from __future__ import annotations

from ctypes import byref, c_uint, c_ulonglong, c_void_p, create_string_buffer
from typing import Any

import pytest

from .conftest import Runtime

HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE, DEFAULT = 1, 2, 3, 4
SIGNED, UNSIGNED, FLOAT = range(3)


def describe(cuda: Runtime, *bits: int, kind: int = UNSIGNED) -> Any:
    x, y, z, w = (*bits, 0, 0, 0, 0)[:4]
    return cuda.cudaCreateChannelDesc(x, y, z, w, kind)


def make(cuda: Runtime, description: Any, width: int, height: int = 0, flags: int = 0) -> int:
    array = c_void_p()
    cuda.check(cuda.cudaMallocArray(byref(array), byref(description), width, height, flags))
    return array.value or 0


@pytest.mark.parametrize(
    ("bits", "kind"),
    [((24,), UNSIGNED), ((8, 16), UNSIGNED), ((8, 0, 8), UNSIGNED), ((8, 8, 8), UNSIGNED), ((64,), FLOAT), ((8,), FLOAT), ((), SIGNED)],
)
def test_formats_that_do_not_exist(cuda: Runtime, bits: tuple[int, ...], kind: int) -> None:
    array = c_void_p()
    cuda.expect("cudaErrorInvalidChannelDescriptor", cuda.cudaMallocArray(byref(array), byref(describe(cuda, *bits, kind=kind)), 4, 4, 0))


def test_argument_checks(cuda: Runtime) -> None:
    array, texture, d = c_void_p(), c_ulonglong(), describe(cuda, 32, kind=FLOAT)
    cuda.expect("cudaErrorInvalidValue", cuda.cudaMallocArray(None, byref(d), 4, 4, 0))
    cuda.expect("cudaErrorInvalidValue", cuda.cudaMallocArray(byref(array), None, 4, 4, 0))
    cuda.expect("cudaErrorInvalidValue", cuda.cudaMallocArray(byref(array), byref(d), 0, 0, 0))
    cuda.expect("cudaErrorInvalidValue", cuda.cudaMallocArray(byref(array), byref(d), 4, 4, 1))  # layers, but how many
    cuda.expect("cudaErrorInvalidValue", cuda.cudaCreateTextureObject(byref(texture), None, None, None))
    cuda.check(cuda.cudaFreeArray(None))
    cuda.check(cuda.cudaFreeMipmappedArray(None))
    cuda.check(cuda.cudaDestroyTextureObject(0))
    made = make(cuda, d, 4, 4)
    cuda.check(cuda.cudaFreeArray(made))
    cuda.expect("cudaErrorInvalidResourceHandle", cuda.cudaFreeArray(made))


def test_what_an_array_is_comes_back(cuda: Runtime) -> None:
    array = make(cuda, describe(cuda, 16, 16, kind=SIGNED), 10, 4, 2)
    d, extent, flags = cuda.types["cudaChannelFormatDesc"](), cuda.types["cudaExtent"](), c_uint()
    cuda.check(cuda.cudaArrayGetInfo(byref(d), byref(extent), byref(flags), array))
    assert (d.x, d.y, d.z, d.w, d.f) == (16, 16, 0, 0, SIGNED)
    assert (extent.width, extent.height, extent.depth, flags.value) == (10, 4, 0, 2)
    other = cuda.types["cudaChannelFormatDesc"]()
    cuda.check(cuda.cudaGetChannelDesc(byref(other), array))
    assert (other.x, other.f) == (16, SIGNED)
    cuda.check(cuda.cudaFreeArray(array))


def test_copies(cuda: Runtime) -> None:
    array, other = make(cuda, describe(cuda, 8), 8, 3), make(cuda, describe(cuda, 8), 8, 3)
    picture, back = create_string_buffer(bytes(range(24)), 24), create_string_buffer(24)
    cuda.check(cuda.cudaMemcpy2DToArray(array, 0, 0, picture, 8, 8, 3, HOST_TO_DEVICE))
    cuda.check(cuda.cudaMemcpy2DArrayToArray(other, 1, 1, array, 2, 0, 3, 2, DEVICE_TO_DEVICE))
    cuda.check(cuda.cudaMemcpy2DFromArray(back, 8, other, 1, 1, 3, 2, DEVICE_TO_HOST))
    assert (back.raw[:3], back.raw[8:11]) == (bytes([2, 3, 4]), bytes([10, 11, 12]))
    cuda.expect("cudaErrorInvalidPitchValue", cuda.cudaMemcpy2DFromArray(back, 2, other, 0, 0, 3, 2, DEVICE_TO_HOST))
    cuda.expect("cudaErrorInvalidMemcpyDirection", cuda.cudaMemcpy2DFromArray(back, 8, other, 0, 0, 3, 2, 9))
    cuda.expect("cudaErrorInvalidValue", cuda.cudaMemcpy2DFromArray(back, 8, other, 6, 0, 3, 2, DEVICE_TO_HOST))
    # The deprecated ones run on over the ends of rows.
    cuda.check(cuda.cudaMemcpyFromArray(back, array, 5, 0, 14, DEVICE_TO_HOST))
    assert back.raw[:14] == bytes(range(5, 19))
    cuda.check(cuda.cudaMemcpyToArrayAsync(other, 6, 1, picture, 5, HOST_TO_DEVICE, None))
    cuda.check(cuda.cudaMemcpyFromArrayAsync(back, other, 6, 1, 5, DEFAULT, None))
    cuda.check(cuda.cudaStreamSynchronize(None))
    assert back.raw[:5] == bytes(range(5))
    for a in (array, other):
        cuda.check(cuda.cudaFreeArray(a))


def test_levels_of_a_mipmap(cuda: Runtime) -> None:
    mipmap, level, extent = c_void_p(), c_void_p(), cuda.types["cudaExtent"]()
    shape = cuda.types["cudaExtent"](8, 8, 0)
    cuda.check(cuda.cudaMallocMipmappedArray(byref(mipmap), byref(describe(cuda, 8)), shape, 9, 0))
    cuda.check(cuda.cudaGetMipmappedArrayLevel(byref(level), mipmap, 3))
    cuda.check(cuda.cudaArrayGetInfo(None, byref(extent), None, level))
    assert (extent.width, extent.height) == (1, 1)
    cuda.expect("cudaErrorInvalidValue", cuda.cudaGetMipmappedArrayLevel(byref(level), mipmap, 4))  # more were asked for than there are
    cuda.check(cuda.cudaFreeMipmappedArray(mipmap))


def test_texture_objects(cuda: Runtime) -> None:
    array, texture = make(cuda, describe(cuda, 32, kind=UNSIGNED), 8, 8), c_ulonglong()
    resource, description = cuda.types["cudaResourceDesc"](), cuda.types["cudaTextureDesc"]()
    resource.resType, resource.res.array.array = 0, array
    description.readMode = 1
    arguments = (byref(texture), byref(resource), byref(description), None)
    cuda.expect("cudaErrorInvalidNormSetting", cuda.cudaCreateTextureObject(*arguments))  # integers of 32 bits are not normalized
    description.readMode, description.filterMode = 0, 1
    cuda.expect("cudaErrorInvalidFilterSetting", cuda.cudaCreateTextureObject(*arguments))  # nor do integers mix
    description.filterMode, description.normalizedCoords, description.addressMode[1], description.borderColor[2] = 0, 1, 3, 0.5
    cuda.check(cuda.cudaCreateTextureObject(*arguments))
    r, t, view = cuda.types["cudaResourceDesc"](), cuda.types["cudaTextureDesc"](), cuda.types["cudaResourceViewDesc"]()
    cuda.check(cuda.cudaGetTextureObjectResourceDesc(byref(r), texture))
    cuda.check(cuda.cudaGetTextureObjectTextureDesc(byref(t), texture))
    assert (r.resType, r.res.array.array) == (0, array)
    assert (t.readMode, t.normalizedCoords, list(t.addressMode), list(t.borderColor)) == (0, 1, [0, 3, 0], [0, 0, 0.5, 0])
    cuda.expect("cudaErrorInvalidValue", cuda.cudaGetTextureObjectResourceViewDesc(byref(view), texture))  # it has none
    cuda.check(cuda.cudaDestroyTextureObject(texture))
    cuda.expect("cudaErrorInvalidValue", cuda.cudaDestroyTextureObject(texture))
    cuda.check(cuda.cudaFreeArray(array))


def test_textures_over_memory(cuda: Runtime) -> None:
    pointer, pitch, texture = c_void_p(), c_ulonglong(), c_ulonglong()
    cuda.check(cuda.cudaMallocPitch(byref(pointer), byref(pitch), 32, 4))
    resource, description, back = cuda.types["cudaResourceDesc"](), cuda.types["cudaTextureDesc"](), cuda.types["cudaResourceDesc"]()
    resource.resType = 3
    plane = resource.res.pitch2D
    plane.devPtr, plane.desc, plane.width, plane.height, plane.pitchInBytes = pointer, describe(cuda, 8, 8), 16, 4, pitch.value
    cuda.check(cuda.cudaCreateTextureObject(byref(texture), byref(resource), byref(description), None))
    cuda.check(cuda.cudaGetTextureObjectResourceDesc(byref(back), texture))
    assert (back.res.pitch2D.devPtr, back.res.pitch2D.desc.y, back.res.pitch2D.width) == (pointer.value, 8, 16)
    cuda.check(cuda.cudaDestroyTextureObject(texture))
    cuda.check(cuda.cudaFree(pointer))


def test_surface_objects(cuda: Runtime) -> None:
    d, surface = describe(cuda, 32, kind=FLOAT), c_ulonglong()
    plain, writable = make(cuda, d, 4, 4), make(cuda, d, 4, 4, 2)
    resource, back = cuda.types["cudaResourceDesc"](), cuda.types["cudaResourceDesc"]()
    resource.res.array.array = plain
    cuda.expect("cudaErrorInvalidValue", cuda.cudaCreateSurfaceObject(byref(surface), byref(resource)))
    resource.res.array.array = writable
    cuda.check(cuda.cudaCreateSurfaceObject(byref(surface), byref(resource)))
    cuda.check(cuda.cudaGetSurfaceObjectResourceDesc(byref(back), surface))
    assert back.res.array.array == writable
    cuda.check(cuda.cudaDestroySurfaceObject(surface))
    cuda.expect("cudaErrorInvalidValue", cuda.cudaGetSurfaceObjectResourceDesc(byref(back), surface))
