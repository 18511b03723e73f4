"""Streams and events: order, default streams, callbacks, waiting, times."""

from __future__ import annotations

import ctypes
import threading
import time
from ctypes import byref, c_float, c_int, c_uint, c_ulonglong, c_void_p

import pytest

from .conftest import Driver

PER_THREAD = 2


def stream(cuda: Driver, flags: int = 1, priority: int = 0) -> int:
    made = c_void_p()
    cuda.check(cuda.cuStreamCreateWithPriority(byref(made), flags, priority))
    assert made.value
    return made.value


def event(cuda: Driver, flags: int = 0) -> int:
    made = c_void_p()
    cuda.check(cuda.cuEventCreate(byref(made), flags))
    assert made.value
    return made.value


class Gate:
    """Holds a stream until it is opened."""

    def __init__(self, cuda: Driver) -> None:
        self.cuda = cuda
        self.opened = threading.Event()
        self.callback = cuda.types["CUhostFn"](lambda _: self.opened.wait(30) and None)

    def close(self, on: int | None) -> None:
        self.cuda.check(self.cuda.cuLaunchHostFunc(on, self.callback, None))

    def open(self) -> None:
        self.opened.set()


def test_create_argument_checks(cuda: Driver) -> None:
    made = c_void_p()
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuStreamCreate(None, 0))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuStreamCreate(byref(made), 2))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuEventCreate(None, 0))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuEventCreate(byref(made), 0x80))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuEventCreate(byref(made), 4))  # between processes needs no timing


def test_dead_and_special_handles(cuda: Driver) -> None:
    s = stream(cuda)
    cuda.check(cuda.cuStreamDestroy_v2(s))
    for special in (None, 1, 2):
        cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuStreamDestroy_v2(special))
        cuda.check(cuda.cuStreamSynchronize(special))
        cuda.check(cuda.cuStreamQuery(special))
    nonsense = ctypes.addressof(ctypes.create_string_buffer(256))
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuStreamSynchronize(nonsense))
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuEventQuery(nonsense))
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuEventQuery(None))
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuEventDestroy_v2(None))


def test_facts(cuda: Driver) -> None:
    s = stream(cuda, 1, -100)
    priority, flags, device, context, identity = c_int(), c_uint(), c_int(-1), c_void_p(), c_ulonglong()
    cuda.check(cuda.cuStreamGetPriority(s, byref(priority)))
    cuda.check(cuda.cuStreamGetFlags(s, byref(flags)))
    cuda.check(cuda.cuStreamGetDevice(s, byref(device)))
    cuda.check(cuda.cuStreamGetCtx(s, byref(context)))
    cuda.check(cuda.cuStreamGetId(s, byref(identity)))
    assert (priority.value, flags.value, device.value, context.value) == (-5, 1, 0, cuda.context)
    other = c_ulonglong()
    cuda.check(cuda.cuStreamGetId(None, byref(other)))
    assert identity.value != other.value


def test_query_says_not_ready(cuda: Driver) -> None:
    s, gate = stream(cuda), Gate(cuda)
    gate.close(s)
    cuda.expect("CUDA_ERROR_NOT_READY", cuda.cuStreamQuery(s))
    gate.open()
    cuda.check(cuda.cuStreamSynchronize(s))
    cuda.check(cuda.cuStreamQuery(s))


def test_streams_are_ordered_and_independent(cuda: Driver) -> None:
    first, second, gate, seen = stream(cuda), stream(cuda), Gate(cuda), []
    note = {k: cuda.types["CUhostFn"](lambda _, k=k: seen.append(k)) for k in "abc"}
    gate.close(first)
    cuda.check(cuda.cuLaunchHostFunc(first, note["a"], None))
    cuda.check(cuda.cuLaunchHostFunc(first, note["b"], None))
    cuda.check(cuda.cuLaunchHostFunc(second, note["c"], None))
    cuda.check(cuda.cuStreamSynchronize(second))
    assert seen == ["c"]
    gate.open()
    cuda.check(cuda.cuStreamSynchronize(first))
    assert seen == ["c", "a", "b"]


def test_wait_on_event(cuda: Driver) -> None:
    first, second, gate, e = stream(cuda), stream(cuda), Gate(cuda), event(cuda, 2)
    address = cuda.alloc(4)
    gate.close(first)
    cuda.check(cuda.cuMemsetD32Async(address, 1, 1, first))
    cuda.check(cuda.cuEventRecord(e, first))
    cuda.check(cuda.cuStreamWaitEvent(second, e, 0))
    cuda.check(cuda.cuMemsetD32Async(address, 2, 1, second))
    cuda.expect("CUDA_ERROR_NOT_READY", cuda.cuStreamQuery(second))
    cuda.expect("CUDA_ERROR_NOT_READY", cuda.cuEventQuery(e))
    gate.open()
    cuda.check(cuda.cuStreamSynchronize(second))
    cuda.check(cuda.cuEventQuery(e))
    assert cuda.download(address, 4) == b"\x02\0\0\0"


def test_event_that_was_never_recorded_is_complete(cuda: Driver) -> None:
    e, s = event(cuda), stream(cuda)
    cuda.check(cuda.cuEventQuery(e))
    cuda.check(cuda.cuEventSynchronize(e))
    cuda.check(cuda.cuStreamWaitEvent(s, e, 0))


def test_legacy_default_stream_waits_for_blocking_streams_only(cuda: Driver) -> None:
    blocking, free, gate, other = stream(cuda, 0), stream(cuda, 1), Gate(cuda), Gate(cuda)
    other.close(free)
    address = cuda.alloc(4)
    cuda.check(cuda.cuMemsetD32Async(address, 5, 1, None))
    cuda.check(cuda.cuStreamSynchronize(None))  # not held by `free`
    gate.close(blocking)
    cuda.check(cuda.cuMemsetD32Async(address, 6, 1, None))
    cuda.expect("CUDA_ERROR_NOT_READY", cuda.cuStreamQuery(None))
    gate.open()
    cuda.check(cuda.cuStreamSynchronize(None))
    other.open()
    cuda.check(cuda.cuCtxSynchronize())


def test_per_thread_default_streams_differ(cuda: Driver) -> None:
    ids = []

    def identity() -> None:
        cuda.cuCtxSetCurrent(cuda.context)
        value = c_ulonglong()
        cuda.check(cuda.cuStreamGetId(PER_THREAD, byref(value)))
        ids.append(value.value)

    identity()
    identity()
    thread = threading.Thread(target=identity)
    thread.start()
    thread.join()
    assert ids[0] == ids[1] != ids[2]
    value = c_ulonglong()
    cuda.check(cuda.cuStreamGetId_ptsz(None, byref(value)))
    assert value.value == ids[0]
    cuda.check(cuda.cuStreamGetId(None, byref(value)))
    assert value.value not in ids


def test_callback_gets_stream_and_status(cuda: Driver) -> None:
    s, seen = stream(cuda), []
    callback = cuda.types["CUstreamCallback"](lambda st, status, data: seen.append((st, status, data)))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuStreamAddCallback(s, callback, None, 1))
    cuda.check(cuda.cuStreamAddCallback(s, callback, 1234, 0))
    cuda.check(cuda.cuStreamSynchronize(s))
    assert seen == [(s, 0, 1234)]


def test_destroyed_stream_finishes_its_work(cuda: Driver) -> None:
    s, gate = stream(cuda), Gate(cuda)
    address = cuda.alloc(4)
    gate.close(s)
    cuda.check(cuda.cuMemsetD32Async(address, 9, 1, s))
    e = event(cuda)
    cuda.check(cuda.cuEventRecord(e, s))
    cuda.check(cuda.cuStreamDestroy_v2(s))
    gate.open()
    cuda.check(cuda.cuEventSynchronize(e))
    assert cuda.download(address, 4) == b"\x09\0\0\0"


def test_elapsed_time(cuda: Driver) -> None:
    s, start, end, ms = stream(cuda), event(cuda), event(cuda), c_float(-1)
    pause = cuda.types["CUhostFn"](lambda _: time.sleep(0.02))
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuEventElapsedTime(byref(ms), start, end))  # not recorded
    cuda.check(cuda.cuEventRecord(start, s))
    cuda.check(cuda.cuLaunchHostFunc(s, pause, None))
    cuda.check(cuda.cuEventRecord(end, s))
    cuda.expect("CUDA_ERROR_NOT_READY", cuda.cuEventElapsedTime(byref(ms), start, end))
    cuda.check(cuda.cuEventSynchronize(end))
    cuda.check(cuda.cuEventElapsedTime(byref(ms), start, end))
    assert ms.value >= 19
    again = c_float()
    cuda.check(cuda.cuEventElapsedTime_v2(byref(again), start, end))
    assert again.value == ms.value
    untimed = event(cuda, 2)
    cuda.check(cuda.cuEventRecord(untimed, s))
    cuda.check(cuda.cuEventSynchronize(untimed))
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuEventElapsedTime(byref(ms), start, untimed))


def test_attributes_are_kept(cuda: Driver) -> None:
    s, other = stream(cuda), stream(cuda)
    value, back = cuda.new("CUlaunchAttributeValue"), cuda.new("CUlaunchAttributeValue")
    policy = cuda.CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY
    value.syncPolicy = 3
    cuda.check(cuda.cuStreamSetAttribute(s, policy, byref(value)))
    cuda.check(cuda.cuStreamCopyAttributes(other, s))
    cuda.check(cuda.cuStreamGetAttribute(other, policy, byref(back)))
    assert back.syncPolicy == 3
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuStreamGetAttribute(s, 1000, byref(back)))


@pytest.mark.parametrize("count", [200])
def test_many_streams(cuda: Driver, count: int) -> None:
    address = cuda.alloc(4 * count)
    streams = [stream(cuda) for _ in range(count)]
    for i, s in enumerate(streams):
        cuda.check(cuda.cuMemsetD32Async(address + 4 * i, i, 1, s))
    cuda.check(cuda.cuCtxSynchronize())
    assert list((c_uint * count).from_buffer_copy(cuda.download(address, 4 * count))) == list(range(count))


def test_stream_waits_for_a_value_and_writes_one(cuda: Driver) -> None:
    host, s, other = c_void_p(), stream(cuda), stream(cuda)
    cuda.check(cuda.cuMemHostAlloc(byref(host), 64, 2))
    word, long = c_uint.from_address(host.value or 0), c_ulonglong.from_address((host.value or 0) + 8)
    word.value = long.value = 0
    cuda.check(cuda.cuStreamWaitValue32(s, host.value, 5, cuda.CU_STREAM_WAIT_VALUE_GEQ))
    cuda.check(cuda.cuStreamWriteValue64(s, (host.value or 0) + 8, 1 << 40, 0))
    cuda.expect("CUDA_ERROR_NOT_READY", cuda.cuStreamQuery(s))
    cuda.check(cuda.cuStreamWriteValue32(other, host.value, 6, 0))
    cuda.check(cuda.cuStreamSynchronize(s))
    assert (word.value, long.value) == (6, 1 << 40)
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuStreamWriteValue32(s, (host.value or 0) + 2, 1, 0))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuStreamWriteValue32(s, 0, 1, 0))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuStreamWaitValue32(s, host.value, 1, 9))


def test_batch_of_memory_operations(cuda: Driver) -> None:
    address, s = cuda.upload(bytes(16)), stream(cuda)
    operations = (cuda.types["CUstreamBatchMemOpParams"] * 2)()
    operations[0].operation = cuda.CU_STREAM_MEM_OP_WRITE_VALUE_32
    operations[0].writeValue.operation = cuda.CU_STREAM_MEM_OP_WRITE_VALUE_32
    operations[0].writeValue.address, operations[0].writeValue.value = address, 77
    operations[1].operation = cuda.CU_STREAM_MEM_OP_BARRIER
    cuda.check(cuda.cuStreamBatchMemOp(s, 2, operations, 0))
    cuda.check(cuda.cuStreamSynchronize(s))
    assert cuda.download(address, 4) == b"\x4d\0\0\0"
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuStreamBatchMemOp(s, 1, None, 0))
