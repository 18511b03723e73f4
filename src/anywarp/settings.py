"""Every environment variable of Anywarp, declared once: name, type, default, meaning and who reads it.

Python code reads a variable through its declaration (`CACHE_LIMIT_MB.get()`); the native runtime reads the same names (a test compares
its sources with this list). `python -m anywarp.settings` prints the page docs/settings.md.
"""

from __future__ import annotations

import os


class Setting:
    """One variable. An empty value counts as unset. `import anywarp.auto` needs this, so: no dataclass, no typing (35 ms)."""

    type_name: str

    def __init__(self, name: str, default: str | int | float, meaning: str, shown_default: str = "") -> None:
        """`shown_default`: what the page says where the default is worked out."""
        self.name, self.default, self.meaning, self.shown_default = name, default, meaning, shown_default

    def text(self) -> str:
        """The value in the environment; empty: the default."""
        return os.environ.get(self.name, "")

    def wrong(self, what: str) -> ValueError:
        return ValueError(f"{self.name}={self.text()} is {what}")


class Text(Setting):
    type_name = "text"

    def get(self) -> str:
        """The value from the environment, or the default."""
        return self.text() or str(self.default)


class Whole(Setting):
    type_name = "whole number"

    def get(self) -> int:
        """The value from the environment, or the default. Raises ValueError that names the variable where the text is no such value."""
        try:
            return int(self.text() or self.default)
        except ValueError:
            raise self.wrong("no whole number") from None


class Number(Setting):
    type_name = "number"

    def get(self) -> float:
        """As `Whole.get`."""
        try:
            return float(self.text() or self.default)
        except ValueError:
            raise self.wrong("no number") from None


class Switch(Setting):
    type_name = "0 or 1"

    def get(self) -> bool:
        """As `Whole.get`."""
        text = self.text().lower()
        if text in ("1", "true", "yes", "on"):
            return True
        if text in ("0", "false", "no", "off"):
            return False
        if text:
            raise self.wrong("neither 1 nor 0")
        return bool(self.default)


# The device that programs see
DEVICE = Text("ANYWARP_DEVICE", "generic-sm80", "Device profile, one of `anywarp devices`.")
DEVICES = Whole("ANYWARP_DEVICES", 1, "How many devices programs see; 0: none. They share the machine's cores and memory.")
COMPUTE_CAPABILITY = Text(
    "ANYWARP_COMPUTE_CAPABILITY", "", "Compute capability that is reported, such as `8.0` or `90`.", "the profile's: 8.0"
)
DRIVER_VERSION = Text("ANYWARP_DRIVER_VERSION", "13050", "CUDA version that the driver reports, as 13050 or 13.5.")

# Execution
NUM_THREADS = Whole("ANYWARP_NUM_THREADS", 0, "Worker threads that run CTAs.", "as many as cores that the process may use")
LAUNCH_TIMEOUT = Number(
    "ANYWARP_LAUNCH_TIMEOUT", 0.0, "Watchdog: seconds after which a kernel is stopped with CUDA_ERROR_LAUNCH_TIMEOUT; 0: never."
)
STOP_TIMEOUT = Number(
    "ANYWARP_STOP_TIMEOUT", 5.0, "Seconds that whoever destroys or resets a context waits for a kernel to end, before it is stopped."
)
DUAL_MAPPING = Switch(
    "ANYWARP_DUAL_MAPPING",
    True,
    "0: code pages are written and then made executable. 1: they are mapped twice, which QEMU's user mode before 8.1 does not see.",
)
TRACE = Text("ANYWARP_TRACE", "", "`1`: every API call with arguments and result on stderr; else the file to append it to.", "off")

# The compiler process
PYTHON = Text(
    "ANYWARP_PYTHON", "", "Interpreter that runs the compiler; it must have anywarp's dependencies.", "the one that anywarp is installed in"
)
PYTHONPATH = Text("ANYWARP_PYTHONPATH", "", "Folder that holds the package `anywarp`, for the compiler.", "where libcuda.so.1 is installed")
TARGET = Text(
    "ANYWARP_TARGET",
    "",
    "Processor to compile for as `TRIPLE:CPU:FEATURES` (LLVM's names), for a runtime that runs in an emulator.",
    "this machine's",
)
COMPILE_TIMEOUT = Number("ANYWARP_COMPILE_TIMEOUT", 300.0, "Seconds until a compile counts as hung; the compiler is then restarted.")
RUNTIME_DIR = Text(
    "ANYWARP_RUNTIME_DIR", "", "Folder with `lib/libcuda.so.1`, for work on the sources.", "the installed one, else `build/native`"
)

# The cache of compiled kernels
CACHE_DIR = Text("ANYWARP_CACHE_DIR", "", "The cache's folder.", "`$XDG_CACHE_HOME/anywarp`, else `~/.cache/anywarp`")
CACHE_LIMIT_MB = Whole("ANYWARP_CACHE_LIMIT_MB", 2048, "Bound on the cache's size in MiB; what was used longest ago goes first.")

# Client packages
INTEGRATIONS = Switch("ANYWARP_INTEGRATIONS", True, "0: client packages are not prepared when they are imported (docs/clients).")

# Set by Anywarp for its own processes
COMPILER_CHILD = Switch("ANYWARP_COMPILER_CHILD", False, "Set in the compiler's process, which must not start a compiler.")


def declared() -> list[Setting]:
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
