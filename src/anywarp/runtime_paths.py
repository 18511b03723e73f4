"""Where the native libraries are: in the installed package, or in a developer's build folder.

    <package>/_runtime/lib        libcuda.so.1, libcudart.so.*: on the loader's search path of every program under `anywarp run`;
                                  libanywarp-redirect.so, its audit library
    <package>/_runtime/bin        programs that clients start (a stand-in for ptxas)
    <package>/_runtime/path       a stand-in for nvidia-smi, on the PATH of every program under `anywarp run`
    <package>/_runtime/standins   libraries for one client that do next to nothing (src/runtime/standins/README.md); never on a search path

Standard library only and quick to import: `anywarp run` and `import anywarp.auto` stand on it.
"""

from __future__ import annotations

import os
import sys

PACKAGE = os.path.dirname(os.path.abspath(__file__))
DRIVER = "libcuda.so.1"
REDIRECT = "libanywarp-redirect.so"


class RuntimeNotFound(RuntimeError):
    """The native libraries are not there; the message says how to get them."""


def root() -> str:
    """The folder that holds `lib` and `standins`. Raises RuntimeNotFound.

    In order: `$ANYWARP_RUNTIME_DIR`, the installed package, any folder on `sys.path` that holds an installed package (a source tree on
    PYTHONPATH shadows it), the source tree's `build/native`.
    """
    chosen = os.environ.get("ANYWARP_RUNTIME_DIR")
    if chosen:
        if os.path.exists(os.path.join(chosen, "lib", DRIVER)):
            return os.path.abspath(chosen)
        raise RuntimeNotFound(f"ANYWARP_RUNTIME_DIR={chosen} holds no lib/{DRIVER}")
    candidates = [os.path.join(PACKAGE, "_runtime")]
    candidates += [os.path.join(folder, "anywarp", "_runtime") for folder in sys.path if folder]
    candidates.append(os.path.join(os.path.dirname(os.path.dirname(PACKAGE)), "build", "native"))
    for folder in candidates:
        if os.path.exists(os.path.join(folder, "lib", DRIVER)):
            return folder
    raise RuntimeNotFound(
        "anywarp's native libraries are not built. `pip install .` in the source tree builds and installs them; "
        "`cmake -S . -B build/native && cmake --build build/native` builds them for work on the sources."
    )


def library_dir() -> str:
    """The folder with libcuda.so.1 and libcudart.so.*. Raises RuntimeNotFound."""
    return os.path.join(root(), "lib")


def driver() -> str:
    """The path of libcuda.so.1. Raises RuntimeNotFound."""
    return os.path.join(library_dir(), DRIVER)


def redirect() -> str | None:
    """The path of the library that sends CUDA runtimes inside programs to ours, if it was built."""
    path = os.path.join(library_dir(), REDIRECT)
    return path if os.path.exists(path) else None


def standin(name: str) -> str | None:
    """The path of a library that does next to nothing (src/runtime/standins/README.md), if it was built."""
    path = os.path.join(root(), "standins", name)
    return path if os.path.exists(path) else None


def program(name: str) -> str | None:
    """The path of a program that clients start, if it was built."""
    path = os.path.join(root(), "bin", name)
    return path if os.path.exists(path) else None


def path_dir() -> str | None:
    """The folder with programs that are looked for on the PATH, if it was built."""
    path = os.path.join(root(), "path")
    return path if os.path.exists(path) else None


def missing_functions() -> str | None:
    """The list of API functions without an implementation (symbol, reason), if it was built."""
    paths = [os.path.join(root(), folder, "missing_functions.txt") for folder in ("", "generated/api")]
    return next((p for p in paths if os.path.exists(p)), None)


def startup_dir() -> str:
    """The folder that `anywarp run` puts on PYTHONPATH: its `sitecustomize.py` prepares client packages as they are imported."""
    return os.path.join(PACKAGE, "integrations", "startup")
