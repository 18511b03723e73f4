"""Four virtual devices: pmap, sharded arrays, shard_map. Collectives between devices that need NCCL are not used."""

import os

os.environ["ANYWARP_DEVICES"] = "4"

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

n = jax.device_count()
assert n == 4, jax.devices()
rows = np.arange(n * 4.0, dtype=np.float32).reshape(n, 4)
np.testing.assert_array_equal(jax.pmap(lambda v: v * 2)(rows), rows * 2)

mesh = Mesh(np.array(jax.devices()), ("d",))
x = np.linspace(0, 1, n * 100, dtype=np.float32)
placed = jax.device_put(x, NamedSharding(mesh, P("d")))
assert len({shard.device for shard in placed.addressable_shards}) == n
np.testing.assert_allclose(jax.jit(lambda v: jnp.sin(v) * 2)(placed), np.sin(x) * 2, rtol=1e-5)
number = jax.shard_map(lambda v: v + lax.axis_index("d"), mesh=mesh, in_specs=P("d"), out_specs=P("d"))
np.testing.assert_array_equal(jax.jit(number)(jnp.zeros(n * 2)), np.repeat(np.arange(n), 2))
for device in jax.devices():
    assert float(jnp.sum(jax.device_put(rows, device))) == rows.sum()
print("passed")
