"""Random patterns of thread numbers as addresses of shared and global memory: vector accesses with shuffles and blended stores agree with
the interpreter, for whole warps, parts of warps, and windows at the edges of shared memory."""

from __future__ import annotations

import random

import pytest

from tests.kernels import routes
from tests.kernels.differential import Buffer, Case, compare

SHARED = 4096  # bytes
THREADS = 96

TEXT = """.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 in, .param .u64 out)
{{
  .reg .pred %p<8>;
  .reg .b32 %r<32>;
  .reg .b64 %rd<16>;
  .shared .align 16 .b8 s[4096];
  ld.param.u64 %rd1, [in];
  ld.param.u64 %rd2, [out];
  mov.u32 %r1, %tid.x;
  mov.u32 %r10, s;
  mov.u32 %r2, %r1;
FILL:
  shl.b32 %r3, %r2, 2;
  add.u32 %r3, %r3, %r10;
  mul.lo.u32 %r4, %r2, 77777;
  st.shared.u32 [%r3], %r4;
  add.u32 %r2, %r2, {threads};
  setp.lt.u32 %p1, %r2, 1024;
  @%p1 bra FILL;
  bar.sync 0;
  {address}
  add.u32 %r6, %r10, %r5;
  cvt.u64.u32 %rd3, %r5;
  add.u64 %rd4, %rd1, %rd3;
  {guard}
  {body}
DONE:
  bar.sync 0;
  mov.u32 %r2, %r1;
COPY:
  shl.b32 %r3, %r2, 2;
  cvt.u64.u32 %rd5, %r3;
  add.u32 %r3, %r3, %r10;
  ld.shared.u32 %r4, [%r3];
  add.u64 %rd6, %rd2, %rd5;
  st.global.u32 [%rd6], %r4;
  add.u32 %r2, %r2, {threads};
  setp.lt.u32 %p1, %r2, 1024;
  @%p1 bra COPY;
  ret;
}}
"""


def text(seed: int) -> str:
    """Each thread loads from and stores to a place of its own, all below 4 KB: a multiple of the thread's number, with the parts in groups
    of lanes moved, forwards or backwards, at the start or at the very end of the memory."""
    rng = random.Random(seed)
    count = rng.choice([1, 1, 2, 4])
    wide = rng.random() < 0.3
    unit = count * (8 if wide else 4)
    if unit == 32:
        count, unit = 2, 16
    group = rng.choice([1, 2, 4, 8, 16, 32])
    factor = rng.choice([1, 2, 2, 3]) if unit < 16 else rng.choice([1, 2])
    lines = [f"and.b32 %r20, %r1, {group - 1};", f"mul.lo.u32 %r21, %r1, {factor};"]
    if factor > 1 and rng.random() < 0.6:  # the lanes of a group side by side, then a gap
        lines.append(f"mul.lo.u32 %r22, %r20, {factor - 1};")
        lines.append("sub.u32 %r21, %r21, %r22;")
    if rng.random() < 0.3:
        lines.append(f"xor.b32 %r21, %r21, {rng.choice([1, 3, 7, 31])};" if factor == 1 else "mov.u32 %r21, %r21;")
    lines.append(f"mul.lo.u32 %r5, %r21, {unit};")
    if rng.random() < 0.5:  # backwards from the end
        lines.append(f"sub.u32 %r5, {SHARED - unit}, %r5;")
    guards = [
        "",
        "setp.gt.u32 %p2, %r1, 70; @%p2 bra DONE;",
        "and.b32 %r7, %r1, 5; setp.eq.u32 %p2, %r7, 4; @%p2 bra DONE;",
        "ld.global.u32 %r8, [%rd4]; and.b32 %r8, %r8, 2; setp.eq.u32 %p2, %r8, 0; @%p2 bra DONE;",
    ]
    kind = "u64" if wide else "u32"
    names = [f"%rd{8 + i}" if wide else f"%r{12 + i}" for i in range(count)]
    vector, operand = ("", names[0]) if count == 1 else (f".v{count}", "{" + ", ".join(names) + "}")
    source = rng.choice([f"ld.shared{vector}.{kind} {operand}, [%r6];", f"ld.global{vector}.{kind} {operand}, [%rd4];"])
    change = " ".join(f"add.{kind} {n}, {n}, {i + 3};" for i, n in enumerate(names))
    body = f"{source} {change} st.shared{vector}.{kind} [%r6], {operand};"
    return TEXT.format(threads=THREADS, address=" ".join(lines), guard=rng.choice(guards), body=body)


@pytest.mark.parametrize("seed", range(80))
def test_compiled_code_agrees_with_the_interpreter(seed: int) -> None:
    data = random.Random(seed).randbytes(SHARED)
    buffers = [Buffer(data, "in"), Buffer(bytes(SHARED), "out")]
    compare(Case(text(seed), "k", block=(THREADS, 1, 1), arguments=buffers), routes.available()[0])
