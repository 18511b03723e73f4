"""The operands of a flat PTX instruction as registers and constants (not yet SSA), and the operations that it becomes.

What PTX says implicitly becomes explicit here: special registers, addresses of variables, registers that are wider than an operand's type,
negated predicates, guards of pure instructions (a select). `decode` chooses the instruction that the operands are read for.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

from anywarp.ir import builtin
from anywarp.ir.flatten import Flattener
from anywarp.ir.model import Constant
from anywarp.ir.names import (
    CallParameter,
    DynamicShared,
    Entity,
    KernelParameter,
    ModuleSymbol,
    Register,
    Scope,
    WindowVariable,
)
from anywarp.isa import base, special_registers, types
from anywarp.ptx import tree
from anywarp.ptx.diagnostics import PtxError

RawScalar = Register | Constant


@dataclass(frozen=True, slots=True)
class RawAddress:
    """A `model.Address` whose base is a register or a constant: `base` plus `offset` bytes."""

    base: RawScalar
    offset: int = 0


class RawOperation:
    """An operation whose operands (`RawScalar`, `RawAddress`, tuples of `RawScalar`) and results are registers."""

    __slots__ = ("extra", "guard", "line", "op", "operands", "result_types", "results", "types")

    def __init__(
        self,
        op: base.Instruction,
        operands: list[Any],
        types: list[Any],
        results: list[Register],
        result_types: list[str],
        line: int,
    ) -> None:
        self.op, self.operands, self.types, self.results, self.result_types, self.line = op, operands, types, results, result_types, line
        self.guard: RawScalar | None = None
        self.extra: Any = None


class OperandReader:
    """Reads operands of one function's instructions; `out` collects operations, what an operand needs before the instruction's own."""

    def __init__(self, flattener: Flattener, caller: OperandReader | None = None) -> None:
        self.flattener = flattener
        self.counter = flattener.counter
        self.out: list[RawOperation] = []
        self.symbols: dict[str, int] = {} if caller is None else caller.symbols
        self.called: set[str] = set()
        self.carry = self.counter.register(1)

    # ------------------------------------------------------------------------------------------------ registers and temporaries

    def builtin(self, op: base.Lane, operands: list[Any], types_: list[str], width: int, line: int) -> Register:
        result = self.counter.register(width)
        self.out.append(RawOperation(op, operands, types_, [result], ["pred" if width == 1 else f"b{width}"], line))
        return result

    def resized(self, register: RawScalar, width: int, signed: bool, line: int) -> RawScalar:
        if isinstance(register, Constant):
            value = register.value
            if signed and value >> (register.width - 1) & 1:
                value -= 1 << register.width
            return Constant(value & ((1 << width) - 1), width)
        if register.width == width:
            return register
        if 1 in (register.width, width):
            raise PtxError(f"a predicate where a number of {max(register.width, width)} bits belongs, or the other way round", line)
        return self.builtin(builtin.Resize(register.width, width, signed), [register], [f"b{register.width}"], width, line)

    def negated(self, register: Register, line: int) -> Register:
        if register.width != 1:
            raise PtxError("'!' in front of what is no predicate", line)
        return self.builtin(builtin.Not(), [register], ["pred"], 1, line)

    def register(self, name: str, scope: Scope, line: int) -> Register:
        entity = scope.find(name)
        if not isinstance(entity, Register):
            raise PtxError(f"{name!r} is not a register", line)
        return entity

    def predicate(self, name: str, negated: bool, scope: Scope, line: int) -> Register:
        """The register of a guard, negated as asked. Raises PtxError where it is no predicate."""
        register = self.register(name, scope, line)
        if register.width != 1:
            raise PtxError(f"the guard {name!r} is not a predicate", line)
        return self.negated(register, line) if negated else register

    # ------------------------------------------------------------------------------------------------ names and constants

    def entity(self, name: str, scope: Scope, line: int) -> Entity:
        return scope.find(name) or self.flattener.module_entity(name, line)

    def symbol_value(self, symbol: tree.Symbol, scope: Scope, width: int, line: int) -> RawScalar:
        """The address of a variable in its own state space (generic for `generic(x)`)."""
        entity = self.entity(symbol.name, scope, line)
        offset = symbol.offset
        if isinstance(entity, Register):
            return entity
        if isinstance(entity, WindowVariable):
            if symbol.generic and entity.space == "shared":
                return self.builtin(builtin.SharedAddress(entity.offset + offset), [], [], 64, line)
            return Constant(entity.offset + offset, width)
        if isinstance(entity, DynamicShared):
            return self.builtin(builtin.DynamicSharedOffset(self.flattener.shared, offset, width), [], [], width, line)
        if isinstance(entity, KernelParameter):
            return self.builtin(builtin.ParameterAddress(entity.offset + offset), [], [], 64, line)
        if isinstance(entity, ModuleSymbol):
            index = self.symbols.setdefault(entity.name, len(self.symbols))
            return self.builtin(builtin.SymbolAddress(index, offset), [], [], 64, line)
        if isinstance(entity, CallParameter):
            assert entity.local_offset is not None
            return Constant(entity.local_offset + offset, width)
        raise PtxError(f"{symbol.name!r} cannot be used as a value", line)

    # ------------------------------------------------------------------------------------------------ operands

    def source(self, operand: tree.Operand, type: str, scope: Scope, line: int) -> RawScalar:
        """A source operand of a PTX type: a Register of exactly its width, or a Constant."""
        width = types.width(type)
        if isinstance(operand, (tree.Integer, tree.Float)):
            return constant(operand, type)
        if isinstance(operand, tree.Register):
            entity = scope.find(operand.name)
            if isinstance(entity, Register):
                return self.resized(entity, width, types.is_signed(type), line)
            special = special_registers.find(operand.name)
            if special is not None:
                value = self.builtin(special, [], [], special.width, line)
                return self.resized(value, width, False, line)
            if operand.name == "WARP_SZ":
                return Constant(32, width)
            operand = tree.Symbol(operand.name)
        if isinstance(operand, tree.Symbol):
            if operand.name == "WARP_SZ":
                return Constant(32, width)
            return self.resized(self.symbol_value(operand, scope, width, line), width, False, line)
        if isinstance(operand, tree.Negated):
            return self.negated(self.register(operand.operand.name, scope, line), line)
        if isinstance(operand, tree.Component):
            return self.resized(
                self.register(f"{operand.base.name}.{'xyzw'[operand.index]}", scope, line), width, types.is_signed(type), line
            )
        raise PtxError(f"an operand of type .{type} cannot be {operand!r}", line)

    def sources(self, op: base.Instruction, operand: tree.Operand, type: base.OperandType, scope: Scope, line: int) -> Any:
        """A source operand: a `RawScalar`, or a tuple of them for a vector."""
        if isinstance(type, str):
            return self.source(operand, type, scope, line)
        elements = self._elements(operand, scope)
        if len(elements) != type[1]:
            raise PtxError(f"{op!r} reads {type[1]} registers, not {len(elements)}", line)
        return tuple(self.source(e, type[0], scope, line) for e in elements)

    def _elements(self, operand: tree.Operand, scope: Scope) -> tuple[tree.Operand, ...]:
        """The registers of a vector operand: `{a, b}`, a register of a vector type, or a single one."""
        if isinstance(operand, tree.Vector):
            return tuple(operand.elements)
        if isinstance(operand, tree.Register) and scope.find(operand.name) is None:
            components = [i for i in range(4) if scope.find(f"{operand.name}.{'xyzw'[i]}") is not None]
            if components:
                return tuple(tree.Component(operand, i) for i in components)
        return (operand,)

    def address(self, operand: tree.Operand, scope: Scope, line: int) -> RawAddress:
        """A memory operand in the instruction's state space."""
        if isinstance(operand, (tree.Symbol, tree.Register)):
            operand = tree.Address(
                operand if isinstance(operand, tree.Register) else tree.Symbol(operand.name), getattr(operand, "offset", 0)
            )
        if not isinstance(operand, tree.Address):
            raise PtxError(f"expected an address in brackets, found {operand!r}", line)
        if operand.base is None:
            return RawAddress(Constant(operand.offset & ((1 << 64) - 1), 64))
        if isinstance(operand.base, tree.Register):
            entity = scope.find(operand.base.name)
            if isinstance(entity, Register):
                return RawAddress(entity, operand.offset)
            base_symbol = tree.Symbol(operand.base.name, operand.offset)
        else:
            base_symbol = tree.Symbol(operand.base.name, operand.base.offset + operand.offset, operand.base.generic)
        return RawAddress(self.symbol_value(base_symbol, scope, 64, line))

    # ------------------------------------------------------------------------------------------------ results

    def targets(
        self, op: base.Instruction, operand: tree.Operand, type: base.OperandType, scope: Scope, line: int
    ) -> list[tuple[Register, str]]:
        """The registers that a result goes to, one or those of a vector."""
        if isinstance(type, str):
            return [self.target(operand, type, scope, line)]
        elements = self._elements(operand, scope)
        if len(elements) != type[1]:
            raise PtxError(f"{op!r} writes {type[1]} registers, not {len(elements)}", line)
        return [self.target(e, type[0], scope, line) for e in elements]

    def emit(
        self,
        op: base.Instruction,
        operands: list[Any],
        operand_types: list[Any],
        targets: list[tuple[Register, str]],
        guard: Register | None,
        line: int,
    ) -> None:
        results: list[Register] = []
        after: list[tuple[Register, Register, str]] = []
        for register, type in targets:
            width = types.width(type)
            if guard is None and register.width == width:
                results.append(register)
            else:
                temporary = self.counter.register(width)
                results.append(temporary)
                after.append((temporary, register, type))
        operation = RawOperation(op, operands, operand_types, results, [t for _, t in targets], line)
        if guard is not None and not op.is_pure:
            operation.guard = guard
        self.out.append(operation)
        for temporary, register, type in sorted(after, key=lambda each: each[1] == guard):  # the guard itself last: others need it
            value: RawScalar = temporary
            if register.width != temporary.width:
                value = self.resized(value, register.width, types.is_signed(type), line)
            name = "pred" if register.width == 1 else f"b{register.width}"
            if guard is not None:
                self.out.append(RawOperation(builtin.Select(), [guard, value, register], ["pred", name, name], [register], [name], line))
            else:
                assert self.out[-1].results == [value]
                self.out[-1].results = [register]

    def target(self, operand: tree.Operand, type: base.OperandType, scope: Scope, line: int) -> tuple[Register, str]:
        assert isinstance(type, str)
        if isinstance(operand, tree.Sink):
            return self.counter.register(types.width(type)), type
        if isinstance(operand, tree.Component):
            return self.register(f"{operand.base.name}.{'xyzw'[operand.index]}", scope, line), type
        if isinstance(operand, (tree.Register, tree.Symbol)):
            return self.register(operand.name, scope, line), type
        raise PtxError(f"a destination cannot be {operand!r}", line)


def constant(operand: tree.Integer | tree.Float, type: str) -> Constant:
    """A constant's bits in an operand of a PTX type: floats are rounded to it, integers wrap."""
    width = types.width(type)
    if isinstance(operand, tree.Integer):
        return Constant(operand.value & ((1 << width) - 1), width)
    bits = operand.bits
    if operand.width == 64 and width == 32:
        bits = struct.unpack("<I", struct.pack("<f", _clamp(struct.unpack("<d", struct.pack("<Q", bits))[0])))[0]
    elif type == "bf16":
        form, raw = ("<d", "<Q") if operand.width == 64 else ("<f", "<I")
        bits = _bfloat(struct.unpack(form, struct.pack(raw, bits))[0])
    elif operand.width == 64 and width == 16:
        bits = struct.unpack("<H", struct.pack("<e", struct.unpack("<d", struct.pack("<Q", bits))[0]))[0]
    elif operand.width == 32 and width == 64:
        bits = struct.unpack("<Q", struct.pack("<d", struct.unpack("<f", struct.pack("<I", bits))[0]))[0]
    return Constant(bits & ((1 << width) - 1), width)


def _bfloat(value: float) -> int:
    """The nearest bf16, ties to even, in one rounding."""
    if value != value:
        return 0x7FFF
    size, sign = abs(value), 0x8000 if struct.pack(">d", value)[0] & 0x80 else 0
    if size == float("inf"):
        return sign | 0x7F80
    exponent = max(math.frexp(size)[1] - 1, -126) if size else -126
    steps = round(math.ldexp(size, 7 - exponent))  # exact until rounded
    return sign | min((exponent + 126 << 7) + steps, 0x7F80)


def _clamp(value: float) -> float:
    """Python refuses to pack what overflows f32; PTX rounds it to infinity."""
    if value != value or abs(value) <= 3.4028235677973366e38 or value in (float("inf"), float("-inf")):
        return value
    return float("inf") if value > 0 else float("-inf")
