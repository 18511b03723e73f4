"""Tensor arithmetic, reductions, matrix multiply, softmax, convolution, indexing: tinygrad against NumPy."""

import numpy as np
from tinygrad import Device, Tensor, dtypes

assert Device.DEFAULT == "CUDA"
random = np.random.default_rng(0)
a, b = random.standard_normal((2, 45, 67)).astype(np.float32)
x, y = Tensor(a), Tensor(b)
same = np.testing.assert_allclose
same((x * 3 + y / 2 - 1).numpy(), a * 3 + b / 2 - 1, rtol=1e-5, atol=1e-6)
same(x.exp().log().numpy(), a, rtol=1e-4, atol=1e-5)
same(x.sin().numpy(), np.sin(a), atol=1e-5)
same((x.abs() + 0.1).sqrt().reciprocal().numpy(), 1 / np.sqrt(np.abs(a) + 0.1), rtol=1e-5)
same(x.sum(0).numpy(), a.sum(0), atol=1e-4)
same(x.mean(1).numpy(), a.mean(1), atol=1e-5)
same(x.max().numpy(), a.max())
np.testing.assert_array_equal(x.argmax(1).numpy(), a.argmax(1))
same(x.std(1).numpy(), a.std(1, ddof=1), rtol=1e-4)
same((x @ y.T).numpy(), a @ b.T, atol=1e-3)
powers = np.exp(a - a.max(1, keepdims=True))
same(x.softmax(1).numpy(), powers / powers.sum(1, keepdims=True), rtol=1e-4, atol=1e-6)
same(x.cumsum(1).numpy(), a.cumsum(1), atol=1e-3)
same(x[3:20:2, ::-1].numpy(), a[3:20:2, ::-1])
same(Tensor.where(x > y, x, y).numpy(), np.maximum(a, b))
np.testing.assert_array_equal((x > 0).numpy(), a > 0)
for size in (16, 64, 130):
    left, right = random.standard_normal((size, size)).astype(np.float32), random.standard_normal((size, size)).astype(np.float32)
    same((Tensor(left) @ Tensor(right)).numpy(), left @ right, atol=1e-3)
for kind, numpy_kind, tolerance in ((dtypes.float16, np.float16, 2e-2), (dtypes.float64, np.float64, 1e-12)):
    left, right = random.standard_normal((2, 64, 64)).astype(numpy_kind)
    same((Tensor(left, dtype=kind) @ Tensor(right, dtype=kind)).numpy(), left.astype(np.float64) @ right, atol=tolerance * 8)
for kind in (np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint32):
    left, right = random.integers(1, 100, (2, 50)).astype(kind)
    np.testing.assert_array_equal((Tensor(left) + Tensor(right) * 2).numpy(), left + right * 2)
    np.testing.assert_array_equal((Tensor(left) // Tensor(right)).numpy(), left // right)
image, kernel = random.standard_normal((2, 3, 12, 12)).astype(np.float32), random.standard_normal((4, 3, 3, 3)).astype(np.float32)
windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(2, 3))
same(Tensor(image).conv2d(Tensor(kernel)).numpy(), np.einsum("bchwij,ocij->bohw", windows, kernel), atol=1e-3)
same(Tensor(image).max_pool2d().numpy(), image.reshape(2, 3, 6, 2, 6, 2).max((3, 5)))
same((Tensor.arange(1000) * x[0, 0]).numpy(), np.arange(1000) * a[0, 0], rtol=1e-6)
assert 0.4 < Tensor.rand(1000).mean().item() < 0.6
