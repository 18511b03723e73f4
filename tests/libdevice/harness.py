"""Functions of the math library over arrays: a kernel that calls one, compiled into this process or run by the interpreter."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from anywarp import pipeline
from anywarp.ptx import math_library
from anywarp.reference import Machine, Memory, Options
from tests.kernels import jit

Array = npt.NDArray[Any]
_TYPES = {"b16": np.uint16, "b32": np.uint32, "b64": np.uint64}


@cache
def signature(name: str) -> tuple[str | None, tuple[str, ...]]:
    """The types (b16, b32, b64) of the result and the parameters of a function."""
    match = re.search(rf"^\.visible \.func ?(?:\(\.param \.(\w+) \w+\))? ?{name}\(([^()]*)\)", math_library.source([name]), re.MULTILINE)
    assert match, name
    return match[1], tuple(re.findall(r"\.param \.(\w+)", match[2]))


def kernel(name: str, outputs: int) -> str:
    """PTX of a kernel that calls a function with an element of each input array; `outputs` of its last parameters are pointers to results,
    which take the places of numbers."""
    result, parameters = signature(name)
    inputs = parameters[: len(parameters) - outputs]
    results = ([result] if result else []) + ["b64"] * outputs
    pointers = [f".param .u64 p{i}" for i in range(len(inputs) + len(results))]
    lines = [
        ".version 7.5\n.target sm_80\n.address_size 64",
        f".extern .func {f'(.param .{result} r)' if result else ''} {name} "
        f"({', '.join(f'.param .{t} a{i}' for i, t in enumerate(parameters))});",
        f".visible .entry k({', '.join(pointers)}, .param .u32 n) {{",
        " .reg .pred %p; .reg .b32 %t, %u, %v; .reg .b64 %at, %p<12>, %d<12>; .reg .b32 %r<12>;",
        " .reg .b16 %h<12>; .local .align 8 .b8 local[32];",
        " mov.u32 %t, %tid.x; mov.u32 %u, %ctaid.x; mov.u32 %v, %ntid.x; mad.lo.u32 %t, %u, %v, %t;",
        " ld.param.u32 %u, [n]; setp.ge.u32 %p, %t, %u; @%p ret;",
        *(f" .param .{t} x{i};" for i, t in enumerate(parameters)),
        f" .param .{result} y;" if result else "",
    ]
    register = {"b16": "%h", "b32": "%r", "b64": "%d"}
    for i, t in enumerate(inputs):
        lines.append(f" ld.param.u64 %p{i}, [p{i}]; mul.wide.u32 %at, %t, {int(t[1:]) // 8}; add.s64 %at, %p{i}, %at;")
        lines.append(f" ld.global.{t} {register[t]}{i}, [%at]; st.param.{t} [x{i}], {register[t]}{i};")
    for i in range(outputs):
        lines.append(f" mov.u64 %d{9 + i}, local; cvta.local.u64 %d{9 + i}, %d{9 + i}; add.s64 %d{9 + i}, %d{9 + i}, {8 * i};")
        lines.append(f" mov.b64 %d8, 0; st.b64 [%d{9 + i}], %d8; st.param.b64 [x{len(inputs) + i}], %d{9 + i};")
    arguments = ", ".join(f"x{i}" for i in range(len(parameters)))
    lines.append(f" call.uni {'(y), ' if result else ''}{name}, ({arguments});")
    for i, t in enumerate(results):
        if result and i == 0:
            lines.append(f" ld.param.{t} {register[t]}7, [y];")
        else:
            lines.append(f" ld.b64 %d7, [%d{9 + i - bool(result)}];")
        at = len(inputs) + i
        lines.append(f" ld.param.u64 %p{at}, [p{at}]; mul.wide.u32 %at, %t, {int(t[1:]) // 8}; add.s64 %at, %p{at}, %at;")
        lines.append(f" st.global.{t} [%at], {register[t]}7;")
    return "\n".join([*lines, " ret;", "}"])


@cache
def program(name: str, outputs: int) -> jit.Program:
    text = kernel(name, outputs)
    found = jit.Program(text)
    found.module = pipeline.read_module(text)
    return found


def _buffers(name: str, outputs: int, inputs: tuple[Array, ...]) -> tuple[list[Array], list[Array]]:
    result, parameters = signature(name)
    n = len(inputs[0])
    given = [np.ascontiguousarray(np.broadcast_to(a, (n,))).view(_TYPES[t]) for a, t in zip(inputs, parameters)]
    types = ([result] if result else []) + ["b64"] * outputs
    return given, [np.zeros(n, _TYPES[t]) for t in types]


def compiled(name: str, *inputs: Array, outputs: int = 0) -> list[Array]:
    """The results' bits of a function for arrays of operands, by compiled code."""
    given, results = _buffers(name, outputs, inputs)
    n = len(given[0])
    arguments: list[tuple[str, object]] = [("Q", a.ctypes.data) for a in (*given, *results)]
    program(name, outputs).run("k", (-(-n // 128), 1, 1), (128, 1, 1), [*arguments, ("I", n)])
    return results


def interpreted(name: str, *inputs: Array, outputs: int = 0) -> list[Array]:
    """The same by the reference interpreter."""
    given, results = _buffers(name, outputs, inputs)
    memory = Memory()
    places = [memory.allocate(a.tobytes(), f"p{i}") for i, a in enumerate((*given, *results))]
    n = len(given[0])
    machine = Machine(program(name, outputs).module, memory, Options(fuel=1 << 40))
    machine.launch("k", (-(-n // 32), 1, 1), (32, 1, 1), [*places, n], 0)
    return [np.frombuffer(memory.read(p, r.nbytes), r.dtype) for p, r in zip(places[len(given) :], results)]
