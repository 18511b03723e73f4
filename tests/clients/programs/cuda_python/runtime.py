"""cuda.bindings.runtime: memory, streams, events, errors, device properties, and both default streams."""

from __future__ import annotations

import numpy as np
from cuda.bindings import driver, runtime


def check(result: tuple):
    assert result[0] == runtime.cudaError_t.cudaSuccess, result[0]
    return result[1] if len(result) == 2 else result[1:]


version = check(runtime.cudaRuntimeGetVersion())
assert version >= 12000
assert check(runtime.cudaGetDeviceCount()) >= 1
properties = check(runtime.cudaGetDeviceProperties(0))
assert properties.name and properties.warpSize == 32
assert check(runtime.cudaDeviceGetAttribute(runtime.cudaDeviceAttr.cudaDevAttrWarpSize, 0)) == 32

numbers = np.arange(1000, dtype=np.float32)
back = np.zeros_like(numbers)
pointer = check(runtime.cudaMalloc(numbers.nbytes))
stream = check(runtime.cudaStreamCreate())
start, end = check(runtime.cudaEventCreate()), check(runtime.cudaEventCreate())
check(runtime.cudaEventRecord(start, stream))
to_device, to_host = runtime.cudaMemcpyKind.cudaMemcpyHostToDevice, runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
check(runtime.cudaMemcpyAsync(pointer, numbers.ctypes.data, numbers.nbytes, to_device, stream))
check(runtime.cudaMemcpyAsync(back.ctypes.data, pointer, back.nbytes, to_host, stream))
check(runtime.cudaEventRecord(end, stream))
check(runtime.cudaStreamSynchronize(stream))
assert np.array_equal(numbers, back)
assert check(runtime.cudaEventElapsedTime(start, end)) >= 0

# The runtime and the driver are one: what one allocates the other knows.
assert driver.cuMemGetAddressRange(int(pointer))[2] == numbers.nbytes
attributes = check(runtime.cudaPointerGetAttributes(pointer))
assert attributes.type == runtime.cudaMemoryType.cudaMemoryTypeDevice

assert runtime.cudaFree(1)[0] == runtime.cudaError_t.cudaErrorInvalidValue
assert runtime.cudaGetLastError()[0] == runtime.cudaError_t.cudaErrorInvalidValue
assert runtime.cudaGetErrorName(runtime.cudaError_t.cudaErrorInvalidValue)[1] == b"cudaErrorInvalidValue"
check(runtime.cudaFree(pointer))
check(runtime.cudaStreamDestroy(stream))
check(runtime.cudaDeviceSynchronize())
