"""Functions of the CUDA device runtime that modules declare and expect the linker to provide, in PTX of our own.

Programs get them from the static library cudadevrt; here a module that declares one gets its definition when it is read, so nothing of that
library is used. Names, parameters and meanings: the public header cuda_device_runtime_api.h and the programming guide's chapters on
cooperative groups, dynamic parallelism and graphs. A barrier of the grid counts CTAs in a slot of its launch (`%gridid`); the wait is a
polling loop, which the compiler makes a cut. Functions that start or ask for something (`_CALLS`) put their arguments into a block of local
memory and call the runtime (abi.DeviceFunction, src/runtime/driver/device_runtime.cpp).
"""

from __future__ import annotations

from anywarp.abi import DeviceFunction
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

_OWN = ("cudaCGGetIntrinsicHandle", "cudaCGSynchronize", "cudaCGGetSize", "cudaCGGetRank", "cudaGraphSetConditional")

# A parameter's bytes and alignment: numbers and pointers; dim3, cudaPitchedPtr and cudaExtent by value.
_PARAMETERS = {"u32": (4, 4), "u64": (8, 8), "dim3": (12, 4), "pitched": (32, 8), "extent": (24, 8)}

# Name without its prefix `cuda` or `__cudaCDP2`: what the runtime is asked for, parameters, bits of the result.
_CALLS: dict[str, tuple[DeviceFunction, str, int]] = {
    "GetParameterBufferV2": (DeviceFunction.PARAMETER_BUFFER, "u64 dim3 dim3 u32", 64),
    "LaunchDeviceV2": (DeviceFunction.LAUNCH, "u64 u64", 32),
    "GetParameterBuffer": (DeviceFunction.PLAIN_PARAMETER_BUFFER, "u64 u64", 64),
    "LaunchDevice": (DeviceFunction.PLAIN_LAUNCH, "u64 u64 dim3 dim3 u32 u64", 32),
    "StreamCreateWithFlags": (DeviceFunction.STREAM_CREATE, "u64 u32", 32),
    "StreamDestroy": (DeviceFunction.STREAM_DESTROY, "u64", 32),
    "StreamWaitEvent": (DeviceFunction.STREAM_WAIT_EVENT, "u64 u64 u32", 32),
    "EventCreateWithFlags": (DeviceFunction.EVENT_CREATE, "u64 u32", 32),
    "EventRecord": (DeviceFunction.EVENT_RECORD, "u64 u64", 32),
    "EventRecordWithFlags": (DeviceFunction.EVENT_RECORD, "u64 u64 u32", 32),
    "EventDestroy": (DeviceFunction.EVENT_DESTROY, "u64", 32),
    "MemcpyAsync": (DeviceFunction.COPY, "u64 u64 u64 u32 u64", 32),
    "Memcpy2DAsync": (DeviceFunction.COPY_2D, "u64 u64 u64 u64 u64 u64 u32 u64", 32),
    "Memcpy3DAsync": (DeviceFunction.COPY_3D, "u64 u64", 32),
    "MemsetAsync": (DeviceFunction.FILL, "u64 u32 u64 u64", 32),
    "Memset2DAsync": (DeviceFunction.FILL_2D, "u64 u64 u32 u64 u64 u64", 32),
    "Memset3DAsync": (DeviceFunction.FILL_3D, "pitched u32 extent u64", 32),
    "GetLastError": (DeviceFunction.LAST_ERROR, "", 32),
    "PeekAtLastError": (DeviceFunction.PEEK_ERROR, "", 32),
    "GetErrorName": (DeviceFunction.ERROR_NAME, "u32", 64),
    "GetErrorString": (DeviceFunction.ERROR_STRING, "u32", 64),
    "GetDeviceCount": (DeviceFunction.DEVICE_COUNT, "u64", 32),
    "GetDevice": (DeviceFunction.DEVICE, "u64", 32),
    "DeviceGetAttribute": (DeviceFunction.DEVICE_ATTRIBUTE, "u64 u32 u32", 32),
    "DeviceGetLimit": (DeviceFunction.LIMIT, "u64 u32", 32),
    "DeviceGetCacheConfig": (DeviceFunction.ZERO_OPTION, "u64", 32),
    "DeviceGetSharedMemConfig": (DeviceFunction.ZERO_OPTION, "u64", 32),
    "RuntimeGetVersion": (DeviceFunction.VERSION, "u64", 32),
    "FuncGetAttributes": (DeviceFunction.FUNCTION_ATTRIBUTES, "u64 u64", 32),
    "OccupancyMaxActiveBlocksPerMultiprocessor": (DeviceFunction.OCCUPANCY, "u64 u64 u32 u64", 32),
    "OccupancyMaxActiveBlocksPerMultiprocessorWithFlags": (DeviceFunction.OCCUPANCY, "u64 u64 u32 u64 u32", 32),
    "Malloc": (DeviceFunction.MALLOC, "u64 u64", 32),
    "Free": (DeviceFunction.FREE, "u64", 32),
    "GraphLaunch": (DeviceFunction.GRAPH_LAUNCH, "u64 u64", 32),
    "GraphKernelNodeSetParam": (DeviceFunction.NODE_SET_PARAMETER, "u64 u64 u64 u64", 32),
    "GraphKernelNodeSetEnabled": (DeviceFunction.NODE_SET_ENABLED, "u64 u32", 32),
    "GraphKernelNodeSetGridDim": (DeviceFunction.NODE_SET_GRID, "u64 dim3", 32),
    "GraphKernelNodeUpdatesApply": (DeviceFunction.NODE_UPDATES, "u64 u64", 32),
}

# The default stream of a thread (`_ptsz`) is a block's, as the null stream is.
_PER_THREAD = ("LaunchDevice", "LaunchDeviceV2", "StreamWaitEvent", "EventRecord", "EventRecordWithFlags", "MemcpyAsync", "Memcpy2DAsync",
               "Memcpy3DAsync", "MemsetAsync", "Memset2DAsync", "Memset3DAsync")  # fmt: skip
_SYNCHRONIZE = ("DeviceSynchronize", "__cudaDeviceSynchronizeDeprecationAvoidance")


def _names() -> dict[str, str]:
    """Every function's name, and its row in `_CALLS` ("" for one of `_OWN` and `_SYNCHRONIZE`)."""
    names = dict.fromkeys(_OWN, "")
    for prefix in ("cuda", "__cudaCDP2"):
        names |= {prefix + name: name for name in _CALLS}
        names |= {f"{prefix}{name}_ptsz": name for name in _PER_THREAD}
        names[f"{prefix}{_SYNCHRONIZE[0]}"] = ""
    names[_SYNCHRONIZE[1]] = ""
    return names


_ROWS = _names()
NAMES = tuple(_ROWS)
LIBRARY = "cudadevrt"  # part of the name of the library that holds them elsewhere

_DECLARATIONS = """
.version 7.0
.target sm_70
.address_size 64
.extern .func (.param .b64 result) anywarp_device(.param .b64 function, .param .b64 arguments);
"""
_CALL = """
  {{
    .param .b64 f; .param .b64 a; .param .b64 r;
    mov.u64 %d0, {function};
    st.param.b64 [f], %d0;
    st.param.b64 [a], %d1;
    call.uni (r), anywarp_device, (f, a);
    ld.param.b64 %d2, [r];
  }}"""


def _call(name: str, row: str) -> str:
    """The definition of a function that asks the runtime: each argument at a multiple of eight bytes."""
    function, parameters, bits = _CALLS[row]
    declarations, moves, size = [], [], 0
    for number, kind in enumerate(parameters.split()):
        width, alignment = _PARAMETERS[kind]
        declarations.append(f".param .align {alignment} .b8 p{number}[{width}]" if width > 8 else f".param .b{8 * width} p{number}")
        for at in range(0, width, alignment):
            register = "%d0" if alignment == 8 else "%r0"
            moves.append(f"  ld.param.b{8 * alignment} {register}, [p{number}+{at}]; "
                         f"st.local.b{8 * alignment} [block+{size + at}], {register};")  # fmt: skip
        size += -(-width // 8) * 8
    give = "st.param.b64 [result], %d2;" if bits == 64 else "cvt.u32.u64 %r0, %d2; st.param.b32 [result], %r0;"
    return "\n".join(
        [
            f".visible .func (.param .b{bits} result) {name}({', '.join(declarations)})",
            "{",
            f"  .local .align 8 .b8 block[{max(size, 8)}]; .reg .b64 %d<3>; .reg .b32 %r<1>;",
            *moves,
            "  mov.u64 %d1, block; cvta.local.u64 %d1, %d1;" + _CALL.format(function=int(function)),
            f"  {give}",
            "  ret;",
            "}",
        ]
    )


def _synchronize(name: str) -> str:
    """Waits for what the grid has launched: a polling loop."""
    return f"""
.visible .func (.param .b32 status) {name}()
{{
  .reg .b64 %d<3>; .reg .b32 %r<1>; .reg .pred %p<1>;
  mov.u64 %d1, 0;
WAIT:{_CALL.format(function=int(DeviceFunction.SYNCHRONIZE))}
  setp.eq.u64 %p0, %d2, 0;
  @%p0 bra DONE;
  nanosleep.u32 1000;
  bra WAIT;
DONE:
  mov.u32 %r0, 0;
  st.param.b32 [status], %r0;
  ret;
}}
"""


def define_missing(module: tree.Module) -> None:
    """Adds our definition of every device runtime function that the module declares and does not define."""
    wanted = [n for n, f in module.functions.items() if f.body is None and n in _ROWS]
    own = [n for n in wanted if n in _OWN]
    if own:
        ours = parse(_SOURCE, "device_runtime.ptx")
        for name in own:
            module.functions[name] = ours.functions[name]
        module.variables.update(ours.variables)
    calls = [n for n in wanted if n not in _OWN]
    if calls:
        texts = [_call(name, row) if (row := _ROWS[name]) else _synchronize(name) for name in calls]
        ours = parse(_DECLARATIONS + "\n".join(texts), "device_runtime.ptx")
        module.functions["anywarp_device"] = ours.functions["anywarp_device"]
        for name in calls:
            module.functions[name] = ours.functions[name]
