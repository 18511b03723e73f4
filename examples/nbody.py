"""Two small galaxies fall into each other: an ordinary numba-cuda program.

Every body attracts every other (softened gravity, leapfrog steps). A block's threads share the bodies' positions tile by tile. The program
checks its first accelerations against NumPy and the energy at its end against that at its start, prints its speed and draws nbody.png.

    python examples/nbody.py [--bodies 8192] [--steps 100] [--picture nbody.png]
"""

import argparse
import math
import sys
import time

import numpy as np
from numba import cuda, float32

BLOCK = 64
SOFTENING = np.float32(0.02)  # squared


@cuda.jit(fastmath=True)
def accelerate(position, acceleration):
    """acceleration[i] = the pull of all bodies on body i; position is (x, y, z, mass)."""
    tile = cuda.shared.array((BLOCK, 4), float32)
    thread = cuda.threadIdx.x
    i = cuda.grid(1)
    x, y, z = position[i, 0], position[i, 1], position[i, 2]
    ax = ay = az = float32(0)
    for first in range(0, position.shape[0], BLOCK):
        for k in range(4):
            tile[thread, k] = position[first + thread, k]
        cuda.syncthreads()
        for j in range(BLOCK):
            dx, dy, dz = tile[j, 0] - x, tile[j, 1] - y, tile[j, 2] - z
            inverse = float32(1) / math.sqrt(dx * dx + dy * dy + dz * dz + SOFTENING)
            pull = tile[j, 3] * inverse * inverse * inverse
            ax += pull * dx
            ay += pull * dy
            az += pull * dz
        cuda.syncthreads()
    acceleration[i, 0], acceleration[i, 1], acceleration[i, 2] = ax, ay, az


@cuda.jit
def move(position, velocity, acceleration, kick, drift):
    """velocity += kick * acceleration, then position += drift * velocity."""
    i = cuda.grid(1)
    for k in range(3):
        velocity[i, k] += kick * acceleration[i, k]
        position[i, k] += drift * velocity[i, k]


def galaxy(count, centre, drift, tilt, random):
    """A disc of bodies that turns around its centre: (positions with masses, velocities)."""
    radius = np.sqrt(random.uniform(0.01, 1, count))
    angle = random.uniform(0, 2 * np.pi, count)
    flat = np.stack([radius * np.cos(angle), radius * np.sin(angle), 0.05 * random.standard_normal(count)], axis=1)
    speed = np.sqrt(radius**2 / (radius**2 + float(SOFTENING)) ** 0.5) * 0.7
    turning = np.stack([-speed * np.sin(angle), speed * np.cos(angle), np.zeros(count)], axis=1)
    c, s = np.cos(tilt), np.sin(tilt)
    rotation = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    position = np.empty((count, 4), np.float32)
    position[:, :3] = flat @ rotation.T + centre
    position[:, 3] = 1 / count
    return position, (turning @ rotation.T + drift).astype(np.float32)


def expected_acceleration(position, rows):
    """The same sum in NumPy and double precision, for some bodies."""
    p = position.astype(np.float64)
    d = p[None, :, :3] - p[rows, None, :3]
    inverse = (np.sum(d * d, axis=2) + float(SOFTENING)) ** -1.5
    return np.einsum("ij,ijk->ik", p[:, 3] * inverse, d)


def energy(position, velocity):
    """Kinetic and potential energy, in double precision."""
    p, v = position.astype(np.float64), velocity.astype(np.float64)
    potential = 0.0
    for first in range(0, len(p), 256):
        d = p[None, :, :3] - p[first : first + 256, None, :3]
        pairs = p[None, :, 3] * p[first : first + 256, None, 3] / np.sqrt(np.sum(d * d, axis=2) + float(SOFTENING))
        potential -= 0.5 * (pairs.sum() - np.sum(p[first : first + 256, 3] ** 2) / math.sqrt(SOFTENING))
    return 0.5 * np.sum(p[:, 3] * np.sum(v * v, axis=1)) + potential


def draw(position, path, size=900, extent=1.7):
    """A picture of the bodies from above; brighter where there are more."""
    from PIL import Image

    x, y = position[:, 0], position[:, 1]
    light, _, _ = np.histogram2d(-y, x, bins=size // 2, range=[[-extent, extent]] * 2)
    for axis in (0, 1):  # a little glow
        near = np.roll(light, 1, axis) + np.roll(light, -1, axis)
        far = np.roll(light, 2, axis) + np.roll(light, -2, axis)
        light = light + 0.6 * near + 0.2 * far
    light = np.kron(1 - np.exp(-0.4 * light), np.ones((2, 2)))
    colour = np.stack([light**1.2, light**1.5 * 0.85 + 0.02, light**0.7 * 0.9 + 0.06], axis=2)
    Image.fromarray((255 * np.clip(colour, 0, 1)).astype(np.uint8)).save(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bodies", type=int, default=8192)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--picture", default="nbody.png")
    arguments = parser.parse_args()
    half = max(arguments.bodies // (2 * BLOCK), 1) * BLOCK
    random = np.random.default_rng(1)
    first = galaxy(half, [-0.8, -0.25, 0], [0.35, 0.1, 0], 0.3, random)
    second = galaxy(half, [0.8, 0.25, 0], [-0.35, -0.1, 0], -0.9, random)
    position, velocity = np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]])
    bodies, step = len(position), np.float32(0.01)
    grid = bodies // BLOCK
    print(f"{bodies} bodies, {arguments.steps} steps on {cuda.get_current_device().name}")

    p, v, a = cuda.to_device(position), cuda.to_device(velocity), cuda.device_array((bodies, 3), np.float32)
    start = time.perf_counter()
    accelerate[grid, BLOCK](p, a)
    move[grid, BLOCK](p, v, a, np.float32(0), np.float32(0))
    cuda.synchronize()
    print(f"kernels compiled in {time.perf_counter() - start:.1f} s")

    rows = np.arange(0, bodies, max(bodies // 64, 1))
    expected, found = expected_acceleration(position, rows), a.copy_to_host()[rows]
    error = np.abs(found - expected).max() / np.abs(expected).max()
    print(f"accelerations agree with NumPy within {error:.1e} of the largest")

    start = time.perf_counter()
    for number in range(arguments.steps):
        move[grid, BLOCK](p, v, a, step / 2, step)
        accelerate[grid, BLOCK](p, a)
        move[grid, BLOCK](p, v, a, step / 2, np.float32(0))
        if (number + 1) % 10 == 0 or number + 1 == arguments.steps:
            cuda.synchronize()
            if sys.stderr.isatty():
                print(f"\rstep {number + 1} of {arguments.steps}", end="", file=sys.stderr, flush=True)
    cuda.synchronize()
    seconds = time.perf_counter() - start
    if sys.stderr.isatty():
        print("\r" + " " * 40 + "\r", end="", file=sys.stderr)

    before, final = energy(position, velocity), p.copy_to_host()
    change = abs(energy(final, v.copy_to_host()) / before - 1)
    rate = arguments.steps * bodies * bodies / seconds
    print(f"{seconds:.2f} s: {rate / 1e9:.2f} billion interactions a second ({20 * rate / 1e9:.0f} GFLOP/s at 20 a piece)")
    print(f"energy kept within {100 * change:.3f} %")
    draw(final, arguments.picture)
    print(f"wrote {arguments.picture}")
    if not (error < 1e-4 and change < 0.02):
        sys.exit("the results are wrong")


if __name__ == "__main__":
    main()
