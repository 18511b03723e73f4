"""Device functions that a large kernel keeps as functions: which, and that kernels compute the same with them as with copies."""

from __future__ import annotations

import random

import pytest

import anywarp.isa  # noqa: F401
from anywarp import ptx
from anywarp.ir import kept
from anywarp.ir.build import build
from anywarp.ir.kept import kept_functions
from tests.kernels import routes
from tests.kernels.differential import Buffer, Case, compare, interpret

ARITHMETIC = "\n".join(f"  mad.lo.u32 %r1, %r1, {2 * i + 3}, %r2; xor.b32 %r2, %r2, %r1;" for i in range(24))
HEAD = f""".version 8.0
.target sm_80
.address_size 64
.func (.param .b32 result) mix(.param .b32 a, .param .b64 pair)
{{
  .reg .pred %p;
  .reg .b32 %r<8>;
  ld.param.u32 %r1, [a];
  ld.param.u32 %r2, [pair+4];
{ARITHMETIC}
  setp.gt.u32 %p, %r1, %r2;
  @%p bra LARGER;
  st.param.b32 [result], %r2;
  ret;
LARGER:
  ld.param.u32 %r3, [pair];
  add.u32 %r1, %r1, %r3;
  st.param.b32 [result], %r1;
  ret;
}}
.func count(.param .b64 counter, .param .b64 sums, .param .b32 amount)
{{
  .reg .pred %p;
  .reg .b32 %r<8>;
  .reg .b64 %rd<8>;
  ld.param.u64 %rd1, [counter];
  ld.param.u64 %rd2, [sums];
  ld.param.u32 %r1, [amount];
  isspacep.local %p, %rd2;
  @%p bra LOCAL;
  bra.uni GLOBAL;
END:
  ret;
LOCAL:
  ld.u32 %r2, [%rd2];
{ARITHMETIC}
  st.u32 [%rd2], %r1;
  mov.u32 %r4, 0;
  nanosleep.u32 %r4;
GLOBAL:
  atom.add.acquire.gpu.u32 %r3, [%rd1], %r1;
  bra END;
}}
.visible .entry k(.param .u64 in, .param .u64 out)
{{
  .local .align 8 .b8 sums[8];
  .reg .pred %p<8>;
  .reg .b32 %r<16>;
  .reg .b64 %rd<16>;
  ld.param.u64 %rd1, [in];
  ld.param.u64 %rd2, [out];
  mov.u32 %r1, %tid.x;
  mul.wide.u32 %rd3, %r1, 4;
  add.u64 %rd4, %rd1, %rd3;
  ld.global.u32 %r2, [%rd4];
  and.b32 %r3, %r2, 7;
  mov.u64 %rd5, sums;
  cvta.local.u64 %rd6, %rd5;
  st.u32 [%rd6], %r1;
  st.u32 [%rd6+4], %r2;
  add.u64 %rd7, %rd2, 4096;
"""
MIX = """  {{ .param .b32 a; .param .b64 pair; .param .b32 result;
  st.param.b32 [a], {a}; st.param.b32 [pair], {b}; st.param.b32 [pair+4], {c};
  call (result), mix, (a, pair); ld.param.b32 %r2, [result]; }}
"""
COUNT = "  {{ .param .b64 a; .param .b64 s; .param .b32 n; st.param.b64 [a], %rd7; st.param.b64 [s], %rd6; st.param.b32 [n], {n};\n" + (
    "  {guard} call count, (a, s, n); }}\n"
)


def kernel(calls: int) -> str:
    """Calls both functions from many places: straight code, a loop whose length differs, a part of the lanes, behind a guard."""
    parts = [HEAD]
    for i in range(calls):
        shape = i % 4
        if shape == 0:
            parts.append(MIX.format(a="%r1", b="%r2", c=i) + COUNT.format(n=i + 1, guard=""))
        elif shape == 1:
            parts.append(f"  mov.u32 %r4, 0;\nLOOP{i}:\n" + MIX.format(a=i, b="%r4", c="%r2") + COUNT.format(n="%r4", guard=""))
            parts.append(f"  add.u32 %r4, %r4, 1;\n  setp.lt.u32 %p1, %r4, %r3;\n  @%p1 bra LOOP{i};\n")
        elif shape == 2:
            parts.append(f"  setp.lt.u32 %p2, %r3, 3;\n  @%p2 bra ELSE{i};\n" + MIX.format(a="%r2", b="%r1", c="%r3"))
            parts.append(f"  bra MEET{i};\nELSE{i}:\n" + COUNT.format(n=5, guard="") + f"MEET{i}:\n")
        else:
            parts.append("  setp.gt.u32 %p3, %r3, 4;\n" + COUNT.format(n="%r3", guard="@%p3"))
    parts.append("  ld.u32 %r5, [%rd6];\n  ld.u32 %r6, [%rd6+4];\n  add.u32 %r5, %r5, %r6;\n  mul.wide.u32 %rd8, %r1, 8;\n")
    parts.append("  add.u64 %rd9, %rd2, %rd8;\n  st.global.v2.u32 [%rd9], {%r2, %r5};\n  ret;\n}\n")
    return "".join(parts)


def test_kept_functions_give_the_results_of_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    text = kernel(40)
    assert set(build(ptx.parse(text), "k").callees) == {"mix", "count"}
    case = Case(text, "k", block=(96, 1, 1), arguments=[Buffer(random.Random(5).randbytes(384), "in"), Buffer(bytes(4100), "out")])
    with_functions = compare(case, routes.available()[0])
    monkeypatch.setattr(kept, "LARGE", 10**6)
    assert not build(ptx.parse(text), "k").callees
    assert interpret(case).buffers == with_functions.buffers


def test_small_kernels_keep_nothing() -> None:
    assert not build(ptx.parse(kernel(8)), "k").callees


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (("", ""), {"mix", "count"}),
        (("@%p bra LARGER;", "bar.warp.sync -1;\n  @%p bra LARGER;"), {"count"}),  # lanes that meet
        (("LARGER:", "LARGER: add.u32 %r1, %r1, 1; setp.lt.u32 %p, %r1, %r2; @%p bra LARGER;"), {"count"}),  # a loop
        (("ld.param.u32 %r3, [pair];", "ld.param.u32 %r3, [pair]; ld.acquire.gpu.global.u32 %r4, [4096];"), {"count"}),  # result of a wait
        (("bra END;", "exit;"), {"mix"}),
        (("ld.param.u32 %r3, [pair];", ".reg .b64 %a; mov.b64 %a, pair; ld.param.u32 %r3, [pair];"), {"count"}),  # a parameter's address
    ],
)
def test_which_functions_are_kept(change: tuple[str, str], wanted: set[str]) -> None:
    text = kernel(40)
    assert change[0] in text
    module = ptx.parse(text.replace(*change, 1) if change[0] else text)
    assert kept_functions(module, module.functions["k"]) == wanted
