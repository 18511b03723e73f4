"""What each ordered access and fence becomes: the ordering in LLVM's IR, and the instructions on AArch64, whose memory is weaker than
x86's, so that an error there shows in the code and not by chance."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import cache

import pytest

from anywarp import pipeline

AARCH64 = "aarch64-unknown-linux-gnu:neoverse-n1:+neon,+fp-armv8,+lse"
ATOMIC_LOAD, ATOMIC_STORE = r"load atomic volatile i32, ptr \S+ monotonic", r"store atomic volatile i32 \S+, ptr \S+ monotonic"

# instruction, what its lines of LLVM IR are, AArch64's instructions in order
CASES = [
    ("ld.volatile.global.u32 %v, [%a];", [ATOMIC_LOAD], [r"ldr"]),
    ("ld.relaxed.gpu.global.u32 %v, [%a];", [ATOMIC_LOAD], [r"ldr"]),
    ("ld.acquire.gpu.global.u32 %v, [%a];", [ATOMIC_LOAD, "fence acquire"], [r"ldr", r"dmb\s+ishld"]),
    ("ld.mmio.relaxed.sys.global.u32 %v, [%a];", [ATOMIC_LOAD], [r"ldr"]),
    ("st.volatile.global.u32 [%a], %v;", [ATOMIC_STORE], [r"str"]),
    ("st.relaxed.sys.global.u32 [%a], %v;", [ATOMIC_STORE], [r"str"]),
    ("st.release.gpu.global.u32 [%a], %v;", ["fence release", ATOMIC_STORE], [r"dmb\s+ish$", r"str"]),
    ("fence.sc.gpu;", ["fence seq_cst"], [r"dmb\s+ish$"]),
    ("fence.acq_rel.sys;", ["fence acq_rel"], [r"dmb\s+ish$"]),
    ("fence.acq_rel.cta;", [r'fence syncscope\("singlethread"\) acq_rel'], []),
    ("membar.gl;", ["fence seq_cst"], [r"dmb\s+ish$"]),
    ("membar.sys;", ["fence seq_cst"], [r"dmb\s+ish$"]),
    ("membar.cta;", [r'fence syncscope\("singlethread"\) seq_cst'], []),
    ("atom.relaxed.gpu.global.exch.b32 %v, [%a], %v;", [r"atomicrmw xchg ptr \S+, i32 \S+ monotonic"], [r"swp\s"]),
    ("atom.acquire.gpu.global.exch.b32 %v, [%a], %v;", [r"atomicrmw xchg ptr \S+, i32 \S+ acquire"], [r"swpa\s"]),
    ("atom.release.gpu.global.exch.b32 %v, [%a], %v;", [r"atomicrmw xchg ptr \S+, i32 \S+ release"], [r"swpl\s"]),
    ("atom.acq_rel.gpu.global.exch.b32 %v, [%a], %v;", [r"atomicrmw xchg ptr \S+, i32 \S+ acq_rel"], [r"swpal\s"]),
    ("atom.acq_rel.sys.global.cas.b32 %v, [%a], %v, 5;", [r"cmpxchg ptr \S+, i32 \S+, i32 \S+ acq_rel acquire"], [r"casal\s"]),
    ("red.release.gpu.global.add.u32 [%a], %v;", [r"atomicrmw add ptr \S+, i32 \S+ release"], [r"(ldaddl|stlr|ldadd)"]),
]  # fmt: skip


def ptx(instruction: str) -> str:
    """A kernel of one thread with the instruction between two that must stay on their sides."""
    return f""".version 8.4
.target sm_90
.address_size 64
.visible .entry k(.param .u64 p)
.reqntid 1, 1, 1
{{
  .reg .b32 %v;
  .reg .b64 %a;
  ld.param.u64 %a, [p];
  ld.volatile.global.u32 %v, [%a+64];
  {instruction}
  st.volatile.global.u32 [%a+128], %v;
  ret;
}}
"""


def accesses(text: str) -> list[str]:
    """The lines of LLVM IR that load, store or fence global memory, those of the frame around the instruction left out."""
    found = re.findall(r"^\s+(?:%\S+ = )?((?:load|store|fence|atomicrmw|cmpxchg)\b.*?)(?:, !dbg.*)?$", text, re.MULTILINE)
    ordered = [i for i, line in enumerate(found) if "atomic" in line]
    between = found[ordered[0] + 1 : ordered[-1]]
    is_atomic = any(re.match("atomicrmw|cmpxchg", line) for line in between)  # whose operands go through the stack
    return [line for line in between if not is_atomic or re.match("atomicrmw|cmpxchg|fence", line)]


@pytest.mark.parametrize(("instruction", "lines", "_"), CASES, ids=[c[0].split()[0].rstrip(";") for c in CASES])
def test_lowered_to_the_ordering_that_it_means(instruction: str, lines: list[str], _: list[str]) -> None:
    found = accesses(pipeline.dump(ptx(instruction).encode(), "llvm"))
    assert len(found) == len(lines) and all(re.match(want, line) for want, line in zip(lines, found)), found


@cache
def aarch64() -> dict[str, str]:
    """The assembly of every case, by a compiler whose target is AArch64."""
    dump = "[pipeline.dump(t.encode(), 'asm') for t in json.load(sys.stdin)]"
    code = f"import json, sys\nfrom anywarp import pipeline\nprint(json.dumps({dump}))"
    environment = {**os.environ, "ANYWARP_TARGET": AARCH64, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    texts = json.dumps([ptx(case[0]) for case in CASES])
    run = subprocess.run([sys.executable, "-c", code], input=texts, env=environment, capture_output=True, text=True, check=True)
    return dict(zip((case[0] for case in CASES), json.loads(run.stdout)))


@pytest.mark.parametrize(("instruction", "_", "expected"), CASES, ids=[c[0].split()[0].rstrip(";") for c in CASES])
def test_aarch64_has_its_instructions(instruction: str, _: list[str], expected: list[str]) -> None:
    lines = [line.strip() for line in aarch64()[instruction].splitlines()]
    first = next(i for i, line in enumerate(lines) if re.match(r"ldr\s+w\w+, \[x\d+, #64\]", line))
    last = next(i for i, line in enumerate(lines) if re.match(r"str\s+w\d+, \[x\d+, #128\]", line))
    between = [line for line in lines[first + 1 : last] if re.match(r"dmb|(ld|st|swp|cas).*, \[x\d+\]", line)]
    assert len(between) == len(expected) and all(re.match(want, line) for want, line in zip(expected, between)), lines[first : last + 1]


def test_wide_accesses_are_whole() -> None:
    """b128 with an order is one access of 128 bits, in a full warp and in a part of one."""
    for instruction in ("ld.relaxed.gpu.global.b128 %q, [%b];", "@%p ld.relaxed.gpu.global.b128 %q, [%b];"):
        text = f""".version 8.4
.target sm_90
.address_size 64
.visible .entry k(.param .u64 p)
{{
  .reg .b32 %v;
  .reg .pred %p;
  .reg .b64 %a, %b;
  .reg .b128 %q;
  ld.param.u64 %a, [p];
  mov.u32 %v, %tid.x;
  setp.lt.u32 %p, %v, 7;
  mul.wide.u32 %b, %v, 16;
  add.u64 %b, %b, %a;
  mov.b128 %q, {{%a, %b}};
  {instruction}
  st.release.gpu.global.b128 [%b], %q;
  ret;
}}
"""
        found = re.findall(r"(?:load|store)(?: atomic)? volatile.*", pipeline.dump(text.encode(), "llvm"))
        assert found and all(re.match(r"(load|store) atomic volatile i128\b.* monotonic, align 16", line) for line in found), found[:3]


def test_partial_warps_keep_the_order() -> None:
    """Neighbouring lanes' words are one masked vector otherwise, which LLVM may move."""
    text = ptx("").replace(".reqntid 1, 1, 1\n", "").replace("ld.volatile.global.u32 %v, [%a+64];", """mov.u32 %v, %tid.x;
  .reg .pred %p;
  setp.lt.u32 %p, %v, 7;
  .reg .b64 %b;
  mul.wide.u32 %b, %v, 4;
  add.u64 %a, %a, %b;
  @%p ld.volatile.global.u32 %v, [%a];
  @%p st.volatile.global.u32 [%a+64], %v;
""")  # fmt: skip
    assert "llvm.masked" not in pipeline.dump(text.encode(), "llvm")
