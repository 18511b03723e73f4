"""Linking: several PTX modules to one.

Definitions satisfy declarations of the same name; weak ones give way; two strong ones are an error. Names without `.visible`, `.extern`
or `.weak` are a module's own (PTX ISA 10.2): where two have the same (nvcc calls every file's first string `$str`), one gets another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from anywarp import image, ptx
from anywarp.ir.flatten import PLATFORM_FUNCTIONS
from anywarp.ptx import device_runtime, tree
from anywarp.ptx.diagnostics import PtxError

ARCHIVE = b"!<arch>\n"

# What a module shows to others: linkage and name of a function, at the beginning of a line as compilers write it.
_FUNCTION = re.compile(r"^[ \t]*\.(visible|weak|extern)\s+\.func\s*(?:\([^()]*\)\s*)?([\w$%]+)", re.MULTILINE)


def texts_of(name: str, data: bytes, capability: tuple[int, int]) -> Iterator[tuple[str, str]]:
    """(name, PTX) of an input: one for an image, one for each member with PTX of a static library. CUDA's device runtime gives none: ours
    is defined where it is missing (ptx.device_runtime). Raises image.ImageError."""
    if not data.startswith(ARCHIVE):
        yield name, image.read(data).best_ptx(capability)
        return
    if device_runtime.LIBRARY in name:
        return
    for member, payload in members(data):
        try:
            yield f"{name}({member})", image.read(payload).best_ptx(capability)
        except image.ImageError:
            continue  # host code or machine code: whoever needs it learns which name is undefined


def members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and contents of a static library's members (the System V `ar` format); not its symbol table and name table. Raises
    image.ImageError where it is damaged."""
    at, long_names = len(ARCHIVE), b""
    while at + 60 <= len(data):
        name, size = data[at : at + 16].decode("latin-1").strip(), data[at + 48 : at + 58].strip()
        if data[at + 58 : at + 60] != b"`\n" or not size.isdigit():
            raise image.ImageError(f"the static library is damaged at byte {at}")
        begin = at + 60
        contents = data[begin : begin + int(size)]
        if name == "//":
            long_names = contents
        elif name not in ("/", "/SYM64/"):
            if name[:1] == "/" and name[1:].isdigit():
                name = long_names[int(name[1:]) :].partition(b"\n")[0].decode("latin-1")
            yield name.rstrip("/"), contents
        at = begin + int(size) + int(size) % 2


def _without_device_runtime(texts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Leaves CUDA's device runtime out where nothing needs it that is not ours. nvcc puts it into every program with linked device code,
    780 KB of PTX that took ten times as long as such a program's own."""
    runtimes = [text for _, text in texts if _is_device_runtime(text)]
    if not runtimes:
        return texts
    declared = {name for _, text in texts if text not in runtimes for linkage, name in _FUNCTION.findall(text) if linkage == "extern"}
    declared -= {*device_runtime.NAMES, *PLATFORM_FUNCTIONS}

    def serves(text: str) -> bool:
        return any(name in declared for linkage, name in _FUNCTION.findall(text) if linkage != "extern")

    return [(name, text) for name, text in texts if text not in runtimes or serves(text)]


def _is_device_runtime(text: str) -> bool:
    return any(name == "cudaGetParameterBufferV2" and linkage != "extern" for linkage, name in _FUNCTION.findall(text))


def link(texts: list[tuple[str, str]], most_registers: int = 0) -> str:
    """The PTX text of the linked module. `texts`: (name, PTX) in the order in which they were added. `most_registers`: what entries may
    have at most (they get `.maxnreg`), 0 for no limit. Raises PtxError."""
    texts = _without_device_runtime(texts)
    if len(texts) == 1 and not most_registers:
        return texts[0][1]
    modules = _with_names_apart(texts)
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
    if most_registers:
        for name, function in result.functions.items():
            if function.kind == "entry" and function.body is not None:
                result.functions[name] = replace(function, directives={**function.directives, "maxnreg": (most_registers,)})
    return ptx.print_module(result)


def _with_names_apart(texts: list[tuple[str, str]]) -> list[tuple[str, tree.Module]]:
    """Parses the texts; names that are private to one and that another has too are renamed."""
    modules = [(name, ptx.parse(text, name)) for name, text in texts]
    shared: set[str] = set()
    private: list[set[str]] = []
    for _, module in modules:
        symbols: list[tree.Function | tree.Variable] = [*module.functions.values(), *module.variables.values()]
        private.append({s.name for s in symbols if not s.linkage})
        shared |= {s.name for s in symbols if s.linkage}
    taken = shared
    for number, (name, text) in enumerate(texts):
        clashes = private[number] & taken
        taken = taken | private[number]
        if clashes:
            names = "|".join(map(re.escape, sorted(clashes, key=len, reverse=True)))
            token = re.compile(rf"(?<![\w$%])(?:{names})(?![\w$])")
            modules[number] = name, ptx.parse(token.sub(lambda m, number=number: f"{m[0]}$module{number}", text), name)  # type: ignore[misc]
    return modules


def _architecture(target: str) -> int:
    digits = "".join(c for c in target if c.isdigit())
    return int(digits or 0)


def _add_function(result: tree.Module, function: tree.Function, name: str) -> None:
    existing = result.functions.get(function.name)
    if existing is None:
        result.functions[function.name] = function
        return
    if existing.body is not None and function.body is not None and "weak" not in (existing.linkage, function.linkage):
        raise PtxError(f"function {function.name!r} is defined twice", function.line, 0, name)
    keeps = existing.body is not None and (function.body is None or function.linkage == "weak")
    chosen, other = (existing, function) if keeps else (function, existing)
    # Linkers do not compare prototypes: a caller that expects a result of a function without one gets an undefined value.
    result.functions[function.name] = replace(chosen, returns=other.returns) if other.returns and not chosen.returns else chosen


def _add_variable(result: tree.Module, variable: tree.Variable, name: str) -> None:
    existing = result.variables.get(variable.name)
    if existing is None or existing.linkage == "extern":
        result.variables[variable.name] = variable
    elif variable.linkage not in ("extern", "weak", "common"):
        if existing.linkage not in ("weak", "common"):
            raise PtxError(f"variable {variable.name!r} is defined twice", variable.line, 0, name)
        result.variables[variable.name] = variable
