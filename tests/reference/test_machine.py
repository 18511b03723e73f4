"""What ends a launch, and what is the same from run to run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from anywarp.ptx import parse
from anywarp.reference import Deadlock, KernelError, Machine, Memory, MemoryFault, Options, OutOfFuel, Unsupported, run
from anywarp.reference.errors import Undefined

HEAD = ".version 8.0\n.target sm_80\n.address_size 64\n"


def kernel(body: str, parameters: str = "", extra: str = "") -> str:
    registers = ".reg .pred %p<4>;\n.reg .b32 %r<8>;\n.reg .b64 %rd<8>;\n"
    return f"{HEAD}{extra}.visible .entry k({parameters})\n{{\n{registers}{body}\n}}\n"


def launch(text: str, block: int = 32, arguments: list[int] | None = None, **options: int) -> Machine:
    return run(parse(text), "k", (1, 1, 1), (block, 1, 1), arguments or [], Memory(), options=Options(**options))  # type: ignore[arg-type]


def test_a_fault_names_kernel_line_block_thread_and_address() -> None:
    body = "mov.u32 %r1, %tid.x;\nsetp.eq.u32 %p1, %r1, 5;\nmov.u64 %rd1, 0x1234560;\n@%p1 st.global.u32 [%rd1+4], %r1;\nret;"
    with pytest.raises(MemoryFault) as fault:
        launch(kernel(body))
    assert fault.value.address == 0x1234564
    assert fault.value.place is not None
    assert (fault.value.place.kernel, fault.value.place.line, fault.value.place.thread) == ("k", 12, (5, 0, 0))


def test_a_barrier_that_not_all_reach_is_a_deadlock() -> None:
    body = "mov.u32 %r1, %tid.x;\nsetp.lt.u32 %p1, %r1, 16;\n@%p1 bar.sync 1;\n@!%p1 bar.sync 2;\nret;"
    with pytest.raises(Deadlock, match="a barrier"):
        launch(kernel(body))


def test_lanes_that_wait_for_different_masks_are_a_deadlock() -> None:
    body = (
        "mov.u32 %r1, %tid.x;\nsetp.lt.u32 %p1, %r1, 16;\n"
        "@%p1 vote.sync.ballot.b32 %r2, %p1, 0xffffffff;\n@!%p1 vote.sync.ballot.b32 %r2, %p1, 0xfffffffe;\nret;"
    )
    with pytest.raises(Deadlock, match="lanes of its warp"):
        launch(kernel(body))


def test_a_lane_outside_of_its_own_membermask_is_undefined() -> None:
    with pytest.raises(Undefined, match="does not name it"):
        launch(kernel("bar.warp.sync 0xff;\nret;"))


def test_an_endless_loop_ends_when_the_fuel_is_spent() -> None:
    with pytest.raises(OutOfFuel):
        launch(kernel("L:\nbra L;"), fuel=1000)


def test_endless_recursion_overflows_the_stack() -> None:
    text = kernel("call f;\nret;", extra=".func f()\n{\n.local .align 8 .b8 x[64];\ncall f;\nret;\n}\n")
    with pytest.raises(KernelError, match="stack overflow"):
        launch(text, block=1)


def test_a_failed_assertion_names_itself() -> None:
    extra = (
        ".extern .func __assertfail(.param .b64 m, .param .b64 f, .param .b32 l, .param .b64 n, .param .b64 c);\n"
        ".global .b8 m[4] = {120, 62, 48, 0};\n.global .b8 f[5] = {97, 46, 99, 117, 0};\n"
    )
    body = """mov.u64 %rd1, m; mov.u64 %rd2, f;
    { .param .b64 p0; .param .b64 p1; .param .b32 p2; .param .b64 p3; .param .b64 p4;
    st.param.b64 [p0], %rd1; st.param.b64 [p1], %rd2; st.param.b32 [p2], 17; st.param.b64 [p3], %rd2; st.param.b64 [p4], 1;
    call.uni __assertfail, (p0, p1, p2, p3, p4); }
    ret;"""
    with pytest.raises(KernelError, match=r"a\.cu:17: a\.cu: assertion `x>0` failed"):
        launch(kernel(body, extra=extra), block=1)


def test_what_has_no_meaning_is_refused_before_the_kernel_starts() -> None:
    with pytest.raises(Unsupported, match=r"k, line 10: no meaning for 'frobnicate\.u32'"):
        launch(kernel("st.global.u32 [%rd1], %r1;\nfrobnicate.u32 %r1, %r2;\nret;"))


def test_variables_keep_their_contents_between_launches() -> None:
    text = kernel("ld.global.u32 %r1, [n];\nadd.u32 %r1, %r1, 5;\nst.global.u32 [n], %r1;\nret;", extra=".global .u32 n = 1;\n")
    memory = Memory()
    machine = Machine(parse(text), memory)
    for _ in range(3):
        machine.launch("k", (1, 1, 1), (1, 1, 1), [])
    address = machine.loaded.entity("n", 0)
    assert memory.load(address, 4) == 16


def test_local_and_shared_memory_are_gone_after_a_launch() -> None:
    memory = Memory()
    text = kernel("st.shared.u32 [s], 1;\nst.local.u32 [l], 1;\nret;", extra=".shared .u32 s;\n").replace(
        ".reg .pred", ".local .u32 l;\n.reg .pred"
    )
    run(parse(text), "k", (2, 1, 1), (40, 1, 1), [], memory)
    assert memory._regions == []


def test_the_same_seed_gives_the_same_run() -> None:
    body = "ld.param.u64 %rd1, [p];\nmov.u32 %r1, %tid.x;\natom.global.add.u32 %r2, [%rd1], 1;\nmul.wide.u32 %rd2, %r1, 4;\nadd.s64 %rd2, %rd1, %rd2;\nst.global.u32 [%rd2+4], %r2;\nret;"  # noqa: E501

    def order(seed: int) -> bytes:
        memory = Memory()
        at = memory.allocate(4 + 4 * 64)
        run(parse(kernel(body, ".param .u64 p")), "k", (1, 1, 1), (64, 1, 1), [at], memory, options=Options(seed=seed))
        return memory.read(at, 4 + 4 * 64)

    assert order(3) == order(3)
    assert order(3) != order(4)


def test_unsynchronised_votes_see_all_lanes_that_come_to_them() -> None:
    body = "ld.param.u64 %rd1, [p];\nmov.u32 %r1, %tid.x;\nsetp.lt.u32 %p1, %r1, 7;\n@!%p1 bra E;\n"
    body += "activemask.b32 %r2;\nst.global.u32 [%rd1], %r2;\nE:\nret;"
    memory = Memory()
    at = memory.allocate(4)
    run(parse(kernel(body, ".param .u64 p")), "k", (1, 1, 1), (32, 1, 1), [at], memory)
    assert memory.load(at, 4) == 0x7F


def test_clusters_share_memory_and_meet_at_their_barrier() -> None:
    body = """ld.param.u64 %rd1, [p]; mov.u32 %r1, %cluster_ctarank; mov.u32 %r2, s;
    add.u32 %r3, %r1, 100; st.shared.u32 [%r2], %r3;
    barrier.cluster.arrive; barrier.cluster.wait;
    xor.b32 %r4, %r1, 1; mapa.shared::cluster.u32 %r5, %r2, %r4; ld.shared::cluster.u32 %r6, [%r5];
    barrier.cluster.arrive; barrier.cluster.wait;
    mov.u32 %r7, %ctaid.x; mul.wide.u32 %rd2, %r7, 4; add.s64 %rd1, %rd1, %rd2; st.global.u32 [%rd1], %r6; ret;"""
    memory = Memory()
    at = memory.allocate(16)
    text = kernel(body, ".param .u64 p", ".shared .u32 s;\n").replace("sm_80", "sm_90")
    run(parse(text), "k", (4, 1, 1), (1, 1, 1), [at], memory, cluster=(2, 1, 1))
    assert [memory.load(at + 4 * i, 4) for i in range(4)] == [101, 100, 101, 100]


def test_imports_neither_the_lowering_nor_llvmlite() -> None:
    script = "import sys, anywarp.reference, anywarp.reference.semantics as s; list(s.mnemonics())\n" \
             "bad = [m for m in sys.modules if m.startswith(('anywarp.lower', 'anywarp.ir', 'llvmlite'))]\nassert not bad, bad"  # fmt: skip
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": ":".join(p for p in sys.path if p)})
