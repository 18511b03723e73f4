"""One flat PTX instruction to operations over registers (not yet SSA): chooses the declaration, reads operands, adapts widths.

What PTX says implicitly becomes explicit here: special registers, addresses of variables, registers that are wider than an operand's type,
negated predicates, guards of pure instructions (a select), call parameters.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any

from anywarp.ir import builtin
from anywarp.ir.flatten import FlatCall, FlatMove, FlatService, Flattener, Signature
from anywarp.ir.model import Constant
from anywarp.ir.names import (
    ArgumentParameter,
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
from anywarp.ptx.diagnostics import PtxError, UnsupportedInstruction

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


class Decoder:
    """Decodes the instructions of one kernel, in order; `out` collects operations."""

    def __init__(self, flattener: Flattener, caller: Decoder | None = None) -> None:
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
        return self.builtin(builtin.Resize(register.width, width, signed), [register], [f"b{register.width}"], width, line)

    def negated(self, register: Register, line: int) -> Register:
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

    # ------------------------------------------------------------------------------------------------ instructions

    def select_declaration(self, instruction: tree.Instruction, scope: Scope | None = None) -> base.Instruction:
        """The declaration that the opcode and its operands mean. Raises UnsupportedInstruction."""
        candidates = base.resolve(instruction.opcode)
        fitting = [c for c in candidates if _fits(c, instruction.operands)]
        if len(fitting) > 1 and scope is not None:
            fitting.sort(key=lambda c: not _agrees(c, instruction.operands, scope))
        if fitting:
            return fitting[0]
        column = instruction.column
        if candidates:
            raise PtxError(
                f"{instruction.mnemonic} does not take these {len(instruction.operands)} operands: expected '{candidates[0].form.text}' "
                f"(PTX ISA {candidates[0].section})",
                instruction.line,
                column,
            )
        known = [c for c in base.declarations() if any(f.mnemonic == instruction.opcode[0] for f in c.forms)]
        where = f"; PTX ISA {known[0].section} has its forms" if known else "; PTX ISA 9.7"
        raise UnsupportedInstruction(f"instruction {instruction.mnemonic} is not supported{where}", instruction.line, column)

    def decode(self, instruction: tree.Instruction, scope: Scope) -> None:
        """Appends the operations of one instruction that is no branch."""
        line = instruction.line
        opcode = instruction.opcode
        operands_flat = tree.flat_operands(instruction.operands)
        if operands_flat is not instruction.operands:
            instruction = replace(instruction, operands=operands_flat)
        if opcode[0] in ("ld", "st") and len(opcode) > 1 and opcode[1].startswith("param") and self._parameter_access(instruction, scope):
            return
        op = self.select_declaration(instruction, scope)
        guard = None
        if instruction.guard is not None:
            guard = self.predicate(instruction.guard, instruction.guard_negated, scope, line)
        operands: list[Any] = []
        operand_types: list[Any] = []
        targets: list[tuple[Register, str]] = []  # destination registers in order, with their types
        specs = _specs_for(op, len(instruction.operands))
        at = 0
        for operand in instruction.operands:
            spec = specs[at]
            at += 1
            if spec.is_result and isinstance(operand, tree.Pair):
                second = specs[at]
                at += 1
                targets += self._target_registers(op, operand.first, spec, scope, line)
                targets.append(self._target(operand.second, op.operand_type(second.name), scope, line))
                continue
            if at < len(specs) and specs[at].is_pair_second:
                at += 1
                if spec.is_result:
                    targets += self._target_registers(op, operand, spec, scope, line)
                    targets.append((self.counter.register(1), "pred"))
                    continue
            type = op.operand_type(spec.name) if not spec.is_address else "b64"
            if spec.is_result:
                targets += self._target_registers(op, operand, spec, scope, line)
                continue
            if spec.is_address:
                operands.append(self.address(operand, scope, line))
            elif isinstance(type, tuple):
                elements = operand.elements if isinstance(operand, tree.Vector) else (operand,)
                if len(elements) != type[1]:
                    raise PtxError(f"{op!r} reads {type[1]} registers for {spec.name}, not {len(elements)}", line, instruction.column)
                operands.append(tuple(self.source(e, type[0], scope, line) for e in elements))
            else:
                operands.append(self.source(operand, type, scope, line))
            operand_types.append(type)
        if op.reads_destination:
            type = op.operand_type(specs[0].name)
            given = instruction.operands[0]
            assert isinstance(type, tuple)
            elements = given.elements if isinstance(given, tree.Vector) else (given,)
            operands.append(tuple(self.source(e, type[0], scope, line) for e in elements))
            operand_types.append(type)
        if op.reads_carry:
            operands.append(self.carry)
            operand_types.append("pred")
        if op.writes_carry:
            targets.append((self.carry, "pred"))
        self._emit(op, operands, operand_types, targets, guard, line)

    def _target_registers(
        self, op: base.Instruction, operand: tree.Operand, spec: base.OperandSpec, scope: Scope, line: int
    ) -> list[tuple[Register, str]]:
        """The registers that a result goes to, one or those of a vector."""
        type = op.operand_type(spec.name)
        if isinstance(type, str):
            return [self._target(operand, type, scope, line)]
        elements = operand.elements if isinstance(operand, tree.Vector) else (operand,)
        if len(elements) != type[1]:
            raise PtxError(f"{op!r} writes {type[1]} registers, not {len(elements)}", line)
        return [self._target(e, type[0], scope, line) for e in elements]

    def _emit(
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
        for temporary, register, type in after:
            value: RawScalar = temporary
            if register.width != temporary.width:
                value = self.resized(value, register.width, types.is_signed(type), line)
            name = "pred" if register.width == 1 else f"b{register.width}"
            if guard is not None:
                self.out.append(RawOperation(builtin.Select(), [guard, value, register], ["pred", name, name], [register], [name], line))
            else:
                assert self.out[-1].results == [value]
                self.out[-1].results = [register]

    def _target(self, operand: tree.Operand, type: base.OperandType, scope: Scope, line: int) -> tuple[Register, str]:
        assert isinstance(type, str)
        if isinstance(operand, tree.Sink):
            return self.counter.register(types.width(type)), type
        if isinstance(operand, tree.Component):
            return self.register(f"{operand.base.name}.{'xyzw'[operand.index]}", scope, line), type
        if isinstance(operand, (tree.Register, tree.Symbol)):
            return self.register(operand.name, scope, line), type
        raise PtxError(f"a destination cannot be {operand!r}", line)

    # ------------------------------------------------------------------------------------------------ parameters

    def _parameter_access(self, instruction: tree.Instruction, scope: Scope) -> bool:
        """ld.param of a kernel parameter, and ld.param and st.param of call parameters. False: not such an access."""
        is_load = instruction.opcode[0] == "ld"
        address = instruction.operands[0 if not is_load else 1]
        if not isinstance(address, tree.Address) or address.base is None:
            return False
        entity = scope.find(address.base.name)
        offset = address.offset + (address.base.offset if isinstance(address.base, tree.Symbol) else 0)
        type, _ = access_type(instruction.opcode)
        bits = types.width(type)
        data = instruction.operands[1 if not is_load else 0]
        elements = data.elements if isinstance(data, tree.Vector) else (data,)
        line = instruction.line
        guard = self.predicate(instruction.guard, instruction.guard_negated, scope, line) if instruction.guard else None
        if isinstance(entity, KernelParameter) and is_load:
            for i, element in enumerate(elements):
                load = builtin.LoadParameter(entity.offset + offset + i * bits // 8, bits)
                self._emit(load, [], [], [self._target(element, type, scope, line)], guard, line)
            return True
        if isinstance(entity, ArgumentParameter):
            moved: tree.Operand = tree.Address(None, entity.offset + offset)
            operands: tuple[tree.Operand, ...] = (data, moved) if is_load else (moved, data)
            replaced = ("ld" if is_load else "st", "local", *instruction.opcode[2:])
            self.decode(tree.Instruction(replaced, operands, line, instruction.guard, instruction.guard_negated), scope)
            access = next(o for o in reversed(self.out) if o.op.opcode[0] in ("ld", "st"))
            access.extra = "argument"
            return True
        if isinstance(entity, CallParameter):
            if entity.parts is not None:
                for i, element in enumerate(elements):
                    part = entity.parts[offset + i * bits // 8]
                    op = builtin.Resize(part.width, part.width, False)
                    if is_load:
                        self._emit(op, [part], [f"b{part.width}"], [self._target(element, type, scope, line)], guard, line)
                    else:
                        value = self.source(element, type, scope, line)
                        self._emit(op, [value], [f"b{part.width}"], [(part, f"b{part.width}")], guard, line)
                return True
            local = tuple("local" if p.startswith("param") else p for p in instruction.opcode)
            assert entity.local_offset is not None
            moved = tree.Address(None, entity.local_offset + offset)
            operands = (data, moved) if is_load else (moved, data)
            self.decode(tree.Instruction(local, operands, line, instruction.guard, instruction.guard_negated), scope)
            return True
        return False

    def move(self, item: FlatMove) -> None:
        """An argument or result that a call passes in a register."""
        parameter = item.parameter
        assert parameter.parts is not None
        part = parameter.parts[0]
        op = builtin.Resize(part.width, part.width, False)
        if item.to_parameter:
            value = self.source(item.operand, f"b{part.width}", item.scope, item.line)
            self._emit(op, [value], [f"b{part.width}"], [(part, f"b{part.width}")], None, item.line)
        else:
            self._emit(
                op, [part], [f"b{part.width}"], [self._target(item.operand, f"b{part.width}", item.scope, item.line)], None, item.line
            )

    def _parts(self, parameter: CallParameter, scope: Scope, line: int, is_argument: bool) -> list[tuple[int, Register]]:
        """A call parameter as registers by byte offset; one in local memory goes through registers of 8 bytes and less."""
        if parameter.parts is not None:
            return sorted(parameter.parts.items())
        parts, offset = [], 0
        while offset < parameter.bytes:
            size = next(s for s in (8, 4, 2, 1) if offset % s == 0 and offset + s <= parameter.bytes)
            register = self.counter.register(8 * size)
            if is_argument:
                load = self.select_declaration(
                    tree.Instruction(("ld", "local", f"b{8 * size}"), (tree.Register("%r"), tree.Address(None)), line)
                )
                assert parameter.local_offset is not None
                self.out.append(
                    RawOperation(
                        load, [RawAddress(Constant(parameter.local_offset + offset, 64))], ["b64"], [register], [f"b{8 * size}"], line
                    )
                )
            parts.append((offset, register))
            offset += size
        return parts

    def call(self, item: FlatCall) -> None:
        """A call of a device function that stays a function."""
        guard = self.predicate(item.guard, item.guard_negated, item.scope, item.line) if item.guard else None
        operands: list[Any] = []
        operand_types: list[Any] = []
        candidates: list[tuple[str, int]] = []
        name: str | None = None
        if isinstance(item.target, str):
            name = item.target
        else:
            operands.append(self.source(item.target, "b64", item.scope, item.line))
            operand_types.append("b64")
            for function in self.flattener.module.functions.values():
                if (
                    function.kind == "func"
                    and function.body is not None
                    and Signature.of(function.returns, function.params) == item.signature
                ):
                    candidates.append((function.name, self.symbols.setdefault(function.name, len(self.symbols))))
        self.called |= {name} if name else {c for c, _ in candidates}
        arguments, results = [], []
        for parameter, place in zip(item.arguments, item.signature.parameters):
            for offset, register in self._parts(parameter, item.scope, item.line, True):
                arguments.append((place + offset, register.width))
                operands.append(register)
                operand_types.append(f"b{register.width}")
        targets: list[tuple[Register, str]] = []
        stores: list[RawOperation] = []
        for parameter, place in zip(item.results, item.signature.results):
            for offset, register in self._parts(parameter, item.scope, item.line, False):
                results.append((place + offset, register.width))
                targets.append((register, f"b{register.width}"))
                if parameter.parts is None:
                    type_ = f"b{register.width}"
                    store = self.select_declaration(
                        tree.Instruction(("st", "local", type_), (tree.Address(None), tree.Register("%r")), item.line)
                    )
                    assert parameter.local_offset is not None
                    address = RawAddress(Constant(parameter.local_offset + offset, 64))
                    stores.append(RawOperation(store, [address, register], ["b64", type_], [], [], item.line))
        self._emit(
            builtin.CallFunction(name, candidates, arguments, results, item.signature.bytes),
            operands,
            operand_types,
            targets,
            guard,
            item.line,
        )
        self.out += stores

    def service(self, item: FlatService) -> None:
        """A call of a platform function: whole parameters go in and out."""
        guard = self.predicate(item.guard, item.guard_negated, item.scope, item.line) if item.guard else None
        values, value_types = [], []
        for parameter in item.arguments:
            assert parameter.parts is not None
            values.append(parameter.parts[0])
            value_types.append(f"b{parameter.parts[0].width}")
        targets = []
        for parameter in item.results:
            assert parameter.parts is not None
            targets.append((parameter.parts[0], f"b{parameter.parts[0].width}"))
        self._emit(builtin.ServiceCall(item.name), values, value_types, targets, guard, item.line)


def access_type(opcode: tuple[str, ...]) -> tuple[str, int]:
    """The element type and count of a load or store by its opcode: `("ld", "param", "v2", "f32")` is ("f32", 2)."""
    count = 1
    for part in opcode:
        if part in ("v2", "v4", "v8"):
            count = int(part[1])
    return opcode[-1], count


def constant(operand: tree.Integer | tree.Float, type: str) -> Constant:
    """A constant's bits in an operand of a PTX type: floats are rounded to it, integers wrap."""
    width = types.width(type)
    if isinstance(operand, tree.Integer):
        return Constant(operand.value & ((1 << width) - 1), width)
    bits = operand.bits
    if operand.width == 64 and width == 32:
        bits = struct.unpack("<I", struct.pack("<f", _clamp(struct.unpack("<d", struct.pack("<Q", bits))[0])))[0]
    elif operand.width == 64 and width == 16:
        bits = struct.unpack("<H", struct.pack("<e", struct.unpack("<d", struct.pack("<Q", bits))[0]))[0]
    elif operand.width == 32 and width == 64:
        bits = struct.unpack("<Q", struct.pack("<d", struct.unpack("<f", struct.pack("<I", bits))[0]))[0]
    return Constant(bits & ((1 << width) - 1), width)


def _clamp(value: float) -> float:
    """Python refuses to pack what overflows f32; PTX rounds it to infinity."""
    if value != value or abs(value) <= 3.4028235677973366e38 or value in (float("inf"), float("-inf")):
        return value
    return float("inf") if value > 0 else float("-inf")


def _specs_for(op: base.Instruction, count: int) -> list[base.OperandSpec]:
    """A syntax's operands where `count` are given: optional ones are left out from the left (`bar.red d, a{, b}, c`)."""
    specs = op.form.operands
    missing = sum(1 for s in specs if not s.is_pair_second) - count
    kept = []
    for spec in specs:
        if missing > 0 and spec.is_optional and not spec.is_pair_second:
            missing -= 1
        else:
            kept.append(spec)
    return kept


def _agrees(op: base.Instruction, operands: tuple[tree.Operand, ...], scope: Scope) -> bool:
    """Whether predicates stand where a syntax has them, and nowhere else."""
    specs = [s for s in _specs_for(op, len(operands)) if not s.is_pair_second]
    for spec, operand in zip(specs, operands):
        if isinstance(operand, tree.Register) and not spec.is_address:
            entity = scope.find(operand.name)
            if isinstance(entity, Register) and (entity.width == 1) != (op.operand_type(spec.name) == "pred"):
                return False
    return True


def _fits(op: base.Instruction, operands: tuple[tree.Operand, ...]) -> bool:
    """Whether the operands' number and kinds suit a syntax."""
    specs = op.form.operands
    required = sum(1 for s in specs if not s.is_optional and not s.is_pair_second)
    most = sum(1 for s in specs if not s.is_pair_second)
    if not required <= len(operands) <= most:
        return False
    specs = _specs_for(op, len(operands))
    at = 0
    for operand in operands:
        spec = specs[at]
        at += 1
        if at < len(specs) and specs[at].is_pair_second:
            at += 1
            if isinstance(operand, tree.Pair):
                operand = operand.first
        elif isinstance(operand, tree.Pair):
            return False
        if isinstance(operand, tree.Vector):
            type = op.operand_type(spec.name)
            if not isinstance(type, tuple) or type[1] != len(operand.elements):
                return False
        elif isinstance(operand, tree.Address) and not spec.is_address:
            return False
        elif not isinstance(operand, tree.Address) and not spec.is_address:
            type = op.operand_type(spec.name)
            if isinstance(type, tuple) and type[1] > 1:
                return False
    return True
