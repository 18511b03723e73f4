"""Which functions are implemented: found in the headers of `src/runtime/{driver,cudart}/`, stated nowhere else.

A function is implemented if a header there declares its implementation at the start of a line:

    CUresult memAlloc(CUdeviceptr* dptr, size_t bytesize);

The name is the symbol's without `cu` (`cuda`, `__cuda`), its first letter in lower case; forms of one name that differ in their parameters
are overloads. `cuMemAlloc_v2` calls `memAlloc_v2` if that is declared, else a declared version with the same parameter types, else
`memAlloc` if its parameters are those of the newest version.

Where a function has a twin for the per-thread default stream (`_ptds`, `_ptsz`), its implementation gets the stream to use: in place of a
null `CUstream` parameter, or as one more, last parameter if it has none.

A function of the runtime that the table equates with one of the driver (`= cuNAME`) needs no implementation of its own.
"""

from __future__ import annotations

import re
from pathlib import Path

from anywarp.api.table import Api, Function

_IMPLEMENTATION = re.compile(r"^(?!using|return|static|typedef)(?:const )?[A-Za-z_][\w:]*(?:\s|\s*\*+\s*)+(\w+)\(", re.MULTILINE)


def declared(headers: Path) -> frozenset[str]:
    """The names of all functions that the headers (`*.h`) in a directory declare at the start of a line."""
    names: set[str] = set()
    for header in sorted(headers.glob("*.h")):
        names.update(_IMPLEMENTATION.findall(header.read_text(encoding="utf-8")))
    return frozenset(names)


def plain_name(symbol: str) -> str:
    """cuMemAlloc_v2 -> memAlloc_v2, __cudaRegisterVar -> registerVar."""
    name = re.sub(r"^(__cuda|cuda|cu)", "", symbol)
    return name[0].lower() + name[1:]


def implementation(api: Api, function: Function, names: frozenset[str]) -> str:
    """The name of the C++ function that implements one form of a function; empty if there is none."""
    exact = plain_name(function.symbol)
    forms = api.by_base[function.base]
    if exact in names and (function.version > 1 or len({f.symbol for f in forms}) == 1 or function == forms[0]):
        return exact
    base = plain_name(function.base)
    same = [f for f in forms if api.same_parameters(f.signature, function.signature)]
    for form in same:
        name = plain_name(form.symbol)
        if form.version > 1 and name in names:
            return name
    if forms[0] in same and base in names:
        return base
    explicit = f"{base}_v1"  # an oldest form that differs from the newest, and is implemented for itself
    if function.version == 1 and explicit in names:
        return explicit
    return ""


def symbols_of(api: Api, headers: Path, driver: frozenset[str] = frozenset()) -> frozenset[str]:
    """The symbols (without twins) that do something: by an implementation that `headers` declare, or by passing the call on to a symbol of
    `driver`, those of the driver that do something.
    """
    names = declared(headers)
    return frozenset(f.symbol for f in api.functions if f.forward in driver or implementation(api, f, names))
