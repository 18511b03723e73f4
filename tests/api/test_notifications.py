"""Core dumps, notifications of memory beyond the budget, kernels on several devices at once, and reasons for what is not supported."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import byref, c_bool, c_size_t, create_string_buffer
from pathlib import Path

from .conftest import Driver

_FAULT = '''
FAULT = b""".version 8.0
.target sm_80
.address_size 64
.visible .entry fault() { .reg .b64 %d; .reg .b32 %r; mov.u64 %d, 64; mov.u32 %r, 1; st.global.u32 [%d], %r; ret; }
"""
context, module, function = c_void_p(), c_void_p(), c_void_p()
check(cuda.cuInit(0)); check(cuda.cuCtxCreate_v2(byref(context), 0, 0))
def fail():
    check(cuda.cuModuleLoadData(byref(module), FAULT)); check(cuda.cuModuleGetFunction(byref(function), module, b"fault"))
    check(cuda.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, None, None, None))
    assert error(cuda.cuCtxSynchronize()) == "CUDA_ERROR_ILLEGAL_ADDRESS"
    assert error(cuda.cuCtxSynchronize()) == "CUDA_ERROR_ILLEGAL_ADDRESS"
'''


def test_coredump_attributes(cuda: Driver) -> None:
    flag, size, text = c_bool(True), c_size_t(1), create_string_buffer(1024)
    enable, name = cuda.CU_COREDUMP_ENABLE_ON_EXCEPTION, cuda.CU_COREDUMP_FILE
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuCoredumpGetAttribute(99, byref(flag), byref(size)))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuCoredumpSetAttribute(enable, byref(flag), None))
    cuda.check(cuda.cuCoredumpSetAttribute(name, None, byref(size)))
    assert size.value == 1023
    size.value = 1
    cuda.check(cuda.cuCoredumpGetAttribute(enable, byref(flag), byref(size)))
    assert not flag.value
    cuda.check(cuda.cuCoredumpGetAttribute(cuda.CU_COREDUMP_TRIGGER_HOST, byref(flag), byref(size)))
    assert flag.value
    cuda.expect("CUDA_ERROR_NOT_SUPPORTED", cuda.cuCoredumpSetAttribute(cuda.CU_COREDUMP_PIPE, text, byref(c_size_t(4))))  # global only
    cuda.check(cuda.cuCoredumpSetAttributeGlobal(name, create_string_buffer(b"everywhere"), byref(c_size_t(11))))
    cuda.check(cuda.cuCoredumpSetAttribute(name, create_string_buffer(b"here"), byref(c_size_t(5))))
    for call, expected in ((cuda.cuCoredumpGetAttribute, b"here"), (cuda.cuCoredumpGetAttributeGlobal, b"everywhere")):
        size.value = 1024
        cuda.check(call(name, text, byref(size)))
        assert (text.value, size.value) == (expected, len(expected) + 1)
    size.value = 2
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuCoredumpGetAttribute(name, text, byref(size)))
    cuda.check(cuda.cuCtxPopCurrent_v2(None))
    cuda.expect("CUDA_ERROR_INVALID_CONTEXT", cuda.cuCoredumpGetAttribute(name, text, byref(size)))
    cuda.check(cuda.cuCtxPushCurrent_v2(cuda.context))


def test_a_failing_kernel_leaves_a_report(program: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "report"
    out = program(
        _FAULT
        + f"""
flags, handle, told = c_uint(cuda.CU_COREDUMP_SKIP_ABORT), c_void_p(), []
check(cuda.cuCoredumpSetAttribute(cuda.CU_COREDUMP_ENABLE_ON_EXCEPTION, byref(c_bool(True)), byref(c_size_t(1))))
check(cuda.cuCoredumpSetAttribute(cuda.CU_COREDUMP_GENERATION_FLAGS, byref(flags), byref(c_size_t(4))))
check(cuda.cuCoredumpSetAttribute(cuda.CU_COREDUMP_FILE, create_string_buffer(b"{file}.%p"), byref(c_size_t(len("{file}.%p") + 1))))
start = cuda.types["CUcoredumpStatusCallback"](lambda data, pid, device: told.append("start"))
end = cuda.types["CUcoredumpStatusCallback"](lambda data, pid, device: told.append("end"))
check(cuda.cuCoredumpRegisterStartCallback(start, None, byref(handle)))
check(cuda.cuCoredumpRegisterCompleteCallback(end, None, byref(handle)))
fail()
import os
assert told == ["start", "end"], told
check(cuda.cuCoredumpDeregisterCompleteCallback(handle))
assert error(cuda.cuCoredumpDeregisterCompleteCallback(handle)) == "CUDA_ERROR_INVALID_VALUE"
print(open("{file}." + str(os.getpid())).read())
"""
    )
    assert "fault" in out and "result 700" in out


def test_the_host_ends_with_a_core_dump_unless_told_otherwise(program: Callable[..., str], tmp_path: Path) -> None:
    program(_FAULT + "fail()", returncode=-6, CUDA_ENABLE_COREDUMP_ON_EXCEPTION="1", CUDA_COREDUMP_FILE=str(tmp_path / "x"))
    out = program(
        _FAULT + "print(error(cuda.cuCoredumpSetAttributeGlobal(1, byref(c_bool(False)), byref(c_size_t(1)))))",
        CUDA_ENABLE_COREDUMP_ON_EXCEPTION="1",
    )
    assert out.strip() == "CUDA_ERROR_NOT_PERMITTED"  # the environment has the last word


def test_memory_beyond_the_budget_is_told(program: Callable[..., str]) -> None:
    program(
        """
        context, handle, address, told = c_void_p(), c_void_p(), c_ulonglong(), []
        check(cuda.cuInit(0)); check(cuda.cuCtxCreate_v2(byref(context), 0, 0))
        info = cuda.types["CUasyncNotificationInfo"]
        def tell(pointer, data, which):
            assert error(cuda.cuDeviceUnregisterAsyncNotification(0, which)) == "CUDA_ERROR_NOT_PERMITTED"
            told.append(info.from_address(pointer).info.overBudget.bytesOverBudget)
        callback = cuda.types["CUasyncCallback"](tell)
        nothing = cuda.types["CUasyncCallback"]()
        assert error(cuda.cuDeviceRegisterAsyncNotification(0, nothing, None, byref(handle))) == "CUDA_ERROR_INVALID_VALUE"
        assert error(cuda.cuDeviceRegisterAsyncNotification(9, callback, None, byref(handle))) == "CUDA_ERROR_INVALID_DEVICE"
        check(cuda.cuDeviceRegisterAsyncNotification(0, callback, None, byref(handle)))
        assert error(cuda.cuMemAlloc_v2(byref(address), 1 << 45)) == "CUDA_ERROR_OUT_OF_MEMORY"
        assert len(told) == 1 and 0 < told[0] < 1 << 45
        check(cuda.cuDeviceUnregisterAsyncNotification(0, handle))
        assert error(cuda.cuDeviceUnregisterAsyncNotification(0, handle)) == "CUDA_ERROR_INVALID_VALUE"
        """
    )


def test_one_kernel_on_two_devices(program: Callable[..., str]) -> None:
    program(
        """
        PTX = b".version 8.0\\n.target sm_80\\n.address_size 64\\n.visible .entry k(.param .u64 a) { .reg .b64 %d; .reg .b32 %r;" \\
              b" ld.param.u64 %d, [a]; ld.global.u32 %r, [%d]; add.u32 %r, %r, 1; st.global.u32 [%d], %r; ret; }"
        check(cuda.cuInit(0))
        launches, keep, addresses = (cuda.types["CUDA_LAUNCH_PARAMS"] * 2)(), [], []
        for i in range(2):
            context, stream, module, function, address = c_void_p(), c_void_p(), c_void_p(), c_void_p(), c_ulonglong()
            check(cuda.cuCtxCreate_v2(byref(context), 0, i)); check(cuda.cuStreamCreate(byref(stream), 1))
            check(cuda.cuModuleLoadData(byref(module), PTX)); check(cuda.cuModuleGetFunction(byref(function), module, b"k"))
            check(cuda.cuMemAlloc_v2(byref(address), 4)); check(cuda.cuMemsetD32_v2(address, 40 + i, 1)); check(cuda.cuCtxSynchronize())
            arguments = (c_void_p * 1)(addressof(address)); keep.append((arguments, address)); addresses.append(address)
            p = launches[i]
            p.function, p.hStream, p.kernelParams = function, stream, cast(arguments, c_void_p)
            p.gridDimX = p.gridDimY = p.gridDimZ = p.blockDimX = p.blockDimY = p.blockDimZ = 1
        assert error(cuda.cuLaunchCooperativeKernelMultiDevice(launches, 0, 0)) == "CUDA_ERROR_INVALID_VALUE"
        stream, launches[1].hStream = launches[1].hStream, None
        assert error(cuda.cuLaunchCooperativeKernelMultiDevice(launches, 2, 0)) == "CUDA_ERROR_INVALID_VALUE"
        launches[1].hStream = launches[0].hStream
        assert error(cuda.cuLaunchCooperativeKernelMultiDevice(launches, 2, 0)) == "CUDA_ERROR_INVALID_DEVICE"
        launches[1].hStream = stream
        check(cuda.cuLaunchCooperativeKernelMultiDevice(launches, 2, 0))
        for i in range(2): check(cuda.cuStreamSynchronize(launches[i].hStream))
        values = []
        for address in addresses:
            value = c_uint(); check(cuda.cuMemcpyDtoH_v2(byref(value), address, 4)); values.append(value.value)
        assert values == [41, 42], values
        """,
        ANYWARP_DEVICES="2",
    )


def test_what_is_not_supported_says_why(program: Callable[..., str]) -> None:
    out = program("check(cuda.cuInit(0)); print(error(cuda.cuEGLStreamConsumerDisconnect(None)))", merge_stderr=True)
    assert "CUDA_ERROR_NOT_SUPPORTED" in out and "cuEGLStreamConsumerDisconnect is not supported: needs EGL streams" in out
