"""`tree.Module` -> PTX text. `parse(print_module(m))` has the same content as `m`, places aside.

A module's dictionaries keep no order between functions and variables, so every device function is declared first, then
come the variables, then the definitions: no name is used before the text says what it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from anywarp.ptx.tree import (
    Address,
    AddressList,
    Block,
    BranchTargets,
    CallPrototype,
    CallTargets,
    Component,
    Float,
    Function,
    Instruction,
    Integer,
    Label,
    Location,
    MaskedSymbol,
    Module,
    Negated,
    Operand,
    Pair,
    Part,
    Pragma,
    Register,
    RegisterDeclaration,
    Sink,
    Statement,
    Symbol,
    Variable,
    Vector,
)


def print_module(module: Module) -> str:
    """The module as PTX text."""
    return "\n".join(_module(module)) + "\n"


def print_statement(statement: Statement, indent: str = "") -> str:
    """One statement as PTX text, without the last newline; for messages and dumps."""
    return "\n".join(_statement(statement, indent))


def print_operand(operand: Operand) -> str:
    """One operand as PTX text."""
    if isinstance(operand, Register):
        return operand.name
    if isinstance(operand, Integer | Float | Symbol):
        return _constant(operand)
    if isinstance(operand, Address):
        return _address(operand)
    if isinstance(operand, Vector):
        return "{" + ", ".join(map(print_operand, operand.elements)) + "}"
    if isinstance(operand, Component):
        return f"{operand.base.name}.{'xyzw'[operand.index]}"
    if isinstance(operand, Part):
        return f"{'-' * operand.negated}{operand.base.name}{'' if operand.selector is None else '.' + operand.selector}"
    if isinstance(operand, Negated):
        return f"!{operand.operand.name}"
    if isinstance(operand, Pair):
        return f"{print_operand(operand.first)}|{print_operand(operand.second)}"
    if isinstance(operand, Sink):
        return "_"
    if isinstance(operand, AddressList):
        return "[" + ", ".join(map(_address_item, operand.items)) + "]"
    return "(" + ", ".join(map(print_operand, operand.items)) + ")"


def _constant(constant: Integer | Float | Symbol | MaskedSymbol) -> str:
    if isinstance(constant, Integer):
        return f"{constant.value}{'U' if constant.unsigned else ''}"
    if isinstance(constant, Float):
        return f"0f{constant.bits:08X}" if constant.width == 32 else f"0d{constant.bits:016X}"
    if isinstance(constant, MaskedSymbol):
        return f"0x{constant.mask:X}({_constant(constant.symbol)})"
    name = f"generic({constant.name})" if constant.generic else constant.name
    return name + _offset(constant.offset)


def _offset(offset: int) -> str:
    return f"+{offset}" if offset > 0 else f"-{-offset}" if offset else ""


def _address(address: Address) -> str:
    if address.base is None:
        return f"[{address.offset}]"
    if address.index is not None:
        # The constant part of the index is in bytes, which PTX's array form cannot say; our parser reads this.
        return f"[{print_operand(address.base)}[{address.index.name}]{_offset(address.offset)}]"
    return f"[{print_operand(address.base)}{_offset(address.offset)}]"


def _address_item(item: Operand) -> str:
    return _address(item)[1:-1] if isinstance(item, Address) else print_operand(item)


# -------------------------------------------------------------------------------------------------------- declarations


def _variable(variable: Variable) -> str:
    parts = []
    if variable.linkage:
        parts.append(f".{variable.linkage}")
    parts.append(f".{variable.space}")
    if variable.attributes:
        attributes = (f".{name}({values})" if values else f".{name}" for name, values in variable.attributes.items())
        parts.append(f".attribute({', '.join(attributes)})")
    if variable.alignment is not None:
        parts.append(f".align {variable.alignment}")
    if variable.vector > 1:
        parts.append(f".v{variable.vector}")
    parts.append(f".{variable.type}")
    if variable.pointer is not None:
        parts.append(".ptr" + (f" .{variable.pointer}" if variable.pointer else ""))
        if variable.pointer_alignment is not None:
            parts.append(f".align {variable.pointer_alignment}")
    # An array without a size stays one: its first dimension is 0.
    dimensions = "".join(f"[{size if size or i else ''}]" for i, size in enumerate(variable.dimensions))
    parts.append(variable.name + dimensions)
    text = " ".join(parts)
    if variable.initializer is not None:
        values = ", ".join(map(_constant, variable.initializer))
        is_list = bool(variable.dimensions) or variable.vector > 1 or not variable.initializer
        text += f" = {{{values}}}" if is_list else f" = {values}"
    return text


def _registers(declaration: RegisterDeclaration) -> str:
    vector = f".v{declaration.vector} " if declaration.vector > 1 else ""
    count = f"<{declaration.count}>" if declaration.count is not None else ""
    return f".reg {vector}.{declaration.type} {declaration.name}{count};"


def _parameters(parameters: tuple[Variable, ...]) -> str:
    return "(" + ", ".join(map(_variable, parameters)) + ")"


def _head(function: Function, with_directives: bool) -> str:
    parts = []
    if function.linkage:
        parts.append(f".{function.linkage}")
    parts.append(f".{function.kind}")
    if function.returns:
        parts.append(_parameters(function.returns))
    if function.params or function.kind == "func":
        separator = ",\n\t" if len(function.params) > 1 else ""
        if separator:
            parts.append(f"{function.name}(\n\t{separator.join(map(_variable, function.params))}\n)")
        else:
            parts.append(f"{function.name}{_parameters(function.params)}")
    else:
        parts.append(function.name)
    if with_directives:
        for name, values in function.directives.items():
            if name == "pragma":
                parts.extend(f'.pragma "{text}";' for text in values)
            elif name == "unified":
                parts.insert(1 + bool(function.linkage), f".attribute(.unified({', '.join(map(str, values))}))")
            else:
                parts.append(f".{name}" + (f" {', '.join(map(str, values))}" if values else ""))
    return " ".join(parts)


# ----------------------------------------------------------------------------------------------------------- statements


def _instruction(instruction: Instruction, indent: str) -> str:
    guard = ""
    if instruction.guard is not None:
        guard = f"@{'!' if instruction.guard_negated else ''}{instruction.guard} "
    operands = ", ".join(map(print_operand, instruction.operands))
    return f"{indent}{guard}{instruction.mnemonic}{' ' + operands if operands else ''};"


def _statement(statement: Statement, indent: str) -> Iterator[str]:
    if isinstance(statement, Instruction):
        yield _instruction(statement, indent)
    elif isinstance(statement, Label):
        yield f"{statement.name}:"
    elif isinstance(statement, Block):
        yield f"{indent}{{"
        for inner in statement.statements:
            yield from _statement(inner, indent + "\t")
        yield f"{indent}}}"
    elif isinstance(statement, RegisterDeclaration):
        yield f"{indent}{_registers(statement)}"
    elif isinstance(statement, Variable):
        yield f"{indent}{_variable(statement)};"
    elif isinstance(statement, Location):
        text = f"{indent}.loc {statement.file} {statement.source_line} {statement.source_column}"
        if statement.function_name is not None:
            text += f", function_name {statement.function_name}"
        if statement.inlined_at is not None:
            text += ", inlined_at {} {} {}".format(*statement.inlined_at)
        yield text
    elif isinstance(statement, Pragma):
        yield f'{indent}.pragma "{statement.text}";'
    elif isinstance(statement, BranchTargets):
        yield f"{statement.name}: .branchtargets {', '.join(statement.labels)};"
    elif isinstance(statement, CallTargets):
        yield f"{statement.name}: .calltargets {', '.join(statement.functions)};"
    else:
        yield _prototype(statement)


def _prototype(prototype: CallPrototype) -> str:
    returns = f"{_parameters(prototype.returns)} " if prototype.returns else ""
    noreturn = " .noreturn" if prototype.noreturn else ""
    return f"{prototype.name}: .callprototype {returns}_ {_parameters(prototype.params)}{noreturn};"


# --------------------------------------------------------------------------------------------------------------- module


def _module(module: Module) -> Iterator[str]:
    yield f".version {module.version[0]}.{module.version[1]}"
    targets = (module.target, *module.target_options) if module.target else module.target_options
    if targets:
        yield f".target {', '.join(targets)}"
    yield f".address_size {module.address_size}"
    for index, path in module.files.items():
        yield f'.file {index} "{path}"'
    for text in module.pragmas:
        yield f'.pragma "{text}";'
    for function in module.functions.values():
        if function.kind == "func" or function.body is None:
            yield f"{_head(function, with_directives=function.body is None)};"
    for variable in module.variables.values():
        yield f"{_variable(variable)};"
    for function in module.functions.values():
        if function.body is not None:
            yield _head(function, with_directives=True)
            yield "{"
            for statement in function.body:
                yield from _statement(statement, "\t")
            yield "}"
    for alias, aliasee in module.aliases.items():
        yield f".alias {alias}, {aliasee};"
