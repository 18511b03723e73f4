"""What is measured: each kernel with its sizes, inputs and launch. One argument list serves CUDA, OpenCL and C++.

An array argument is a NumPy array (a buffer on the device), a scalar one a NumPy scalar. `scale` shrinks the work: 1 for measurements,
smaller for tests; a case rounds it to what its kernel takes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
KERNELS = Path(__file__).parent / "kernels"
Argument = Any  # np.ndarray, np.int32, np.uint32 or np.float32


@dataclass
class Work:
    """One launch. After it, `arguments[i]` for i in `outputs` hold results."""

    arguments: list[Argument]
    outputs: list[int]
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    natural_extra: list[Argument] = field(default_factory=list)  # what a launch says by its grid, C++ gets as a last argument
    launches: int = 1  # in one measurement
    tolerance: float = 0.0  # relative to the largest result; 0: equal bits
    view: Callable[[Array], Array] = lambda a: a  # what of an output is compared
    mismatches: float = 0.0  # allowed share of elements that differ more (escape counts at the edge of a set)


@dataclass(frozen=True)
class Case:
    name: str
    group: str
    source: str  # stem in kernels/, and the kernel's name
    make: Callable[[float], Work]
    opencl: str = ""  # why OpenCL cannot, or nothing


CASES: list[Case] = []
GROUPS = ("streaming", "compute", "divergent", "cooperative", "integer")


def case(group: str, name: str = "", source: str = "", opencl: str = "") -> Callable[[Callable[[float], Work]], Callable[[float], Work]]:
    def add(make: Callable[[float], Work]) -> Callable[[float], Work]:
        stem = source or make.__name__
        CASES.append(Case(name or stem.replace("_", " "), group, stem, make, opencl))
        return make

    return add


def scalar(value: Any) -> Any:
    """A NumPy scalar as the ctypes one."""
    return {"int32": ctypes.c_int32, "uint32": ctypes.c_uint32, "float32": ctypes.c_float}[value.dtype.name](value.item())


def random(*shape: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


i32, f32 = np.int32, np.float32


def zeros(*shape: int, kind: Any = np.float32) -> Array:
    return np.zeros(shape, kind)


def multiple(value: float, of: int) -> int:
    """The nearest positive multiple."""
    return max(1, round(value / of)) * of


def line(n: int, block: int = 256) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    return (-(-n // block), 1, 1), (block, 1, 1)


def plane(n: int, x: int, y: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    return (-(-n // x), -(-n // y), 1), (x, y, 1)


# ---------------------------------------------------------------------------------------------------- streaming


def _saxpy(n: int, launches: int) -> Work:
    return Work([i32(n), f32(1e-3), random(n), random(n, seed=2)], [3], *line(n), launches=launches, tolerance=1e-6)


@case("streaming", "saxpy, L2", "saxpy")
def saxpy_l2(scale: float) -> Work:
    return _saxpy(multiple(32768 * min(1, scale), 256) - 3, 40)


@case("streaming", "saxpy, DRAM", "saxpy")
def saxpy_dram(scale: float) -> Work:
    return _saxpy(multiple((1 << 24) * scale, 256) - 3, 1)


@case("streaming", "copy, DRAM")
def copy(scale: float) -> Work:
    n = multiple((1 << 24) * scale, 256) - 3
    return Work([i32(n), random(n), zeros(n)], [2], (128, 1, 1), (256, 1, 1))


@case("streaming")
def transpose(scale: float) -> Work:
    n = multiple(2048 * scale**0.5, 32)
    return Work([i32(n), random(n, n), zeros(n, n)], [2], (n // 32, n // 32, 1), (32, 8, 1))


@case("streaming", "stencil 1D")
def stencil1d(scale: float) -> Work:
    n = multiple((1 << 22) * scale, 256) - 5
    return Work([i32(n), random(n), zeros(n)], [2], *line(n), tolerance=1e-6)


@case("streaming", "stencil 2D")
def stencil2d(scale: float) -> Work:
    n = multiple(2048 * scale**0.5, 32)
    return Work([i32(n), random(n, n), zeros(n, n)], [2], *plane(n, 32, 8), tolerance=1e-6)


@case("streaming", "stencil 3D")
def stencil3d(scale: float) -> Work:
    n = multiple(192 * scale ** (1 / 3), 32)
    return Work([i32(n), i32(n), f32(0.4), f32(0.1), random(n, n, n), zeros(n, n, n)], [5], *plane(n, 32, 8), tolerance=1e-6)


# ---------------------------------------------------------------------------------------------------- compute


@case("compute")
def nbody(scale: float) -> Work:
    n = multiple(4096 * scale**0.5, 256)
    return Work([i32(n), f32(1e-2), random(n, 4), zeros(n, 4)], [3], *line(n), tolerance=1e-4)


@case("compute", "Black-Scholes")
def black_scholes(scale: float) -> Work:
    n = multiple((1 << 19) * scale, 256) - 1
    inputs = [random(n) * 25 + 5, random(n, seed=2) * 99 + 1, random(n, seed=3) * 9.75 + 0.25]
    return Work([i32(n), f32(0.02), f32(0.3), *inputs, zeros(n), zeros(n)], [6, 7], *line(n), tolerance=1e-5)


def _gemm(n: int, grid: int, block: tuple[int, int, int], kind: Any = np.float32) -> Work:
    a, b = random(n, n).astype(kind), random(n, n, seed=2).astype(kind)
    return Work([i32(n), a, b, zeros(n, n, kind=kind)], [3], (grid, grid, 1), block, tolerance=1e-5)


@case("compute", "sgemm, plain")
def sgemm_plain(scale: float) -> Work:
    n = multiple(384 * scale ** (1 / 3), 64)
    return _gemm(n, n // 16, (16, 16, 1))


@case("compute", "sgemm, 32x32 tiles")
def sgemm_tiled(scale: float) -> Work:
    n = multiple(512 * scale ** (1 / 3), 64)
    return _gemm(n, n // 32, (32, 32, 1))


@case("compute", "sgemm, register tiles")
def sgemm_register(scale: float) -> Work:
    n = multiple(512 * scale ** (1 / 3), 64)
    return _gemm(n, n // 64, (256, 1, 1))


@case("compute", "dgemm, 16x16 tiles")
def dgemm_tiled(scale: float) -> Work:
    n = multiple(384 * scale ** (1 / 3), 64)
    return _gemm(n, n // 16, (16, 16, 1), np.float64)


@case("compute", "convolution 5x5")
def convolution(scale: float) -> Work:
    n = multiple(1024 * scale**0.5, 16)
    return Work([i32(n), random(n, n), random(5, 5, seed=2), zeros(n, n)], [3], *plane(n, 16, 16), tolerance=1e-5)


@case("compute", "FFT of 256 points")
def fft256(scale: float) -> Work:
    count = multiple(4096 * scale, 1)
    roots = np.exp(-2j * np.pi * np.arange(128) / 256).astype(np.complex64).view(np.float32)
    arguments = [random(count, 512), roots, zeros(count, 512)]
    return Work(arguments, [2], (count, 1, 1), (128, 1, 1), natural_extra=[i32(count)], tolerance=1e-5)


# ---------------------------------------------------------------------------------------------------- divergent


@case("divergent")
def mandelbrot(scale: float) -> Work:
    n = multiple(512 * scale**0.5, 16)
    return Work([i32(n), i32(n), i32(256), zeros(n, n, kind=np.int32)], [3], *plane(n, 16, 16), mismatches=0.02)


def _graph(vertices: int, degree: int) -> tuple[Array, Array]:
    """Rows of uneven length, and their columns, in compressed form."""
    generator = np.random.default_rng(7)
    lengths = generator.poisson(degree, vertices)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return starts, generator.integers(0, vertices, int(starts[-1])).astype(np.int32)


@case("divergent", "SpMV, thread a row")
def spmv(scale: float) -> Work:
    rows = multiple(65536 * scale, 256) - 7
    starts, columns = _graph(rows, 16)
    arguments = [i32(rows), starts, columns, random(len(columns)), random(rows, seed=2), zeros(rows)]
    return Work(arguments, [5], *line(rows), tolerance=1e-5)


@case("divergent", "BFS, one level")
def bfs(scale: float) -> Work:
    vertices = multiple(131072 * scale, 256) - 7
    starts, edges = _graph(vertices, 8)
    distance = np.full(vertices, -1, np.int32)
    frontier = np.array([0], np.int32)
    level = 0
    distance[0] = 0
    while np.count_nonzero(distance == level) < vertices // 8 and len(frontier):
        ahead = np.unique(np.concatenate([edges[starts[v] : starts[v + 1]] for v in frontier]))
        frontier = ahead[distance[ahead] < 0]
        level += 1
        distance[frontier] = level
    return Work([i32(vertices), i32(level), starts, edges, distance], [4], *line(vertices))


@case("divergent")
def binary_search(scale: float) -> Work:
    queries, n = multiple(262144 * scale, 256) - 9, 65536
    table = np.sort(np.random.default_rng(5).integers(0, 1 << 30, n)).astype(np.int32)
    keys = np.random.default_rng(6).integers(0, 1 << 30, queries).astype(np.int32)
    return Work([i32(queries), i32(n), keys, table, zeros(queries, kind=np.int32)], [4], *line(queries))


@case("divergent", "bitonic sort of 1,024")
def bitonic_sort(scale: float) -> Work:
    count = multiple(128 * scale, 1)
    data = np.random.default_rng(5).integers(0, 1 << 30, count * 1024).astype(np.int32)
    return Work([data, zeros(count * 1024, kind=np.int32)], [1], (count, 1, 1), (512, 1, 1), natural_extra=[i32(count)])


@case("divergent")
def ray_tracing(scale: float) -> Work:
    n, count = multiple(384 * scale**0.5, 16), 24
    spheres = random(count, 5, seed=4) * np.array([4, 4, 6, 0.5, 0.8], np.float32) + np.array([-2, -2, -1, 0.2, 0.1], np.float32)
    spheres = np.ascontiguousarray(spheres, np.float32)
    return Work([i32(n), i32(count), spheres, zeros(n, n)], [3], *plane(n, 16, 16), tolerance=1e-3, mismatches=0.02)


# ---------------------------------------------------------------------------------------------------- cooperative


@case("cooperative", "reduction, shuffles")
def reduction(scale: float) -> Work:
    n, blocks = multiple((1 << 21) * scale, 256) - 3, 64

    def total(partial_sums: Array) -> Array:
        return np.array([np.sum(partial_sums, dtype=np.float64)])

    return Work([i32(n), random(n), zeros(blocks)], [2], (blocks, 1, 1), (256, 1, 1), tolerance=2e-3, view=total)


@case("cooperative", "histogram, shared atomics")
def histogram(scale: float) -> Work:
    n = multiple((1 << 21) * scale, 256) - 3
    data = np.random.default_rng(3).normal(128, 40, n).clip(0, 255).astype(np.uint8)
    return Work([i32(n), data, zeros(256, kind=np.uint32)], [2], (64, 1, 1), (256, 1, 1))


@case("cooperative", "scan of 1,024")
def scan(scale: float) -> Work:
    count = multiple(2048 * scale, 1)
    data = np.random.default_rng(3).integers(-100, 100, count * 1024).astype(np.int32)
    return Work([data, zeros(count * 1024, kind=np.int32)], [1], (count, 1, 1), (1024, 1, 1), natural_extra=[i32(count)])


@case("cooperative")
def softmax(scale: float) -> Work:
    rows, columns = multiple(1024 * scale, 1), 1000
    arguments = [i32(columns), random(rows, columns) * 10, zeros(rows, columns)]
    return Work(arguments, [2], (rows, 1, 1), (256, 1, 1), natural_extra=[i32(rows)], tolerance=1e-5)


@case("cooperative")
def layer_norm(scale: float) -> Work:
    rows, columns = multiple(1024 * scale, 1), 1000
    arguments = [i32(columns), f32(1e-5), random(rows, columns), random(columns, seed=2), random(columns, seed=3), zeros(rows, columns)]
    return Work(arguments, [5], (rows, 1, 1), (256, 1, 1), natural_extra=[i32(rows)], tolerance=1e-4)


@case("cooperative", "flash attention, fp32")
def attention(scale: float) -> Work:
    n = multiple(512 * scale**0.5, 64)
    inputs = [random(n, 64, seed=s) - np.float32(0.5) for s in (1, 2, 3)]
    return Work([i32(n), f32(0.125), *inputs, zeros(n, 64)], [5], (n // 64, 1, 1), (64, 1, 1), tolerance=1e-4)


# ---------------------------------------------------------------------------------------------------- integer


def _words(*shape: int) -> Array:
    return np.random.default_rng(8).integers(0, 1 << 32, shape, dtype=np.uint32)


def _sha256_constants() -> Array:
    """The fractional parts of the cube roots of the first 64 primes (FIPS 180-4, 4.2.2)."""
    primes = [p for p in range(2, 312) if all(p % q for q in range(2, int(p**0.5) + 1))]
    roots = []
    for p in primes:
        low, high = 0, 1 << 36
        while low + 1 < high:
            middle = (low + high) // 2
            low, high = (middle, high) if middle**3 <= p << 96 else (low, middle)
        roots.append(low & 0xFFFFFFFF)
    return np.array(roots, np.uint32)


@case("integer", "SHA-256")
def sha256(scale: float) -> Work:
    n = multiple(16384 * scale, 256) - 5
    return Work([i32(n), _sha256_constants(), _words(n, 16), zeros(n, 8, kind=np.uint32)], [3], *line(n, 128))


@case("integer", "Philox 4x32-10")
def philox(scale: float) -> Work:
    n = multiple((1 << 19) * scale, 256) - 5
    return Work([i32(n), np.uint32(1234), zeros(n, 4)], [2], *line(n))


@case("integer", "game of life")
def life(scale: float) -> Work:
    n = multiple(1024 * scale**0.5, 32)
    cells = (random(n, n) < 0.4).astype(np.uint8)
    return Work([i32(n), cells, zeros(n, n, kind=np.uint8)], [2], *plane(n, 32, 8))


@case("integer", "CRC-32 by table")
def crc32(scale: float) -> Work:
    n = multiple(65536 * scale, 256) - 5
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0xEDB88320), table >> 1).astype(np.uint32)
    return Work([i32(n), table, _words(n, 16), zeros(n, kind=np.uint32)], [3], *line(n))
