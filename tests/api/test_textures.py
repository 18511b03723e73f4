"""Texture and surface objects, and tensor maps: argument checks, and kernels that read through them."""

from __future__ import annotations

import ctypes
import struct
from ctypes import byref
from typing import Any

from .conftest import Driver
from .test_streams_and_events import Gate

UNSIGNED_INT8, FLOAT = 1, 32  # CUarray_format
ARRAY, MIPMAPPED, LINEAR, PITCH2D = range(4)
WRAP, CLAMP = 0, 1
READ_AS_INTEGER, NORMALIZED = 1, 2

_HEAD = ".version 8.6\n.target sm_90a\n.address_size 64\n"
_SAMPLE = (
    _HEAD
    + """
.visible .entry sample(.param .u64 out, .param .u64 texture, .param .f32 step)
{
  .reg .b64 %rd<5>;  .reg .f32 %f<8>;  .reg .b32 %r<2>;
  ld.param.u64 %rd1, [out];
  ld.param.u64 %rd2, [texture];
  ld.param.f32 %f1, [step];
  mov.u32 %r1, %tid.x;
  cvt.rn.f32.u32 %f2, %r1;
  mul.f32 %f2, %f2, %f1;
  tex.2d.v4.f32.f32 {%f3, %f4, %f5, %f6}, [%rd2, {%f2, %f1}];
  mul.wide.u32 %rd3, %r1, 4;
  add.s64 %rd3, %rd1, %rd3;
  st.global.f32 [%rd3], %f3;
  ret;
}
"""
)


def _array(cuda: Driver, rows: list[list[float]], flags: int = 0) -> Any:
    """A two-dimensional array of floats."""
    descriptor = cuda.new("CUDA_ARRAY3D_DESCRIPTOR")
    descriptor.Width, descriptor.Height = len(rows[0]), len(rows)
    descriptor.Format, descriptor.NumChannels, descriptor.Flags = FLOAT, 1, flags
    array = cuda.new("CUarray")
    cuda.check(cuda.cuArray3DCreate_v2(byref(array), byref(descriptor)))
    data = struct.pack(f"<{len(rows) * len(rows[0])}f", *(v for row in rows for v in row))
    source = ctypes.create_string_buffer(data, len(data))
    copy = cuda.new("CUDA_MEMCPY2D")
    copy.srcMemoryType, copy.srcHost, copy.srcPitch = 1, ctypes.addressof(source), 4 * len(rows[0])
    copy.dstMemoryType, copy.dstArray = 3, array
    copy.WidthInBytes, copy.Height = 4 * len(rows[0]), len(rows)
    cuda.check(cuda.cuMemcpy2D_v2(byref(copy)))
    return array


def _resource(cuda: Driver, array: Any) -> Any:
    resource = cuda.new("CUDA_RESOURCE_DESC")
    resource.resType = ARRAY
    resource.res.array.hArray = array
    return resource


def _texture(cuda: Driver, array: Any, **fields: Any) -> int:
    description = cuda.new("CUDA_TEXTURE_DESC")
    for i in range(3):
        description.addressMode[i] = fields.pop("address", CLAMP)
    for name, value in fields.items():
        setattr(description, name, value)
    handle = cuda.new("CUtexObject")
    cuda.check(cuda.cuTexObjectCreate(byref(handle), byref(_resource(cuda, array)), byref(description), None))
    return int(handle.value)


def _sampled(cuda: Driver, handle: int, step: float) -> list[float]:
    out = cuda.alloc(32)
    function = cuda.function(cuda.module(_SAMPLE), "sample")
    cuda.check(cuda.launch(function, 1, 8, ctypes.c_uint64(out), ctypes.c_uint64(handle), ctypes.c_float(step)))
    cuda.check(cuda.cuCtxSynchronize())
    return list(struct.unpack("<8f", cuda.download(out, 32)))


def test_a_kernel_samples_an_array(cuda: Driver) -> None:
    array = _array(cuda, [[0.0, 10.0, 20.0, 30.0], [100.0, 110.0, 120.0, 130.0]])
    nearest, linear = _texture(cuda, array), _texture(cuda, array, filterMode=1)
    assert _sampled(cuda, nearest, 0.5) == [0.0, 0.0, 10.0, 10.0, 20.0, 20.0, 30.0, 30.0]
    assert _sampled(cuda, linear, 0.5) == [0.0, 0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0]
    for handle in (nearest, linear):
        cuda.check(cuda.cuTexObjectDestroy(handle))
    cuda.check(cuda.cuArrayDestroy(array))


def test_descriptions_are_given_back(cuda: Driver) -> None:
    array = _array(cuda, [[1.0, 2.0]])
    handle = _texture(cuda, array, flags=NORMALIZED, maxAnisotropy=4)
    resource, description = cuda.new("CUDA_RESOURCE_DESC"), cuda.new("CUDA_TEXTURE_DESC")
    cuda.check(cuda.cuTexObjectGetResourceDesc(byref(resource), handle))
    cuda.check(cuda.cuTexObjectGetTextureDesc(byref(description), handle))
    assert (resource.resType, resource.res.array.hArray) == (ARRAY, array.value)
    assert (description.flags, description.maxAnisotropy) == (NORMALIZED, 4)
    view = cuda.new("CUDA_RESOURCE_VIEW_DESC")
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuTexObjectGetResourceViewDesc(byref(view), handle))  # made without one
    cuda.check(cuda.cuTexObjectDestroy(handle))


def test_argument_checks(cuda: Driver) -> None:
    array = _array(cuda, [[1.0, 2.0]])
    handle, description, resource = cuda.new("CUtexObject"), cuda.new("CUDA_TEXTURE_DESC"), _resource(cuda, array)
    create = cuda.cuTexObjectCreate
    cuda.expect("CUDA_ERROR_INVALID_VALUE", create(None, byref(resource), byref(description), None))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", create(byref(handle), None, byref(description), None))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", create(byref(handle), byref(resource), None, None))
    description.addressMode[1] = 9
    cuda.expect("CUDA_ERROR_INVALID_VALUE", create(byref(handle), byref(resource), byref(description), None))
    linear = cuda.new("CUDA_RESOURCE_DESC")
    linear.resType, linear.res.linear.devPtr, linear.res.linear.format = LINEAR, cuda.alloc(64), FLOAT
    linear.res.linear.numChannels, linear.res.linear.sizeInBytes = 3, 64
    cuda.expect("CUDA_ERROR_INVALID_VALUE", create(byref(handle), byref(linear), byref(cuda.new("CUDA_TEXTURE_DESC")), None))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuTexObjectDestroy(12345))


def test_a_destroyed_texture_is_an_error_of_the_kernel(cuda: Driver) -> None:
    handle = _texture(cuda, _array(cuda, [[1.0, 2.0]]))
    cuda.check(cuda.cuTexObjectDestroy(handle))
    out = cuda.alloc(32)
    function = cuda.function(cuda.module(_SAMPLE), "sample")
    cuda.check(cuda.launch(function, 1, 8, ctypes.c_uint64(out), ctypes.c_uint64(handle), ctypes.c_float(1.0)))
    cuda.expect("CUDA_ERROR_ILLEGAL_ADDRESS", cuda.cuCtxSynchronize())


def test_a_texture_that_is_destroyed_behind_the_launch_serves_it(cuda: Driver) -> None:
    """cuda-samples' NV12toBGRandResize does so. Another texture that is made meanwhile takes nothing from it."""
    array, other = _array(cuda, [[1.0, 2.0]]), _array(cuda, [[7.0, 8.0]])
    handle, out, gate = _texture(cuda, array), cuda.alloc(32), Gate(cuda)
    function = cuda.function(cuda.module(_SAMPLE), "sample")
    gate.close(None)
    cuda.check(cuda.launch(function, 1, 8, ctypes.c_uint64(out), ctypes.c_uint64(handle), ctypes.c_float(0.3)))
    cuda.check(cuda.cuTexObjectDestroy(handle))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuTexObjectDestroy(handle))
    assert _texture(cuda, other) != handle
    gate.open()
    cuda.check(cuda.cuCtxSynchronize())
    assert struct.unpack("<8f", cuda.download(out, 32)) == (1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0)


def test_floats_are_filtered_whatever_the_flag_for_integers_says(cuda: Driver) -> None:
    array = _array(cuda, [[0.0, 10.0, 20.0, 30.0]])
    plain, flagged = _texture(cuda, array, filterMode=1), _texture(cuda, array, filterMode=1, flags=READ_AS_INTEGER)
    sampled = _sampled(cuda, plain, 0.75)
    assert sampled == _sampled(cuda, flagged, 0.75)
    assert 2.5 in sampled  # no texel's value


def test_a_surface_needs_an_array_made_for_it(cuda: Driver) -> None:
    plain, loadable = _array(cuda, [[1.0, 2.0]]), _array(cuda, [[1.0, 2.0]], flags=2)
    handle = cuda.new("CUsurfObject")
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuSurfObjectCreate(byref(handle), byref(_resource(cuda, plain))))
    cuda.check(cuda.cuSurfObjectCreate(byref(handle), byref(_resource(cuda, loadable))))
    found = cuda.new("CUDA_RESOURCE_DESC")
    cuda.check(cuda.cuSurfObjectGetResourceDesc(byref(found), handle.value))
    assert found.res.array.hArray == loadable.value
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuTexObjectDestroy(handle.value))  # no texture
    cuda.check(cuda.cuSurfObjectDestroy(handle.value))


# ------------------------------------------------------------------------------------------------------------- tensor maps

_COPY = (
    _HEAD
    + """
.visible .entry copy(.param .u64 out, .param .align 64 .b8 map[128])
{
  .shared .align 128 .b8 box[128];
  .shared .align 8 .b8 bar[8];
  .reg .b64 %rd<6>;  .reg .b32 %r<6>;  .reg .pred %p<3>;
  ld.param.u64 %rd1, [out];
  mov.b64 %rd2, map;
  cvta.param.u64 %rd2, %rd2;
  mov.u32 %r1, box;
  mov.u32 %r2, bar;
  mov.u32 %r3, %tid.x;
  setp.ne.u32 %p1, %r3, 0;
  @%p1 bra wait;
  mbarrier.init.shared::cta.b64 [%r2], 32;
  mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%r2], 128;
  mov.u32 %r4, 1;
  cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r1], [%rd2, {%r4, %r4}], [%r2];
wait:
  bar.warp.sync -1;
  mbarrier.arrive.shared::cta.b64 _, [%r2];
again:
  mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r2], 0;
  @!%p2 bra again;
  shl.b32 %r4, %r3, 2;
  add.u32 %r1, %r1, %r4;
  ld.shared.u32 %r5, [%r1];
  cvt.u64.u32 %rd3, %r4;
  add.s64 %rd3, %rd1, %rd3;
  st.global.u32 [%rd3], %r5;
  ret;
}
"""
)


def _aligned_map(cuda: Driver) -> tuple[Any, int]:
    """A CUtensorMap at a multiple of 64: what keeps it, and its address."""
    keep = ctypes.create_string_buffer(128 + 64)
    return keep, -(-ctypes.addressof(keep) // 64) * 64


def _encode(cuda: Driver, at: int, address: int, **changes: Any) -> int:
    given: dict[str, Any] = {"sizes": (10, 6), "strides": (48,), "box": (8, 4), "steps": (1, 1), "interleave": 0, "swizzle": 0, "fill": 0}
    given.update(changes)
    uint32 = 2
    longs, ints = ctypes.c_uint64 * 6, ctypes.c_uint32 * 6
    return int(
        cuda.cuTensorMapEncodeTiled(
            ctypes.c_void_p(at),
            uint32,
            len(given["sizes"]),
            ctypes.c_void_p(address),
            longs(*given["sizes"]),
            longs(*given["strides"]),
            ints(*given["box"]),
            ints(*given["steps"]),
            given["interleave"],
            given["swizzle"],
            0,
            given["fill"],
        )
    )


def test_a_kernel_copies_a_box_of_a_tensor(cuda: Driver) -> None:
    source = cuda.upload(struct.pack("<72I", *range(72)))
    keep, at = _aligned_map(cuda)
    cuda.check(_encode(cuda, at, source))
    out = cuda.alloc(128)
    function = cuda.function(cuda.module(_COPY), "copy")
    cuda.check(cuda.launch(function, 1, 32, ctypes.c_uint64(out), (ctypes.c_char * 128).from_address(at)))
    cuda.check(cuda.cuCtxSynchronize())
    del keep
    expected = [12 * (1 + i // 8) + 1 + i % 8 for i in range(32)]
    assert list(struct.unpack("<32I", cuda.download(out, 128))) == expected


def test_tensor_map_argument_checks(cuda: Driver) -> None:
    source = cuda.alloc(4096)
    _keep, at = _aligned_map(cuda)
    for wrong in (
        {"box": (257, 4)}, {"box": (0, 4)}, {"box": (7, 4)}, {"strides": (40,)}, {"sizes": (0, 6)}, {"steps": (1, 9)},
        {"swizzle": 1, "box": (16, 4)}, {"fill": 1}, {"sizes": (1, 1, 1, 1, 1, 1)},
    ):  # fmt: skip
        cuda.expect("CUDA_ERROR_INVALID_VALUE", _encode(cuda, at, source, **wrong))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", _encode(cuda, at + 8, source))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", _encode(cuda, at, source + 4))
    cuda.expect("CUDA_ERROR_NOT_SUPPORTED", _encode(cuda, at, source, interleave=1))
    cuda.expect("CUDA_ERROR_NOT_SUPPORTED", _encode(cuda, at, source, swizzle=5))  # units of 32 bytes with a flip of 8
    for units in (4, 6):  # of 32 and of 64 bytes
        cuda.check(_encode(cuda, at, source, swizzle=units, sizes=(32, 6), strides=(128,), box=(32, 4)))
    cuda.check(_encode(cuda, at, source))
    cuda.check(cuda.cuTensorMapReplaceAddress(ctypes.c_void_p(at), ctypes.c_void_p(source + 16)))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuTensorMapReplaceAddress(ctypes.c_void_p(at), ctypes.c_void_p(source + 1)))
