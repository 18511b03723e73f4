"""Four of the benchmark kernels in Python, for Numba's simulator; prints seconds a thread.

Run by simulator.py with NUMBA_ENABLE_CUDASIM=1. A thread does what one of the full size does, but for n-body: an eighth of it, scaled up.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda, float32, int32


@cuda.jit  # type: ignore[untyped-decorator]
def saxpy(a: Any, x: Any, y: Any) -> None:
    i = cuda.grid(1)
    if i < y.size:
        y[i] = a * x[i] + y[i]


@cuda.jit  # type: ignore[untyped-decorator]
def mandelbrot(width: Any, height: Any, limit: Any, out: Any) -> None:
    i, j = cuda.grid(2)
    if i >= 16 or j >= 16:
        return
    # 16x16 points spread over the whole picture: the mean work of a thread
    cx, cy = -2.0 + 3.0 * (i * width // 16) / width, -1.5 + 3.0 * (j * height // 16) / height
    x = y = 0.0
    steps = 0
    while steps < limit and x * x + y * y <= 4.0:
        x, y = x * x - y * y + cx, 2.0 * x * y + cy
        steps += 1
    out[j, i] = steps


@cuda.jit  # type: ignore[untyped-decorator]
def nbody(n: Any, softening: Any, bodies: Any, out: Any) -> None:
    tile = cuda.shared.array((256, 4), float32)
    t = cuda.threadIdx.x
    ax = ay = az = 0.0
    for k in range(4):
        tile[t, k] = bodies[t, k]
    cuda.syncthreads()
    for j in range(n):
        dx, dy, dz = tile[j % 256, 0] - bodies[t, 0], tile[j % 256, 1] - bodies[t, 1], tile[j % 256, 2] - bodies[t, 2]
        inverse = 1.0 / math.sqrt(dx * dx + dy * dy + dz * dz + softening)
        s = tile[j % 256, 3] * inverse * inverse * inverse
        ax += s * dx
        ay += s * dy
        az += s * dz
    out[t, 0], out[t, 1], out[t, 2] = ax, ay, az


@cuda.jit  # type: ignore[untyped-decorator]
def histogram(n: Any, x: Any, bins: Any) -> None:
    count = cuda.shared.array(256, int32)
    t = cuda.threadIdx.x
    count[t] = 0
    cuda.syncthreads()
    for i in range(t, n, 256):
        cuda.atomic.add(count, x[i], 1)
    cuda.syncthreads()
    cuda.atomic.add(bins, t, count[t])


def simulated() -> dict[str, float]:
    """Seconds a thread, by case."""
    random = np.random.default_rng(1)
    bodies, out = random.random((256, 4), dtype=np.float32), np.zeros((256, 4), np.float32)
    x, y = random.random(256, dtype=np.float32), random.random(256, dtype=np.float32)
    data, bins = random.integers(0, 256, 256 * 128), np.zeros(256, np.int64)
    image = np.zeros((16, 16), np.int32)
    runs: dict[str, tuple[Callable[[], Any], float]] = {  # and how much of a thread's work at full size it does
        "saxpy, L2": (lambda: saxpy[1, 256](1e-3, x, y), 1.0),
        "mandelbrot": (lambda: mandelbrot[(1, 1), (16, 16)](512, 512, 256, image), 1.0),
        "nbody": (lambda: nbody[1, 256](512, 1e-2, bodies, out), 512 / 4096),
        "histogram, shared atomics": (lambda: histogram[1, 256](len(data), data, bins), 1.0),
    }
    found = {}
    for name, (run, share) in runs.items():
        best = math.inf
        for _ in range(2):
            start = time.perf_counter()
            run()
            best = min(best, time.perf_counter() - start)
        found[name] = best / 256 / share
    return found


if __name__ == "__main__":
    print(json.dumps(simulated()))
