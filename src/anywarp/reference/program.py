"""A function's statements to a `Code`: one step (a Python closure over a thread) an instruction, names resolved, operands decoded once.

`FunctionDecoder` also offers what the files of meanings need: `source` (an operand to a function that reads it from a thread), `target` (to
a function that writes it), `address` (a memory operand to a function that gives the generic address). Values are unsigned bit patterns of
exactly the operand's type; registers that are wider than a type are truncated when read and extended, by the type's sign, when written
(PTX ISA 9.4.1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from anywarp.isa import types
from anywarp.isa.integer import signed
from anywarp.ptx import tree
from anywarp.reference.errors import Unsupported
from anywarp.reference.layout import Offsets, constant_bits, variable_bytes

if TYPE_CHECKING:
    from anywarp.reference.machine import Loaded, Thread

Step = Callable[["Thread"], None]
Reader = Callable[["Thread"], int]
Writer = Callable[["Thread", int], None]


@dataclass(frozen=True)
class Slot:
    """A register: its first place in the frame, its width, and how many places (`.v2`, `.v4`)."""

    index: int
    width: int
    count: int = 1


@dataclass(frozen=True)
class LocalVariable:
    """A `.local` or a function's `.param` variable: its offset in the function's stack frame."""

    offset: int
    bytes: int
    space: str


@dataclass(frozen=True)
class KernelParameter:
    offset: int


@dataclass(frozen=True)
class SharedVariable:
    offset: int


@dataclass(frozen=True)
class DynamicShared:
    alignment: int


@dataclass
class LabelPlace:
    """A label, its step known when the function is decoded."""

    index: int = -1


Entity = Any  # one of the above, or a tree.BranchTargets, CallTargets, CallPrototype


@dataclass
class Code:
    """A decoded function. `steps[pc](thread)` executes; the other lists are for messages."""

    name: str
    function: tree.Function
    steps: list[Step] = field(default_factory=list)
    instructions: list[tree.Instruction] = field(default_factory=list)
    registers: int = 0
    frame_bytes: int = 0
    params: list[Entity] = field(default_factory=list)
    returns: list[Entity] = field(default_factory=list)
    address: int = 0


class Scope:
    """The names of one `{}` and of those around it."""

    def __init__(self, parent: Scope | None, decoder: FunctionDecoder) -> None:
        self.parent, self._decoder = parent, decoder
        self.names: dict[str, Entity] = {}
        self._ranges: dict[str, tree.RegisterDeclaration] = {}

    def declare(self, statement: tree.RegisterDeclaration) -> None:
        if statement.count is None:
            self.names[statement.name] = self._decoder.new_slot(statement.type, statement.vector)
        else:
            self._ranges[statement.name] = statement

    def find(self, name: str) -> Entity | None:
        scope: Scope | None = self
        while scope is not None:
            found = scope.names.get(name)
            if found is not None:
                return found
            if scope._ranges:
                stem = name.rstrip("0123456789")
                for split in range(len(stem), len(name)):  # the prefix may end in digits itself
                    declaration = scope._ranges.get(name[:split])
                    if declaration is not None and int(name[split:]) < (declaration.count or 0) and name[split:] == str(int(name[split:])):
                        slot = scope.names[name] = self._decoder.new_slot(declaration.type, declaration.vector)
                        return slot
            scope = scope.parent
        return None


class FunctionDecoder:
    """Decodes one function of a loaded module."""

    def __init__(self, loaded: Loaded, function: tree.Function) -> None:
        self.loaded = loaded
        self.code = Code(function.name, function)
        self.scope = Scope(None, self)
        self.line = function.line
        self._offsets = Offsets()

    # ------------------------------------------------------------------------------------------------ the function

    def decode(self) -> Code:
        """Raises Unsupported for what has no meaning here."""
        from anywarp.reference.semantics import step_of

        function = self.code.function
        if function.kind == "entry":
            offsets = Offsets()
            for parameter in function.params:
                self.scope.names[parameter.name] = KernelParameter(offsets.place(parameter))
        else:
            self.code.returns = [self._parameter(p) for p in function.returns]
            self.code.params = [self._parameter(p) for p in function.params]
        placed: list[tuple[tree.Instruction, Scope]] = []
        self._flatten(function.body or [], Scope(self.scope, self), placed)
        end = tree.Instruction(("ret",), (), placed[-1][0].line if placed else function.line)
        for instruction, scope in [*placed, (end, self.scope)]:
            self.scope, self.line = scope, instruction.line
            step = step_of(self, instruction)
            if instruction.guard is not None:
                step = self._guarded(step, instruction)
            self.code.steps.append(step)
            self.code.instructions.append(instruction)
        self.code.frame_bytes = -(-self._offsets.bytes // 16) * 16
        return self.code

    def _flatten(self, statements: Sequence[tree.Statement], scope: Scope, out: list[tuple[tree.Instruction, Scope]]) -> None:
        for statement in statements:
            if isinstance(statement, tree.RegisterDeclaration):
                scope.declare(statement)
            elif isinstance(statement, tree.Label):
                scope.names[statement.name] = LabelPlace()
            elif isinstance(statement, tree.Variable):
                scope.names[statement.name] = self._variable(statement)
            elif isinstance(statement, tree.BranchTargets | tree.CallTargets | tree.CallPrototype):
                scope.names[statement.name] = statement
        for statement in statements:
            if isinstance(statement, tree.Instruction):
                out.append((statement, scope))
            elif isinstance(statement, tree.Label):
                scope.names[statement.name].index = len(out)
            elif isinstance(statement, tree.Block):
                self._flatten(statement.statements, Scope(scope, self), out)

    def _parameter(self, variable: tree.Variable) -> Entity:
        entity: Entity
        if variable.space == "reg":
            entity = self.new_slot(variable.type, variable.vector)
        else:
            entity = LocalVariable(self._offsets.place(variable), variable_bytes(variable), "param")
        self.scope.names[variable.name] = entity
        return entity

    def _variable(self, variable: tree.Variable) -> Entity:
        if variable.space == "shared":
            return self.loaded.shared_variable(variable)
        if variable.space in ("local", "param"):
            return LocalVariable(self._offsets.place(variable), variable_bytes(variable), variable.space)
        return self.loaded.body_variable(variable)

    def new_slot(self, type: str, count: int = 1) -> Slot:
        slot = Slot(self.code.registers, types.width(type), count)
        self.code.registers += count
        return slot

    def scratch(self, variable: tree.Variable) -> LocalVariable:
        """Room in the frame for an argument that is a register or a constant."""
        return LocalVariable(self._offsets.place(variable), variable_bytes(variable), "param")

    def _guarded(self, step: Step, instruction: tree.Instruction) -> Step:
        slot = self.slot(instruction.guard or "")
        index, skip = slot.index, int(instruction.guard_negated)

        def guarded(t: Thread) -> None:
            if t.registers[index] != skip:
                step(t)

        return guarded

    def fail(self, message: str) -> Unsupported:
        return Unsupported(f"{self.code.name}, line {self.line}: {message}")

    # ------------------------------------------------------------------------------------------------ names

    def entity(self, name: str) -> Entity:
        """What a name means: of the body, else of the module (a generic address as int)."""
        found = self.scope.find(name)
        return found if found is not None else self.loaded.entity(name, self.line)

    def slot(self, name: str) -> Slot:
        found = self.scope.find(name)
        if not isinstance(found, Slot):
            raise self.fail(f"'{name}' is no register")
        return found

    def label(self, operand: tree.Operand) -> LabelPlace:
        found = self.scope.find(getattr(operand, "name", ""))
        if not isinstance(found, LabelPlace):
            raise self.fail(f"{operand} is no label")
        return found

    # ------------------------------------------------------------------------------------------------ operands

    def source(self, operand: tree.Operand, type: str) -> Reader:
        """A function that reads an operand as a value of a type."""
        width = types.width(type)
        mask = (1 << width) - 1
        if isinstance(operand, tree.Integer | tree.Float):
            bits = constant_bits(operand, type)
            return lambda t: bits
        if isinstance(operand, tree.Register):
            found = self.scope.find(operand.name)
            if isinstance(found, Slot):
                return self.read_slot(found, width)
            from anywarp.reference.special import reader

            special = reader(operand.name)
            if special is not None:
                return lambda t: special(t) & mask
            return self.source(tree.Symbol(operand.name), type)
        if isinstance(operand, tree.Component):
            slot = self.slot(operand.base.name)
            return self.read_slot(Slot(slot.index + operand.index, slot.width), width)
        if isinstance(operand, tree.Negated):
            index = self.slot(operand.operand.name).index
            return lambda t: t.registers[index] ^ 1
        if isinstance(operand, tree.Symbol):
            found = self.scope.find(operand.name)
            if isinstance(found, Slot):
                return self.read_slot(found, width)
            address = self.symbol(operand)
            return lambda t: address(t) & mask
        raise self.fail(f"an operand of type .{type} cannot be {operand}")

    @staticmethod
    def read_slot(slot: Slot, width: int) -> Reader:
        index, mask = slot.index, (1 << width) - 1
        if slot.width <= width:
            return lambda t: t.registers[index]
        return lambda t: t.registers[index] & mask

    def is_predicate(self, name: str) -> bool | None:
        """Whether a name is a predicate; None: no register."""
        slot = self.scope.find(name)
        return slot.width == 1 if isinstance(slot, Slot) else None

    def sources(self, operand: tree.Operand, type: str, count: int) -> list[Reader]:
        """The registers of a vector operand: `{a, b}`, a vector register, or a single one where count is 1."""
        return [self.source(o, type) for o in self._elements(operand, count)]

    def targets(self, operand: tree.Operand, type: str, count: int) -> list[Writer]:
        return [self.target(o, type) for o in self._elements(operand, count)]

    def _elements(self, operand: tree.Operand, count: int) -> list[tree.Operand]:
        if isinstance(operand, tree.Vector):
            elements = list(operand.elements)
        elif isinstance(operand, tree.Register) and isinstance(found := self.scope.find(operand.name), Slot) and found.count > 1:
            elements = [tree.Component(operand, i) for i in range(found.count)]
        else:
            elements = [operand]
        if len(elements) != count:
            raise self.fail(f"{count} registers expected, {len(elements)} found")
        return elements

    def target(self, operand: tree.Operand, type: str) -> Writer:
        """A function that writes a value of a type to an operand."""
        if isinstance(operand, tree.Sink):
            return lambda t, value: None
        if isinstance(operand, tree.Component):
            base = self.slot(operand.base.name)
            slot = Slot(base.index + operand.index, base.width)
        elif isinstance(operand, tree.Register | tree.Symbol):
            slot = self.slot(operand.name)
        else:
            raise self.fail(f"a destination cannot be {operand}")
        return self.write_slot(slot, type)

    @staticmethod
    def write_slot(slot: Slot, type: str) -> Writer:
        index, width = slot.index, types.width(type)
        mask = (1 << slot.width) - 1
        if slot.width > width and types.is_signed(type):
            sign, high = 1 << (width - 1), mask & ~((1 << width) - 1)

            def extend(t: Thread, value: int) -> None:
                t.registers[index] = value | high if value & sign else value

            return extend
        if slot.width < width:

            def truncate(t: Thread, value: int) -> None:
                t.registers[index] = value & mask

            return truncate

        def write(t: Thread, value: int) -> None:
            t.registers[index] = value

        return write

    # ------------------------------------------------------------------------------------------------ addresses

    def symbol(self, symbol: tree.Symbol) -> Reader:
        """The address of a variable in its own state space, generic for `generic(x)`; of a function, its code address."""
        entity, offset = self.entity(symbol.name), symbol.offset
        if isinstance(entity, int):
            value = entity + offset
            return lambda t: value
        if isinstance(entity, LocalVariable):
            at = entity.offset + offset
            return (lambda t: t.local_base + t.frame + at) if symbol.generic else (lambda t: t.frame + at)
        if isinstance(entity, SharedVariable):
            at = entity.offset + offset
            return (lambda t: t.cta.shared_base + at) if symbol.generic else (lambda t: at)
        if isinstance(entity, DynamicShared):
            start = self.loaded.dynamic_shared_offset + offset
            return (lambda t: t.cta.shared_base + start) if symbol.generic else (lambda t: start)
        if isinstance(entity, KernelParameter):
            at = entity.offset + offset
            return lambda t: t.cta.machine.param_base + at
        raise self.fail(f"'{symbol.name}' has no address")

    def address(self, operand: tree.Operand, space: str) -> Reader:
        """The generic address of a memory operand; `space` is the instruction's state space, "" for generic addresses."""
        if isinstance(operand, tree.Register | tree.Symbol):  # an old form without brackets
            operand = tree.Address(operand)
        if not isinstance(operand, tree.Address):
            raise self.fail(f"expected an address, found {operand}")
        width = self.loaded.module.address_size
        offset = operand.offset
        if operand.base is None:
            own: Reader = lambda t: 0  # noqa: E731
        elif isinstance(operand.base, tree.Symbol):
            own = self.symbol(operand.base)
            if not space:  # a generic access to a variable by its name
                own = self._generic_symbol(operand.base)
        else:
            found = self.scope.find(operand.base.name)
            if isinstance(found, Slot):
                own = self.read_slot(found, width)
            else:
                own = self.symbol(tree.Symbol(operand.base.name)) if space else self._generic_symbol(tree.Symbol(operand.base.name))
        if operand.index is not None:
            own = self._indexed(own, operand)
        return self._generic(own, offset, space, (1 << width) - 1)

    def _generic_symbol(self, symbol: tree.Symbol) -> Reader:
        return self.symbol(tree.Symbol(symbol.name, symbol.offset, True))

    def _indexed(self, base: Reader, operand: tree.Address) -> Reader:
        assert operand.index is not None and operand.base is not None
        index = self.read_slot(self.slot(operand.index.name), 32)
        size = self.loaded.element_bytes(operand.base.name, self.code.function)
        return lambda t: base(t) + signed(index(t), 32) * size

    @staticmethod
    def _generic(own: Reader, offset: int, space: str, mask: int) -> Reader:
        if space in ("", "global", "const"):
            if offset == 0:
                return own
            return lambda t: (own(t) + offset) & mask
        if space.startswith("shared"):
            return lambda t: t.cta.shared_address((own(t) + offset) & 0xFFFFFFFF)
        if space == "local":
            return lambda t: t.local_address((own(t) + offset) & 0xFFFFFFFF)

        def parameter(t: Thread) -> int:
            address = (own(t) + offset) & mask
            base: int = t.cta.machine.param_base
            if address >= base:
                return address
            window = base & 0xFFFFFFFF
            return base + address - window if address >= window else t.local_address(address)

        return parameter
