"""`python -m anywarp.api.generate --out DIR`: everything that the native build needs from the API table. Standard library only.

    DIR/cuda_abi.h, cudart_abi.h               types
    DIR/driver_functions.h, ...                prototypes of the entry points
    DIR/driver_entries_N.cpp                   the entry points, in N files of about equal size
    DIR/driver_proc_address.h                  cuGetProcAddress
    DIR/driver_enums.h, driver_results.h       names for the trace and cuGetErrorName
    DIR/driver.map, cudart<M>.map              linker version scripts
    DIR/cudart<M>/...                          the same of each libcudart (M = 11, 12, 13)
    DIR/redirect_names.h                       entry points of the runtime, for programs that have it inside
    DIR/missing_functions.txt                  functions that are not implemented, for `anywarp doctor FILE`; installed
    DIR/device_profiles.h                      device profiles

Files whose text has not changed are not touched, so that nothing is compiled again. `--docs FILE` writes the coverage page instead.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from anywarp.api import coverage, cpp, profiles, redirect, table
from anywarp.api.implemented import declared
from anywarp.api.table import Function

ENTRY_FILES = 4
_SOURCES = Path(__file__).resolve().parents[2] / "runtime"


def split(functions: list[Function], parts: int) -> list[list[str]]:
    """Chapters in `parts` groups of about the same number of functions."""
    sizes: dict[str, int] = {}
    for f in functions:
        sizes[f.chapter] = sizes.get(f.chapter, 0) + 1 + bool(f.twin)
    groups: list[list[str]] = [[] for _ in range(parts)]
    weights = [0] * parts
    for chapter, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        lightest = weights.index(min(weights))
        groups[lightest].append(chapter)
        weights[lightest] += size
    return groups


def files(sources: Path) -> dict[str, str]:
    """Every generated file's path (relative) and text."""
    driver, runtime = table.load("driver"), table.load("runtime")
    result = {
        "cuda_abi.h": cpp.header(driver),
        "cudart_abi.h": cpp.header(runtime),
        "driver_proc_address.h": cpp.proc_address_table(driver),
        "driver_enums.h": cpp.enum_names(driver),
        "driver_results.h": cpp.results(driver),
        "cudart_enums.h": cpp.enum_names(runtime),
        "cudart_results.h": cpp.results(runtime),
        "redirect_names.h": redirect.names(runtime),
        "missing_functions.txt": redirect.missing_functions(driver, runtime, sources),
        "device_profiles.h": profiles.cpp(driver),
    }
    emitter = cpp.Emitter.driver(driver, declared(sources / "driver"))
    functions = driver.exported()
    result["driver_functions.h"] = emitter.prototypes(functions)
    for number, chapters in enumerate(split(functions, ENTRY_FILES)):
        result[f"driver_entries_{number}.cpp"] = emitter.entries(functions, chapters)
    result["driver.map"] = cpp.version_script(_symbols(functions))

    emitter = cpp.Emitter.runtime(runtime, declared(sources / "cudart"))
    for major in table.LIBCUDART_MAJORS:
        functions = runtime.exported(major)
        result[f"cudart{major}/runtime_functions.h"] = emitter.prototypes(functions)
        for number, chapters in enumerate(split(functions, ENTRY_FILES)):
            result[f"cudart{major}/runtime_entries_{number}.cpp"] = emitter.entries(functions, chapters)
        version = f"libcudart.so.{major}.0" if major == 11 else f"libcudart.so.{major}"
        result[f"cudart{major}.map"] = cpp.version_script(_symbols(functions), version)
    return result


def _symbols(functions: list[Function]) -> list[str]:
    return sorted(s for f in functions for s in (f.symbol, f.twin_symbol) if s)


def write(path: Path, text: str) -> bool:
    """Writes a file if its text changes; says whether it did."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return True


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m anywarp.api.generate", description="Generates the API's C++ sources.")
    parser.add_argument("--out", type=Path, help="folder for the generated C++ files")
    parser.add_argument("--docs", type=Path, help="file for the coverage page")
    parser.add_argument("--sources", type=Path, default=_SOURCES, help="src/runtime")
    options = parser.parse_args()
    if options.docs:
        write(options.docs, coverage.page(options.sources))
    if options.out:
        for name, text in files(options.sources).items():
            write(options.out / name, text)


if __name__ == "__main__":
    main()
