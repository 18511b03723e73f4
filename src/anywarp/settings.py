"""Every environment variable of Anywarp, declared once: name, type, default, meaning and who reads it.

Python code reads a variable through its declaration (`CACHE_LIMIT_MB.get()`); the native runtime reads the same names (a test compares
its sources with this list). `python -m anywarp.settings` prints the page docs/settings.md.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T", str, int, float, bool)


@dataclass(frozen=True)
class Setting(Generic[T]):
    """One variable. An empty value counts as unset."""

    name: str
    default: T
    meaning: str
    shown_default: str = ""  # what the page says where the default is worked out

    def get(self) -> T:
        """The value from the environment, or the default. Raises ValueError that names the variable where the text is no such value."""
        text = os.environ.get(self.name, "")
        if not text:
            return self.default
        kind = type(self.default)
        if kind is bool:
            if text.lower() in ("0", "false", "no", "off", "1", "true", "yes", "on"):
                return text.lower() in ("1", "true", "yes", "on")
            raise ValueError(f"{self.name}={text} is neither 1 nor 0")
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f"{self.name}={text} is no {'whole number' if kind is int else 'number'}") from None

    @property
    def type_name(self) -> str:
        return {str: "text", int: "whole number", float: "number", bool: "0 or 1"}[type(self.default)]


# The device that programs see
DEVICE = Setting("ANYWARP_DEVICE", "generic-sm80", "Device profile, one of `anywarp devices`.")
DEVICES = Setting("ANYWARP_DEVICES", 1, "How many devices programs see; 0: none. They share the machine's cores and memory.")
COMPUTE_CAPABILITY = Setting(
    "ANYWARP_COMPUTE_CAPABILITY", "", "Compute capability that is reported, such as `8.0` or `90`.", "the profile's: 8.0"
)
DRIVER_VERSION = Setting("ANYWARP_DRIVER_VERSION", "13050", "CUDA version that the driver reports, as 13050 or 13.5.")

# Execution
NUM_THREADS = Setting("ANYWARP_NUM_THREADS", 0, "Worker threads that run CTAs.", "as many as cores that the process may use")
DUAL_MAPPING = Setting(
    "ANYWARP_DUAL_MAPPING",
    True,
    "0: code pages are written and then made executable. 1: they are mapped twice, which QEMU's user mode before 8.1 does not see.",
)
TRACE = Setting("ANYWARP_TRACE", "", "`1`: every API call with arguments and result on stderr; else the file to append it to.", "off")

# The compiler process
PYTHON = Setting(
    "ANYWARP_PYTHON", "", "Interpreter that runs the compiler; it must have anywarp's dependencies.", "the one that anywarp is installed in"
)
PYTHONPATH = Setting(
    "ANYWARP_PYTHONPATH", "", "Folder that holds the package `anywarp`, for the compiler.", "where libcuda.so.1 is installed"
)
TARGET = Setting(
    "ANYWARP_TARGET",
    "",
    "Processor to compile for as `TRIPLE:CPU:FEATURES` (LLVM's names), for a runtime that runs in an emulator.",
    "this machine's",
)
COMPILE_TIMEOUT = Setting("ANYWARP_COMPILE_TIMEOUT", 300.0, "Seconds until a compile counts as hung; the compiler is then restarted.")
RUNTIME_DIR = Setting(
    "ANYWARP_RUNTIME_DIR", "", "Folder with `lib/libcuda.so.1`, for work on the sources.", "the installed one, else `build/native`"
)

# The cache of compiled kernels
CACHE_DIR = Setting("ANYWARP_CACHE_DIR", "", "The cache's folder.", "`$XDG_CACHE_HOME/anywarp`, else `~/.cache/anywarp`")
CACHE_LIMIT_MB = Setting("ANYWARP_CACHE_LIMIT_MB", 2048, "Bound on the cache's size in MiB; what was used longest ago goes first.")

# Client packages
INTEGRATIONS = Setting("ANYWARP_INTEGRATIONS", True, "0: client packages are not prepared when they are imported (docs/clients).")

# Set by Anywarp for its own processes
COMPILER_CHILD = Setting("ANYWARP_COMPILER_CHILD", False, "Set in the compiler's process, which must not start a compiler.")


def declared() -> list[Setting[str] | Setting[int] | Setting[float] | Setting[bool]]:
    """All settings, in the order of this file."""
    return [value for value in globals().values() if isinstance(value, Setting)]


def page() -> str:
    """docs/settings.md."""
    lines = [
        "# Environment variables",
        "",
        "Generated from `src/anywarp/settings.py` by `python -m anywarp.settings`. An empty value counts as unset.",
        "",
        "| variable | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for s in declared():
        default = s.shown_default or (str(int(s.default)) if isinstance(s.default, bool) else f"`{s.default}`")
        lines.append(f"| `{s.name}` | {s.type_name} | {default} | {s.meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
