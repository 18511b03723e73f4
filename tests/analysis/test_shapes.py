"""Shapes of values: each line of PTX here says in its comment what its first result must be."""

from __future__ import annotations

import re

import pytest

import anywarp.isa  # noqa: F401
from anywarp import ptx
from anywarp.analysis.shapes import analyse
from anywarp.ir.build import build
from anywarp.pipeline import describe_shape

HEAD = """.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 a, .param .u32 n)
{
  .reg .pred %p<9>;
  .reg .b32 %r<32>;
  .reg .f32 %f<9>;
  .reg .b64 %rd<32>;
  ld.param.u64 %rd1, [a];
  ld.param.u32 %r1, [n];
"""

CASES = {
    ("line", "indices of a one-dimensional block"): """
  mov.u32 %r2, %ctaid.x;
  mov.u32 %r3, %ntid.x;
  mov.u32 %r4, %tid.x;
  mad.lo.s32 %r5, %r2, %r3, %r4;  // affine(1)
  mul.wide.s32 %rd2, %r5, 4;      // affine(4)
  add.s64 %rd3, %rd1, %rd2;       // affine(4)
  ld.global.f32 %f1, [%rd3];      // varying
  add.s32 %r6, %r5, %r1;          // affine(1)
  mul.wide.s32 %rd4, %r6, 4;      // affine(4)?
  add.s64 %rd5, %rd1, %rd4;       // affine(4)?
  sub.s32 %r7, %r1, %r4;          // affine(-1)
  shl.b32 %r8, %r4, 3;            // affine(8)
  mul.lo.s32 %r9, %r4, %r1;       // varying
  shr.u32 %r10, %r4, 5;           // uniform
  and.b32 %r11, %r4, 31;          // affine(1)
  mul.lo.s32 %r12, %r1, %r1;      // uniform
  setp.lt.s32 %p1, %r5, %r1;      // varying
  shr.u32 %r15, %r4, 3;           // rows4(0)
  and.b32 %r16, %r4, 15;          // rows2(1)
  and.b32 %r17, %r4, -8;          // rows4(0)
  shl.b32 %r18, %r16, 2;          // rows2(4)
  mov.u32 %r13, %laneid;
  add.s32 %r14, %r13, 1;          // affine(1)
""",
    ("line.partial", "a block size that nobody knows"): """
  mov.u32 %r2, %ctaid.x;
  mov.u32 %r3, %ntid.x;
  mov.u32 %r4, %tid.x;
  mad.lo.s32 %r5, %r2, %r3, %r4;  // affine(1)
  mul.wide.s32 %rd2, %r5, 4;      // affine(4)?
  mul.wide.u32 %rd4, %r4, 4;      // affine(4)
""",
    ("rows16", "blocks 16 threads wide"): """
  mov.u32 %r4, %tid.x;
  add.s32 %r5, %r4, 1;            // rows2(1)
  mov.u32 %r6, %tid.y;
  add.s32 %r7, %r6, 1;            // rows2(0)
  mad.lo.s32 %r8, %r6, %r1, %r4;  // rows2(1)
  mul.wide.s32 %rd2, %r6, 4;      // rows2(0)
""",
    ("any", "no order in the block"): """
  mov.u32 %r4, %tid.x;
  add.s32 %r5, %r4, 1;            // varying
  mov.u32 %r6, %ctaid.y;
  add.s32 %r7, %r6, 1;            // uniform
""",
    ("line", "loads and votes"): """
  ld.global.u32 %r2, [%rd1];      // uniform
  mov.u32 %r4, %tid.x;
  setp.eq.u32 %p1, %r4, %r2;      // varying
  vote.sync.ballot.b32 %r5, %p1, -1;  // uniform
  shfl.sync.bfly.b32 %r6, %r4, 1, 31, -1;  // varying
""",
}  # fmt: skip


@pytest.mark.parametrize(("variant", "what"), CASES, ids=[f"{v}: {w}" for v, w in CASES])
def test_shapes_are_as_the_comments_say(variant: str, what: str) -> None:
    text = HEAD + CASES[variant, what] + "  ret;\n}\n"
    wanted = {number: m[1] for number, line in enumerate(text.splitlines(), 1) if (m := re.search(r"// (\S+)$", line))}
    function = build(ptx.parse(text), "k")
    shapes = analyse(function, variant)
    found: dict[int, str] = {}
    for op in function.operations():
        if op.line in wanted and op.results:
            found[op.line] = describe_shape(shapes, op.results[0])
    assert found == wanted


LOOP = """
  mov.u32 %r2, %tid.x;
  mov.u32 %r3, 0;
LOOP:
  add.u32 %r3, %r3, 1;
  setp.lt.u32 %p1, %r3, {bound};
  @%p1 bra LOOP;
  add.u32 %r9, %r3, 0;
"""


@pytest.mark.parametrize(("bound", "inside", "behind"), [("%r1", "uniform", "uniform"), ("%r2", "uniform", "varying")])
def test_a_counter_is_uniform_in_the_loop_and_varies_behind_it_where_lanes_leave_one_by_one(bound: str, inside: str, behind: str) -> None:
    function = build(ptx.parse(HEAD + LOOP.format(bound=bound) + "  ret;\n}\n"), "k")
    shapes = analyse(function, "line")
    adds = [op for op in function.operations() if op.op.opcode[0] == "add"]
    assert [describe_shape(shapes, op.results[0]) for op in adds] == [inside, behind]


def test_a_uniform_loop_in_a_divergent_branch_keeps_its_counter_uniform() -> None:
    body = """
  mov.u32 %r2, %tid.x;
  setp.lt.u32 %p2, %r2, 7;
  @%p2 bra OUT;
  mov.u32 %r3, 0;
LOOP:
  add.u32 %r3, %r3, 1;
  setp.lt.u32 %p1, %r3, %r1;
  @%p1 bra LOOP;
OUT:
"""
    function = build(ptx.parse(HEAD + body + "  ret;\n}\n"), "k")
    shapes = analyse(function, "line")
    counter = next(op for op in function.operations() if op.op.opcode[0] == "add")
    assert shapes.of[counter.results[0].id].is_uniform


def test_a_value_that_two_ways_give_varies_where_they_meet() -> None:
    body = """
  mov.u32 %r2, %tid.x;
  setp.lt.u32 %p2, %r2, 7;
  mov.u32 %r3, 1;
  @%p2 bra OUT;
  mov.u32 %r3, 2;
OUT:
  add.u32 %r4, %r3, 1;
"""
    function = build(ptx.parse(HEAD + body + "  ret;\n}\n"), "k")
    shapes = analyse(function, "line")
    add = next(op for op in function.operations() if op.op.opcode[0] == "add")
    assert shapes.of[add.results[0].id].is_varying
