"""Kernels that never end: destroying and resetting their context stops them, the watchdog does, an error of another kernel does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

# How a kernel can go on for ever: a loop without memory, one that polls memory (the warp waits and lets others run), a barrier in the loop,
# every thread of many CTAs, a loop in a function that is called through a pointer, a service in the loop.
KERNELS = {
    "tight": ".entry k(.param .u64 a) { .reg .u32 %r; .reg .b64 %d; ld.param.u64 %d, [a]; st.volatile.global.u32 [%d+4], 1; "
    "AGAIN: add.u32 %r, %r, 1; bra AGAIN; }",
    "polls": """.entry k(.param .u64 a) { .reg .b64 %d; .reg .b32 %r; .reg .pred %p; ld.param.u64 %d, [a];
        AGAIN: ld.volatile.global.u32 %r, [%d]; setp.eq.u32 %p, %r, 0; @%p bra AGAIN; ret; }""",
    "barrier": """.entry k(.param .u64 a) { AGAIN: bar.sync 0; bra AGAIN; }""",
    "called": """.func f() { .reg .b32 %r; AGAIN: bar.sync 0; add.u32 %r, %r, 1; bra AGAIN; }
        .global .u64 table[1] = { f };
        .entry k(.param .u64 a) { .reg .b64 %d; ld.global.u64 %d, [table]; P: .callprototype ()_(); call %d, (), P; ret; }""",
    "service": """.entry k(.param .u64 a) { AGAIN: nanosleep.u32 1000000; bra AGAIN; }""",
}

BEGIN = """
import threading, time
from ctypes import *
context = c_void_p()
check(cuda.cuInit(0))
def ptx(body):
    return (".version 8.0\\n.target sm_80\\n.address_size 64\\n" + body.replace(".entry", ".visible .entry")).encode()
def load(body):
    module = c_void_p(); check(cuda.cuModuleLoadData(byref(module), ptx(body)))
    function = c_void_p(); check(cuda.cuModuleGetFunction(byref(function), module, b"k"))
    return function
def alloc(size):
    address = c_ulonglong(); check(cuda.cuMemAlloc_v2(byref(address), size)); check(cuda.cuMemsetD8_v2(address, 0, size))
    return address.value
def launch(function, address, grid=1, block=32, stream=None):
    value = c_ulonglong(address); arguments = (c_void_p * 1)(addressof(value))
    check(cuda.cuLaunchKernel(function, grid, 1, 1, block, 1, 1, 0, stream, arguments, None))
def created():
    check(cuda.cuCtxCreate_v2(byref(context), 0, 0))
def works():
    function, address = load(".entry k(.param .u64 a) { .reg .b64 %d; ld.param.u64 %d, [a]; red.global.add.u32 [%d], 1; ret; }"), alloc(4)
    launch(function, address, 3)
    value = c_uint(); check(cuda.cuMemcpyDtoH_v2(byref(value), address, 4)); assert value.value == 96
"""


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("grid", [1, 300])
def test_destroying_the_context_stops_it(program: Callable[..., str], kernel: str, grid: int) -> None:
    out = program(
        BEGIN
        + f"""
created()
host = c_void_p(); check(cuda.cuMemAllocHost_v2(byref(host), 8)); memset(host, 0, 8)
launch(load({KERNELS[kernel]!r}), host.value, {grid}, 64)
while {kernel == "tight"} and not cast(host, POINTER(c_uint))[1]: time.sleep(0.001)  # in the loop: what comes before it has no line to name
time.sleep(0.05)
check(cuda.cuCtxDestroy_v2(context))
created(); works()
""",
        merge_stderr=True,
        ANYWARP_STOP_TIMEOUT="0.2",
    )
    assert "anywarp: kernel 'k': stopped, as it did not end and its context is being destroyed" in out
    assert "PTX line 4" in out or kernel in ("called", "service", "barrier", "polls"), out


def test_reset_of_the_primary_context(program: Callable[..., str]) -> None:
    program(
        BEGIN
        + f"""
check(cuda.cuDevicePrimaryCtxRetain(byref(context), 0)); check(cuda.cuCtxSetCurrent(context))
launch(load({KERNELS["tight"]!r}), alloc(8), 8)
results = []
waiter = threading.Thread(target=lambda: (cuda.cuCtxSetCurrent(context), results.append(cuda.cuCtxSynchronize())))
waiter.start(); time.sleep(0.1)
check(cuda.cuDevicePrimaryCtxReset_v2(0))
waiter.join()
assert error(results[0]) == "CUDA_ERROR_CONTEXT_IS_DESTROYED", error(results[0])
works()
""",
        ANYWARP_STOP_TIMEOUT="0.2",
    )


def test_a_context_that_waits_for_anothers_endless_kernel_can_be_destroyed(program: Callable[..., str]) -> None:
    """One of its streams waits for the other context's kernel, another for that stream."""
    program(
        BEGIN
        + f"""
other, event, own = c_void_p(), c_void_p(), c_void_p()
check(cuda.cuCtxCreate_v2(byref(other), 0, 0))
word = alloc(8)
launch(load({KERNELS["polls"]!r}), word)
check(cuda.cuEventCreate(byref(event), 2)); check(cuda.cuEventRecord(event, None))
created()
streams = [c_void_p() for _ in range(2)]
for s in streams: check(cuda.cuStreamCreate(byref(s), 1))
check(cuda.cuStreamWaitEvent(streams[0], event, 0))
check(cuda.cuEventCreate(byref(own), 2)); check(cuda.cuEventRecord(own, streams[0]))
check(cuda.cuStreamWaitEvent(streams[1], own, 0))
check(cuda.cuMemsetD8Async(c_ulonglong(alloc(4)), 1, 4, streams[1]))
check(cuda.cuCtxDestroy_v2(context))
check(cuda.cuCtxSetCurrent(other))
assert error(cuda.cuEventQuery(event)) == "CUDA_ERROR_NOT_READY"  # the other context's kernel goes on
one = (c_uint * 1)(1); side = c_void_p(); check(cuda.cuStreamCreate(byref(side), 1))
check(cuda.cuMemcpyHtoDAsync_v2(c_ulonglong(word), one, 4, side))
check(cuda.cuEventSynchronize(event))
works()
""",
        ANYWARP_STOP_TIMEOUT="0.2",
    )


# Launches a grid of one thread of `child`, which never ends.
LAUNCHES_ENDLESS = """.extern .func (.param .b64 r) cudaGetParameterBufferV2(.param .b64 f, .param .align 4 .b8 g[12],
    .param .align 4 .b8 b[12], .param .b32 s);
  .extern .func (.param .b32 r) cudaLaunchDeviceV2(.param .b64 p, .param .b64 s);
  .entry child() { .reg .u32 %r; AGAIN: add.u32 %r, %r, 1; bra AGAIN; }
  .entry k(.param .u64 a) { .reg .b64 %d<2>; .param .b64 f; .param .align 4 .b8 g[12]; .param .align 4 .b8 b[12];
    .param .b32 s; .param .b64 p; .param .b64 t; .param .b32 e;
    mov.u64 %d0, child; st.param.b64 [f], %d0;
    st.param.b32 [g], 1; st.param.b32 [g+4], 1; st.param.b32 [g+8], 1;
    st.param.b32 [b], 1; st.param.b32 [b+4], 1; st.param.b32 [b+8], 1;
    st.param.b32 [s], 0;
    call (p), cudaGetParameterBufferV2, (f, g, b, s);
    st.param.b64 [t], 0;
    call (e), cudaLaunchDeviceV2, (p, t);
    ret; }"""


def test_an_endless_kernel_that_a_kernel_launched(program: Callable[..., str]) -> None:
    out = program(
        BEGIN
        + f"""
created()
launch(load({LAUNCHES_ENDLESS!r}), 0, 1, 1)
time.sleep(0.05)
assert error(cuda.cuStreamQuery(None)) == "CUDA_ERROR_NOT_READY"
check(cuda.cuCtxDestroy_v2(context))
created(); works()
""",
        merge_stderr=True,
        ANYWARP_STOP_TIMEOUT="0.2",
    )
    assert "kernel 'child': stopped" in out


def test_what_waits_for_memory_that_nobody_writes(program: Callable[..., str]) -> None:
    program(
        BEGIN
        + """
created()
check(cuda.cuStreamWaitValue32_v2(None, alloc(4), 1, 1))
launch(load(".entry k(.param .u64 a) { trap; }"), 0)
check(cuda.cuCtxDestroy_v2(context))
created(); works()
""",
        ANYWARP_STOP_TIMEOUT="0.2",
    )


def test_work_that_moves_on_is_waited_for(program: Callable[..., str]) -> None:
    """Each kernel takes a third of the patience, all of them twice as long: what they did is there."""
    program(
        BEGIN
        + """
created()
host = c_void_p(); check(cuda.cuMemAllocHost_v2(byref(host), 4)); memset(host, 0, 4)
sleeper = load('''.entry k(.param .u64 a) { .reg .b64 %d; .reg .b32 %r; .reg .pred %p; mov.u32 %r, 0;
    AGAIN: nanosleep.u32 1000000; add.u32 %r, %r, 1; setp.lt.u32 %p, %r, 100; @%p bra AGAIN;
    ld.param.u64 %d, [a]; red.global.add.u32 [%d], 1; ret; }''')
shared = (c_uint * 1)()
check(cuda.cuMemHostRegister_v2(shared, 4, 0))
for _ in range(6): launch(sleeper, addressof(shared), 1, 1)
check(cuda.cuCtxDestroy_v2(context))
assert shared[0] == 6, shared[0]
""",
        ANYWARP_STOP_TIMEOUT="0.5",
    )


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_watchdog(program: Callable[..., str], kernel: str) -> None:
    out = program(
        BEGIN
        + f"""
created()
timeout = c_int()
check(cuda.cuDeviceGetAttribute(byref(timeout), cuda.CU_DEVICE_ATTRIBUTE_KERNEL_EXEC_TIMEOUT, 0)); assert timeout.value == 1
works()
launch(load({KERNELS[kernel]!r}), alloc(8), 10)
for _ in range(2):
    assert error(cuda.cuCtxSynchronize()) == "CUDA_ERROR_LAUNCH_TIMEOUT"       # it stays
address = c_ulonglong()
assert error(cuda.cuMemAlloc_v2(byref(address), 4)) == "CUDA_ERROR_LAUNCH_TIMEOUT"
check(cuda.cuCtxDestroy_v2(context))
created(); works()
""",
        merge_stderr=True,
        ANYWARP_LAUNCH_TIMEOUT="0.3",
    )
    assert "anywarp: kernel 'k': ran longer than the 0.3 s that ANYWARP_LAUNCH_TIMEOUT allows" in out, out


def test_the_watchdog_counts_a_kernel_of_many_short_blocks(program: Callable[..., str]) -> None:
    program(
        BEGIN
        + """
created()
busy = load('''.entry k(.param .u64 a) { .reg .b64 %d<3>; .reg .pred %p; mov.u64 %d0, %globaltimer;
    AGAIN: mov.u64 %d1, %globaltimer; sub.u64 %d2, %d1, %d0; setp.lt.u64 %p, %d2, 200000; @%p bra AGAIN; ret; }''')
launch(busy, 0, 100_000)                                                       # 200 us each
result = error(cuda.cuCtxSynchronize()); assert result == "CUDA_ERROR_LAUNCH_TIMEOUT", result
""",
        ANYWARP_LAUNCH_TIMEOUT="0.3",
    )


def test_an_error_stops_the_other_kernels_of_its_context_only(program: Callable[..., str]) -> None:
    program(
        BEGIN
        + f"""
created(); first = c_void_p(context.value)
spin = load({KERNELS["tight"]!r})
a, b = c_void_p(), c_void_p()
check(cuda.cuStreamCreate(byref(a), 1)); check(cuda.cuStreamCreate(byref(b), 1))
launch(spin, alloc(8), 1, 32, a)
launch(load(".entry k(.param .u64 a) {{ trap; }}"), 0, 1, 32, b)
assert error(cuda.cuStreamSynchronize(a)) == "CUDA_ERROR_LAUNCH_FAILED"
created(); works(); check(cuda.cuCtxDestroy_v2(context))
check(cuda.cuCtxDestroy_v2(first))
"""
    )


@pytest.mark.parametrize("kernel", ["tight", "polls"])
def test_the_process_ends(program: Callable[..., str], kernel: str) -> None:
    program(BEGIN + f"created(); launch(load({KERNELS[kernel]!r}), alloc(8), 100); time.sleep(0.1)")
