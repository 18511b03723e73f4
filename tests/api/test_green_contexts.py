"""Resources of devices, green contexts, their streams and stand-ins."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from ctypes import byref, c_int, c_uint, c_ulonglong, c_void_p
from typing import Any

import pytest

from .conftest import Driver
from .kernels import ADD

SM, WORKQUEUE_CONFIG = 1, 1000


@pytest.fixture
def primary(driver: Driver) -> Iterator[Driver]:
    """The driver with the primary context current."""
    context = c_void_p()
    driver.check(driver.cuDevicePrimaryCtxRetain(byref(context), 0))
    driver.check(driver.cuCtxPushCurrent_v2(context))
    driver.context = context.value
    yield driver
    driver.check(driver.cuCtxPopCurrent_v2(None))
    driver.check(driver.cuDevicePrimaryCtxRelease_v2(0))


def whole(cuda: Driver) -> Any:
    resource = cuda.new("CUdevResource")
    cuda.check(cuda.cuDeviceGetDevResource(0, byref(resource), SM))
    return resource


def green_context(cuda: Driver, *resources: Any) -> int:
    description, green = c_void_p(), c_void_p()
    array = (cuda.types["CUdevResource"] * len(resources))(*resources)
    cuda.check(cuda.cuDevResourceGenerateDesc(byref(description), array, len(resources)))
    cuda.check(cuda.cuGreenCtxCreate(byref(green), description, 0, cuda.CU_GREEN_CTX_DEFAULT_STREAM))
    return green.value or 0


def test_argument_checks(primary: Driver) -> None:
    cuda, resource, count, made = primary, primary.new("CUdevResource"), c_uint(1), c_void_p()
    cuda.expect("CUDA_ERROR_INVALID_DEVICE", cuda.cuDeviceGetDevResource(99, byref(resource), SM))
    cuda.expect("CUDA_ERROR_INVALID_RESOURCE_TYPE", cuda.cuDeviceGetDevResource(0, byref(resource), 7))
    cuda.expect("CUDA_ERROR_INVALID_RESOURCE_TYPE", cuda.cuDevSmResourceSplitByCount(None, byref(count), byref(resource), None, 0, 1))
    resource.type = SM  # not one that a call gave out
    cuda.expect(
        "CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION", cuda.cuDevSmResourceSplitByCount(None, byref(count), byref(resource), None, 0, 0)
    )
    resource = whole(cuda)
    too_many = resource.sm.smCount + 1
    cuda.expect(
        "CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION",
        cuda.cuDevSmResourceSplitByCount(None, byref(count), byref(resource), None, 0, too_many),
    )
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuDevSmResourceSplitByCount(None, byref(count), byref(resource), None, 8, 1))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuDevResourceGenerateDesc(byref(made), byref(resource), 0))
    description = c_void_p()
    cuda.check(cuda.cuDevResourceGenerateDesc(byref(description), byref(resource), 1))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGreenCtxCreate(byref(made), description, 0, 0))  # the default stream is required
    cuda.expect("CUDA_ERROR_INVALID_CONTEXT", cuda.cuGreenCtxDestroy(None))


def test_split(primary: Driver) -> None:
    cuda, resource = primary, whole(primary)
    sms, count, rest = resource.sm.smCount, c_uint(), primary.new("CUdevResource")
    cuda.check(cuda.cuDevSmResourceSplitByCount(None, byref(count), byref(resource), None, 0, 1))
    assert count.value == sms
    parts = (cuda.types["CUdevResource"] * 1)()
    count.value = 1
    cuda.check(cuda.cuDevSmResourceSplitByCount(parts, byref(count), byref(resource), byref(rest), 0, 1))
    assert (count.value, parts[0].sm.smCount, rest.sm.smCount) == (1, 1, sms - 1)
    groups = (cuda.types["CU_DEV_SM_RESOURCE_GROUP_PARAMS"] * 1)()
    cuda.check(cuda.cuDevSmResourceSplit(parts, 1, byref(resource), byref(rest), 0, groups))
    assert (groups[0].smCount, parts[0].sm.smCount, rest.type) == (sms, sms, 0)  # 0 asked for all that is left


def test_streams_belong_to_their_green_context(primary: Driver) -> None:
    cuda, green = primary, green_context(primary, whole(primary))
    stream, context, back, resource, number = c_void_p(), c_void_p(), c_void_p(), cuda.new("CUdevResource"), c_ulonglong()
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGreenCtxStreamCreate(byref(stream), green, 0, 0))  # only non-blocking ones
    cuda.check(cuda.cuGreenCtxStreamCreate(byref(stream), green, 1, 0))
    cuda.check(cuda.cuStreamGetCtx_v2(stream, byref(context), byref(back)))
    assert (context.value, back.value) == (cuda.context, green)
    cuda.check(cuda.cuStreamGetGreenCtx(stream, byref(back)))
    assert back.value == green
    cuda.check(cuda.cuStreamGetDevResource(stream, byref(resource), SM))
    assert resource.sm.smCount == whole(cuda).sm.smCount
    cuda.check(cuda.cuGreenCtxGetId(green, byref(number)))
    assert number.value
    # Kernels of the primary context's modules run there.
    address = cuda.upload(bytes(16))
    add = cuda.function(cuda.module(ADD), "add")
    cuda.check(cuda.launch(add, 1, 32, c_ulonglong(address), c_uint(4), c_uint(3), stream=stream.value))
    event = c_void_p()
    cuda.check(cuda.cuEventCreate(byref(event), 2))
    cuda.check(cuda.cuGreenCtxRecordEvent(green, event))
    cuda.check(cuda.cuEventSynchronize(event))
    assert cuda.download(address, 4) == b"\x03\0\0\0"
    cuda.check(cuda.cuGreenCtxWaitEvent(green, event))
    cuda.check(cuda.cuGreenCtxDestroy(green))
    cuda.expect("CUDA_ERROR_INVALID_CONTEXT", cuda.cuGreenCtxGetDevResource(green, byref(resource), SM))
    cuda.check(cuda.cuStreamGetCtx_v2(stream, byref(context), byref(back)))
    assert back.value is None
    cuda.check(cuda.cuStreamDestroy_v2(stream))


def test_the_stand_in_is_the_primary_context(primary: Driver) -> None:
    cuda, green = primary, green_context(primary, whole(primary))
    stand_in, current, device, stream, back = c_void_p(), c_void_p(), c_int(7), c_void_p(), c_void_p()
    cuda.check(cuda.cuCtxFromGreenCtx(byref(stand_in), green))
    cuda.check(cuda.cuCtxPushCurrent_v2(stand_in))
    cuda.check(cuda.cuCtxGetCurrent(byref(current)))
    assert current.value == stand_in.value
    cuda.check(cuda.cuCtxGetDevice(byref(device)))
    assert device.value == 0
    address = cuda.upload(b"abcd")  # memory of the primary context
    cuda.check(cuda.cuStreamCreate(byref(stream), 1))
    cuda.check(cuda.cuStreamGetGreenCtx(stream, byref(back)))
    assert back.value == green
    cuda.check(cuda.cuStreamGetGreenCtx(None, byref(back)))
    assert back.value == green
    cuda.check(cuda.cuCtxSynchronize())
    cuda.check(cuda.cuCtxSynchronize_v2(stand_in))
    cuda.expect("CUDA_ERROR_INVALID_CONTEXT", cuda.cuCtxDestroy_v2(stand_in))
    cuda.check(cuda.cuCtxPopCurrent_v2(None))
    assert cuda.download(address, 4) == b"abcd"
    cuda.check(cuda.cuGreenCtxDestroy(green))
    cuda.expect("CUDA_ERROR_INVALID_CONTEXT", cuda.cuCtxSetCurrent(stand_in))


def test_other_resources(primary: Driver) -> None:
    cuda, queue = primary, primary.new("CUdevResource")
    cuda.check(cuda.cuDeviceGetDevResource(0, byref(queue), WORKQUEUE_CONFIG))
    assert queue.wqConfig.wqConcurrencyLimit >= 1
    cuda.check(cuda.cuCtxGetDevResource(cuda.context, byref(queue), SM))
    green = green_context(cuda, whole(cuda), queue) if queue.sm.smCount * 2 <= whole(cuda).sm.smCount else green_context(cuda, queue)
    cuda.check(cuda.cuGreenCtxGetDevResource(green, byref(queue), SM))
    cuda.check(cuda.cuGreenCtxDestroy(green))
    assert ctypes.sizeof(queue) == 144


def test_its_streams_together_use_no_more_threads(program: Callable[..., str]) -> None:
    """Each CTA counts itself in, notes how many are in, stays for a while and counts itself out."""
    out = program(
        """
from ctypes import *
context, green, description, whole, streams = c_void_p(), c_void_p(), c_void_p(), cuda.types["CUdevResource"](), []
check(cuda.cuInit(0)); check(cuda.cuDevicePrimaryCtxRetain(byref(context), 0)); check(cuda.cuCtxSetCurrent(context))
check(cuda.cuDeviceGetDevResource(0, byref(whole), 1))
part, count = (cuda.types["CUdevResource"] * 1)(), c_uint(1)
check(cuda.cuDevSmResourceSplitByCount(part, byref(count), byref(whole), None, 0, 2))
check(cuda.cuDevResourceGenerateDesc(byref(description), part, 1)); check(cuda.cuGreenCtxCreate(byref(green), description, 0, 1))
text = '''.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 a) { .reg .b64 %a; .reg .b64 %t<3>; .reg .b32 %r<2>; .reg .pred %p;
  ld.param.u64 %a, [a]; atom.global.add.u32 %r0, [%a], 1; add.u32 %r0, %r0, 1; red.global.max.u32 [%a+4], %r0; red.global.add.u32 [%a+8], 1;
  mov.u64 %t0, %globaltimer;
  AGAIN: mov.u64 %t1, %globaltimer; sub.u64 %t2, %t1, %t0; setp.lt.u64 %p, %t2, 300000; @%p bra AGAIN;
  red.global.add.u32 [%a], -1; ret; }'''
module, function, address = c_void_p(), c_void_p(), c_ulonglong()
check(cuda.cuModuleLoadData(byref(module), text.encode())); check(cuda.cuModuleGetFunction(byref(function), module, b"k"))
check(cuda.cuMemAlloc_v2(byref(address), 12))
for limited in (True, False):
    check(cuda.cuMemsetD8_v2(address, 0, 12)); check(cuda.cuCtxSynchronize())
    for _ in range(3):
        stream = c_void_p()
        check(cuda.cuGreenCtxStreamCreate(byref(stream), green, 1, 0) if limited else cuda.cuStreamCreate(byref(stream), 1))
        for _ in range(3):
            check(cuda.cuLaunchKernel(function, 40, 1, 1, 1, 1, 1, 0, stream, (c_void_p * 1)(addressof(address)), None))
    check(cuda.cuCtxSynchronize())
    result = (c_uint * 3)(); check(cuda.cuMemcpyDtoH_v2(result, address, 12))
    assert result[0] == 0 and result[2] == 360, list(result)
    print(result[1])
""",
        ANYWARP_NUM_THREADS="4",
    )
    limited, unlimited = (int(line) for line in out.split())
    assert limited <= 2 < unlimited
