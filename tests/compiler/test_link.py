"""Linking modules: which inputs are taken."""

from __future__ import annotations

from anywarp import pipeline, ptx
from anywarp.compiler.link import link

HEAD = ".version 8.0\n.target sm_80\n.address_size 64\n"
PROGRAM = HEAD + (
    ".extern .func (.param .b32 r) {needed} ();\n"
    ".visible .entry k()\n{{\n.reg .b32 %r; .param .b32 x;\ncall (x), {needed}, ();\nret;\n}}\n"
)
# As CUDA's device runtime: known by a function that no program defines.
RUNTIME = (
    HEAD
    + ".visible .func (.param .b64 p) cudaGetParameterBufferV2()\n{\nret;\n}\n"
    + ".visible .func (.param .b32 r) cudaGetLastError()\n{\nret;\n}\n.visible .func (.param .b32 r) cudaCGSynchronize()\n{\nret;\n}\n"
)
OTHER = HEAD + ".visible .func (.param .b32 r) other()\n{\nret;\n}\n"


def linked(*texts: str) -> set[str]:
    """The functions of the linked module that have a body."""
    module = ptx.parse(link([(f"input {i}", text) for i, text in enumerate(texts)]))
    return {f.name for f in module.functions.values() if f.body is not None}


def test_device_runtime_that_nothing_needs_is_left_out() -> None:
    assert linked(PROGRAM.format(needed="other"), OTHER, RUNTIME) == {"k", "other"}


def test_device_runtime_stays_for_a_function_that_is_not_ours() -> None:
    assert linked(PROGRAM.format(needed="cudaGetLastError"), RUNTIME) >= {"k", "cudaGetLastError"}


def test_device_runtime_is_left_out_where_our_own_function_serves() -> None:
    assert linked(PROGRAM.format(needed="cudaCGSynchronize"), OTHER, RUNTIME) == {"k", "other"}


def test_a_caller_may_expect_a_result_that_the_definition_does_not_have() -> None:
    """numba declares C functions without a result so."""
    nothing = HEAD + ".visible .func nothing()\n{\nret;\n}\n"
    for texts in ((PROGRAM.format(needed="nothing"), nothing), (nothing, PROGRAM.format(needed="nothing"))):
        module = pipeline.read_module(link([(f"input {i}", text) for i, text in enumerate(texts)]))
        assert module.functions["nothing"].body is not None


def test_a_limit_of_registers_becomes_a_directive_of_every_entry() -> None:
    text = ".version 7.0\n.target sm_70\n.address_size 64\n.visible .entry k() .maxntid 64 { ret; }\n.visible .func f() { ret; }\n"
    module = ptx.parse(link([("one", text)], 38))
    assert module.functions["k"].directives["maxnreg"] == (38,)
    assert "maxntid" in module.functions["k"].directives
    assert "maxnreg" not in module.functions["f"].directives
