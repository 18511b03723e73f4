"""Locking, checkpointing, restoring and unlocking processes; decompression."""

from __future__ import annotations

import ctypes
import random
import struct
import zlib
from collections.abc import Callable

import lz4.block
import pytest

from .conftest import Driver

LOCK = """
import os, subprocess, sys, threading, time
from ctypes import *
def state(pid):
    s = c_uint(99); check(cuda.cuCheckpointProcessGetState(pid, byref(s))); return s.value
RUNNING, LOCKED, CHECKPOINTED = 0, 1, 2
"""


def test_a_process_locks_and_unlocks_itself(program: Callable[..., str]) -> None:
    program(
        LOCK
        + """
me, context, address = os.getpid(), c_void_p(), c_ulonglong()
assert error(cuda.cuCheckpointProcessLock(me, None)) == "CUDA_ERROR_NOT_INITIALIZED"
check(cuda.cuInit(0)); check(cuda.cuCtxCreate_v2(byref(context), 0, 0)); check(cuda.cuMemAlloc_v2(byref(address), 4))
time.sleep(0.1)
tid = c_int(); check(cuda.cuCheckpointProcessGetRestoreThreadId(me, byref(tid))); assert os.path.exists(f"/proc/self/task/{tid.value}")
assert state(me) == RUNNING
for call in (cuda.cuCheckpointProcessCheckpoint, cuda.cuCheckpointProcessRestore, cuda.cuCheckpointProcessUnlock):
    assert error(call(me, None)) == "CUDA_ERROR_ILLEGAL_STATE"
check(cuda.cuMemsetD32Async(address, 1, 1, None))
check(cuda.cuCheckpointProcessLock(me, None)); assert state(me) == LOCKED
done = []
def work():
    check(cuda.cuCtxSetCurrent(context)); check(cuda.cuMemsetD32_v2(address, 2, 1)); done.append(1)
thread = threading.Thread(target=work); thread.start(); time.sleep(0.1); assert not done           # its calls wait
assert error(cuda.cuCheckpointProcessLock(me, None)) == "CUDA_ERROR_ILLEGAL_STATE"
check(cuda.cuCheckpointProcessCheckpoint(me, None)); assert state(me) == CHECKPOINTED
assert error(cuda.cuCheckpointProcessUnlock(me, None)) == "CUDA_ERROR_ILLEGAL_STATE"
check(cuda.cuCheckpointProcessRestore(me, None)); assert state(me) == LOCKED and not done
check(cuda.cuCheckpointProcessUnlock(me, None)); thread.join(); assert done and state(me) == RUNNING
value = c_uint(); check(cuda.cuMemcpyDtoH_v2(byref(value), address, 4)); assert value.value == 2
"""
    )


def test_another_process_is_locked_when_its_work_has_ended(program: Callable[..., str]) -> None:
    program(
        LOCK
        + """
code = open("/proc/self/cmdline").read().split("\\0")[2]
if len(sys.argv) > 1:                                                    # makes calls without end, and says how many
    context, address, calls = c_void_p(), c_ulonglong(), 0
    check(cuda.cuInit(0)); check(cuda.cuCtxCreate_v2(byref(context), 0, 0)); check(cuda.cuMemAlloc_v2(byref(address), 4))
    while True:
        check(cuda.cuMemsetD32Async(address, calls, 1, None)); calls += 1
        if calls % 50 == 0: check(cuda.cuCtxSynchronize())
        sys.stdout.write("."); sys.stdout.flush()
other = subprocess.Popen([sys.executable, "-c", code, "child"], stdout=subprocess.PIPE)
os.set_blocking(other.stdout.fileno(), False)
def output(seconds):
    end, n = time.time() + seconds, 0
    while time.time() < end: n += len(other.stdout.read() or b""); time.sleep(0.005)
    return n
while output(0.05) == 0: pass
try:
    check(cuda.cuCheckpointProcessLock(other.pid, None)); output(0.05)
    assert output(0.2) == 0 and state(other.pid) == LOCKED
    check(cuda.cuCheckpointProcessCheckpoint(other.pid, None)); check(cuda.cuCheckpointProcessRestore(other.pid, None))
    check(cuda.cuCheckpointProcessUnlock(other.pid, None)); assert output(0.3) > 0
finally:
    other.kill(); other.wait()
assert error(cuda.cuCheckpointProcessLock(other.pid, None)) == "CUDA_ERROR_INVALID_VALUE"      # gone
plain = subprocess.Popen(["sleep", "60"])
assert error(cuda.cuCheckpointProcessLock(plain.pid, None)) == "CUDA_ERROR_NOT_INITIALIZED"
plain.kill(); plain.wait()
"""
    )


def test_a_lock_gives_up_after_its_time(program: Callable[..., str]) -> None:
    program(
        LOCK
        + """
me, context, address = os.getpid(), c_void_p(), c_ulonglong()
check(cuda.cuInit(0)); check(cuda.cuCtxCreate_v2(byref(context), 0, 0)); check(cuda.cuMemAlloc_v2(byref(address), 4))
check(cuda.cuMemsetD32_v2(address, 0, 1)); time.sleep(0.1)
check(cuda.cuStreamWaitValue32_v2(None, address, 1, 1))
arguments = cuda.types["CUcheckpointLockArgs"](); arguments.timeoutMs = 50
assert error(cuda.cuCheckpointProcessLock(me, byref(arguments))) == "CUDA_ERROR_NOT_READY" and state(me) == RUNNING
cast(address.value, POINTER(c_uint))[0] = 1
check(cuda.cuCtxSynchronize())
arguments.reserved0 = 1
assert error(cuda.cuCheckpointProcessLock(me, byref(arguments))) == "CUDA_ERROR_INVALID_VALUE"
"""
    )


def test_restoring_onto_other_devices(program: Callable[..., str]) -> None:
    program(
        LOCK
        + """
me = os.getpid(); check(cuda.cuInit(0)); time.sleep(0.1)
def uuid(device):
    u = cuda.types["CUuuid"](); check(cuda.cuDeviceGetUuid_v2(byref(u), device)); return u
before = [uuid(0), uuid(1)]
check(cuda.cuCheckpointProcessLock(me, None)); check(cuda.cuCheckpointProcessCheckpoint(me, None))
pairs = (cuda.types["CUcheckpointGpuPair"] * 2)()
arguments = cuda.types["CUcheckpointRestoreArgs"](); arguments.gpuPairs = addressof(pairs); arguments.gpuPairsCount = 1
pairs[0].oldUuid, pairs[0].newUuid = before
assert error(cuda.cuCheckpointProcessRestore(me, byref(arguments))) == "CUDA_ERROR_INVALID_VALUE"      # not every device
pairs[1].oldUuid, pairs[1].newUuid = before[1], before[0]; arguments.gpuPairsCount = 2
check(cuda.cuCheckpointProcessRestore(me, byref(arguments))); check(cuda.cuCheckpointProcessUnlock(me, None))
assert bytes(uuid(0)) == bytes(before[1]) and bytes(uuid(1)) == bytes(before[0])
""",
        ANYWARP_DEVICES="2",
    )


# ---- Decompression


def snappy(data: bytes) -> bytes:
    """Literals and copies of all three kinds."""
    out, n = b"", len(data)
    while True:
        out += bytes([n & 0x7F | (0x80 if n > 0x7F else 0)])
        n >>= 7
        if n == 0:
            break
    at = 0
    while at < len(data):
        distance, length = 0, 0
        for back, run in ((d, n) for d in (1, 3, 300, 70000) for n in (60, 8)):
            if at >= back and at + run <= len(data) and all(data[at + i] == data[at + i - back] for i in range(run)):
                distance, length = back, run
                break
        if length == 8 and distance < 2048:
            out += bytes([1 | (length - 4) << 2 | (distance >> 8) << 5, distance & 255])
        elif length and distance < 65536:
            out += bytes([2 | (length - 1) << 2]) + struct.pack("<H", distance)
        elif length:
            out += bytes([3 | (length - 1) << 2]) + struct.pack("<I", distance)
        else:
            length = min(len(data) - at, 1 if at < 400 else 70)
            out += bytes([(length - 1) << 2]) if length <= 60 else bytes([60 << 2, length - 1])
            out += data[at : at + length]
        at += length
    return out


def deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


def stored(data: bytes) -> bytes:
    compressor = zlib.compressobj(level=0, wbits=-15)
    return compressor.compress(data) + compressor.flush()


def lz4_block(data: bytes) -> bytes:
    return bytes(lz4.block.compress(data, store_size=False))


CODECS = {"deflate": (1, deflate), "stored": (1, stored), "snappy": (2, snappy), "lz4": (4, lz4_block)}
DATA = {
    "one byte": b"x",
    "text": b"the same words again and again, " * 700 + b"and an end",
    "random": random.Random(1).randbytes(5000),
    "far": (lambda r: r + random.Random(3).randbytes(69000) + r)(random.Random(2).randbytes(1000)),
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("data", DATA)
def test_decompression(cuda: Driver, codec: str, data: str) -> None:
    number, compress = CODECS[codec]
    plain = DATA[data]
    packed = compress(plain)
    source, destination, size = cuda.upload(packed), cuda.alloc(len(plain)), cuda.alloc(4)
    operations = (cuda.types["CUmemDecompressParams"] * 1)()
    o = operations[0]
    o.src, o.srcNumBytes, o.dst, o.dstActBytes, o.algo = source, len(packed), destination, size, number
    cuda.check(cuda.cuMemBatchDecompressAsync(operations, 1, 0, None, None))
    cuda.check(cuda.cuCtxSynchronize())
    assert int.from_bytes(cuda.download(size, 4), "little") == len(plain)
    assert cuda.download(destination, len(plain)) == plain


@pytest.mark.parametrize("codec", CODECS)
def test_broken_data_end_early(cuda: Driver, codec: str) -> None:
    """Whatever the bytes are, nothing outside the destination is written, and the number of bytes says how far it came."""
    number, compress = CODECS[codec]
    plain = DATA["text"]
    size, destination = cuda.alloc(4), cuda.alloc(len(plain) // 2)
    choose = random.Random(7)
    for _ in range(30):
        packed = bytearray(compress(plain))
        for _ in range(choose.randrange(4)):
            packed[choose.randrange(len(packed))] = choose.randrange(256)
        kept = choose.randrange(1, len(packed) + 1)
        source = cuda.upload(bytes(packed[:kept]))
        operations = (cuda.types["CUmemDecompressParams"] * 1)()
        o = operations[0]
        o.src, o.srcNumBytes, o.dst, o.dstActBytes, o.algo = source, kept, destination, size, number
        cuda.check(cuda.cuMemBatchDecompressAsync(operations, 1, 0, None, None))
        cuda.check(cuda.cuCtxSynchronize())
        assert int.from_bytes(cuda.download(size, 4), "little") <= len(plain) // 2


def test_arguments_of_decompression(cuda: Driver) -> None:
    operations, index = (cuda.types["CUmemDecompressParams"] * 2)(), ctypes.c_size_t()
    address = cuda.alloc(64)
    for o in operations:
        o.src = o.dst = address
        o.srcNumBytes, o.dstActBytes, o.algo = 4, address, 4
    operations[1].algo = 3
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemBatchDecompressAsync(operations, 2, 0, ctypes.byref(index), None))
    assert index.value == 1
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemBatchDecompressAsync(operations, 1, 1, ctypes.byref(index), None))
    assert index.value == ctypes.c_size_t(-1).value
    operations[0].dst = 16
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuMemBatchDecompressAsync(operations, 1, 0, ctypes.byref(index), None))
    assert index.value == 0
