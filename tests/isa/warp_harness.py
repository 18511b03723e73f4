"""Compiles one warp instruction as a kernel would have it: some operands constant, the warp known to be full or not, any target features.

The `.ptx` files (lane_harness.py) cover operands that are varying, uniform, or one of them constant. Where several constants at once choose
the code (shuffles), or a bound must be judged over the whole warp (matrix products), a Python test uses this.
"""

from __future__ import annotations

import ctypes
from typing import Any

import anywarp.isa  # noqa: F401  declares every instruction
from anywarp.codegen import llvm as codegen
from anywarp.isa import base, types
from anywarp.lower.emit import Module, V
from anywarp.lower.warp import WarpEmitter

WARP = 32


def instruction(opcode: str) -> Any:
    """The one instruction that an opcode means."""
    (found,) = base.resolve(tuple(opcode.split(".")))
    return found


def operands(subject: Any) -> tuple[list[tuple[str, str, int]], list[tuple[str, str, int]]]:
    """(name, element type, registers) of the sources and of the results; registers is 0 for a plain operand."""
    lists: tuple[list[tuple[str, str, int]], list[tuple[str, str, int]]] = ([], [])
    for spec in subject.form.operands:
        given = subject.operand_type(spec.name)
        lists[spec.is_result].append((spec.name, given, 0) if isinstance(given, str) else (spec.name, given[0], given[1]))
    return lists


class Kernels:
    """One LLVM module with a function for each `add`; `compile`, then `run`."""

    def __init__(self, features: frozenset[str] | None = None) -> None:
        self.module = Module(codegen.feature_set() if features is None else features)
        self._subjects: list[tuple[Any, dict[str, int]]] = []
        self._engine: Any = None

    def add(self, subject: Any, constants: dict[str, int] | None = None, is_full: bool = False, uniform: tuple[str, ...] = ()) -> int:
        """A function that computes `subject` once for each block of 32 rows; gives its number."""
        constants = constants or {}
        null = V("ptr", 1, "null")
        w = WarpEmitter(self.module, null, null, null)
        if not is_full:
            w.active = V("i32", 1, "%active")
        sources, results = operands(subject)
        arguments: list[Any] = []
        place = 0
        for name, type, count in sources:
            elem = types.llvm(type)
            loaded = []
            for _ in range(count or 1):
                if name in constants:
                    loaded.append(w.const(elem, constants[name]))
                    continue
                stored = "i8" if elem == "i1" else elem
                n = 1 if name in uniform else WARP
                value = w.load(stored, n, w.offset(V("ptr", 1, "%in"), place), 16)
                loaded.append(w.trunc(value, "i1") if elem == "i1" else value)
                place += 8 * WARP
            arguments.append(tuple(loaded) if count else loaded[0])
        outcome = subject.lower(w, *arguments)
        outcomes = (outcome,) if len(results) == 1 else outcome
        place = 0
        for (_, type, count), item in zip(results, outcomes, strict=True):
            for value in item if count else (item,):
                assert value.elem == types.llvm(type), (value, type)
                value = w.wide(value)
                w.store(w.zext(value, "i8") if value.elem == "i1" else value, w.offset(V("ptr", 1, "%out"), place), 16)
                place += 8 * WARP
        body = "\n".join([*w.entry_lines, *w.lines])
        number = len(self._subjects)
        self.module.functions.append(f"define void @f{number}(ptr noalias %in, ptr noalias %out, i32 %active) {{\n{body}\n  ret void\n}}")
        self._subjects.append((subject, constants))
        return number

    def assembly(self) -> str:
        module = codegen.parse(self.module.text())
        codegen.optimise(module)
        return codegen.emit_assembly(module)

    def compile(self) -> None:
        module = codegen.parse(self.module.text())
        codegen.optimise(module)
        self._engine = codegen.create_engine(module)

    def address(self, number: int) -> int:
        assert self._engine
        return int(self._engine.get_function_address(f"f{number}"))

    def run(self, number: int, rows: list[tuple[Any, ...]], mask: int) -> list[tuple[Any, ...]]:
        """The results of each lane (a tuple of results; a tuple of registers for a vector), from the source operands of each lane."""
        subject, constants = self._subjects[number]
        sources, results = operands(subject)
        data = bytearray()
        for i, (name, type, count) in enumerate(sources):
            size = max(1, types.width(type) // 8)
            for register in range(count or 1):
                if name not in constants:
                    cells = [row[i][register] if count else row[i] for row in rows]
                    data += b"".join(c.to_bytes(size, "little") for c in cells).ljust(8 * WARP, b"\0")
        out = ctypes.create_string_buffer(8 * WARP * sum(c or 1 for _, _, c in results))
        aligned_in = ctypes.create_string_buffer(bytes(data) + b"\0" * 64)
        function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32)(self.address(number))
        # both buffers lie on 16 bytes: what malloc gives
        function(ctypes.addressof(aligned_in), ctypes.addressof(out), mask)
        columns: list[list[Any]] = []
        place = 0
        for _, type, count in results:
            size = max(1, types.width(type) // 8)
            registers = []
            for _ in range(count or 1):
                registers.append([int.from_bytes(out.raw[place + size * k : place + size * (k + 1)], "little") for k in range(WARP)])
                place += 8 * WARP
            columns.append(list(zip(*registers)) if count else registers[0])
        return list(zip(*columns))
