"""One flat PTX instruction to operations over registers (not yet SSA): chooses the declaration, reads operands by it, passes parameters."""

from __future__ import annotations

from typing import Any

from anywarp.ir import builtin
from anywarp.ir.flatten import FlatCall, FlatMove, FlatService, Signature
from anywarp.ir.model import Constant
from anywarp.ir.names import ArgumentParameter, CallParameter, KernelParameter, Register, Scope, is_parameter_access
from anywarp.ir.operands import OperandReader, RawAddress, RawOperation
from anywarp.isa import base, selection, types
from anywarp.ptx import tree
from anywarp.ptx.diagnostics import PtxError, UnsupportedInstruction


class Decoder(OperandReader):
    """Decodes the instructions of one kernel, in order; `out` collects operations."""

    def select_declaration(self, instruction: tree.Instruction, scope: Scope | None = None) -> base.Instruction:
        """The declaration that the opcode and its operands mean. Raises PtxError, UnsupportedInstruction."""

        def is_predicate(name: str) -> bool | None:
            entity = scope.find(name) if scope is not None else None
            return entity.width == 1 if isinstance(entity, Register) else None

        chosen = selection.choose(instruction.opcode, instruction.operands, is_predicate)
        if chosen is not None:
            return chosen
        if candidates := base.resolve(instruction.opcode):
            raise PtxError(
                f"{instruction.mnemonic} does not take these {len(instruction.operands)} operands: expected '{candidates[0].form.text}' "
                f"(PTX ISA {candidates[0].section})",
                instruction.line,
                instruction.column,
            )
        known = [c for c in base.declarations() if any(f.mnemonic == instruction.opcode[0] for f in c.forms)]
        where = f"; PTX ISA {known[0].section} has its forms" if known else "; PTX ISA 9.7"
        raise UnsupportedInstruction(f"instruction {instruction.mnemonic} is not supported{where}", instruction.line, instruction.column)

    def decode(self, instruction: tree.Instruction, scope: Scope) -> None:
        """Appends the operations of one instruction that is no branch."""
        line = instruction.line
        instruction = selection.plain(instruction)
        opcode = instruction.opcode
        if is_parameter_access(opcode) and self._parameter_access(instruction, scope):
            return
        op = self.select_declaration(instruction, scope)
        guard = None
        if instruction.guard is not None:
            guard = self.predicate(instruction.guard, instruction.guard_negated, scope, line)
        operands: list[Any] = []
        operand_types: list[Any] = []
        targets: list[tuple[Register, str]] = []  # destination registers in order, with their types
        for spec, operand in selection.paired(op, instruction.operands) or []:
            type = op.operand_type(spec.name) if not spec.is_address else "b64"
            if operand is None:
                if spec.is_result and spec.is_pair_second:  # `setp` without its second predicate
                    targets.append(self.target(tree.Sink(), type, scope, line))
            elif spec.is_result:
                targets += self.targets(op, operand, type, scope, line)
            else:
                allowed = op.allowed_constants.get(spec.name)
                if allowed and not (isinstance(operand, tree.Integer) and operand.value in allowed):
                    listed = ", ".join(map(str, allowed))
                    raise PtxError(f"{spec.name} of {instruction.mnemonic} must be one of {listed}", line, instruction.column)
                operands.append(self.address(operand, scope, line) if spec.is_address else self.sources(op, operand, type, scope, line))
                operand_types.append(type)
        if op.reads_destination:
            type = op.operand_type(op.form.operands[0].name)
            operands.append(self.sources(op, instruction.operands[0], type, scope, line))
            operand_types.append(type)
        if op.reads_carry:
            operands.append(self.carry)
            operand_types.append("pred")
        if op.writes_carry:
            targets.append((self.carry, "pred"))
        self.emit(op, operands, operand_types, targets, guard, line)

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
                self.emit(load, [], [], [self.target(element, type, scope, line)], guard, line)
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
                        self.emit(op, [part], [f"b{part.width}"], [self.target(element, type, scope, line)], guard, line)
                    else:
                        value = self.source(element, type, scope, line)
                        self.emit(op, [value], [f"b{part.width}"], [(part, f"b{part.width}")], guard, line)
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
            self.emit(op, [value], [f"b{part.width}"], [(part, f"b{part.width}")], None, item.line)
        else:
            self.emit(
                op, [part], [f"b{part.width}"], [self.target(item.operand, f"b{part.width}", item.scope, item.line)], None, item.line
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
        self.emit(
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
            part = self._whole(parameter, item)
            values.append(part)
            value_types.append(f"b{part.width}")
        targets = []
        for parameter in item.results:
            part = self._whole(parameter, item)
            targets.append((part, f"b{part.width}"))
        self.emit(builtin.ServiceCall(item.name), values, value_types, targets, guard, item.line)

    @staticmethod
    def _whole(parameter: CallParameter, item: FlatService) -> Register:
        """The register of a platform function's parameter, which programs write or read as one number."""
        if parameter.parts is None or set(parameter.parts) != {0}:
            raise PtxError(f"the call of {item.name!r} needs its parameter {parameter.name!r} stored or loaded whole", item.line)
        return parameter.parts[0]


def access_type(opcode: tuple[str, ...]) -> tuple[str, int]:
    """The element type and count of a load or store by its opcode: `("ld", "param", "v2", "f32")` is ("f32", 2)."""
    count = 1
    for part in opcode:
        if part in ("v2", "v4", "v8"):
            count = int(part[1])
    return opcode[-1], count
