"""Linking modules: which inputs are taken."""

from __future__ import annotations

from anywarp import pipeline, ptx
from anywarp.compiler.link import link

HEAD = ".version 8.0\n.target sm_80\n.address_size 64\n"
PROGRAM = HEAD + (
    ".extern .func (.param .b32 r) {needed} ();\n.visible .entry k()\n{{\n.reg .b32 %r; .param .b32 x;\ncall (x), {needed}, ();\nret;\n}}\n"
)
# As CUDA's device runtime: known by a function that no program defines.
RUNTIME = (
    HEAD
    + ".visible .func (.param .b64 p) cudaGetParameterBufferV2()\n{\nret;\n}\n"
    + ".visible .func (.param .b32 r) cudaInventedLater()\n{\nret;\n}\n.visible .func (.param .b32 r) cudaCGSynchronize()\n{\nret;\n}\n"
)
OTHER = HEAD + ".visible .func (.param .b32 r) other()\n{\nret;\n}\n"


def linked(*texts: str) -> set[str]:
    """The functions of the linked module that have a body."""
    module = ptx.parse(link([(f"input {i}", text) for i, text in enumerate(texts)]))
    return {f.name for f in module.functions.values() if f.body is not None}


def test_device_runtime_that_nothing_needs_is_left_out() -> None:
    assert linked(PROGRAM.format(needed="other"), OTHER, RUNTIME) == {"k", "other"}


def test_device_runtime_stays_for_a_function_that_is_not_ours() -> None:
    assert linked(PROGRAM.format(needed="cudaInventedLater"), RUNTIME) >= {"k", "cudaInventedLater"}


def test_device_runtime_is_left_out_where_our_own_function_serves() -> None:
    assert linked(PROGRAM.format(needed="cudaCGSynchronize"), OTHER, RUNTIME) == {"k", "other"}


def test_device_runtime_is_left_out_where_both_only_ask_for_the_heap() -> None:
    """Where it stays, the module's target is its own (compute_121), and CUB asks kernels for the target that they were compiled for."""
    heap = ".extern .func (.param .b64 p) malloc(.param .b64 n);\n"
    program = PROGRAM.format(needed="cudaCGSynchronize").replace(HEAD, HEAD + heap)
    assert linked(program, OTHER, RUNTIME.replace(HEAD, HEAD + heap)) == {"k", "other"}


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


def test_private_names_of_two_modules_are_kept_apart() -> None:
    """nvcc calls the first string of every file `$str`; a private function may have the name of another module's function."""
    one = HEAD + (
        ".global .align 1 .b8 $str[2] = {97};\n.global .align 8 .u64 at = generic($str);\n.func helper()\n{\nret;\n}\n"
        ".visible .entry k()\n{\n.reg .b64 %rd;\nmov.u64 %rd, $str;\nmov.u64 %rd, $str$1;\ncall helper, ();\nret;\n}\n"
        ".global .b32 $str$1;\n"
    )
    two = one.replace("entry k", "entry l").replace("{97}", "{98}")
    three = HEAD + ".visible .func helper()\n{\ntrap;\n}\n.visible .global .align 1 .b8 $str[2] = {99};\n"
    module = pipeline.read_module(link([("one", one), ("two", two), ("three", three)]))
    assert {f.name for f in module.functions.values() if f.kind == "entry"} == {"k", "l"}
    strings = {v.name: v.initializer[0].value for v in module.variables.values() if v.initializer and v.type == "b8"}
    assert strings["$str"] == 99 and sorted(strings.values()) == [97, 98, 99]
    assert [v.initializer[0].name for v in module.variables.values() if v.type == "u64" and v.initializer] == [
        name for name in strings if name != "$str"
    ]
    assert len([f for f in module.functions.values() if f.name.startswith("helper")]) == 3
