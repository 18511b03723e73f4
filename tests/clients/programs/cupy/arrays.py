"""CuPy arrays: creation, elementwise functions, reductions, indexing, streams and events, against NumPy."""

import cupy
import numpy

random = numpy.random.default_rng(0)
x = random.standard_normal((50, 40)).astype(numpy.float32)
y = random.standard_normal((50, 40)).astype(numpy.float32)
a, b = cupy.asarray(x), cupy.asarray(y)
assert a.device.id == 0 and a.flags.c_contiguous

numpy.testing.assert_array_equal(cupy.arange(100, dtype=cupy.int64).get(), numpy.arange(100))
numpy.testing.assert_array_equal(cupy.full((3, 4), 7, dtype=cupy.int32).get(), numpy.full((3, 4), 7))
numpy.testing.assert_array_equal(cupy.eye(5).get(), numpy.eye(5))
numpy.testing.assert_allclose(cupy.linspace(0, 1, 33).get(), numpy.linspace(0, 1, 33))

numpy.testing.assert_array_equal((a + b * 2 - 1).get(), x + y * 2 - 1)
numpy.testing.assert_allclose(cupy.exp(a).get(), numpy.exp(x), rtol=1e-5)
numpy.testing.assert_allclose(cupy.where(a > b, cupy.sqrt(abs(a)), b).get(), numpy.where(x > y, numpy.sqrt(abs(x)), y), rtol=1e-6)
numpy.testing.assert_allclose((a.astype(complex) * (1 + 2j)).get(), x.astype(complex) * (1 + 2j), rtol=1e-6)
numpy.testing.assert_array_equal((a > 0).get(), x > 0)

numpy.testing.assert_allclose(a.sum().get(), x.sum(), rtol=1e-4)
numpy.testing.assert_allclose(a.sum(axis=0).get(), x.sum(axis=0), rtol=1e-4, atol=1e-5)
numpy.testing.assert_allclose(a.mean(axis=1).get(), x.mean(axis=1), rtol=1e-4, atol=1e-5)
numpy.testing.assert_array_equal(a.max(axis=1).get(), x.max(axis=1))
numpy.testing.assert_array_equal(a.argmin(axis=0).get(), x.argmin(axis=0))

numpy.testing.assert_array_equal(a[3:20:2, ::-1].get(), x[3:20:2, ::-1])
numpy.testing.assert_array_equal(a[cupy.asarray([5, 1, 7])].get(), x[[5, 1, 7]])
numpy.testing.assert_array_equal(a[a > 1].get(), x[x > 1])
numpy.testing.assert_array_equal(a.T.copy().get(), x.T)
a[10:20] = 3
x[10:20] = 3
numpy.testing.assert_array_equal(a.get(), x)

stream, start, end = cupy.cuda.Stream(non_blocking=True), cupy.cuda.Event(), cupy.cuda.Event()
with stream:
    start.record()
    c = a * 2
    end.record()
stream.synchronize()
assert cupy.cuda.get_elapsed_time(start, end) >= 0
numpy.testing.assert_array_equal(c.get(), x * 2)
pool = cupy.get_default_memory_pool()
assert pool.used_bytes() > 0
