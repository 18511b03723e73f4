"""Whatever nvcc makes of programs is read; runs where nvcc is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from anywarp.ptx import parse, print_module, verify
from tests.ptx.content import DATA, content

NVCC = shutil.which("nvcc")
pytestmark = pytest.mark.skipif(NVCC is None, reason="nvcc is not installed; it comes with the CUDA toolkit")

PROGRAM = """
#include <mma.h>
#include <cooperative_groups.h>
#include <cuda_bf16.h>
#include <cassert>
#include <cstdio>
namespace cg = cooperative_groups;
using namespace nvcuda;
struct Shape { virtual __device__ int area(int) = 0; };
struct Square : Shape {
  int k;
  __device__ Square(int k) : k(k) {}
  __device__ int area(int x) override { return x * x + k; }
};
struct Line : Shape { __device__ int area(int) override { return 0; } };
__global__ void virtual_calls(int *p) {
  Shape *s = p[0] ? (Shape *)new Square(3) : (Shape *)new Line();
  p[1] = s->area(p[2]);
  delete s;
}
__global__ void matrices(half *a, half *b, float *c) {
  wmma::fragment<wmma::matrix_a, 16, 16, 16, half, wmma::row_major> fa;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, half, wmma::col_major> fb;
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> fc;
  wmma::fill_fragment(fc, 0.f);
  wmma::load_matrix_sync(fa, a, 16);
  wmma::load_matrix_sync(fb, b, 16);
  wmma::mma_sync(fc, fa, fb, fc);
  wmma::store_matrix_sync(c, fc, 16, wmma::mem_row_major);
}
__global__ void textures(cudaTextureObject_t t, cudaSurfaceObject_t s, float *o) {
  int x = threadIdx.x;
  o[x] = tex2D<float>(t, x + .5f, 1.f) + tex3D<float4>(t, x, x, x).y + tex1Dfetch<float>(t, x);
  surf2Dwrite(o[x], s, x * 4, 3);
}
__global__ void cooperation(int *p) {
  auto tile = cg::tiled_partition<8>(cg::this_thread_block());
  p[0] = tile.shfl_down(p[1], 1);
  cg::this_grid().sync();
  if (tile.any(p[1])) p[2] = cg::coalesced_threads().size();
  assert(p[3] == 7);
}
__device__ int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
__global__ void recursion(int *p) { p[0] = fibonacci(p[1]); printf("%d %f\\n", p[0], sin(double(p[1]))); }
__global__ void assembly(unsigned *p) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16; // comment; with } braces {\\n"
               "cp.async.wait_all;" ::"r"(p[0]), "l"(p));
  for (int i = 0; i < 2; i++)
    asm volatile("{\\n.reg .pred complete;\\nwaitLoop:\\nmbarrier.test_wait.shared.b64 complete, [%0], %1;\\n"
                 "@!complete bra.uni waitLoop;\\n}" ::"r"(p[1]), "l"((long long)p[2]));
}
"""


@pytest.mark.parametrize(
    "options",
    [
        ["-arch=sm_80"],
        ["-arch=compute_90a", "-G"],
        ["-arch=sm_90", "-lineinfo", "-rdc=true"],
        ["-arch=compute_120", "-O1"],
    ],
    ids=" ".join,
)
def test_program_with_nvidias_headers(options: list[str], tmp_path: Path) -> None:
    source, ptx = tmp_path / "program.cu", tmp_path / "program.ptx"
    source.write_text(PROGRAM)
    subprocess.run([str(NVCC), "-w", "-ptx", *options, str(source), "-o", str(ptx)], check=True)
    module = parse(ptx.read_text(), str(ptx))
    verify(module, str(ptx))
    assert len([f for f in module.functions.values() if f.kind == "entry"]) == 6
    assert content(parse(print_module(module))) == content(module)


def test_checked_in_output_is_what_nvcc_makes_today(tmp_path: Path) -> None:
    """Names and kinds agree with the file in `data`, so that the data does not rot."""
    ptx = tmp_path / "programs.ptx"
    subprocess.run([str(NVCC), "-w", "-ptx", "-arch=sm_80", str(DATA / "programs.cu"), "-o", str(ptx)], check=True)
    today, then = parse(ptx.read_text()), parse((DATA / "nvcc_sm80.ptx").read_text())
    assert {name: f.kind for name, f in today.functions.items()} == {name: f.kind for name, f in then.functions.items()}
