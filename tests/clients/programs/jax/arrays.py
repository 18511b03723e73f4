"""JAX's arrays on XLA's own kernels: functions, reductions, scans, sorts, indexing, random numbers, control flow, matrix products."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

assert jax.devices()[0].platform == "gpu", jax.devices()
close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
random = np.random.RandomState(0)
x = random.randn(1000).astype(np.float32)
table = x.reshape(10, 100)

close(jnp.exp(x) * 2 + jnp.sin(x) / (1 + x * x), np.exp(x) * 2 + np.sin(x) / (1 + x * x))
close(jnp.tanh(x) + jnp.log1p(jnp.abs(x)), np.tanh(x) + np.log1p(np.abs(x)))
close(jnp.sum(x), x.sum(), atol=1e-3)
close(jnp.max(table, 0), table.max(0))
close(jnp.mean(table, 1), table.mean(1))
assert int(jnp.argmax(x)) == x.argmax()
close(jnp.cumsum(x), np.cumsum(x), atol=1e-3)
close(jnp.cumsum(table, axis=0), np.cumsum(table, axis=0))
np.testing.assert_array_equal(jnp.sort(x), np.sort(x))
np.testing.assert_array_equal(jnp.argsort(x), np.argsort(x))
np.testing.assert_array_equal(jnp.array(table).T[3:50:7, ::-1], table.T[3:50:7, ::-1])
np.testing.assert_array_equal(jnp.array(x)[jnp.arange(0, 1000, 7)], x[::7])
np.testing.assert_array_equal(jnp.zeros(10).at[jnp.array([1, 1, 2])].add(1.0), [0, 2, 1, 0, 0, 0, 0, 0, 0, 0])

normal = np.asarray(jax.random.normal(jax.random.key(0), (10_000,)))
assert abs(normal.mean()) < 0.05 and abs(normal.std() - 1) < 0.05
with jax.default_device(jax.devices("cpu")[0]):  # the same numbers as on any device
    np.testing.assert_array_equal(jax.random.bits(jax.random.key(1), (100,)), np.asarray(jax.random.bits(jax.random.key(1), (100,))))

close(jax.jit(jax.vmap(jax.grad(lambda v: jnp.sin(v) ** 2)))(x), 2 * np.sin(x) * np.cos(x))
close(lax.scan(lambda c, v: (c * 0.5 + v, c), 0.0, jnp.array(x[:50]))[0], functools.reduce(lambda c, v: c * 0.5 + v, x[:50], 0.0))
assert float(lax.while_loop(lambda v: v < 100, lambda v: v * 2, 1.0)) == 128
assert float(jax.jit(lambda p, v: lax.cond(p, lambda q: q + 1, lambda q: q - 1, v))(False, jnp.array(1.0))) == 0

a, b = random.randn(64, 48).astype(np.float32), random.randn(48, 32).astype(np.float32)
product = functools.partial(jnp.dot, precision="highest")
close(product(a, b), a @ b, atol=1e-3)
close(product(a, b[:, 0]), a @ b[:, 0], atol=1e-3)
batches = jnp.einsum("bij,bjk->bik", a.reshape(4, 16, 48), np.stack([b] * 4), precision="highest")
close(batches, a.reshape(4, 16, 48) @ b, atol=1e-3)

try:
    lax.conv(jnp.ones((1, 1, 8, 8)), jnp.ones((1, 1, 3, 3)), (1, 1), "SAME").block_until_ready()
except RuntimeError as error:  # cuDNN is closed: XLA says so, and goes on
    assert "cudnn" in str(error).lower(), error
assert float(jnp.sum(jnp.ones(3))) == 3
print("passed")
