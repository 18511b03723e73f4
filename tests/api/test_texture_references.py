"""Texture and surface references: the interface that textures had before there were objects."""

from __future__ import annotations

import struct
from ctypes import byref, c_float, c_int, c_size_t, c_uint, c_ulonglong, c_void_p

from .conftest import Driver
from .test_textures import FLOAT, _array

_KERNEL = """.version 8.0
.target sm_80
.address_size 64
.global .texref picture;
.global .surfref canvas;
.global .u32 number;
.visible .entry sample(.param .u64 out, .param .f32 x, .param .f32 y)
{
  .reg .b64 %d;  .reg .f32 %f<8>;
  ld.param.u64 %d, [out];
  ld.param.f32 %f0, [x];
  ld.param.f32 %f1, [y];
  tex.2d.v4.f32.f32 {%f2, %f3, %f4, %f5}, [picture, {%f0, %f1}];
  st.global.f32 [%d], %f2;
  ret;
}
.visible .entry fetch(.param .u64 out, .param .u32 index)
{
  .reg .b64 %d;  .reg .b32 %r;  .reg .f32 %f<4>;
  ld.param.u64 %d, [out];
  ld.param.u32 %r, [index];
  tex.1d.v4.f32.s32 {%f0, %f1, %f2, %f3}, [picture, {%r}];
  st.global.f32 [%d], %f0;
  ret;
}
.visible .entry draw(.param .f32 value)
{
  .reg .b32 %r<2>;
  ld.param.u32 %r0, [value];
  mov.u32 %r1, 0;
  sust.b.2d.b32.trap [canvas, {%r1, %r1}], {%r0};
  ret;
}
"""


def reference(cuda: Driver, module: int) -> int:
    made = c_void_p()
    cuda.check(cuda.cuModuleGetTexRef(byref(made), module, b"picture"))
    return made.value or 0


def test_argument_checks(cuda: Driver) -> None:
    module, made = cuda.module(_KERNEL), c_void_p()
    texture = reference(cuda, module)
    cuda.expect("CUDA_ERROR_NOT_FOUND", cuda.cuModuleGetTexRef(byref(made), module, b"nothing"))
    cuda.expect("CUDA_ERROR_NOT_FOUND", cuda.cuModuleGetTexRef(byref(made), module, b"number"))  # no reference
    cuda.expect("CUDA_ERROR_NOT_FOUND", cuda.cuModuleGetSurfRef(byref(made), module, b"picture"))  # not a surface
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuTexRefSetAddressMode(texture, 3, 0))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuTexRefSetFormat(texture, FLOAT, 3))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuTexRefSetFlags(texture, 1 << 20))
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuTexRefSetArray(texture, None, 1))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuTexRefGetArray(byref(made), texture))  # bound to nothing
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuTexRefDestroy(texture))  # the module's
    cuda.check(cuda.cuTexRefCreate(byref(made)))
    cuda.check(cuda.cuTexRefDestroy(made))
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuTexRefSetFilterMode(made, 0))


def test_what_is_set_comes_back(cuda: Driver) -> None:
    texture, number, real, other, colour = reference(cuda, cuda.module(_KERNEL)), c_uint(), c_float(), c_float(), (c_float * 4)(1, 2, 3, 4)
    for setter, getter, value in (
        ("cuTexRefSetFilterMode", "cuTexRefGetFilterMode", 1),
        ("cuTexRefSetMipmapFilterMode", "cuTexRefGetMipmapFilterMode", 1),
        ("cuTexRefSetMaxAnisotropy", "cuTexRefGetMaxAnisotropy", 4),
        ("cuTexRefSetFlags", "cuTexRefGetFlags", 2),
    ):
        cuda.check(getattr(cuda, setter)(texture, value))
        cuda.check(getattr(cuda, getter)(byref(number), texture))
        assert number.value == value, getter
    cuda.check(cuda.cuTexRefSetAddressMode(texture, 1, 3))
    cuda.check(cuda.cuTexRefGetAddressMode(byref(number), texture, 1))
    assert number.value == 3
    cuda.check(cuda.cuTexRefSetMipmapLevelBias(texture, 0.5))
    cuda.check(cuda.cuTexRefGetMipmapLevelBias(byref(real), texture))
    assert real.value == 0.5
    cuda.check(cuda.cuTexRefSetMipmapLevelClamp(texture, 1, 2))
    cuda.check(cuda.cuTexRefGetMipmapLevelClamp(byref(real), byref(other), texture))
    assert (real.value, other.value) == (1, 2)
    back = (c_float * 4)()
    cuda.check(cuda.cuTexRefSetBorderColor(texture, colour))
    cuda.check(cuda.cuTexRefGetBorderColor(back, texture))
    assert list(back) == [1, 2, 3, 4]
    form, channels = c_uint(), c_int()
    cuda.check(cuda.cuTexRefSetFormat(texture, 8, 2))
    cuda.check(cuda.cuTexRefGetFormat(byref(form), byref(channels), texture))
    assert (form.value, channels.value) == (8, 2)


def sample(cuda: Driver, module: int, x: float, y: float) -> float:
    out = cuda.alloc(4)
    cuda.check(cuda.launch(cuda.function(module, "sample"), 1, 1, c_ulonglong(out), c_float(x), c_float(y)))
    cuda.check(cuda.cuCtxSynchronize())
    return float(struct.unpack("<f", cuda.download(out, 4))[0])


def test_kernels_read_what_is_bound(cuda: Driver) -> None:
    module, found = cuda.module(_KERNEL), c_void_p()
    texture = reference(cuda, module)
    array, other = _array(cuda, [[1.0, 2.0], [3.0, 4.0]]), _array(cuda, [[9.0, 9.0], [9.0, 9.0]])
    cuda.check(cuda.cuTexRefSetArray(texture, array, cuda.CU_TRSA_OVERRIDE_FORMAT))
    cuda.check(cuda.cuTexRefGetArray(byref(found), texture))
    assert found.value == array.value
    assert sample(cuda, module, 1.0, 1.0) == 4.0
    cuda.check(cuda.cuTexRefSetFilterMode(texture, 1))
    assert sample(cuda, module, 1.0, 0.5) == 1.5
    cuda.check(cuda.cuTexRefSetFlags(texture, cuda.CU_TRSF_NORMALIZED_COORDINATES))
    assert sample(cuda, module, 0.5, 0.25) == 1.5
    cuda.check(cuda.cuTexRefSetArray(texture, other, cuda.CU_TRSA_OVERRIDE_FORMAT))
    assert sample(cuda, module, 0.5, 0.5) == 9.0
    assert reference(cuda, module) == texture  # one name, one reference


def test_linear_and_pitched_memory(cuda: Driver) -> None:
    module, offset, address = cuda.module(_KERNEL), c_size_t(9), c_ulonglong()
    texture, out = reference(cuda, module), cuda.alloc(4)
    data = cuda.upload(struct.pack("<8f", *range(8)))
    cuda.check(cuda.cuTexRefSetFormat(texture, FLOAT, 1))
    cuda.check(cuda.cuTexRefSetAddress_v2(byref(offset), texture, data, 32))
    cuda.check(cuda.cuTexRefGetAddress_v2(byref(address), texture))
    assert (offset.value, address.value) == (0, data)
    cuda.check(cuda.launch(cuda.function(module, "fetch"), 1, 1, c_ulonglong(out), c_uint(5)))
    cuda.check(cuda.cuCtxSynchronize())
    assert struct.unpack("<f", cuda.download(out, 4)) == (5.0,)
    plane = cuda.new("CUDA_ARRAY_DESCRIPTOR")
    plane.Width, plane.Height, plane.Format, plane.NumChannels = 4, 2, FLOAT, 1
    cuda.check(cuda.cuTexRefSetAddress2D_v3(texture, byref(plane), data, 16))
    assert sample(cuda, module, 2.0, 1.0) == 6.0


def test_an_unbound_reference_is_an_illegal_address(cuda: Driver) -> None:
    module, out = cuda.module(_KERNEL), cuda.alloc(4)
    cuda.check(cuda.launch(cuda.function(module, "sample"), 1, 1, c_ulonglong(out), c_float(0), c_float(0)))
    cuda.expect("CUDA_ERROR_ILLEGAL_ADDRESS", cuda.cuCtxSynchronize())


def test_surfaces(cuda: Driver) -> None:
    module, surface, back, found = cuda.module(_KERNEL), c_void_p(), c_float(), c_void_p()
    array, plain = _array(cuda, [[0.0, 0.0]], cuda.CUDA_ARRAY3D_SURFACE_LDST), _array(cuda, [[0.0]])
    cuda.check(cuda.cuModuleGetSurfRef(byref(surface), module, b"canvas"))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuSurfRefSetArray(surface, plain, 0))
    cuda.check(cuda.cuSurfRefSetArray(surface, array, 0))
    cuda.check(cuda.cuSurfRefGetArray(byref(found), surface))
    assert found.value == array.value
    cuda.check(cuda.launch(cuda.function(module, "draw"), 1, 1, c_float(2.5)))
    cuda.check(cuda.cuMemcpyAtoH_v2(byref(back), array, 0, 4))
    assert back.value == 2.5
