"""Blocks that work together: tiled matrix multiply, reductions, scans, dynamic shared memory, cooperative grids."""

import numpy as np
from numba import cuda, float32, int32

random = np.random.default_rng(0)
TILE = 16


@cuda.jit
def multiply(a, b, c):
    left, right = cuda.shared.array((TILE, TILE), float32), cuda.shared.array((TILE, TILE), float32)
    row, column = cuda.grid(2)
    ty, tx = cuda.threadIdx.x, cuda.threadIdx.y
    total = float32(0)
    for first in range(0, a.shape[1], TILE):
        left[ty, tx] = a[row, first + tx] if row < a.shape[0] and first + tx < a.shape[1] else float32(0)
        right[ty, tx] = b[first + ty, column] if column < b.shape[1] and first + ty < b.shape[0] else float32(0)
        cuda.syncthreads()
        for k in range(TILE):
            total += left[ty, k] * right[k, tx]
        cuda.syncthreads()
    if row < c.shape[0] and column < c.shape[1]:
        c[row, column] = total


a, b = random.standard_normal((70, 45)).astype(np.float32), random.standard_normal((45, 83)).astype(np.float32)
c = np.zeros((70, 83), np.float32)
multiply[(5, 6), (TILE, TILE)](a, b, c)
np.testing.assert_allclose(c, a @ b, atol=1e-4)


@cuda.jit
def block_sums(x, sums):
    cache = cuda.shared.array(256, int32)
    thread, i = cuda.threadIdx.x, cuda.grid(1)
    cache[thread] = x[i] if i < x.size else 0
    cuda.syncthreads()
    width = cuda.blockDim.x // 2
    while width > 0:
        if thread < width:
            cache[thread] += cache[thread + width]
        cuda.syncthreads()
        width //= 2
    if thread == 0:
        sums[cuda.blockIdx.x] = cache[0]


x = random.integers(-100, 100, 5000).astype(np.int32)
sums = np.zeros(20, np.int32)
block_sums[20, 256](x, sums)
np.testing.assert_array_equal(sums, np.add.reduceat(x, np.arange(0, 5000, 256)))


@cuda.jit
def reversed_blocks(x):
    buffer = cuda.shared.array(0, float32)  # its size comes with the launch
    thread = cuda.threadIdx.x
    buffer[thread] = x[cuda.grid(1)]
    cuda.syncthreads()
    x[cuda.grid(1)] = buffer[cuda.blockDim.x - 1 - thread]


x = np.arange(320, dtype=np.float32)
expected = x.reshape(5, 64)[:, ::-1].ravel().copy()
reversed_blocks[5, 64, 0, 64 * 4](x)
np.testing.assert_array_equal(x, expected)


@cuda.jit
def scan(x):
    """Inclusive prefix sum of a block, doubling distances."""
    values = cuda.shared.array(128, int32)
    thread = cuda.threadIdx.x
    values[thread] = x[thread]
    cuda.syncthreads()
    distance = 1
    while distance < 128:
        other = values[thread - distance] if thread >= distance else 0
        cuda.syncthreads()
        values[thread] += other
        cuda.syncthreads()
        distance *= 2
    x[thread] = values[thread]


x = random.integers(0, 9, 128).astype(np.int32)
expected = np.cumsum(x)
scan[1, 128](x)
np.testing.assert_array_equal(x, expected)


@cuda.reduce
def total(a, b):
    return a + b


@cuda.reduce
def largest(a, b):
    return max(a, b)


x = random.standard_normal(12_345)
np.testing.assert_allclose(total(x), x.sum())
assert largest(x) == x.max()


@cuda.jit
def heat(current, following, steps):
    """One-dimensional heat equation, the whole grid in step."""
    grid = cuda.cg.this_grid()
    i = cuda.grid(1)
    for _ in range(steps):
        if i < current.size:
            left = current[i - 1] if i > 0 else current[0]
            right = current[i + 1] if i < current.size - 1 else current[i]
            following[i] = current[i] + 0.25 * (left - 2 * current[i] + right)
        grid.sync()
        current, following = following, current


start = np.zeros(300)
start[140:160] = 1
current, following = cuda.to_device(start), cuda.to_device(start)
heat[10, 32](current, following, 50)
expected = start.copy()
for _ in range(50):
    padded = np.pad(expected, 1, mode="edge")
    expected = expected + 0.25 * (padded[:-2] - 2 * expected + padded[2:])
np.testing.assert_allclose(current.copy_to_host(), expected)


@cuda.jit
def barrier_votes(out):
    i = cuda.threadIdx.x
    out[0] = cuda.syncthreads_count(int32(i % 3 == 0))
    out[1] = cuda.syncthreads_and(int32(i < 96))
    out[2] = cuda.syncthreads_or(int32(i == 95))


out = np.zeros(3, np.int32)
barrier_votes[1, 96](out)
assert out[0] == 32 and out[1] != 0 and out[2] != 0
