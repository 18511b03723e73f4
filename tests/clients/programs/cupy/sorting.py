"""CuPy's sort and scan, from the thrust and CUB kernels that its modules carry as PTX."""

import cupy
import numpy

random = numpy.random.default_rng(2)
x = random.standard_normal(5000).astype(numpy.float32)
k = random.integers(0, 100, 5000).astype(numpy.int32)

numpy.testing.assert_array_equal(cupy.sort(cupy.asarray(x)).get(), numpy.sort(x))
numpy.testing.assert_array_equal(cupy.argsort(cupy.asarray(k), kind="stable").get(), numpy.argsort(k, kind="stable"))
numpy.testing.assert_array_equal(cupy.cumsum(cupy.asarray(k)).get(), numpy.cumsum(k))
