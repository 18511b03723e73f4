"""Buffers and textures of an OpenGL context. Without a context: the documented error; with Mesa's off-screen EGL, the real thing."""

from __future__ import annotations

import ctypes.util
from collections.abc import Callable
from ctypes import byref, c_uint, c_void_p

import pytest

from .conftest import Driver

# A current OpenGL context without a window, by EGL's "surfaceless" platform; `gl` has the functions.
_CONTEXT = """
import sys
egl, gl = CDLL("libEGL.so.1", RTLD_GLOBAL), CDLL("libGL.so.1", RTLD_GLOBAL)
egl.eglGetPlatformDisplay.restype = egl.eglCreateContext.restype = c_void_p
egl.eglGetPlatformDisplay.argtypes = [c_uint, c_void_p, c_void_p]
display = egl.eglGetPlatformDisplay(0x31DD, None, None)
major, minor = c_int(), c_int()
if not display or not egl.eglInitialize(c_void_p(display), byref(major), byref(minor)) or not egl.eglBindAPI(0x30A2): sys.exit(77)
egl.eglCreateContext.argtypes = [c_void_p] * 4
handle = egl.eglCreateContext(display, None, None, None)
egl.eglMakeCurrent.argtypes = [c_void_p] * 4
if not handle or not egl.eglMakeCurrent(display, None, None, handle): sys.exit(77)
context, resource, stream = c_void_p(), c_void_p(), c_void_p()
check(cuda.cuInit(0)); check(cuda.cuCtxCreate_v2(byref(context), 0, 0)); check(cuda.cuStreamCreate(byref(stream), 1))
ARRAY_BUFFER, TEXTURE_2D = 0x8892, 0x0DE1
"""


def test_without_a_context(cuda: Driver) -> None:
    resource, count, devices = c_void_p(), c_uint(), (c_uint * 4)()
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphicsGLRegisterBuffer(byref(resource), 1, 64))
    cuda.expect("CUDA_ERROR_INVALID_GRAPHICS_CONTEXT", cuda.cuGraphicsGLRegisterBuffer(byref(resource), 1, 0))
    cuda.expect("CUDA_ERROR_INVALID_GRAPHICS_CONTEXT", cuda.cuGLGetDevices_v2(byref(count), devices, 4, 1))
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuGraphicsUnregisterResource(None))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphicsMapResources(0, None, None))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGLMapBufferObject_v2(byref(resource), None, 5))  # never registered
    cuda.check(cuda.cuGLInit())


@pytest.fixture
def drawing(program: Callable[..., str]) -> Callable[[str], None]:
    if not ctypes.util.find_library("EGL") or not ctypes.util.find_library("GL"):
        pytest.skip("needs libEGL and libGL: install Mesa")

    def run(code: str) -> None:
        out = program(_CONTEXT.replace("sys.exit(77)", '(print("no context"), sys.exit(0))') + code)
        if "no context" in out:
            pytest.skip("EGL makes no context without a window here")

    return run


def test_buffers(drawing: Callable[[str], None]) -> None:
    drawing(
        """
name, address, size = c_uint(), c_ulonglong(), c_size_t()
gl.glGenBuffers(1, byref(name)); gl.glBindBuffer(ARRAY_BUFFER, name)
gl.glBufferData(ARRAY_BUFFER, c_ssize_t(8), b"original", 0x88E4)
assert error(cuda.cuGraphicsGLRegisterBuffer(byref(resource), 4711, 0)) == "CUDA_ERROR_INVALID_VALUE"
check(cuda.cuGraphicsGLRegisterBuffer(byref(resource), name, 0))
array = (c_void_p * 1)(resource)
assert error(cuda.cuGraphicsResourceGetMappedPointer_v2(byref(address), byref(size), resource)) == "CUDA_ERROR_NOT_MAPPED"
check(cuda.cuGraphicsMapResources(1, array, stream))
assert error(cuda.cuGraphicsMapResources(1, array, stream)) == "CUDA_ERROR_ALREADY_MAPPED"
assert error(cuda.cuGraphicsResourceSetMapFlags_v2(resource, 0)) == "CUDA_ERROR_ALREADY_MAPPED"
check(cuda.cuGraphicsResourceGetMappedPointer_v2(byref(address), byref(size), resource))
image = c_void_p()
assert error(cuda.cuGraphicsSubResourceGetMappedArray(byref(image), resource, 0, 0)) == "CUDA_ERROR_NOT_MAPPED_AS_ARRAY"
back = create_string_buffer(8)
check(cuda.cuMemcpyDtoH_v2(back, address, 8))
assert (size.value, back.raw) == (8, b"original")
check(cuda.cuMemsetD8Async(address, ord("x"), 4, stream))
check(cuda.cuGraphicsUnmapResources(1, array, stream))
assert error(cuda.cuGraphicsUnmapResources(1, array, stream)) == "CUDA_ERROR_NOT_MAPPED"
gl.glGetBufferSubData(ARRAY_BUFFER, c_ssize_t(0), c_ssize_t(8), back)
assert back.raw == b"xxxxinal", back.raw
check(cuda.cuGraphicsResourceSetMapFlags_v2(resource, 1))                 # read only: nothing goes back
check(cuda.cuGraphicsMapResources(1, array, stream)); check(cuda.cuMemsetD8Async(address, 0, 8, stream))
check(cuda.cuGraphicsUnmapResources(1, array, stream))
gl.glGetBufferSubData(ARRAY_BUFFER, c_ssize_t(0), c_ssize_t(8), back)
assert back.raw == b"xxxxinal"
check(cuda.cuGraphicsUnregisterResource(resource))
check(cuda.cuGLRegisterBufferObject(name)); check(cuda.cuGLMapBufferObject_v2(byref(address), byref(size), name))
check(cuda.cuMemsetD8_v2(address, ord("o"), 8)); check(cuda.cuGLUnmapBufferObject(name)); check(cuda.cuGLUnregisterBufferObject(name))
gl.glGetBufferSubData(ARRAY_BUFFER, c_ssize_t(0), c_ssize_t(8), back)
assert back.raw == b"o" * 8
count, devices = c_uint(), (c_int * 4)()
check(cuda.cuGLGetDevices_v2(byref(count), devices, 4, 1))
assert count.value == 1
"""
    )


def test_textures(drawing: Callable[[str], None]) -> None:
    drawing(
        """
name, image, levels, level = c_uint(), c_void_p(), c_void_p(), c_void_p()
gl.glGenTextures(1, byref(name)); gl.glBindTexture(TEXTURE_2D, name)
assert error(cuda.cuGraphicsGLRegisterImage(byref(resource), name, TEXTURE_2D, 0)) == "CUDA_ERROR_INVALID_VALUE"   # without an image yet
gl.glTexImage2D(TEXTURE_2D, 0, 0x8058, 3, 2, 0, 0x1908, 0x1401, bytes(range(24)))
assert error(cuda.cuGraphicsGLRegisterImage(byref(resource), name, 0x806F, 0)) == "CUDA_ERROR_INVALID_VALUE"      # three dimensions
check(cuda.cuGraphicsGLRegisterImage(byref(resource), name, TEXTURE_2D, 0))
array = (c_void_p * 1)(resource)
check(cuda.cuGraphicsMapResources(1, array, stream))
check(cuda.cuGraphicsSubResourceGetMappedArray(byref(image), resource, 0, 0))
assert error(cuda.cuGraphicsSubResourceGetMappedArray(byref(image), resource, 0, 1)) == "CUDA_ERROR_INVALID_VALUE"
address = c_ulonglong()
assert error(cuda.cuGraphicsResourceGetMappedPointer_v2(byref(address), None, resource)) == "CUDA_ERROR_NOT_MAPPED_AS_POINTER"
d, back = cuda.types["CUDA_ARRAY_DESCRIPTOR"](), create_string_buffer(24)
check(cuda.cuArrayGetDescriptor_v2(byref(d), image))
assert (d.Width, d.Height, d.NumChannels) == (3, 2, 4)
check(cuda.cuMemcpyAtoH_v2(back, image, 0, 12))
assert back.raw[:12] == bytes(range(12))
check(cuda.cuGraphicsResourceGetMappedMipmappedArray(byref(levels), resource))
check(cuda.cuMipmappedArrayGetLevel(byref(level), levels, 0))
check(cuda.cuMemcpyHtoA_v2(level, 0, b"abcd", 4))
check(cuda.cuGraphicsUnmapResources(1, array, stream))
gl.glGetTexImage(TEXTURE_2D, 0, 0x1908, 0x1401, back)
assert back.raw == b"abcd" + bytes(range(4, 24)), back.raw
check(cuda.cuGraphicsUnregisterResource(resource))
"""
    )
