"""The stages from an image's bytes to a compiled kernel, in order, one type an arrow. Read this file first.

    bytes --image--> Image --ptx--> tree.Module --ir--> ir.Function --analyses--> Shapes
          --llvm--> LLVM IR --llvm-opt--> LLVM IR --asm--> object

An image is read and parsed once; kernels are built, lowered and compiled one by one, each for the variant that a launch needs. Every stage
can be looked at: `anywarp dump --after=STAGE FILE`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anywarp.isa  # noqa: F401  declares the instruction set
from anywarp import image, ptx
from anywarp.analysis.shapes import Shapes, analyse
from anywarp.codegen import llvm
from anywarp.ir import model
from anywarp.ir.build import build
from anywarp.ir.printer import print_function
from anywarp.isa import manual
from anywarp.lower.kernel import Lowered, lower
from anywarp.ptx import device_runtime, math_library, tree
from anywarp.transform.fold_known_numbers import fold_known_numbers

STAGES = ("image", "ptx", "ir", "analyses", "llvm", "llvm-opt", "asm")


@dataclass
class CompiledKernel:
    """An object and what the runtime must know of it."""

    function: model.Function
    lowered: Lowered
    object: bytes
    seconds: dict[str, float] = field(default_factory=dict)  # by stage


def read_image(data: bytes, capability: tuple[int, int] = (8, 0)) -> str:
    """The PTX text of an image that suits a device of a compute capability. Raises image.ImageError."""
    return image.read(data).best_ptx(capability)


def read_module(text: str) -> tree.Module:
    """Parses and verifies PTX. Raises ptx.PtxError."""
    module = ptx.parse(text)
    device_runtime.define_missing(module)
    math_library.define_missing(module)
    ptx.verify(module)
    _check_mnemonics(module)
    return module


def _check_mnemonics(module: tree.Module) -> None:
    """Raises PtxError at the first instruction that no version of the manual has."""
    places: dict[tuple[str, ...], tree.Instruction] = {}
    for function in module.functions.values():
        stack = [function.body or []]
        while stack:
            for statement in stack.pop():
                if isinstance(statement, tree.Instruction):
                    places.setdefault(statement.opcode, statement)
                elif isinstance(statement, tree.Block):
                    stack.append(statement.statements)
    for opcode in sorted(manual.unknown(places), key=lambda o: places[o].line):
        instruction = places[opcode]
        raise ptx.PtxError(f"{opcode[0]!r} is no PTX instruction", instruction.line, instruction.column)


def compile_kernel(module: tree.Module, entry: str, variant: str = "line") -> CompiledKernel:
    """Compiles one entry for one variant. Raises ptx.PtxError, ptx.UnsupportedInstruction."""
    seconds: dict[str, float] = {}

    def timed(stage: str, code: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = code()
        seconds[stage] = time.perf_counter() - start
        return result

    function = timed("ir", lambda: build(module, entry))
    lowered = timed("lower", lambda: lower(function, variant, llvm.feature_set()))
    llvm_module = timed("llvm", lambda: llvm.parse(lowered.text))
    timed("llvm-opt", lambda: llvm.optimise(llvm_module))
    code = timed("object", lambda: llvm.emit_object(llvm_module))
    return CompiledKernel(function, lowered, code, seconds)


def dump(data: bytes, stage: str, entry: str | None = None, variant: str = "line", capability: tuple[int, int] = (8, 0)) -> str:
    """An image after a stage, as text. `entry`: one kernel (default: all)."""
    if stage == "image":
        return image.describe(data)
    module = read_module(read_image(data, capability))
    if stage == "ptx":
        return ptx.print_module(module)
    entries = [entry] if entry else [f.name for f in module.functions.values() if f.kind == "entry" and f.body is not None]
    out = []
    for name in entries:
        function = build(module, name)
        if stage == "ir":
            out.append(print_function(function))
            continue
        if stage == "analyses":
            fold_known_numbers(function)
            shapes = analyse(function, variant)
            out.append(print_function(function, lambda v, s=shapes: describe_shape(s, v)))  # type: ignore[misc]
            continue
        text = lower(function, variant, llvm.feature_set()).text
        if stage == "llvm":
            out.append(text)
            continue
        llvm_module = llvm.parse(text)
        llvm.optimise(llvm_module)
        out.append(str(llvm_module) if stage == "llvm-opt" else llvm.emit_assembly(llvm_module))
    return "\n".join(out)


def describe_shape(shapes: Shapes, value: model.Value) -> str:
    """A shape in a few letters: `uniform`, `affine(4)`, `rows2(1)`, `varying`; `?` behind it where a run-time test decides."""
    shape = shapes.of[value.id]
    test = "?" if shape.deviation else ""
    if shape.is_uniform:
        return "uniform"
    if shape.is_varying:
        return "varying"
    return f"{'affine' if shape.rows == 1 else f'rows{shape.rows}'}({shape.stride}){test}"
