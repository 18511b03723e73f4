"""CuPy's ways to kernels of one's own: RawKernel, RawModule, ElementwiseKernel, ReductionKernel, fuse and jit."""

import cupy
import numpy
from cupyx import jit

x = numpy.random.default_rng(1).standard_normal(1000).astype(numpy.float32)
a = cupy.asarray(x)

raw = cupy.RawKernel(
    r"""
extern "C" __global__ void triple(const float* in, float* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = 3 * in[i];
}""",
    "triple",
)
out = cupy.empty_like(a)
raw((4,), (256,), (a, out, numpy.int32(a.size)))
numpy.testing.assert_array_equal(out.get(), 3 * x)
assert raw.max_threads_per_block >= 256 and raw.attributes["shared_size_bytes"] == 0

module = cupy.RawModule(
    code=r"""
__constant__ float factor;
__device__ int calls;
template <typename T> __global__ void scale(T* values, int n) {
  extern __shared__ char memory[];
  T* tile = reinterpret_cast<T*>(memory);
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  tile[threadIdx.x] = i < n ? values[i] : T(0);
  __syncthreads();
  if (i < n) values[i] = tile[threadIdx.x] * T(factor);
  if (i == 0) atomicAdd(&calls, 1);
}""",
    options=("-std=c++17",),
    name_expressions=("scale<float>", "scale<double>"),
)
cupy.ndarray(1, cupy.float32, module.get_global("factor"))[0] = 2.5
for dtype, name in ((cupy.float32, "scale<float>"), (cupy.float64, "scale<double>")):
    values = cupy.asarray(x, dtype=dtype)
    module.get_function(name)((4,), (256,), (values, numpy.int32(values.size)), shared_mem=256 * values.itemsize)
    numpy.testing.assert_allclose(values.get(), x.astype(dtype) * 2.5, rtol=1e-6)
assert cupy.ndarray(1, cupy.int32, module.get_global("calls"))[0].get() == 2

squared_difference = cupy.ElementwiseKernel("T x, T y", "T z", "z = (x - y) * (x - y)", "squared_difference")
numpy.testing.assert_allclose(squared_difference(a, cupy.float32(1)).get(), (x - 1) ** 2, rtol=1e-6)

norm = cupy.ReductionKernel("T x", "T y", "x * x", "a + b", "y = sqrt(a)", "0", "norm")
numpy.testing.assert_allclose(norm(a).get(), numpy.linalg.norm(x), rtol=1e-4)


@cupy.fuse()
def fused(p, q):
    return cupy.sqrt(p * p + q * q) + 1


numpy.testing.assert_allclose(fused(a, a * 2).get(), numpy.sqrt(5 * x * x) + 1, rtol=1e-5)


@jit.rawkernel()
def add_one(source, target, size):
    i = jit.blockIdx.x * jit.blockDim.x + jit.threadIdx.x
    if i < size:
        target[i] = source[i] + 1


add_one[4, 256](a, out, numpy.uint32(a.size))
numpy.testing.assert_array_equal(out.get(), x + 1)
