"""Steps of values in loops, and the hints that accesses get from them."""

from __future__ import annotations

import pytest

import anywarp.isa  # noqa: F401
from anywarp import ptx
from anywarp.analysis.loop_steps import LoopSteps
from anywarp.analysis.shapes import analyse
from anywarp.ir.build import build
from anywarp.lower.kernel import lower

KERNEL = """.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 a, .param .u32 n, .param .u32 m)
{{
  .reg .pred %p<4>;
  .reg .b32 %r<20>;
  .reg .b64 %rd<20>;
  ld.param.u64 %rd1, [a];
  ld.param.u32 %r1, [n];
  ld.param.u32 %r2, [m];
  mov.u32 %r3, %tid.x;
  mul.wide.u32 %rd2, %r3, 4;
  add.s64 %rd3, %rd1, %rd2;
  mov.u32 %r4, 0;
LOOP:
  {body}
  add.u32 %r4, %r4, 1;
  setp.lt.u32 %p1, %r4, %r2;
  @%p1 bra LOOP;
  ret;
}}
"""
CASES = {
    "down a column": (
        "mul.lo.u32 %r5, %r4, %r1; mul.wide.u32 %rd4, %r5, 4; add.s64 %rd5, %rd3, %rd4; ld.global.u32 %r6, [%rd5];",
        {"n": 4},
        2,
    ),
    "by pages": ("ld.global.u32 %r6, [%rd3]; add.s64 %rd3, %rd3, 4096;", {None: 4096}, 2),
    "in two steps": ("ld.global.u32 %r6, [%rd3]; add.s64 %rd3, %rd3, 4000; add.s64 %rd3, %rd3, 96;", {None: 4096}, 2),
    "element by element": ("ld.global.u32 %r6, [%rd3]; add.s64 %rd3, %rd3, 4;", {None: 4}, 0),
    "nowhere": ("ld.global.u32 %r6, [%rd3];", {}, 0),
    "by what is read": ("ld.global.u32 %r6, [%rd3]; cvt.u64.u32 %rd6, %r6; add.s64 %rd3, %rd3, %rd6;", None, 0),
}


@pytest.mark.parametrize("name", CASES)
def test_address_and_hints(name: str) -> None:
    body, step, hints = CASES[name]
    function = build(ptx.parse(KERNEL.format(body=body)), "k")
    shapes = analyse(function, "line")
    steps = LoopSteps(function, shapes)
    (loop,) = shapes.graph.loops.all
    load = next(op for op in function.operations() if repr(op.op).startswith("ld.global"))
    found = steps.of(load.operands[0].base, loop)
    if found is not None:
        found = {"n" if key is not None else None: amount for key, amount in found.items() if amount}
    assert found == step
    assert lower(function, "line").text.count("call void @llvm.prefetch") == hints
