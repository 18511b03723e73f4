"""Atomics on global and shared memory, locks, warp votes and shuffles, bit operations."""

import numpy as np
from numba import cuda, int32, uint32

random = np.random.default_rng(0)


@cuda.jit
def histogram(x, counts):
    local = cuda.shared.array(64, int32)
    for k in range(cuda.threadIdx.x, 64, cuda.blockDim.x):
        local[k] = 0
    cuda.syncthreads()
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        cuda.atomic.add(local, x[i], 1)
    cuda.syncthreads()
    for k in range(cuda.threadIdx.x, 64, cuda.blockDim.x):
        cuda.atomic.add(counts, k, local[k])


x = random.integers(0, 64, 20_000).astype(np.int32)
counts = np.zeros(64, np.int32)
histogram[6, 128](x, counts)
np.testing.assert_array_equal(counts, np.bincount(x, minlength=64))


@cuda.jit
def extremes(x, out_float, out_int):
    i = cuda.grid(1)
    if i < x.size:
        cuda.atomic.max(out_float, 0, x[i])
        cuda.atomic.min(out_float, 1, x[i])
        cuda.atomic.add(out_float, 2, 1.0)
        cuda.atomic.and_(out_int, 0, uint32(~(1 << (i % 8))))
        cuda.atomic.or_(out_int, 1, uint32(1 << (i % 13)))
        cuda.atomic.xor(out_int, 2, uint32(i))
        cuda.atomic.inc(out_int, 3, uint32(999))


x = random.standard_normal(3000)
out_float, out_int = np.zeros(3), np.array([0xFFFFFFFF, 0, 0, 0], np.uint32)
extremes[24, 128](x, out_float, out_int)
np.testing.assert_array_equal(out_float, [x.max(), x.min(), 3000])
np.testing.assert_array_equal(out_int, [0xFFFFFF00, 0x1FFF, np.bitwise_xor.reduce(np.arange(3000)), 0])


@cuda.jit
def locked_updates(lock, value):
    """A spin lock that every thread takes, one lane of a warp after the other."""
    done = False
    while not done:
        if cuda.atomic.cas(lock, 0, 0, 1) == 0:
            cuda.threadfence()
            value[0] += 1
            cuda.threadfence()
            cuda.atomic.exch(lock, 0, 0)
            done = True


lock, value = np.zeros(1, np.int32), cuda.to_device(np.zeros(1, np.int64))
locked_updates[3, 64](lock, value)
assert value.copy_to_host()[0] == 192


@cuda.jit
def warp_sum(x, out):
    i = cuda.grid(1)
    value = x[i]
    for offset in (16, 8, 4, 2, 1):
        value += cuda.shfl_down_sync(0xFFFFFFFF, value, offset)
    if cuda.laneid == 0:
        out[i // 32] = value


for kind in (np.int32, np.float32, np.int64, np.float64):
    x = random.integers(-50, 50, 256).astype(kind)
    out = np.zeros(8, kind)
    warp_sum[2, 128](x, out)
    np.testing.assert_array_equal(out, x.reshape(8, 32).sum(axis=1))


@cuda.jit
def votes(x, out):
    i = cuda.grid(1)
    odd = x[i] % 2 == 1
    out[i, 0] = cuda.ballot_sync(0xFFFFFFFF, odd)
    out[i, 1] = cuda.any_sync(0xFFFFFFFF, odd)
    out[i, 2] = cuda.all_sync(0xFFFFFFFF, odd)
    out[i, 3] = cuda.match_any_sync(0xFFFFFFFF, x[i] % 4)
    out[i, 4] = cuda.shfl_sync(0xFFFFFFFF, x[i], 5)
    out[i, 5] = cuda.shfl_xor_sync(0xFFFFFFFF, x[i], 3)
    out[i, 6] = cuda.shfl_up_sync(0xFFFFFFFF, x[i], 2)
    out[i, 7] = cuda.activemask()


x = random.integers(0, 100, 32).astype(np.int32)
out = np.zeros((32, 8), np.int64)
votes[1, 32](x, out)
lanes, odd = np.arange(32), x % 2 == 1
assert (out[:, 0] & 0xFFFFFFFF == sum(1 << int(i) for i in lanes[odd])).all()
assert (out[:, 1] != 0).all() == odd.any() and (out[:, 2] != 0).all() == odd.all()
assert all(out[i, 3] & 0xFFFFFFFF == sum(1 << int(j) for j in lanes if x[j] % 4 == x[i] % 4) for i in lanes)
np.testing.assert_array_equal(out[:, 4], x[5])
np.testing.assert_array_equal(out[:, 5], x[lanes ^ 3])
np.testing.assert_array_equal(out[:, 6], np.where(lanes < 2, x, x[lanes - 2]))
assert (out[:, 7] & 0xFFFFFFFF == 0xFFFFFFFF).all()


@cuda.jit
def bits(x, out):
    i = cuda.grid(1)
    out[i, 0] = cuda.popc(x[i])
    out[i, 1] = cuda.clz(x[i])
    out[i, 2] = cuda.brev(x[i])
    out[i, 3] = cuda.ffs(x[i])
    out[i, 4] = cuda.selp(x[i] > 1000, 1, 2)


x = random.integers(1, 2**31, 64).astype(np.uint32)
out = np.zeros((64, 5), np.uint32)
bits[2, 32](x, out)
texts = [f"{v:032b}" for v in x]
np.testing.assert_array_equal(out[:, 0], [t.count("1") for t in texts])
np.testing.assert_array_equal(out[:, 1], [32 - len(t.lstrip("0")) for t in texts])
np.testing.assert_array_equal(out[:, 2], [int(t[::-1], 2) for t in texts])
np.testing.assert_array_equal(out[:, 3], [t[::-1].index("1") + 1 for t in texts])
