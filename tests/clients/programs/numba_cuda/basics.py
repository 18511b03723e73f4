"""Element-wise kernels: grid-stride loops, device functions, 2-D grids, structured arguments, constant arrays, local arrays, scalars."""

import math

import numpy as np
from numba import cuda, float32, float64, int32

random = np.random.default_rng(0)


@cuda.jit
def grid_stride(out, x, scale):
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        out[i] = scale * x[i] + i


x = random.standard_normal(10_000)
out = np.zeros_like(x)
grid_stride[7, 96](out, x, 2.5)
np.testing.assert_allclose(out, 2.5 * x + np.arange(x.size))


@cuda.jit(device=True)
def clamp(value, low, high):
    return min(max(value, low), high)


@cuda.jit
def two_dimensions(out, image):
    row, column = cuda.grid(2)
    if row < image.shape[0] and column < image.shape[1]:
        out[row, column] = clamp(image[row, column] * 2, -1, 1)


image = random.standard_normal((37, 53)).astype(np.float32)
out = np.zeros_like(image)
two_dimensions[(5, 7), (8, 8)](out, image)
np.testing.assert_allclose(out, np.clip(image * 2, -1, 1))


@cuda.jit
def three_dimensions(out):
    i, j, k = cuda.grid(3)
    if i < out.shape[0] and j < out.shape[1] and k < out.shape[2]:
        out[i, j, k] = 100 * i + 10 * j + k


out = np.zeros((5, 6, 7), np.int32)
three_dimensions[(2, 2, 2), (4, 4, 4)](out)
i, j, k = np.indices(out.shape)
np.testing.assert_array_equal(out, 100 * i + 10 * j + k)

TABLE = np.array([3, 1, 4, 1, 5, 9, 2, 6], np.int32)


@cuda.jit
def constants(out):
    table = cuda.const.array_like(TABLE)
    i = cuda.grid(1)
    if i < out.size:
        out[i] = table[i % 8]


out = np.zeros(100, np.int32)
constants[4, 32](out)
np.testing.assert_array_equal(out, np.tile(TABLE, 13)[:100])


@cuda.jit
def local_sort(data):
    row = cuda.grid(1)
    values = cuda.local.array(16, float64)
    for k in range(16):
        values[k] = data[row, k]
    for a in range(16):
        for b in range(15 - a):
            if values[b] > values[b + 1]:
                values[b], values[b + 1] = values[b + 1], values[b]
    for k in range(16):
        data[row, k] = values[k]


data = random.standard_normal((64, 16))
expected = np.sort(data, axis=1)
local_sort[2, 32](data)
np.testing.assert_array_equal(data, expected)


@cuda.jit
def early_exit(out, limit):
    i = cuda.grid(1)
    if i >= out.size:
        return
    steps, value = 0, i + 1
    while value != 1:
        value = value // 2 if value % 2 == 0 else 3 * value + 1
        steps += 1
        if steps == limit:
            break
    out[i] = steps


def collatz(n, limit):
    steps = 0
    while n != 1 and steps < limit:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


out = np.zeros(500, np.int64)
early_exit[8, 64](out, 60)
np.testing.assert_array_equal(out, [collatz(n + 1, 60) for n in range(500)])


@cuda.jit("void(float32[:], float32[:])")
def declared_signature(out, x):
    i = cuda.grid(1)
    if i < x.size:
        out[i] = math.sin(x[i]) ** 2 + math.cos(x[i]) ** 2


x = random.uniform(-10, 10, 300).astype(np.float32)
out = np.zeros_like(x)
declared_signature[3, 128](out, x)
np.testing.assert_allclose(out, 1, rtol=1e-5)

record = np.dtype([("mass", np.float32), ("count", np.int32), ("place", np.float64)], align=True)


@cuda.jit
def records(items):
    i = cuda.grid(1)
    if i < items.size:
        items[i].place = items[i].mass * items[i].count


items = np.zeros(50, record)
items["mass"], items["count"] = random.uniform(0, 1, 50), np.arange(50)
records[1, 64](items)
np.testing.assert_allclose(items["place"], items["mass"] * items["count"], rtol=1e-6)


@cuda.jit
def complex_numbers(out, z):
    i = cuda.grid(1)
    if i < z.size:
        out[i] = z[i] * z[i].conjugate() + 1j * z[i]


z = (random.standard_normal(70) + 1j * random.standard_normal(70)).astype(np.complex128)
out = np.zeros_like(z)
complex_numbers[1, 96](out, z)
np.testing.assert_allclose(out, z * z.conj() + 1j * z)


@cuda.jit
def mixed_tuple(out, shape, flag):
    i = cuda.grid(1)
    if i < out.size and flag:
        out[i] = int32(shape[0]) + float32(shape[1])


out = np.zeros(10, np.float32)
mixed_tuple[1, 32](out, (3, 2.5), True)
np.testing.assert_array_equal(out, 5.5)
