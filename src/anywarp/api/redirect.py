"""Writes `redirect_names.h`: the entry points that are looked for in programs with the CUDA runtime linked in (src/runtime/redirect).

And the list of functions that only say that they are not supported, which `anywarp doctor FILE` compares with what a program calls.
"""

from __future__ import annotations

from pathlib import Path

from anywarp.api.cpp import BANNER
from anywarp.api.implemented import symbols_of
from anywarp.api.table import LIBCUDART_MAJORS, Api

UNKNOWN = 64  # functions of a runtime that is newer than the tables, a process


def majors(api: Api) -> dict[str, tuple[int, ...]]:
    """Every symbol that some libcudart exports, and the major versions of those that do."""
    result: dict[str, tuple[int, ...]] = {}
    for f in api.functions:
        for symbol in (f.symbol, f.twin_symbol):
            if symbol:
                result[symbol] = tuple(sorted({*result.get(symbol, ()), *f.majors}))
    return result


def names(api: Api) -> str:
    """`redirect_names.h`: the symbols, sorted, with a bit for each libcudart that has them (bit 0: the oldest)."""
    bits = {symbol: sum(1 << LIBCUDART_MAJORS.index(m) for m in exporting) for symbol, exporting in majors(api).items()}
    out = [
        BANNER,
        "#pragma once",
        "#include <string_view>",
        f"#define ANYWARP_REDIRECT_NAMES {len(bits)}",
        f"#define ANYWARP_REDIRECT_UNKNOWN {UNKNOWN}",
        "namespace anywarp::redirect {",
        "struct Name {",
        "  const char* text;",
        "  unsigned char flavours;",
        "};",
        "inline constexpr Name kNames[] = {",
        *(f'    {{"{symbol}", {bits[symbol]}}},' for symbol in sorted(bits)),
        "};",
        "}  // namespace anywarp::redirect",
        "",
    ]
    return "\n".join(out)


def missing_functions(driver: Api, runtime: Api, sources: Path) -> str:
    """`missing_functions.txt`: symbol and reason of the functions without an implementation, a line each. `sources` is src/runtime."""
    done = symbols_of(driver, sources / "driver")
    done |= symbols_of(runtime, sources / "cudart", done)
    rows = {
        (s, f.unsupported)
        for api in (driver, runtime)
        for f in api.functions
        if f.symbol not in done
        for s in (f.symbol, f.twin_symbol)
        if s
    }
    return "".join(f"{symbol} {reason}".rstrip() + "\n" for symbol, reason in sorted(rows))
