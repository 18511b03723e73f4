"""The manifests that the native runtime reads: the only contract between Python and C++ besides `abi` (docs/architecture.md section 8)."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Any

from anywarp.ir import model
from anywarp.ir.build import parameters
from anywarp.ir.builtin import ServiceCall
from anywarp.ir.flatten import variable_alignment, variable_bytes
from anywarp.ir.operands import constant
from anywarp.isa import types
from anywarp.pipeline import CompiledKernel
from anywarp.ptx import tree
from anywarp.ptx.diagnostics import PtxError

VERSION = 1
MANAGED, EXTERN, WEAK, UNNAMED = 1, 2, 4, 8
STRAIGHT, STEPPED = 0, 1
USES_DYNAMIC_SHARED, MAY_SPIN, NEEDS_STACK, STARTS_WORK = 1, 2, 4, 8
REGISTERS_OF_MULTIPROCESSOR = 65536  # of every device profile; a warp gets them in units of 256, 8 a thread


class Writer:
    """Appends little-endian fields."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def u32(self, *values: int) -> Writer:
        self.parts.append(struct.pack(f"<{len(values)}I", *values))
        return self

    def u64(self, value: int) -> Writer:
        self.parts.append(struct.pack("<Q", value & ((1 << 64) - 1)))
        return self

    def data(self, value: bytes) -> Writer:
        """`bytes` of the protocol: a u32 length and the bytes."""
        self.parts += [struct.pack("<I", len(value)), value]
        return self

    def text(self, value: str) -> Writer:
        """`str` of the protocol."""
        return self.data(value.encode())

    def done(self) -> bytes:
        return b"".join(self.parts)


def _numbers(directive: Iterable[Any] | None) -> list[int]:
    return [int(v) for v in directive or ()]


def _triple(directive: Iterable[Any] | None) -> list[int]:
    values = _numbers(directive)
    return [*values, *[1] * (3 - len(values))] if values else [0, 0, 0]


def initial_data(variable: tree.Variable) -> tuple[bytes, list[tuple[int, int, str, int, int]]]:
    """A variable's initial bytes (empty: all zero) and its relocations (offset, bytes, symbol, addend, mask)."""
    if not variable.initializer:
        return b"", []
    width = max(types.width(variable.type) // 8, 1)
    data = bytearray(variable_bytes(variable))
    relocations = []
    for i, item in enumerate(variable.initializer):
        place = i * width
        if isinstance(item, tree.Integer):
            value = item.value
        elif isinstance(item, tree.Float):
            value = constant(item, "bf16" if variable.type == "bf16" else f"f{8 * max(width, 2)}").value
        else:
            mask, symbol = (item.mask, item.symbol) if isinstance(item, tree.MaskedSymbol) else ((1 << 64) - 1, item)
            relocations.append((place, width, symbol.name, symbol.offset, mask))
            continue
        data[place : place + width] = (value & ((1 << 8 * width) - 1)).to_bytes(width, "little")
    return bytes(data), relocations


def module_manifest(module: tree.Module) -> bytes:
    """The manifest of a module."""
    w = Writer().u32(VERSION).text(module.target)
    entries = [f for f in module.functions.values() if f.kind == "entry" and f.body is not None]
    w.u32(len(entries))
    for entry in entries:
        places = parameters(entry)
        w.text(entry.name).u32(max((p.offset + p.bytes for p in places), default=0)).u32(len(places))
        for p in places:
            w.u32(p.offset, p.bytes, p.alignment)
        d = entry.directives
        w.u32(*_triple(d.get("reqntid"))).u32(*_triple(d.get("maxntid"))).u32(*_triple(d.get("reqnctapercluster")))
    variables = [v for v in _all_variables(module) if v.space in ("global", "const")]
    w.u32(len(variables))
    for v in variables:
        data, relocations = initial_data(v)
        flags = (
            (MANAGED if "managed" in v.attributes else 0)
            | (EXTERN if v.linkage == "extern" else 0)
            | (WEAK if v.linkage in ("weak", "common") else 0)
        )
        if v.linkage == "":
            flags |= UNNAMED
        w.text(v.name).u32(1 if v.space == "global" else 2).u64(variable_bytes(v)).u32(variable_alignment(v), flags).data(data).u32(
            len(relocations)
        )
        for place, size, symbol, addend, mask in relocations:
            w.u64(place).u32(size).text(symbol).u64(addend).u64(mask)
    functions = [f.name for f in module.functions.values() if f.kind == "func" and f.body is not None]
    w.u32(len(functions))
    for name in functions:
        w.text(name)
    return w.done()


def _all_variables(module: tree.Module) -> list[tree.Variable]:
    """The module's variables and those that functions declare in their bodies."""
    found = list(module.variables.values())
    names = {v.name for v in found}

    def walk(statements: list[tree.Statement]) -> None:
        for s in statements:
            if isinstance(s, tree.Variable) and s.space in ("global", "const"):
                if s.name in names:
                    raise PtxError(f"{s.name!r} is declared twice", s.line)
                names.add(s.name)
                found.append(s)
            elif isinstance(s, tree.Block):
                walk(s.statements)

    for function in module.functions.values():
        if function.body is not None:
            walk([s for s in function.body if isinstance(s, (tree.Variable, tree.Block))])
    return found


def estimated_registers(compiled: CompiledKernel) -> int:
    """Registers a thread, for occupancy questions: a guess from the widest set of live values would cost a pass, so from the declared
    widths: 16 or more, 255 at most, and never more than the kernel's directives leave: a block as large as it declares (`.maxntid`,
    `.reqntid`) can be launched, `.minnctapersm` times on a multiprocessor, and `.maxnreg` is kept (PTX ISA 11.4)."""
    values = sum(1 for op in compiled.function.operations() for r in op.results if r.width >= 32)
    directives = compiled.function.source.directives
    limits = [255, *_numbers(directives.get("maxnreg"))]
    blocks = max([1, *_numbers(directives.get("minnctapersm"))])
    for declared in (directives.get("reqntid"), directives.get("maxntid")):
        if declared:
            warps = -(-math.prod(_triple(declared)) // 32)
            limits.append(REGISTERS_OF_MULTIPROCESSOR // (32 * warps * blocks) // 8 * 8)
    return max(1, min(max(16, 8 * -(-(values // 3 + 8) // 8)), *limits))


def _starts_work(function: model.Function) -> bool:
    """Whether a kernel calls the device runtime: what it launches belongs to its launch."""
    functions = (function, *function.callees.values())
    return any(isinstance(op.op, ServiceCall) and op.op.name == "device" for f in functions for op in f.operations())


def kernel_manifest(entry: str, compiled: CompiledKernel) -> bytes:
    """The manifest of a compiled kernel, with its object."""
    lowered, function = compiled.lowered, compiled.function
    flags = (USES_DYNAMIC_SHARED if function.uses_dynamic_shared else 0) | (MAY_SPIN if lowered.may_spin else 0)
    flags |= NEEDS_STACK if lowered.waits_in_functions else 0
    flags |= STARTS_WORK if _starts_work(function) else 0
    w = Writer().u32(VERSION).text(entry).u32(STEPPED if lowered.is_stepped else STRAIGHT).text(lowered.function)
    w.u32(lowered.frame_bytes, lowered.local_bytes, lowered.static_shared_bytes, flags, estimated_registers(compiled)).u32(
        len(function.symbols)
    )
    for name in function.symbols:
        w.text(name)
    return w.data(compiled.object).done()
