"""What the report of a fault names: kernel, PTX line, block, thread and address."""

from __future__ import annotations

import ctypes
import mmap
import re
from collections.abc import Iterator
from ctypes import byref, c_ulonglong

import pytest

from .conftest import Driver
from .kernels import HEADER

PAGE = mmap.PAGESIZE
KERNEL = (
    HEADER
    + """
.visible .entry k(.param .u64 end, .param .u64 table)
{
  .reg .b64 %rd<12>;
  .reg .b32 %r<12>;
  .reg .f32 %f<6>;
  .reg .pred %p<4>;
  .shared .align 16 .b8 tile[4096];
  .local .align 16 .b8 own[64];
  ld.param.u64 %rd1, [end];
  ld.param.u64 %rd2, [table];
  mov.u32 %r1, %tid.x;
  mov.u32 %r2, %tid.y;
  mov.u32 %r3, 1;
  mul.wide.u32 %rd3, %r1, 4;
  add.u64 %rd4, %rd1, %rd3;      // end + 4 * tid.x
  add.u64 %rd5, %rd2, %rd3;
  add.u64 %rd5, %rd5, %rd3;      // table + 8 * tid.x
  mov.u32 %r4, 0;
  BODY
  st.global.u32 [%rd5+1024], %r4; // a load whose result nobody wants need not be made
DONE:
  ret;
}
"""
)
GATHER = "ld.global.u64 %rd6, [%rd5];\n"  # the table holds addresses: thread 50's is bad
SOME = "setp.lt.u32 %p1, %r1, 45;\n@%p1 bra DONE;\n"

# name: (code, the faulting line marked; block; first thread, others of its warp; what is said of the access; the address less `end`)
CASES = {
    "uniform": (f"{SOME} ld.global.u32 %r4, [%rd1]; // here", (64, 1), (45, 0), 18, "illegal read from", 0),
    "affine": ("ld.global.u32 %r4, [%rd4+-160]; // here", (64, 1), (40, 0), 23, "illegal read from", 0),
    "masked": (f"{SOME} ld.global.u32 %r4, [%rd4+-160]; // here", (64, 1), (45, 0), 18, "illegal read from", 20),
    "store": ("st.global.u32 [%rd4+-160], %r3; // here", (64, 1), (40, 0), 23, "illegal write to", 0),
    "vector": (
        "add.u64 %rd6, %rd4, %rd3; add.u64 %rd6, %rd6, %rd3; add.u64 %rd6, %rd6, %rd3;\n"
        "ld.global.v4.u32 {%r4, %r5, %r6, %r7}, [%rd6+-640]; // here",
        (64, 1), (40, 0), 23, "illegal read from", 0,
    ),
    "rows": (
        "mul.wide.u32 %rd6, %r2, 64; add.u64 %rd6, %rd6, %rd4;\nld.global.u32 %r4, [%rd6+-224]; // here",
        (16, 4), (8, 3), 7, "illegal read from", 0,
    ),
    "row by row": ("mul.wide.u32 %rd6, %r2, 64; add.u64 %rd6, %rd6, %rd1;\nld.global.u32 %r4, [%rd6+-192]; // here",
                   (16, 4), (0, 3), 15, "illegal read from", 0),
    "gather": (f"{GATHER} ld.global.u32 %r4, [%rd6]; // here", (64, 1), (50, 0), 0, "illegal read from", 64),
    "masked gather": (f"{SOME}{GATHER} ld.global.u32 %r4, [%rd6]; // here", (64, 1), (50, 0), 0, "illegal read from", 64),
    "generic bytes": (f"{GATHER} ld.u8 %r4, [%rd6]; // here", (64, 1), (50, 0), 0, "illegal read from", 64),
    "scatter": (f"{GATHER} st.global.u32 [%rd6], %r3; // here", (64, 1), (50, 0), 0, "illegal write to", 64),
    "masked scatter": (f"{SOME}{GATHER} st.global.u32 [%rd6], %r3; // here", (64, 1), (50, 0), 0, "illegal write to", 64),
    "guarded": (
        f"{GATHER} setp.ge.u32 %p2, %r1, 48;\n@%p2 st.global.u32 [%rd6], %r3; // here",
        (64, 1), (50, 0), 0, "illegal write to", 64,
    ),
    "atomic": (f"{GATHER} atom.global.add.u32 %r4, [%rd6], %r3; // here", (64, 1), (50, 0), 0, "illegal write to", 64),
    "reduction": (f"{GATHER} red.global.add.u32 [%rd6], %r3; // here", (64, 1), (50, 0), 0, "illegal write to", 64),
    "behind a barrier": (f"{GATHER} bar.sync 0;\nld.global.u32 %r4, [%rd6]; // here", (64, 1), (50, 0), 0, "illegal read from", 64),
    "asynchronous copy": (
        f"{GATHER} mov.u32 %r5, tile;\ncp.async.ca.shared.global [%r5], [%rd6], 4; // here",
        (64, 1), (50, 0), 0, "illegal read from", 64,
    ),
    "shared": (
        "mov.u32 %r5, tile; mad.lo.u32 %r5, %r1, 4, %r5;\nst.shared.u32 [%r5+3936], %r3; // here",
        (64, 1), (40, 0), 23, "illegal write to", None,
    ),
    "local": (
        "mov.u32 %r5, own; setp.eq.u32 %p2, %r1, 33; selp.u32 %r6, 0x40000000, 0, %p2; add.u32 %r5, %r5, %r6;\n"
        "ld.local.u32 %r4, [%r5]; // here",
        (64, 1), (33, 0), 0, "illegal read from", None,
    ),
}  # fmt: skip


@pytest.fixture
def end() -> Iterator[int]:
    """An address behind which there is no memory, and before which there is a page."""
    memory = mmap.mmap(-1, 2 * PAGE)
    held = ctypes.c_char.from_buffer(memory)
    address = ctypes.addressof(held) + PAGE
    libc = ctypes.CDLL(None)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    assert libc.mprotect(address, PAGE, 0) == 0
    yield address
    assert libc.mprotect(address, PAGE, mmap.PROT_READ | mmap.PROT_WRITE) == 0


def report(cuda: Driver, text: str, end: int, block: tuple[int, int], capfd: pytest.CaptureFixture[str]) -> str:
    """The report of a launch of one block, which fails."""
    good = cuda.alloc(4096)
    table = (c_ulonglong * 200)(*(good + 8 * i for i in range(64)))
    table[50] = end + 64
    device_table = cuda.upload(bytes(table))
    function = cuda.function(cuda.module(text), "k")
    a, b = c_ulonglong(end), c_ulonglong(device_table)
    pointers = (ctypes.c_void_p * 2)(ctypes.addressof(a), ctypes.addressof(b))
    cuda.check(cuda.cuLaunchKernel(function, 1, 1, 1, *block, 1, 0, None, pointers, None))
    assert cuda.cuCtxSynchronize() != 0
    return capfd.readouterr().err


def line_of(text: str) -> int:
    return next(i for i, line in enumerate(text.splitlines(), 1) if "// here" in line)


@pytest.mark.parametrize("name", CASES)
def test_the_thread_is_named(cuda: Driver, end: int, capfd: pytest.CaptureFixture[str], name: str) -> None:
    body, block, (x, y), others, access, beyond = CASES[name]
    text = KERNEL.replace("BODY", body)
    said = report(cuda, text, end, block, capfd)
    more = f" and {others} more of warp 1" if others else ""
    assert f"PTX line {line_of(text)}; block [0,0,0], thread [{x},{y},0]{more}\n" in said
    address = re.search(rf"kernel 'k': {access} address (0x[0-9a-f]+)", said)
    assert address, said
    if beyond is not None:
        assert int(address[1], 16) - end == beyond


@pytest.mark.parametrize(
    ("body", "what", "thread"),
    [
        ("setp.ge.u32 %p2, %r1, 40;\n@%p2 trap; // here", "trap", "thread [40,0,0] and 23 more of warp 1"),
        ("add.u64 %rd6, %rd2, 2;\nld.global.u32 %r4, [%rd6]; // here", "misaligned address", "thread [0,0,0] and 31 more of warp 0"),
        (
            f"{SOME} add.u64 %rd6, %rd5, 2;\nld.global.u32 %r4, [%rd6]; // here",
            "misaligned address",
            "thread [45,0,0] and 18 more of warp 1",
        ),
    ],
)
def test_traps_name_their_threads(cuda: Driver, end: int, capfd: pytest.CaptureFixture[str], body: str, what: str, thread: str) -> None:
    text = KERNEL.replace("BODY", body)
    said = report(cuda, text, end, (64, 1), capfd)
    assert f"kernel 'k': {what}" in said
    assert f"PTX line {line_of(text)}; block [0,0,0], {thread}\n" in said


def test_a_misaligned_address_is_the_named_threads(cuda: Driver, end: int, capfd: pytest.CaptureFixture[str]) -> None:
    text = KERNEL.replace("BODY", f"{SOME} sub.u64 %rd6, %rd4, 1022;\nld.global.u32 %r4, [%rd6]; // here")
    assert f"misaligned address {end - 1022 + 4 * 45:#x};" in report(cuda, text, end, (64, 1), capfd)


def test_a_block_that_does_not_fault_again_names_its_warp(cuda: Driver, end: int, capfd: pytest.CaptureFixture[str]) -> None:
    """The first thread of all to come gets the bad address, and there is only one first time."""
    body = (
        "atom.global.add.u32 %r5, [%rd2+512], 1;\nsetp.ne.u32 %p2, %r5, 7;\n@%p2 bra DONE;\n"
        "mul.wide.u32 %rd6, %r5, 1; add.u64 %rd6, %rd6, %rd1; add.u64 %rd6, %rd6, 1;\nst.global.u32 [%rd6], %r3; // here"
    )
    said = report(cuda, KERNEL.replace("BODY", body), end, (64, 1), capfd)
    assert "block [0,0,0], one of threads [0,0,0] to [31,0,0] (warp 0)\n" in said


def test_the_block_is_run_again_without_the_program_seeing_it(cuda: Driver, end: int, capfd: pytest.CaptureFixture[str]) -> None:
    counter = mmap.mmap(-1, PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    held = ctypes.c_uint.from_buffer(counter)
    text = KERNEL.replace(
        "BODY", f"ld.global.u64 %rd7, [%rd2+504];\nred.global.add.u32 [%rd7], 1;\n{GATHER} ld.global.u32 %r4, [%rd6]; // here"
    )
    table = (c_ulonglong * 200)(*([ctypes.addressof(held)] * 64))
    table[50] = end
    function = cuda.function(cuda.module(text), "k")
    a, b = c_ulonglong(end), c_ulonglong(cuda.upload(bytes(table)))
    cuda.check(cuda.launch(function, 1, 64, a, b))
    cuda.expect("CUDA_ERROR_ILLEGAL_ADDRESS", cuda.cuCtxSynchronize())
    assert "thread [50,0,0]\n" in capfd.readouterr().err
    assert held.value == 64
    assert cuda.cuMemAlloc_v2(byref(c_ulonglong()), 16) != 0


ON_A_FIBER = (
    HEADER
    + """
.func walk(.param .b64 where, .param .b32 depth)
{
  .reg .b64 %rd<4>;
  .reg .b32 %r<8>;
  .reg .pred %p<4>;
  ld.param.b64 %rd1, [where];
  ld.param.b32 %r1, [depth];
  bar.sync 0;
  setp.ne.u32 %p1, %r1, 0;
  @%p1 bra DEEPER;
  ld.global.u32 %r2, [%rd1]; // here
  st.global.u32 [%rd1], %r2;
  ret;
DEEPER:
  sub.u32 %r3, %r1, 1;
  {
  .param .b64 to;
  .param .b32 left;
  st.param.b64 [to], %rd1;
  st.param.b32 [left], %r3;
  call walk, (to, left);
  }
  bar.sync 1;
  ret;
}
.visible .entry k(.param .u64 end, .param .u64 table)
{
  .reg .b64 %rd<8>;
  .reg .b32 %r<4>;
  ld.param.u64 %rd2, [table];
  mov.u32 %r1, %tid.x;
  mul.wide.u32 %rd3, %r1, 8;
  add.u64 %rd5, %rd2, %rd3;
  ld.global.u64 %rd6, [%rd5];
  mov.u32 %r2, DEPTH;
  {
  .param .b64 to;
  .param .b32 left;
  st.param.b64 [to], %rd6;
  st.param.b32 [left], %r2;
  call walk, (to, left);
  }
  ret;
}
"""
)


def test_a_fault_between_the_barriers_of_a_recursion(cuda: Driver, end: int, capfd: pytest.CaptureFixture[str]) -> None:
    text = ON_A_FIBER.replace("DEPTH", "5")
    said = report(cuda, text, end, (64, 1), capfd)
    assert f"illegal read from address {end + 64:#x}" in said
    assert f"PTX line {line_of(text)}; block [0,0,0], thread [50,0,0]\n" in said


def test_a_recursion_with_barriers_that_does_not_end_is_a_stack_error(cuda: Driver, end: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert "the call stack is exhausted" in report(cuda, ON_A_FIBER.replace("DEPTH", "0xffffffff"), end, (64, 1), capfd)
    cuda.expect("CUDA_ERROR_HARDWARE_STACK_ERROR", cuda.cuCtxSynchronize())
