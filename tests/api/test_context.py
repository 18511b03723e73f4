"""Contexts: stack and current context, primary contexts, limits, destruction."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from ctypes import byref, c_int, c_size_t, c_uint, c_ulonglong, c_void_p

import pytest

from .conftest import Driver

Program = Callable[..., str]


def current(driver: Driver) -> int | None:
    context = c_void_p()
    driver.check(driver.cuCtxGetCurrent(byref(context)))
    return context.value


def test_calls_without_a_context(program: Program) -> None:
    text = program(
        """
        check(cuda.cuInit(0))
        p, n = c_ulonglong(), c_int()
        print(error(cuda.cuMemAlloc_v2(byref(p), 16)))
        print(error(cuda.cuCtxSynchronize()))
        print(error(cuda.cuCtxGetDevice(byref(n))))
        print(error(cuda.cuStreamSynchronize(None)))
        print(error(cuda.cuCtxPopCurrent_v2(None)))
        print(error(cuda.cuModuleLoadData(byref(p), b".version 8.0")))
        c = c_void_p(1)
        check(cuda.cuCtxGetCurrent(byref(c))); print(c.value)
        """
    )
    assert text.split() == ["CUDA_ERROR_INVALID_CONTEXT"] * 6 + ["None"]


def test_create_argument_checks(driver: Driver) -> None:
    context = c_void_p()
    driver.expect("CUDA_ERROR_INVALID_VALUE", driver.cuCtxCreate_v2(None, 0, 0))
    driver.expect("CUDA_ERROR_INVALID_VALUE", driver.cuCtxCreate_v2(byref(context), 0x4000, 0))
    driver.expect("CUDA_ERROR_INVALID_VALUE", driver.cuCtxCreate_v2(byref(context), 3, 0))  # two schedules
    driver.expect("CUDA_ERROR_INVALID_DEVICE", driver.cuCtxCreate_v2(byref(context), 0, 7))


def test_stack(cuda: Driver) -> None:
    first, second = cuda.context, c_void_p()
    assert current(cuda) == first
    cuda.check(cuda.cuCtxCreate_v2(byref(second), 0, 0))
    assert current(cuda) == second.value != first
    cuda.check(cuda.cuCtxPushCurrent_v2(first))
    assert current(cuda) == first
    popped = c_void_p()
    cuda.check(cuda.cuCtxPopCurrent_v2(byref(popped)))
    assert (popped.value, current(cuda)) == (first, second.value)
    cuda.check(cuda.cuCtxDestroy_v2(second))
    assert current(cuda) == first  # destroying the current context pops it


@pytest.mark.parametrize("form", ["v3", "v4"])
def test_newer_create_functions(driver: Driver, form: str) -> None:
    context = c_void_p()
    if form == "v3":
        driver.check(driver.cuCtxCreate_v3(byref(context), None, 0, 0, 0))
    else:
        driver.check(driver.cuCtxCreate_v4(byref(context), None, 0, 0))
    assert current(driver) == context.value
    driver.check(driver.cuCtxDestroy_v2(context))


def test_destroyed_context_is_recognised(driver: Driver) -> None:
    context, address = c_void_p(), c_ulonglong()
    driver.check(driver.cuCtxCreate_v2(byref(context), 0, 0))
    driver.check(driver.cuCtxPushCurrent_v2(context))
    driver.check(driver.cuCtxDestroy_v2(context))  # pops one of its two places on the stack
    driver.expect("CUDA_ERROR_CONTEXT_IS_DESTROYED", driver.cuMemAlloc_v2(byref(address), 16))
    driver.expect("CUDA_ERROR_CONTEXT_IS_DESTROYED", driver.cuCtxDestroy_v2(context))
    driver.check(driver.cuCtxPopCurrent_v2(None))


def test_destroy_frees_memory(driver: Driver) -> None:
    context, free, total, after = c_void_p(), c_size_t(), c_size_t(), c_size_t()
    driver.check(driver.cuCtxCreate_v2(byref(context), 0, 0))
    driver.check(driver.cuMemGetInfo_v2(byref(free), byref(total)))
    for _ in range(10):
        driver.alloc(1 << 22)
    driver.check(driver.cuMemGetInfo_v2(byref(after), None))
    assert free.value - after.value >= 10 << 22
    driver.check(driver.cuCtxDestroy_v2(context))
    driver.check(driver.cuCtxCreate_v2(byref(context), 0, 0))
    driver.check(driver.cuMemGetInfo_v2(byref(after), None))
    assert after.value >= free.value
    driver.check(driver.cuCtxDestroy_v2(context))


def test_current_context_is_of_the_thread(cuda: Driver) -> None:
    seen: list[int | None] = []

    def other() -> None:
        seen.append(current(cuda))
        cuda.check(cuda.cuCtxSetCurrent(cuda.context))
        seen.append(current(cuda))
        cuda.check(cuda.cuCtxSetCurrent(None))
        seen.append(current(cuda))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [None, cuda.context, None]
    assert current(cuda) == cuda.context


def test_primary_context_is_counted(program: Program) -> None:
    text = program(
        """
        check(cuda.cuInit(0))
        a, b, flags, active = c_void_p(), c_void_p(), c_uint(), c_int()
        def state():
            check(cuda.cuDevicePrimaryCtxGetState(0, byref(flags), byref(active)))
            return flags.value, active.value
        print(state())
        print(error(cuda.cuDevicePrimaryCtxRelease_v2(0)))
        check(cuda.cuDevicePrimaryCtxSetFlags_v2(0, 4))
        check(cuda.cuDevicePrimaryCtxRetain(byref(a), 0))
        check(cuda.cuDevicePrimaryCtxRetain(byref(b), 0))
        print(state(), a.value == b.value)
        print(error(cuda.cuCtxDestroy_v2(a)))
        check(cuda.cuCtxSetCurrent(a))
        p = c_ulonglong()
        check(cuda.cuMemAlloc_v2(byref(p), 16))
        check(cuda.cuDevicePrimaryCtxReset_v2(0))
        print(state(), error(cuda.cuMemFree_v2(p)))
        check(cuda.cuDevicePrimaryCtxRelease_v2(0))
        print(state())
        check(cuda.cuDevicePrimaryCtxRelease_v2(0))
        print(state(), error(cuda.cuMemAlloc_v2(byref(p), 16)))
        check(cuda.cuDevicePrimaryCtxRetain(byref(b), 0))
        print(a.value == b.value, error(cuda.cuMemAlloc_v2(byref(p), 16)))
        print(error(cuda.cuDevicePrimaryCtxRetain(byref(b), 3)))
        """
    )
    assert text.splitlines() == [
        "(0, 0)",
        "CUDA_ERROR_INVALID_CONTEXT",
        "(4, 1) True",
        "CUDA_ERROR_INVALID_CONTEXT",
        "(4, 1) CUDA_ERROR_INVALID_VALUE",
        "(4, 1)",
        "(4, 0) CUDA_ERROR_CONTEXT_IS_DESTROYED",
        "True CUDA_SUCCESS",
        "CUDA_ERROR_INVALID_DEVICE",
    ]


def test_limits(cuda: Driver) -> None:
    value = c_size_t()
    for name, new in (("STACK_SIZE", 4096), ("PRINTF_FIFO_SIZE", 1 << 21), ("MALLOC_HEAP_SIZE", 1 << 24)):
        limit = cuda.values[f"CU_LIMIT_{name}"]
        cuda.check(cuda.cuCtxGetLimit(byref(value), limit))
        assert value.value > 0
        cuda.check(cuda.cuCtxSetLimit(limit, new))
        cuda.check(cuda.cuCtxGetLimit(byref(value), limit))
        assert value.value == new
    cuda.expect("CUDA_ERROR_UNSUPPORTED_LIMIT", cuda.cuCtxGetLimit(byref(value), 99))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuCtxGetLimit(None, 0))


def test_facts(cuda: Driver) -> None:
    device, version, flags, identity = c_int(-1), c_uint(), c_uint(9), c_ulonglong()
    cuda.check(cuda.cuCtxGetDevice(byref(device)))
    cuda.check(cuda.cuCtxGetApiVersion(cuda.context, byref(version)))
    cuda.check(cuda.cuCtxGetFlags(byref(flags)))
    cuda.check(cuda.cuCtxGetId(cuda.context, byref(identity)))
    assert (device.value, version.value, flags.value) == (0, 3020, 0)
    assert identity.value > 0
    least, greatest = c_int(), c_int()
    cuda.check(cuda.cuCtxGetStreamPriorityRange(byref(least), byref(greatest)))
    assert least.value > greatest.value


def test_nonsense_handles(cuda: Driver) -> None:
    nonsense = ctypes.addressof(ctypes.create_string_buffer(256))
    cuda.expect("CUDA_ERROR_INVALID_CONTEXT", cuda.cuCtxPushCurrent_v2(None))
    cuda.expect("CUDA_ERROR_INVALID_CONTEXT", cuda.cuCtxPushCurrent_v2(nonsense))
    cuda.expect("CUDA_ERROR_INVALID_CONTEXT", cuda.cuCtxSetCurrent(nonsense))
    cuda.expect("CUDA_ERROR_INVALID_CONTEXT", cuda.cuCtxDestroy_v2(None))


def test_reset_of_the_cache(cuda: Driver) -> None:
    cuda.check(cuda.cuCtxResetPersistingL2Cache())
    cuda.check(cuda.cuCtxPopCurrent_v2(None))
    cuda.expect("CUDA_ERROR_INVALID_CONTEXT", cuda.cuCtxResetPersistingL2Cache())
    cuda.check(cuda.cuCtxPushCurrent_v2(cuda.context))
