"""Linking: several PTX modules to one. Definitions satisfy declarations of the same name; weak ones give way; two strong ones are an error."""

from __future__ import annotations

from anywarp import ptx
from anywarp.ptx import tree
from anywarp.ptx.diagnostics import PtxError


def link(texts: list[tuple[str, str]]) -> str:
    """The PTX text of the linked module. `texts`: (name, PTX) in the order in which they were added. Raises PtxError."""
    if len(texts) == 1:
        return texts[0][1]
    modules = [(name, ptx.parse(text, name)) for name, text in texts]
    first = modules[0][1]
    result = tree.Module(
        version=max(m.version for _, m in modules),
        target=max((m.target for _, m in modules), key=_architecture),
        target_options=first.target_options,
        address_size=first.address_size,
        functions={},
        variables={},
        aliases={},
        files={},
    )
    for name, module in modules:
        for function in module.functions.values():
            _add_function(result, function, name)
        for variable in module.variables.values():
            _add_variable(result, variable, name)
        for alias, aliasee in module.aliases.items():
            if result.aliases.setdefault(alias, aliasee) != aliasee:
                raise PtxError(f"alias {alias!r} is defined twice", 0, 0, name)
    return ptx.print_module(result)


def _architecture(target: str) -> int:
    digits = "".join(c for c in target if c.isdigit())
    return int(digits or 0)


def _add_function(result: tree.Module, function: tree.Function, name: str) -> None:
    existing = result.functions.get(function.name)
    if existing is None or existing.body is None:
        result.functions[function.name] = function
    elif function.body is not None and function.linkage != "weak":
        if existing.linkage != "weak":
            raise PtxError(f"function {function.name!r} is defined twice", function.line, 0, name)
        result.functions[function.name] = function


def _add_variable(result: tree.Module, variable: tree.Variable, name: str) -> None:
    existing = result.variables.get(variable.name)
    if existing is None or existing.linkage == "extern":
        result.variables[variable.name] = variable
    elif variable.linkage not in ("extern", "weak", "common"):
        if existing.linkage not in ("weak", "common"):
            raise PtxError(f"variable {variable.name!r} is defined twice", variable.line, 0, name)
        result.variables[variable.name] = variable
