"""Functions of the CUDA device runtime that modules declare and expect the linker to provide, in PTX of our own.

Programs get them from the static library cudadevrt; here a module that declares one gets its definition when it is read, so nothing of that
library is used. Names, parameters and meanings: the public header cuda_device_runtime_api.h and the programming guide's chapters on
cooperative groups and on conditional graph nodes. A barrier of the grid counts CTAs in a slot of its launch (`%gridid`); the wait is a
polling loop, which the compiler makes a cut.
"""

from __future__ import annotations

from anywarp.ptx import tree
from anywarp.ptx.parser import parse

SLOTS = 256  # launches of one module that may be at a barrier at the same time

# cudaCGScope: 0 invalid, 1 grid, 2 multi-grid. A handle is the scope itself; multi-grid launches were removed in CUDA 13.
_SOURCE = f"""
.version 7.0
.target sm_70
.address_size 64

// Two words a slot: CTAs that have arrived, barriers that are complete.
.global .align 8 .b32 anywarp_grid_barriers[{2 * SLOTS}];

.visible .func (.param .b64 handle) cudaCGGetIntrinsicHandle(.param .b32 scope)
{{
  .reg .b32 %r<2>; .reg .b64 %d<2>; .reg .pred %p;
  ld.param.u32 %r0, [scope];
  setp.eq.u32 %p, %r0, 1;
  selp.u64 %d0, 1, 0, %p;
  st.param.u64 [handle], %d0;
  ret;
}}

// 0 for success, 1 (cudaErrorInvalidValue) for a handle that is no grid's.
.visible .func (.param .b32 status) cudaCGSynchronize(.param .b64 handle, .param .b32 flags)
{{
  .reg .b32 %r<12>; .reg .b64 %d<4>; .reg .pred %p<4>;
  ld.param.u64 %d0, [handle];
  setp.eq.u64 %p0, %d0, 1;
  @%p0 bra GRID;
  mov.u32 %r0, 1;
  st.param.b32 [status], %r0;
  ret;
GRID:
  bar.sync 0;
  mov.u32 %r0, %tid.x; mov.u32 %r1, %tid.y; mov.u32 %r2, %tid.z;
  or.b32 %r0, %r0, %r1; or.b32 %r0, %r0, %r2;
  setp.ne.u32 %p1, %r0, 0;
  @%p1 bra JOIN;
  mov.u64 %d1, %gridid;
  and.b64 %d1, %d1, {SLOTS - 1};
  shl.b64 %d1, %d1, 3;
  mov.u64 %d2, anywarp_grid_barriers;
  add.u64 %d1, %d1, %d2;
  mov.u32 %r3, %nctaid.x; mov.u32 %r4, %nctaid.y; mov.u32 %r5, %nctaid.z;
  mul.lo.u32 %r3, %r3, %r4; mul.lo.u32 %r3, %r3, %r5; sub.u32 %r3, %r3, 1;
  ld.volatile.global.u32 %r6, [%d1+4];
  fence.acq_rel.gpu;
  atom.global.inc.u32 %r7, [%d1], %r3;  // the last to arrive sets it back to 0
  setp.ne.u32 %p2, %r7, %r3;
  @%p2 bra WAIT;
  fence.acq_rel.gpu;
  atom.global.add.u32 %r8, [%d1+4], 1;
  bra JOIN;
WAIT:
  ld.volatile.global.u32 %r9, [%d1+4];
  setp.eq.u32 %p3, %r9, %r6;
  @%p3 bra WAIT;
  fence.acq_rel.gpu;
JOIN:
  bar.sync 0;
  mov.u32 %r10, 0;
  st.param.b32 [status], %r10;
  ret;
}}

// Number of threads, and this thread's number, in a grid.
.visible .func (.param .b32 status) cudaCGGetSize(.param .b64 threads, .param .b64 grids, .param .b64 handle)
{{
  .reg .b32 %r<8>; .reg .b64 %d<4>; .reg .pred %p;
  ld.param.u64 %d0, [threads]; ld.param.u64 %d1, [grids];
  mov.u32 %r0, %ntid.x; mov.u32 %r1, %ntid.y; mul.lo.u32 %r0, %r0, %r1; mov.u32 %r1, %ntid.z; mul.lo.u32 %r0, %r0, %r1;
  mov.u32 %r1, %nctaid.x; mul.lo.u32 %r0, %r0, %r1; mov.u32 %r1, %nctaid.y; mul.lo.u32 %r0, %r0, %r1;
  mov.u32 %r1, %nctaid.z; mul.lo.u32 %r0, %r0, %r1;
  setp.eq.u64 %p, %d0, 0;
  @!%p st.u32 [%d0], %r0;
  mov.u32 %r2, 1;
  setp.eq.u64 %p, %d1, 0;
  @!%p st.u32 [%d1], %r2;
  mov.u32 %r3, 0;
  st.param.b32 [status], %r3;
  ret;
}}

.visible .func (.param .b32 status) cudaCGGetRank(.param .b64 thread, .param .b64 grid, .param .b64 handle)
{{
  .reg .b32 %r<10>; .reg .b64 %d<4>; .reg .pred %p;
  ld.param.u64 %d0, [thread]; ld.param.u64 %d1, [grid];
  mov.u32 %r0, %ctaid.z; mov.u32 %r1, %nctaid.y; mov.u32 %r2, %ctaid.y; mad.lo.u32 %r0, %r0, %r1, %r2;
  mov.u32 %r1, %nctaid.x; mov.u32 %r2, %ctaid.x; mad.lo.u32 %r0, %r0, %r1, %r2;
  mov.u32 %r1, %ntid.z; mov.u32 %r2, %tid.z; mad.lo.u32 %r0, %r0, %r1, %r2;
  mov.u32 %r1, %ntid.y; mov.u32 %r2, %tid.y; mad.lo.u32 %r0, %r0, %r1, %r2;
  mov.u32 %r1, %ntid.x; mov.u32 %r2, %tid.x; mad.lo.u32 %r0, %r0, %r1, %r2;
  setp.eq.u64 %p, %d0, 0;
  @!%p st.u32 [%d0], %r0;
  mov.u32 %r3, 0;
  setp.eq.u64 %p, %d1, 0;
  @!%p st.u32 [%d1], %r3;
  st.param.b32 [status], %r3;
  ret;
}}

// A conditional node's handle is the address of its condition.
.visible .func cudaGraphSetConditional(.param .b64 handle, .param .b32 value)
{{
  .reg .b64 %d; .reg .b32 %r;
  ld.param.u64 %d, [handle];
  ld.param.u32 %r, [value];
  st.volatile.global.u32 [%d], %r;
  ret;
}}
"""

NAMES = ("cudaCGGetIntrinsicHandle", "cudaCGSynchronize", "cudaCGGetSize", "cudaCGGetRank", "cudaGraphSetConditional")
LIBRARY = "cudadevrt"  # part of the name of the library that holds them elsewhere


def define_missing(module: tree.Module) -> None:
    """Adds our definition of every device runtime function that the module declares and does not define."""
    wanted = [n for n in NAMES if (f := module.functions.get(n)) is not None and f.body is None]
    if not wanted:
        return
    ours = parse(_SOURCE, "device_runtime.ptx")
    for name in wanted:
        module.functions[name] = ours.functions[name]
    module.variables.update(ours.variables)
