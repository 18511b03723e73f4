"""Writes `anywarp_runtime_api.h`, the declarations of the runtime API for user programs, from the API table."""

from __future__ import annotations

from pathlib import Path

from anywarp.api import cpp, table
from anywarp.api.table import Aggregate, Constant, Function

INCLUDE = Path(__file__).parent / "include"
_BY_HAND = frozenset({"dim3", "uint3", "cudaStreamLegacy", "cudaStreamPerThread"})  # in cuda_runtime.h
_LEFT_OUT = frozenset({"graphics", "external", "texture_reference"})  # chapters
_DEFAULTS = {"cudaMallocManaged": "1"}  # of a last parameter `flags`; 0 elsewhere


def runtime_api_header(major: int = 13) -> str:
    """The text of the header for one major version of libcudart."""
    api = table.load("runtime")
    types = [t for t in api.types if t.name not in _BY_HAND]
    types.sort(key=lambda t: t.name != "CUuuid")  # the driver's structs hold one
    out = [cpp.BANNER, "#pragma once", "#include <cstddef>", "#include <cstdint>"]
    out += [f"{'union' if t.union else 'struct'} {t.name};" for t in types if isinstance(t, Aggregate)]
    for t in types:
        out += [f"#define {t.name} {t.value}"] if isinstance(t, Constant) and t.value >= 0 else cpp.type_definition(t)
    out.append('extern "C" {')
    for f in api.exported(major):
        if f.chapter not in _LEFT_OUT:
            out += [f"{f.signature.result} {s}({_parameters(f)});" for s in (f.symbol, f.twin_symbol) if s]
    return "\n".join([*out, "}", ""])


def _parameters(f: Function) -> str:
    """The parameters as C++ writes them; a stream or flags at the end may be left out by the caller."""
    parts = [p.c() for p in f.signature.parameters]
    if parts:
        last = f.signature.parameters[-1]
        if f.symbol == "__cudaPushCallConfiguration":
            parts[-2:] = [f"{p} = 0" for p in parts[-2:]]  # clang takes them for the launch's last two values
        elif last.type == "cudaStream_t" and last.name == "stream":
            parts[-1] += " = nullptr"
        elif last.name == "flags" and last.type.startswith("unsigned"):
            parts[-1] += f" = {_DEFAULTS.get(f.symbol, '0')}"
    return ", ".join(parts)
