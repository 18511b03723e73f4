"""Checks names and structure of a `tree.Module`: what is used is declared, nothing is declared twice, calls fit.

Which operands an instruction takes is the business of `anywarp.isa`. The check walks every operand, so it leans on the
parser: equal operands are one object, and an object that was found good is not looked at again in its scope.
"""

from __future__ import annotations

from typing import NoReturn, TypeAlias

from anywarp.ptx.diagnostics import PtxError
from anywarp.ptx.names import SPECIAL_REGISTERS
from anywarp.ptx.tree import (
    Address,
    AddressList,
    Arguments,
    Block,
    BranchTargets,
    CallPrototype,
    CallTargets,
    Component,
    Function,
    Instruction,
    Label,
    MaskedSymbol,
    Module,
    Negated,
    Operand,
    Pair,
    Part,
    Register,
    RegisterDeclaration,
    Statement,
    Symbol,
    Variable,
    Vector,
)

_Named: TypeAlias = Label | Variable | BranchTargets | CallTargets | CallPrototype


def verify(module: Module, name: str = "<ptx>") -> None:
    """Raise `PtxError` for the first name or structure that is wrong; `name` stands in the message."""
    _Verifier(module, name).module_level()


class _Scope:
    """The names of one `{}`: registers, register ranges by prefix, and everything else by name."""

    __slots__ = ("good", "labels", "names", "ranges", "registers")

    def __init__(self, good: set[int]) -> None:
        self.registers: dict[str, RegisterDeclaration | Variable] = {}
        self.ranges: dict[str, RegisterDeclaration] = {}
        self.names: dict[str, _Named] = {}
        self.labels: set[str] = set()
        self.good = good  # identities of operands and guards that are known to be right here

    def range_of(self, name: str) -> RegisterDeclaration | None:
        """The `%r<10>` that declares `%r3`."""
        prefix = name.rstrip("0123456789")
        digits = name[len(prefix) :]
        declaration = self.ranges.get(prefix)
        is_index = 0 < len(digits) < 10 and (digits[0] != "0" or digits == "0")
        if declaration is not None and is_index and int(digits) < (declaration.count or 0):
            return declaration
        # A prefix may end in digits itself: `%r1<10>` declares `%r10` to `%r19`.
        end = split = len(name)
        while split > 1 and "0" <= name[split - 1] <= "9" and end - split < 10:
            split -= 1
            if name[split] != "0" or split == end - 1:
                declaration = self.ranges.get(name[:split])
                if declaration is not None and int(name[split:]) < (declaration.count or 0):
                    return declaration
        return None


class _Verifier:
    def __init__(self, module: Module, name: str) -> None:
        self.module = module
        self.name = name
        self.scopes: list[_Scope] = []
        self.function = ""

    def fail(self, message: str, line: int = 0, column: int = 1) -> NoReturn:
        raise PtxError(message, line, column if line else 0, self.name)

    # ------------------------------------------------------------------------------------------------------- module

    def module_level(self) -> None:
        module = self.module
        if module.version < (1, 0):
            self.fail(f"PTX version {module.version[0]}.{module.version[1]} does not exist; expected 1.0 or newer", 1)
        if not module.target:
            self.fail("the module has no '.target'", 1)
        for variable in module.variables.values():
            if variable.name in module.functions:
                self.fail(f"'{variable.name}' is both a variable and a function", variable.line)
            self.variable(variable)
            self.initializer(variable)
        for alias, aliasee in module.aliases.items():
            function = module.functions.get(aliasee)
            if function is None:
                self.fail(f"'.alias {alias}, {aliasee}': no function '{aliasee}'")
            if function.kind != "func":
                self.fail(f"'.alias {alias}, {aliasee}': '{aliasee}' is an entry", function.line)
            declared = module.functions.get(alias)
            if declared is not None and declared.body is not None:
                self.fail(f"'{alias}' is an alias and has a body", declared.line)
        for function in module.functions.values():
            self.function_level(function)

    def variable(self, variable: Variable) -> None:
        size = 1
        for position, dimension in enumerate(variable.dimensions):
            if dimension == 0 and position:
                self.fail(f"a dimension of '{variable.name}' is 0", variable.line)
            size *= dimension
        if size >= 1 << 48:
            self.fail(f"'{variable.name}' is too large: {size} elements", variable.line)

    def initializer(self, variable: Variable, scope: _Scope | None = None) -> None:
        if not variable.initializer:
            return
        if variable.space not in ("global", "const"):
            self.fail(f"'{variable.name}' is in .{variable.space} and cannot be initialised", variable.line)
        for value in variable.initializer:
            symbol = value.symbol if isinstance(value, MaskedSymbol) else value
            if not isinstance(symbol, Symbol) or self.is_global(symbol.name):
                continue
            if scope is None or symbol.name not in scope.names:
                self.fail(f"'{symbol.name}', whose address initialises '{variable.name}', is not declared", variable.line)

    def is_global(self, name: str) -> bool:
        module = self.module
        return name in module.variables or name in module.functions or name in module.aliases

    # ----------------------------------------------------------------------------------------------------- function

    def function_level(self, function: Function) -> None:
        if function.kind == "entry" and function.returns:
            self.fail(f"the entry '{function.name}' cannot return a value", function.line)
        if function.body is not None and function.linkage == "extern":
            self.fail(f"'{function.name}' is '.extern' and has a body", function.line)
        scope = _Scope(set())
        for parameter in (*function.returns, *function.params):
            if parameter.name in scope.names or parameter.name in scope.registers:
                self.fail(f"'{function.name}' has two parameters '{parameter.name}'", parameter.line)
            if function.kind == "entry" and parameter.space != "param":
                self.fail(f"'{parameter.name}': an entry's parameters are in .param", parameter.line)
            self.variable(parameter)
            if parameter.space == "reg":
                scope.registers[parameter.name] = parameter
            else:
                scope.names[parameter.name] = parameter
        if function.body is None:
            return
        self.function = function.name
        self.scopes = [scope]
        self.statements(function.body)

    def statements(self, statements: list[Statement]) -> None:
        """A body or a block: first what it declares, because labels are used before they stand, then its uses.

        That registers and variables are declared before they are used is not checked; nothing depends on the order.
        """
        outer = self.scopes[-1]
        scope = _Scope(set())
        plain = True  # it declares nothing: the operands that are good around it are good in it
        for statement in statements:
            if type(statement) is not Instruction and self.declaration(statement, scope):
                plain = False
        self.overlaps(scope)
        if plain:
            scope.good = outer.good
        self.scopes.append(scope)
        good = scope.good
        for statement in statements:
            if type(statement) is Instruction:
                guard = statement.guard
                if guard is not None and id(guard) not in good:
                    if not self.has_register(guard):
                        self.undeclared("register", guard, statement)
                    good.add(id(guard))
                for operand in statement.operands:
                    if id(operand) not in good:
                        self.operand(operand, statement)
                        good.add(id(operand))
                if statement.opcode[0] == "call":
                    self.call(statement)
            elif type(statement) is Block:
                self.statements(statement.statements)
            elif type(statement) is BranchTargets:
                for label in statement.labels:
                    if not any(label in around.labels for around in self.scopes):
                        self.fail(f"label '{label}' of '{statement.name}' is not declared", statement.line)
            elif type(statement) is CallTargets:
                for name in statement.functions:
                    if name not in self.module.functions and name not in self.module.aliases:
                        self.fail(f"function '{name}' of '{statement.name}' is not declared", statement.line)
        self.scopes.pop()

    def declaration(self, statement: Statement, scope: _Scope) -> bool:
        """Enter the names of a statement; whether there are any."""
        kind = type(statement)
        if kind is Label or kind is BranchTargets or kind is CallTargets or kind is CallPrototype or kind is Variable:
            assert isinstance(statement, Label | BranchTargets | CallTargets | CallPrototype | Variable)
            name, line = statement.name, statement.line
            known: object = scope.names.get(name) or scope.registers.get(name)
            if known is not None:
                what = "label" if kind is Label else "name"
                self.fail(f"{what} '{name}' is declared twice in this scope{_in_line(known)}", line)
            scope.names[name] = statement
            if isinstance(statement, Label):
                scope.labels.add(name)
            elif isinstance(statement, Variable):
                self.variable(statement)
                self.initializer(statement, scope)
            return True
        if isinstance(statement, RegisterDeclaration):
            self.registers(statement, scope)
            return True
        return False

    def registers(self, declaration: RegisterDeclaration, scope: _Scope) -> None:
        name, line = declaration.name, declaration.line
        known: object
        if declaration.count is None:
            known = scope.names.get(name) or scope.registers.get(name)
            scope.registers[name] = declaration
        else:
            known = scope.ranges.get(name)
            scope.ranges[name] = declaration
        if known is not None:
            shown = name if declaration.count is None else f"{name}<{declaration.count}>"
            self.fail(f"register '{shown}' is declared twice in this scope{_in_line(known)}", line)

    def overlaps(self, scope: _Scope) -> None:
        """Fail for a name of the scope that one of its ranges `%r<10>` declares too."""
        if not scope.ranges:
            return
        for table in (scope.registers, scope.names):
            for name, node in table.items():
                declaration = scope.range_of(name) if name[-1].isdigit() else None
                if declaration is not None:
                    first, last = sorted((declaration.line, node.line))
                    self.fail(f"'{name}' is declared twice in this scope, first in line {first}", last)

    # ------------------------------------------------------------------------------------------------------ operands

    def has_register(self, name: str) -> bool:
        for scope in reversed(self.scopes):
            if name in scope.registers or (scope.ranges and scope.range_of(name) is not None):
                return True
        return name in SPECIAL_REGISTERS

    def undeclared(self, what: str, name: str, instruction: Instruction) -> NoReturn:
        self.fail(f"{what} '{name}' is not declared", instruction.line, instruction.column)

    def operand(self, operand: Operand, at: Instruction) -> None:
        if isinstance(operand, Register):
            if not self.has_register(operand.name):
                self.undeclared("register", operand.name, at)
        elif isinstance(operand, Symbol):
            if not any(operand.name in scope.names for scope in self.scopes) and not self.is_global(operand.name):
                self.undeclared("name", operand.name, at)
        elif isinstance(operand, Address):
            if operand.base is not None:
                self.operand(operand.base, at)
            if operand.index is not None:
                self.operand(operand.index, at)
        elif isinstance(operand, Vector):
            self.operands(operand.elements, at)
        elif isinstance(operand, AddressList | Arguments):
            self.operands(operand.items, at)
        elif isinstance(operand, Component | Part):
            self.operand(operand.base, at)
        elif isinstance(operand, Negated):
            self.operand(operand.operand, at)
        elif isinstance(operand, Pair):
            self.operand(operand.first, at)
            self.operand(operand.second, at)

    def operands(self, operands: tuple[Operand, ...], at: Instruction) -> None:
        good = self.scopes[-1].good
        for operand in operands:
            if id(operand) not in good:
                self.operand(operand, at)
                good.add(id(operand))

    # --------------------------------------------------------------------------------------------------------- calls

    def call(self, call: Instruction) -> None:
        operands = list(call.operands)
        results: tuple[Operand, ...] = ()
        arguments: tuple[Operand, ...] = ()
        if operands and isinstance(operands[0], Arguments):
            results = operands[0].items
            del operands[0]
        if not operands or not isinstance(operands[0], Symbol | Register):
            self.fail("expected a function or a register that holds its address as target of the call", *_place(call))
        target = operands.pop(0)
        if operands and isinstance(operands[0], Arguments):
            arguments = operands[0].items
            del operands[0]
        hint = operands.pop(0) if operands else None
        if operands or (hint is not None and not isinstance(hint, Symbol)):
            self.fail("expected (results), target, (arguments), prototype as operands of the call", *_place(call))
        if isinstance(target, Symbol):
            self.direct_call(target.name, len(results), len(arguments), call)
        elif hint is None:
            self.fail("an indirect call needs a '.callprototype' or '.calltargets' as last operand", *_place(call))
        if isinstance(hint, Symbol):
            found = next((scope.names[hint.name] for scope in reversed(self.scopes) if hint.name in scope.names), None)
            if isinstance(found, CallPrototype):
                self.arity(f"prototype '{hint.name}'", found.returns, found.params, len(results), len(arguments), call)
            elif isinstance(found, CallTargets):
                for name in found.functions:
                    self.direct_call(name, len(results), len(arguments), call)
            elif hint.name not in self.module.variables:  # a table of functions in memory may stand there
                self.fail(f"'{hint.name}' is no '.callprototype' or '.calltargets'", *_place(call))

    def direct_call(self, name: str, results: int, arguments: int, call: Instruction) -> None:
        function = self.module.functions.get(self.module.aliases.get(name, name))
        if function is None:
            self.fail(f"'{name}' is no function", *_place(call))
        if function.kind == "entry":
            self.fail(f"'{name}' is an entry and cannot be called", *_place(call))
        self.arity(f"'{name}'", function.returns, function.params, results, arguments, call)

    def arity(
        self,
        callee: str,
        returns: tuple[Variable, ...],
        params: tuple[Variable, ...],
        results: int,
        arguments: int,
        call: Instruction,
    ) -> None:
        if results != len(returns):
            self.fail(f"{callee} returns {_count(len(returns), 'value')}, the call takes {results}", *_place(call))
        is_variadic = bool(params) and params[-1].dimensions == (0,)
        if arguments != len(params) and not (is_variadic and arguments >= len(params) - 1):
            self.fail(f"{callee} takes {_count(len(params), 'argument')}, the call passes {arguments}", *_place(call))


def _place(instruction: Instruction) -> tuple[int, int]:
    return instruction.line, instruction.column


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _in_line(node: object) -> str:
    line = getattr(node, "line", 0)
    return f", first in line {line}" if line else ""
