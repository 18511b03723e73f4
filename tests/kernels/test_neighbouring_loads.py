"""Loads of neighbouring elements from an address a lane: merged where all lanes that run one run the others, with the same results."""

from __future__ import annotations

import random

import pytest

import anywarp.isa  # noqa: F401
from anywarp import ptx
from anywarp.analysis.shapes import analyse
from anywarp.ir.build import build
from anywarp.ir.builtin import LoadNeighbours
from anywarp.transform.merge_neighbouring_loads import merge_neighbouring_loads
from tests.kernels import routes
from tests.kernels.differential import Buffer, Case, compare

TEXT = """.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 in, .param .u64 out)
{{
  .reg .pred %p<8>;
  .reg .b32 %r<32>;
  .reg .b64 %rd<32>;
  ld.param.u64 %rd1, [in];
  ld.param.u64 %rd2, [out];
  mov.u32 %r1, %tid.x;
  mul.wide.u32 %rd3, %r1, 4;
  add.u64 %rd4, %rd1, %rd3;
  ld.global.u32 %r2, [%rd4];
  and.b32 %r3, %r2, 63;
  mul.wide.u32 %rd5, %r3, 16;
  add.u64 %rd6, %rd1, %rd5;
  mov.u32 %r10, 0; mov.u32 %r11, 0; mov.u32 %r12, 0; mov.u32 %r13, 0;
  mov.u64 %rd10, 0; mov.u64 %rd11, 0;
  and.b32 %r4, %r2, 1;
  setp.eq.u32 %p1, %r4, 1;
  {body}
DONE:
  mul.wide.u32 %rd7, %r1, 32;
  add.u64 %rd8, %rd2, %rd7;
  st.global.v4.u32 [%rd8], {{%r10, %r11, %r12, %r13}};
  st.global.v2.u64 [%rd8+16], {{%rd10, %rd11}};
  ret;
}}
"""
# body, and how many elements each merged load has
CASES = {
    "four in a row": (
        "ld.global.u32 %r10, [%rd6]; ld.global.u32 %r11, [%rd6+4]; ld.global.u32 %r12, [%rd6+8]; ld.global.u32 %r13, [%rd6+12];", [4]),
    "out of order, below the address": (
        "ld.global.u32 %r12, [%rd6+72]; ld.global.u32 %r10, [%rd6+64]; ld.global.u32 %r13, [%rd6+76]; ld.global.u32 %r11, [%rd6+68];", [4]),
    "three": ("ld.global.u32 %r10, [%rd6]; ld.global.u32 %r11, [%rd6+4]; ld.global.u32 %r12, [%rd6+8];", [2]),
    "with a gap": ("ld.global.u32 %r10, [%rd6]; ld.global.u32 %r11, [%rd6+8]; ld.global.u32 %r12, [%rd6+12];", [2]),
    "wide": ("ld.global.u64 %rd10, [%rd6]; ld.global.u64 %rd11, [%rd6+8];", [2]),
    "a store between": (
        "ld.global.u32 %r10, [%rd6]; st.global.u32 [%rd2], %r10; ld.global.u32 %r11, [%rd6+4];", []),
    "a store between, never written": (
        "ld.global.nc.u32 %r10, [%rd6]; st.global.u32 [%rd2+8000], %r3; ld.global.nc.u32 %r11, [%rd6+4];", [2]),
    "an acquire between": (
        "ld.global.u32 %r10, [%rd6]; ld.acquire.gpu.global.u32 %r12, [%rd1]; ld.global.u32 %r11, [%rd6+4];", []),
    "another load between": (
        "ld.global.u32 %r10, [%rd6]; ld.global.u32 %r12, [%rd4+128]; ld.global.u32 %r11, [%rd6+4];", [2]),
    "volatile": ("ld.volatile.global.u32 %r10, [%rd6]; ld.volatile.global.u32 %r11, [%rd6+4];", []),
    "guarded": ("ld.global.u32 %r10, [%rd6]; @%p1 ld.global.u32 %r11, [%rd6+4];", []),
    "for a part of the warp": (
        "@%p1 bra DONE; ld.global.u32 %r10, [%rd6]; ld.global.u32 %r11, [%rd6+4];", [2]),
    "around a branch, never written": (
        "ld.global.nc.u32 %r10, [%rd6]; @%p1 bra SKIP; add.u32 %r10, %r10, 5; SKIP: ld.global.nc.u32 %r11, [%rd6+4];", [2]),
    "around a branch": ("ld.global.u32 %r10, [%rd6]; @%p1 bra SKIP; add.u32 %r10, %r10, 5; SKIP: ld.global.u32 %r11, [%rd6+4];", []),
    "behind a branch that some take": ("ld.global.nc.u32 %r10, [%rd6]; @%p1 bra DONE; ld.global.nc.u32 %r11, [%rd6+4];", []),
    "in a loop and behind it": (
        "LOOP: ld.global.nc.u32 %r10, [%rd6]; add.u32 %r3, %r3, 1; setp.lt.u32 %p2, %r3, 9; @%p2 bra LOOP;"
        " ld.global.nc.u32 %r11, [%rd6+4];", []),
    "in a loop": (
        "LOOP: ld.global.nc.u32 %r20, [%rd6]; add.u32 %r10, %r10, %r20; @%p1 bra SKIP; xor.b32 %r10, %r10, 99;"
        " SKIP: ld.global.nc.u32 %r21, [%rd6+4]; add.u32 %r11, %r11, %r21; add.u64 %rd6, %rd6, 8;"
        " add.u32 %r3, %r3, 1; setp.lt.u32 %p2, %r3, 40; @%p2 bra LOOP;", [2]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_loads_merge_and_agree_with_the_interpreter(name: str) -> None:
    body, wanted = CASES[name]
    text = TEXT.format(body=body)
    function = build(ptx.parse(text), "k")
    merge_neighbouring_loads(function, analyse(function, "line"))
    assert [op.op.count for op in function.operations() if isinstance(op.op, LoadNeighbours)] == wanted
    buffers = [Buffer(random.Random(name).randbytes(64 * 16 + 512), "in"), Buffer(bytes(8192), "out")]
    compare(Case(text, "k", block=(96, 1, 1), arguments=buffers), routes.available()[0])
