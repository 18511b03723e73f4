"""The library as a whole: what it was built from, that interpreter and compiler run it alike, and how modules get its functions."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from anywarp import pipeline, ptx
from anywarp.ptx import math_library
from tests.libdevice.harness import Array, compiled, interpreted, signature

ROOT = Path(__file__).parents[2]
POINTERS = {"sincos": 2, "sincospi": 2, "fast_sincos": 2, "frexp": 1, "modf": 1, "remquo": 1}  # results by pointer
FROM_MEMORY = ("norm", "rnorm", "nan")
NAMES = [n.removeprefix("__nv_") for n in math_library.names()]


def stem(name: str) -> str:
    return name[:-1] if name.endswith("f") and name[:-1] in (*POINTERS, *FROM_MEMORY) else name


def test_holds_every_function_of_libdevice() -> None:
    """348 functions: those of CUDA's libdevice 10 as its user guide lists them and clang declares them, without the SIMD ones."""
    assert len(NAMES) == 348
    for name in ("sinf", "fmaf_ieee_rz", "ull2double_rd", "cyl_bessel_i1f", "rcp64h", "rnorm4df", "uint_as_float", "jn", "fast_powf"):
        assert name in NAMES


def test_was_compiled_from_the_sources_that_are_here() -> None:
    spec = importlib.util.spec_from_file_location("libdevice_build", ROOT / "src" / "libdevice" / "build.py")
    assert spec is not None and spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    first = build.TARGET.read_text().splitlines()[0]
    assert build.fingerprint() in first, "run python src/libdevice/build.py"


def operands(name: str) -> tuple[list[Array], int]:
    """Some arguments for any function, and how many results go by pointer."""
    random = np.random.default_rng(3)
    outputs = POINTERS.get(stem(name), 0)
    parameters = signature(f"__nv_{name}")[1]
    given: list[Array] = []
    for at, type in enumerate(parameters[: len(parameters) - outputs]):
        is_integer = name in ("jn", "jnf", "yn", "ynf") and at == 0
        if is_integer:
            given.append(random.integers(0, 6, 12).astype(np.int32))
        elif type == "b64":
            given.append(np.array([0.3, -1.7, 25.0, 1e-3, -0.9, 3.9, 7.5, -12.25, 1e9, 0.0, np.inf, np.nan]))
        elif type == "b32":
            given.append(np.array([0.3, -1.7, 25.0, 1e-3, -0.9, 3.9, 7.5, -12.25, 1e9, 0.0, np.inf, np.nan], np.float32))
        else:
            given.append(random.integers(0, 1 << 16, 12).astype(np.uint16))
        if at:
            random.shuffle(given[-1])
    return given, outputs


@pytest.mark.parametrize("name", [n for n in NAMES if stem(n) not in FROM_MEMORY])
def test_interpreter_and_compiler_agree(name: str) -> None:
    given, outputs = operands(name)
    want = interpreted(f"__nv_{name}", *given, outputs=outputs)
    got = compiled(f"__nv_{name}", *given, outputs=outputs)
    for a, b in zip(want, got):
        is_double = a.itemsize == 8 and not outputs
        for x, y in zip(a, b):
            if is_double:  # NaNs may have other bits
                both = np.array([x, y]).view(np.float64)
                assert x == y or np.isnan(both).all(), (name, both)
            elif a.itemsize == 4:
                both = np.array([x, y]).view(np.float32)
                assert x == y or np.isnan(both).all() or name.startswith("fast_"), (name, both)
            else:
                assert x == y or outputs, name


HEAD = ".version 7.0\n.target sm_70\n.address_size 64\n"
CALL = """.visible .entry k() { .reg .f32 %f; .param .b32 x; .param .b32 y; mov.f32 %f, 0f3F800000; st.param.f32 [x], %f;
 call.uni (y), __nv_sinf, (x); ret; }
"""


def test_a_module_that_declares_none_is_left_alone() -> None:
    module = pipeline.read_module(HEAD + ".visible .entry k() { ret; }")
    assert list(module.functions) == ["k"] and not module.variables


def test_a_module_gets_what_it_declares_and_what_that_needs() -> None:
    module = pipeline.read_module(HEAD + ".extern .func (.param .b32 r) __nv_sinf (.param .b32 a);\n" + CALL)
    assert set(module.functions) == {"k", "__nv_sinf", "anywarp_reduce_large"}
    assert set(module.variables) == {"anywarp_two_over_pi"}
    assert module.functions["__nv_sinf"].body is not None


def test_a_definition_in_the_module_wins() -> None:
    own = ".visible .func (.param .b32 r) __nv_sinf (.param .b32 a) { .reg .f32 %f; mov.f32 %f, 0f40000000; st.param.f32 [r], %f; ret; }\n"
    module = pipeline.read_module(HEAD + own + CALL)
    assert set(module.functions) == {"k", "__nv_sinf"}


def test_a_name_that_the_library_lacks_stays_open() -> None:
    module = ptx.parse(HEAD + ".extern .func (.param .b32 r) __nv_nothing (.param .b32 a);\n")
    math_library.define_missing(module)
    assert module.functions["__nv_nothing"].body is None


def test_functions_take_little_of_the_library() -> None:
    """Half of them come in at most two thousand characters: what a kernel pays for reading one."""
    sizes = sorted(len(math_library.source([f"__nv_{name}"])) for name in NAMES)
    assert sizes[len(sizes) // 2] < 2000


def test_nothing_in_it_needs_what_only_some_devices_have() -> None:
    text = math_library.source(math_library.names())
    assert re.search(r"^\.target sm_70$", text, re.MULTILINE)
    assert not re.search(r"\b(atom|bar|ld\.shared|st\.shared)\b", text)
