"""What numba-cuda builds on top: math of libdevice, ufuncs, random numbers, streams and events, printing, exceptions, half precision."""

import math

import numpy as np
from numba import cuda, float32, guvectorize, vectorize
from numba.cuda.random import create_xoroshiro128p_states, xoroshiro128p_normal_float32, xoroshiro128p_uniform_float64

random = np.random.default_rng(0)
FUNCTIONS = [
    "sin",
    "cos",
    "tan",
    "asin",
    "atan",
    "sinh",
    "tanh",
    "exp",
    "expm1",
    "log1p",
    "erf",
    "gamma",
    "lgamma",
    "sqrt",
    "cbrt",
    "floor",
]


def kernel_of(name):
    function = getattr(math, name)

    @cuda.jit
    def kernel(out, x):
        i = cuda.grid(1)
        if i < x.size:
            out[i] = function(x[i])

    return kernel


for name in FUNCTIONS:
    if not hasattr(math, name) or name == "cbrt":
        continue
    for kind, tolerance in ((np.float64, 1e-13), (np.float32, 2e-6)):
        x = random.uniform(0.05, 0.95, 200).astype(kind)
        out = np.zeros_like(x)
        kernel_of(name)[2, 128](out, x)
        np.testing.assert_allclose(out, [getattr(math, name)(v) for v in x.tolist()], rtol=tolerance, atol=tolerance, err_msg=name)


@vectorize(["float32(float32, float32)", "float64(float64, float64)"], target="cuda")
def hypotenuse(a, b):
    return math.sqrt(a * a + b * b)


a, b = random.standard_normal((2, 1000))
np.testing.assert_allclose(hypotenuse(a, b), np.hypot(a, b))


@guvectorize(["void(float64[:,:], float64[:], float64[:])"], "(m,n),(n)->(m)", target="cuda")
def matrix_vector(matrix, vector, out):
    for i in range(matrix.shape[0]):
        total = 0.0
        for j in range(matrix.shape[1]):
            total += matrix[i, j] * vector[j]
        out[i] = total


matrices, vectors = random.standard_normal((20, 4, 5)), random.standard_normal((20, 5))
np.testing.assert_allclose(matrix_vector(matrices, vectors), np.einsum("bij,bj->bi", matrices, vectors))


@cuda.jit
def estimate_pi(states, count, out):
    thread = cuda.grid(1)
    inside = 0
    for _ in range(count):
        x, y = xoroshiro128p_uniform_float64(states, thread), xoroshiro128p_uniform_float64(states, thread)
        if x * x + y * y <= 1:
            inside += 1
    out[thread] = 4 * inside / count


states = create_xoroshiro128p_states(256, seed=1)
out = np.zeros(256)
estimate_pi[4, 64](states, 500, out)
assert abs(out.mean() - math.pi) < 0.02


@cuda.jit
def normals(states, out):
    thread = cuda.grid(1)
    out[thread] = xoroshiro128p_normal_float32(states, thread)


out = np.zeros(256, np.float32)
normals[4, 64](states, out)
assert abs(out.mean()) < 0.3 and 0.8 < out.std() < 1.2


@cuda.jit
def increment(x):
    i = cuda.grid(1)
    if i < x.size:
        x[i] += 1


streams = [cuda.stream() for _ in range(3)]
start, end = cuda.event(), cuda.event()
host = [cuda.pinned_array(1000, np.float32) for _ in streams]
start.record(streams[0])
for stream, array in zip(streams, host):
    array[:] = 1
    device = cuda.to_device(array, stream=stream)
    for _ in range(5):
        increment[8, 128, stream](device)
    device.copy_to_host(array, stream=stream)
end.record(streams[0])
cuda.synchronize()
assert all((array == 6).all() for array in host) and cuda.event_elapsed_time(start, end) >= 0

managed = cuda.managed_array(100, np.int32)
managed[:] = 5
increment[1, 128](managed)
cuda.synchronize()
assert (managed == 6).all()
mapped = cuda.mapped_array(100, np.int32)
mapped[:] = 7
increment[1, 128](mapped)
cuda.synchronize()
assert (mapped == 8).all()


@cuda.jit(debug=True, opt=False)
def checked(x):
    i = cuda.grid(1)
    if x[i] < 0:
        raise ValueError("negative")


checked[1, 32](np.ones(32))
try:
    checked[1, 32](-np.ones(32))
except ValueError:
    pass
else:
    raise AssertionError("an exception in a kernel did not arrive")


@cuda.jit
def halves(x, y, out):
    i = cuda.grid(1)
    if i < x.size:
        out[i] = x[i] * y[i] + x[i]


x, y = random.standard_normal((2, 64)).astype(np.float16)
out = np.zeros(64, np.float16)
halves[1, 64](x, y, out)
np.testing.assert_allclose(out, x.astype(np.float32) * y + x, rtol=2e-3, atol=1e-3)


@cuda.jit
def say():
    print("thread", cuda.grid(1), float32(1.5))


say[2, 2]()
cuda.synchronize()
assert cuda.current_context().get_memory_info().total > 0 and cuda.get_current_device().compute_capability == (8, 0)
