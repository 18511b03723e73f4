"""The functions of CUDA's device math library (`__nv_sinf` and the like) that front ends leave open, in PTX of our own.

`math_library.ptx` is compiled from `src/libdevice/` (build.py there). It is not parsed as a whole: a module that declares some of its
functions gets these, and what they call and read; one that declares none pays nothing. A definition in the module itself wins.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from anywarp.ptx import tree
from anywarp.ptx.parser import parse

PREFIX = "__nv_"
# A function with its body, or a variable: both begin and end at the beginning of a line.
_DEFINITION = re.compile(
    r"^(?:\.visible )?(?:\.func +(?:\([^()]*\) *)?([\w$]+)\(.*?^\}|\.global [^\n]*?([\w$]+)\[\d+\] = .*?;)$", re.MULTILINE | re.DOTALL
)
_NAME = re.compile(r"[A-Za-z_$][\w$]*")


@cache
def _index() -> tuple[str, dict[str, str]]:
    """The head of the library (version, target, address size), and the text of each definition by name."""
    text = Path(__file__).with_suffix(".ptx").read_text(encoding="utf-8")
    found = {m[1] or m[2]: m[0] for m in _DEFINITION.finditer(text)}
    head = re.search(r"^\.version.*?^\.address_size \d+$", text, re.MULTILINE | re.DOTALL)
    assert head is not None
    return head[0], found


def names() -> list[str]:
    """Every function that can be left open."""
    return sorted(name for name in _index()[1] if name.startswith(PREFIX))


def source(wanted: list[str]) -> str:
    """PTX with the functions of these names and what they need, each once."""
    head, definitions = _index()
    taken: dict[str, None] = {}
    open_names = list(wanted)
    while open_names:
        name = open_names.pop()
        if name not in taken:
            taken[name] = None
            open_names += [n for n in set(_NAME.findall(definitions[name])) if n in definitions and n != name]
    # A function stands before those that call it.
    return "\n".join([head, *(text for name, text in definitions.items() if name in taken)])


def define_missing(module: tree.Module) -> None:
    """Adds our definition of every function of the library that the module declares and does not define."""
    open_names = [f.name for f in module.functions.values() if f.body is None and f.name.startswith(PREFIX)]
    if not open_names:
        return
    definitions = _index()[1]
    ours = parse(source([name for name in open_names if name in definitions]), "math_library.ptx")
    for name, function in ours.functions.items():
        if name in open_names or name not in module.functions:
            module.functions[name] = function
    for name, variable in ours.variables.items():
        module.variables.setdefault(name, variable)
