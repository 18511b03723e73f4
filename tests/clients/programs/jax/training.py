"""A small network trained with jit and grad: the loss falls as it does on JAX's CPU device."""

import jax
import jax.numpy as jnp
import numpy as np

random = np.random.RandomState(1)
inputs = random.randn(64, 8).astype(np.float32)
targets = np.sin(inputs[:, :1]) + 0.1 * inputs[:, 1:2]
start = [(random.randn(m, n) * 0.4).astype(np.float32) for m, n in ((8, 16), (16, 16), (16, 1))]


def loss(weights, inputs, targets):
    hidden = inputs
    for w in weights[:-1]:
        hidden = jnp.tanh(jnp.dot(hidden, w, precision="highest"))
    return jnp.mean((jnp.dot(hidden, weights[-1], precision="highest") - targets) ** 2)


def train(device):
    weights, x, y = jax.device_put((start, inputs, targets), device)
    step = jax.jit(lambda weights: [w - 0.1 * g for w, g in zip(weights, jax.grad(loss)(weights, x, y))])
    first = float(loss(weights, x, y))
    for _ in range(50):
        weights = step(weights)
    return first, float(loss(weights, x, y))


gpu, cpu = train(jax.devices("gpu")[0]), train(jax.devices("cpu")[0])
assert gpu[1] < 0.3 * gpu[0], gpu
np.testing.assert_allclose(gpu, cpu, rtol=1e-3)
print("passed", gpu)
