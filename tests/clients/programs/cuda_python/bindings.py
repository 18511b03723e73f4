"""cuda.bindings.driver: PTX modules and libraries, linking, launches, streams, graphs, errors."""

import ctypes

import numpy as np
from cuda.bindings import driver

PTX = b"""
.version 7.0
.target sm_70
.address_size 64
.visible .entry fill(.param .u64 x, .param .u32 value)
{
  .reg .b32 %r<5>; .reg .b64 %d<4>;
  ld.param.u64 %d1, [x]; ld.param.u32 %r1, [value];
  mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mov.u32 %r4, %tid.x; mad.lo.u32 %r2, %r2, %r3, %r4;
  mul.wide.u32 %d2, %r2, 4; add.u64 %d1, %d1, %d2; add.u32 %r1, %r1, %r2; st.global.u32 [%d1], %r1;
  ret;
}
"""


def checked(result):
    status, *values = result
    assert status == driver.CUresult.CUDA_SUCCESS, status
    return values[0] if len(values) == 1 else tuple(values)


checked(driver.cuInit(0))
device = checked(driver.cuDeviceGet(0))
context = checked(driver.cuDevicePrimaryCtxRetain(device))
checked(driver.cuCtxSetCurrent(context))
assert checked(driver.cuDriverGetVersion()) >= 12000
assert checked(driver.cuDeviceGetAttribute(driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_WARP_SIZE, device)) == 32
memory = checked(driver.cuMemAlloc(400))
out = np.zeros(100, np.uint32)


def launch(function, value, stream=0):
    arguments = (memory, value), (None, ctypes.c_uint32)
    return driver.cuLaunchKernel(function, 4, 1, 1, 25, 1, 1, 0, stream, arguments, 0)


def check(value):
    checked(driver.cuMemcpyDtoH(out.ctypes.data, memory, 400))
    np.testing.assert_array_equal(out, value + np.arange(100))


module = checked(driver.cuModuleLoadData(PTX))
checked(launch(checked(driver.cuModuleGetFunction(module, b"fill")), 7))
check(7)
library = checked(driver.cuLibraryLoadData(PTX, [], [], 0, [], [], 0))
kernel = checked(driver.cuLibraryGetKernel(library, b"fill"))
checked(launch(checked(driver.cuKernelGetFunction(kernel)), 8))
check(8)
state = checked(driver.cuLinkCreate(0, [], []))
checked(driver.cuLinkAddData(state, driver.CUjitInputType.CU_JIT_INPUT_PTX, PTX + b"\0", len(PTX) + 1, b"fill.ptx", 0, [], []))
image, size = checked(driver.cuLinkComplete(state))
linked = checked(driver.cuModuleLoadData(image))
checked(driver.cuLinkDestroy(state))
fill = checked(driver.cuModuleGetFunction(linked, b"fill"))
stream = checked(driver.cuStreamCreate(driver.CUstream_flags.CU_STREAM_NON_BLOCKING))
checked(launch(fill, 9, stream))
checked(driver.cuStreamSynchronize(stream))
check(9)
checked(driver.cuStreamBeginCapture(stream, driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_GLOBAL))
checked(launch(fill, 10, stream))
graph = checked(driver.cuStreamEndCapture(stream))
checked(driver.cuMemsetD32(memory, 0, 100))
checked(driver.cuCtxSynchronize())  # the stream does not wait for the default one
executable = checked(driver.cuGraphInstantiate(graph, 0))
for _ in range(3):
    checked(driver.cuGraphLaunch(executable, stream))
checked(driver.cuStreamSynchronize(stream))
check(10)
status, _ = driver.cuModuleLoadData(b"no PTX at all\0")
assert status in (driver.CUresult.CUDA_ERROR_INVALID_IMAGE, driver.CUresult.CUDA_ERROR_INVALID_PTX), status
assert driver.cuModuleGetFunction(module, b"absent")[0] == driver.CUresult.CUDA_ERROR_NOT_FOUND
