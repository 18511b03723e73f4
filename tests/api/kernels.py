"""PTX that several API tests load."""

from __future__ import annotations

HEADER = ".version 8.0\n.target sm_80\n.address_size 64\n"

# add(a, n, v): a[i] += v for i < n. Module variables: `table` (4 words, initialized), `scale` in constant memory, and `hidden`, which
# is not visible to other modules.
ADD = (
    HEADER
    + """
.visible .global .align 4 .u32 table[4] = {1, 2, 3, 4};
.visible .const .align 4 .u32 scale = 10;
.global .align 8 .u64 hidden;
.visible .entry add(.param .u64 a, .param .u32 n, .param .u32 v)
{
  .reg .b64 %rd<4>;
  .reg .b32 %r<6>;
  .reg .pred %p;
  ld.param.u64 %rd1, [a];
  ld.param.u32 %r1, [n];
  ld.param.u32 %r2, [v];
  mov.u32 %r3, %ctaid.x;
  mov.u32 %r4, %ntid.x;
  mov.u32 %r5, %tid.x;
  mad.lo.s32 %r3, %r3, %r4, %r5;
  setp.ge.u32 %p, %r3, %r1;
  @%p bra DONE;
  cvta.to.global.u64 %rd1, %rd1;
  mul.wide.u32 %rd2, %r3, 4;
  add.s64 %rd1, %rd1, %rd2;
  ld.global.u32 %r4, [%rd1];
  add.u32 %r4, %r4, %r2;
  st.global.u32 [%rd1], %r4;
DONE:
  ret;
}
.visible .entry read(.param .u64 a)
{
  .reg .b64 %rd<2>;
  .reg .b32 %r<4>;
  ld.param.u64 %rd1, [a];
  ld.global.u32 %r1, [table+8];
  ld.const.u32 %r2, [scale];
  mul.lo.u32 %r3, %r1, %r2;
  st.global.u32 [%rd1], %r3;
  ret;
}
.visible .entry empty() { ret; }
"""
)

# mixed(p, b, s, d): parameters of every size, to be found at their offsets: *p = b + s + (u64) d.
MIXED = (
    HEADER
    + """
.visible .entry mixed(.param .u64 p, .param .u8 b, .param .u16 s, .param .u64 d)
{
  .reg .b64 %rd<6>;
  .reg .b16 %h<3>;
  ld.param.u64 %rd1, [p];
  ld.param.u8 %h1, [b];
  ld.param.u16 %h2, [s];
  ld.param.u64 %rd2, [d];
  cvt.u64.u16 %rd3, %h1;
  cvt.u64.u16 %rd4, %h2;
  add.u64 %rd2, %rd2, %rd3;
  add.u64 %rd2, %rd2, %rd4;
  st.global.u64 [%rd1], %rd2;
  ret;
}
"""
)

# shared: reverses a block of 64 words through dynamic shared memory, with a barrier.
SHARED = (
    HEADER
    + """
.extern .shared .align 16 .b8 window[];
.visible .entry reverse(.param .u64 a)
{
  .reg .b64 %rd<4>;
  .reg .b32 %r<8>;
  ld.param.u64 %rd1, [a];
  mov.u32 %r1, %tid.x;
  mul.wide.u32 %rd2, %r1, 4;
  add.s64 %rd3, %rd1, %rd2;
  ld.global.u32 %r2, [%rd3];
  mov.u32 %r3, window;
  shl.b32 %r4, %r1, 2;
  add.u32 %r5, %r3, %r4;
  st.shared.u32 [%r5], %r2;
  bar.sync 0;
  mov.u32 %r6, 252;
  sub.u32 %r6, %r6, %r4;
  add.u32 %r6, %r3, %r6;
  ld.shared.u32 %r7, [%r6];
  st.global.u32 [%rd3], %r7;
  ret;
}
"""
)

FAULTS = (
    HEADER
    + """
.visible .entry bad_address() {
  .reg .b64 %rd; .reg .b32 %r;
  mov.u64 %rd, 64;
  mov.u32 %r, 1;
  st.global.u32 [%rd], %r;
  ret;
}
.visible .entry traps() { trap; ret; }
"""
)
