"""A PTX body to one flat list of instructions and labels, with scopes resolved and calls of known functions inlined.

Every instruction keeps the scope in which its names mean something. A call of a function with a body is replaced by that body, in a scope
whose parameters are the caller's `.param` variables themselves; `ret` becomes a jump behind the call. Recursion, indirect calls, functions
that the platform provides and large ones that are called from many places (`kept.py`) stay calls.
"""

from __future__ import annotations

from dataclasses import dataclass

from anywarp.ir.kept import kept_functions
from anywarp.ir.model import Layout
from anywarp.ir.names import (
    ArgumentParameter,
    CallParameter,
    Counter,
    DynamicShared,
    Entity,
    KernelParameter,
    LabelName,
    ModuleSymbol,
    Register,
    Scope,
    WindowVariable,
)  # fmt: skip
from anywarp.isa import types
from anywarp.ptx import tree
from anywarp.ptx.diagnostics import PtxError, UndefinedFunction, UnsupportedInstruction

MAX_INLINED_STATEMENTS = 400_000


@dataclass
class Signature:
    """Where results and parameters of a device function lie in a lane's argument block of `bytes` bytes."""

    results: list[int]
    parameters: list[int]
    bytes: int

    @staticmethod
    def of(returns: tuple[tree.Variable, ...], params: tuple[tree.Variable, ...]) -> Signature:
        layout = Layout()
        places = [layout.add(str(i), variable_bytes(v), max(16, variable_alignment(v))) for i, v in enumerate((*returns, *params))]
        return Signature(places[: len(returns)], places[len(returns) :], -(-layout.bytes // 16) * 16)


@dataclass(slots=True)
class Flat:
    """An instruction in its scope."""

    instruction: tree.Instruction
    scope: Scope


@dataclass(slots=True)
class FlatLabel:
    name: str


@dataclass(slots=True)
class FlatJump:
    """A jump that PTX does not spell out: the return of an inlined function. Guarded by a register or not."""

    target: str
    guard: str | None
    guard_negated: bool
    scope: Scope
    line: int


@dataclass(slots=True)
class FlatMove:
    """An argument or result passed in a register to or from a call parameter."""

    parameter: CallParameter
    operand: tree.Operand
    to_parameter: bool
    scope: Scope
    line: int


@dataclass(slots=True)
class FlatService:
    """A call of a function of the platform."""

    name: str
    results: list[CallParameter]
    arguments: list[CallParameter]
    guard: str | None
    guard_negated: bool
    scope: Scope
    line: int


@dataclass(slots=True)
class FlatCall:
    """A call that stays one: of a function that recurses or is kept (`target` is a name) or indirect (an operand)."""

    target: str | tree.Operand
    results: list[CallParameter]
    arguments: list[CallParameter]
    signature: Signature
    guard: str | None
    guard_negated: bool
    scope: Scope
    line: int


Item = FlatCall | Flat | FlatLabel | FlatJump | FlatMove | FlatService

PLATFORM_FUNCTIONS = {
    "vprintf": ("vprintf", 2),
    "malloc": ("malloc", 1),
    "free": ("free", 1),
    "__assertfail": ("assertfail", 5),
    "anywarp_device": ("device", 2),  # what the functions of ptx/device_runtime.py end in
}


def variable_bytes(variable: tree.Variable) -> int:
    """The size of a variable; an unsized first dimension counts as 0."""
    if variable.type in ("texref", "samplerref", "surfref"):
        return 8
    if variable.type == "mbarrier":
        return 8
    size = max(types.width(variable.type) // 8, 1) * (variable.vector if variable.vector != 3 else 4)
    for dimension in variable.dimensions:
        size *= dimension
    return size


def variable_alignment(variable: tree.Variable) -> int:
    """The declared alignment, else the natural one of its element (vectors: of the whole vector)."""
    if variable.alignment:
        return variable.alignment
    if variable.type in ("texref", "samplerref", "surfref", "mbarrier"):
        return 8
    return max(types.width(variable.type) // 8, 1) * (variable.vector if variable.vector != 3 else 4)


def _take_list(operands: list[tree.Operand]) -> tuple[tree.Operand, ...]:
    """Takes a list in parentheses off the front of a call's operands; empty where there is none."""
    if operands and isinstance(first := operands[0], tree.Arguments):
        del operands[0]
        return first.items
    return ()


class Flattener:
    """Flattens one entry (or one function that stays a function)."""

    def __init__(self, module: tree.Module, function: tree.Function, caller: Flattener | None = None) -> None:
        self.module, self.function = module, function
        self.counter = Counter()
        self.shared: Layout = caller.shared if caller else Layout()
        self.local = Layout()
        self.uses_dynamic_shared = False
        self.items: list[Item] = []
        self.call_parameters: list[CallParameter] = []
        self.root = Scope(None, self.counter)
        self._labels = 0
        self._stack: list[str] = [function.name]
        self._kept: frozenset[str] = caller._kept if caller else kept_functions(module, function)
        self._module_shared: dict[str, WindowVariable] = caller._module_shared if caller else {}
        self.signature = Signature.of(function.returns, function.params)

    def run(self) -> list[Item]:
        scope = Scope(self.root, self.counter)
        offset = 0
        if self.function.kind == "func":
            places = (*self.signature.results, *self.signature.parameters)
            for parameter, place in zip((*self.function.returns, *self.function.params), places):
                scope.names[parameter.name] = ArgumentParameter(place)
        for parameter in self.function.params if self.function.kind == "entry" else ():
            alignment = variable_alignment(parameter)
            offset = -(-offset // alignment) * alignment
            scope.names[parameter.name] = KernelParameter(offset)
            offset += variable_bytes(parameter)
        assert self.function.body is not None
        self._body(self.function.body, scope, None)
        return self.items

    # ------------------------------------------------------------------------------------------------ names of the module

    def module_entity(self, name: str, line: int) -> ModuleSymbol | WindowVariable | DynamicShared:
        """A name that no scope of the body knows: a variable or function of the module."""
        name = self.module.aliases.get(name, name)
        variable = self.module.variables.get(name)
        if variable is not None:
            if variable.space == "shared":
                if variable.linkage == "extern" and (not variable.dimensions or variable.dimensions[0] == 0):
                    self.uses_dynamic_shared = True
                    return DynamicShared()
                if name not in self._module_shared:
                    place = self.shared.add(name, variable_bytes(variable), variable_alignment(variable))
                    self._module_shared[name] = WindowVariable("shared", place)
                return self._module_shared[name]
            return ModuleSymbol(name, "const" if variable.space == "const" else "global")
        if name in self.module.functions:
            return ModuleSymbol(name, "function")
        raise PtxError(f"{name!r} is not declared", line)

    # ------------------------------------------------------------------------------------------------ bodies

    def _label(self, name: str) -> str:
        self._labels += 1
        return f"{name}.{self._labels}"

    def _body(self, statements: list[tree.Statement], scope: Scope, return_label: str | None) -> None:
        self._declare(statements, scope)
        for statement in statements:
            if isinstance(statement, tree.Instruction):
                self._instruction(statement, scope, return_label)
            elif isinstance(statement, tree.Label):
                label = scope.names[statement.name]
                assert isinstance(label, LabelName)
                self.items.append(FlatLabel(label.name))
            elif isinstance(statement, tree.Block):
                self._body(statement.statements, Scope(scope, self.counter), return_label)
        if len(self.items) > MAX_INLINED_STATEMENTS:
            raise PtxError(
                f"{self.function.name} has more than {MAX_INLINED_STATEMENTS} instructions with its calls inlined", self.function.line
            )

    def _declare(self, statements: list[tree.Statement], scope: Scope) -> None:
        for statement in statements:
            if isinstance(statement, tree.RegisterDeclaration):
                scope.declare_registers(statement)
            elif isinstance(statement, tree.Label):
                scope.names[statement.name] = LabelName(self._label(statement.name))
            elif isinstance(statement, tree.Variable):
                scope.names[statement.name] = self._variable(statement)
            elif isinstance(statement, (tree.BranchTargets, tree.CallTargets, tree.CallPrototype)):
                scope.names[statement.name] = statement

    def _variable(self, variable: tree.Variable) -> CallParameter | WindowVariable | DynamicShared | ModuleSymbol:
        size, alignment = variable_bytes(variable), variable_alignment(variable)
        if variable.space == "param":
            parameter = CallParameter(variable.name, size, alignment)
            self.call_parameters.append(parameter)
            return parameter
        if variable.space == "shared":
            if variable.linkage == "extern" and (not variable.dimensions or variable.dimensions[0] == 0):
                self.uses_dynamic_shared = True
                return DynamicShared()
            key = f"{variable.name}@{variable.line}"
            if key not in self._module_shared:  # one variable however often its function is inlined
                self._module_shared[key] = WindowVariable("shared", self.shared.add(key, size, alignment))
            return self._module_shared[key]
        if variable.space == "local":
            return WindowVariable("local", self.local.add(f"{variable.name}.{len(self.local.offsets)}", size, alignment))
        return ModuleSymbol(variable.name, variable.space)

    def _instruction(self, instruction: tree.Instruction, scope: Scope, return_label: str | None) -> None:
        name = instruction.opcode[0]
        if name == "ret" and return_label is not None:
            self.items.append(FlatJump(return_label, instruction.guard, instruction.guard_negated, scope, instruction.line))
        elif name == "call":
            self._call(instruction, scope)
        else:
            self.items.append(Flat(instruction, scope))

    # ------------------------------------------------------------------------------------------------ calls

    def _call(self, call: tree.Instruction, scope: Scope) -> None:
        operands = list(call.operands)
        results = _take_list(operands)
        target = operands.pop(0)
        arguments = _take_list(operands)
        if not isinstance(target, tree.Symbol) or isinstance(scope.find(target.name), Register):
            self._indirect(call, target, results, arguments, operands, scope)
            return
        name = self.module.aliases.get(target.name, target.name)
        function = self.module.functions.get(name)
        if function is None:
            raise PtxError(f"call of {name!r}, which is not declared", call.line, call.column)
        line = call.line
        moves_after: list[Item] = []
        actual_results = [self._actual(r, formal, scope, line, moves_after, False) for r, formal in zip(results, function.returns)]
        moves_before: list[Item] = []
        actual_arguments = [self._actual(a, formal, scope, line, moves_before, True) for a, formal in zip(arguments, function.params)]
        skip: str | None = None
        if call.guard is not None and function.body is not None:
            skip = self._label("skip")
            self.items.append(FlatJump(skip, call.guard, not call.guard_negated, scope, line))
        self.items += moves_before
        if function.body is None:
            if name not in PLATFORM_FUNCTIONS:
                raise UndefinedFunction(f"call of {name!r}, which is declared but not defined in this module", line, call.column)
            service, _ = PLATFORM_FUNCTIONS[name]
            self.items.append(FlatService(service, actual_results, actual_arguments, call.guard, call.guard_negated, scope, line))
            for parameter in actual_results + actual_arguments:
                parameter.accesses.add((0, parameter.bytes * 8))
        else:
            if len(arguments) != len(function.params) or len(results) != len(function.returns):
                raise PtxError(
                    f"call of {name!r} with {len(arguments)} arguments and {len(results)} results; it is declared with "
                    f"{len(function.params)} and {len(function.returns)}",
                    line,
                    call.column,
                )
            if name in self._stack or name in self._kept:
                signature = Signature.of(function.returns, function.params)
                self.items.append(FlatCall(name, actual_results, actual_arguments, signature, None, False, scope, line))
            else:
                self._inline(function, actual_results, actual_arguments)
        self.items += moves_after
        if skip is not None:
            self.items.append(FlatLabel(skip))

    def _indirect(
        self, call: tree.Instruction, target: tree.Operand, results: tuple[tree.Operand, ...], arguments: tuple[tree.Operand, ...],
        rest: list[tree.Operand], scope: Scope,
    ) -> None:  # fmt: skip
        """A call through a register, whose prototype (or one of whose targets) gives the signature."""
        named: Entity | tree.Function | None = scope.find(getattr(rest[0], "name", "")) if rest else None
        if isinstance(named, tree.CallTargets):
            named = self.module.functions.get(named.functions[0])
        if not isinstance(named, (tree.CallPrototype, tree.Function)):
            raise PtxError("an indirect call needs a .callprototype or .calltargets", call.line, call.column)
        before: list[Item] = []
        after: list[Item] = []
        actual_results = [self._actual(r, formal, scope, call.line, after, False) for r, formal in zip(results, named.returns)]
        actual_arguments = [self._actual(a, formal, scope, call.line, before, True) for a, formal in zip(arguments, named.params)]
        signature = Signature.of(named.returns, named.params)
        self.items += before
        self.items.append(FlatCall(target, actual_results, actual_arguments, signature, call.guard, call.guard_negated, scope, call.line))
        self.items += after

    def _actual(
        self, operand: tree.Operand, formal: tree.Variable, scope: Scope, line: int, moves: list[Item], is_argument: bool
    ) -> CallParameter:
        """The call parameter that an argument or result is: the caller's `.param` variable, or a new one for a register or constant."""
        if isinstance(operand, (tree.Symbol, tree.Register)):
            entity = scope.find(operand.name)
            if isinstance(entity, CallParameter):
                return entity
        parameter = CallParameter(formal.name, variable_bytes(formal), variable_alignment(formal))
        self.call_parameters.append(parameter)
        parameter.accesses.add((0, parameter.bytes * 8))
        moves.append(FlatMove(parameter, operand, is_argument, scope, line))
        return parameter

    def _inline(self, function: tree.Function, results: list[CallParameter], arguments: list[CallParameter]) -> None:
        scope = Scope(self.root, self.counter)
        for formal, actual in zip((*function.returns, *function.params), (*results, *arguments)):
            if formal.space == "param":
                scope.names[formal.name] = actual
            else:  # old PTX: `.reg` parameters
                raise UnsupportedInstruction("functions with .reg parameters are not supported yet (PTX ISA 7.1)", function.line)
        self._stack.append(function.name)
        after = self._label(f"{function.name}.return")
        assert function.body is not None
        self._body(function.body, scope, after)
        self.items.append(FlatLabel(after))
        self._stack.pop()
