"""`anywarp run [OPTIONS] -- CMD …`: replaces itself with a program that finds our CUDA libraries.

The program is executed in this process's place, so that exit status, signals, terminal and output are its own. Standard library only, and
little of it: this is what `anywarp run` costs.
"""

from __future__ import annotations

import os
import sys

from anywarp import runtime_paths
from anywarp.integrations import environment

USAGE = "usage: anywarp run [--device NAME] [--devices N] [--trace[=FILE]] [--] CMD [ARGUMENT …]"


class Options:
    """What stands in front of the command, and the command."""

    def __init__(self) -> None:
        self.device = ""
        self.devices = ""
        self.trace = ""  # "1": on stderr
        self.command: list[str] = []


def parse(arguments: list[str]) -> Options | None:
    """The options, or None where they are not understood (or ask for help)."""
    options = Options()
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        word, has_value, value = rest.pop(0).partition("=")
        if word == "--" and not has_value:
            break
        if word == "--trace":
            options.trace = value if has_value else "1"
        elif word in ("--device", "--devices"):
            if not has_value:
                if not rest:
                    return None
                value = rest.pop(0)
            setattr(options, word[2:], value)
        else:
            return None
    options.command = rest
    return options if rest else None


def known_devices() -> list[str]:
    """The names that `--device` takes."""
    folder = os.path.join(runtime_paths.PACKAGE, "devices")
    return sorted(name[:-5] for name in os.listdir(folder) if name.endswith(".toml"))


def problem(options: Options) -> str:
    """What is wrong with the options, or nothing."""
    if options.device and options.device not in known_devices():
        return f"--device {options.device}: no such device profile; there are: {', '.join(known_devices())}"
    if options.devices and not (options.devices.isascii() and options.devices.isdigit()):
        return f"--devices {options.devices}: not a number of devices"
    return ""


def start(options: Options) -> int:
    """Becomes the command. Returns an exit status only where it cannot: 2 for wrong options, 126 or 127 as a shell does."""
    if wrong := problem(options):
        return complain(wrong, 2)
    try:
        variables = environment.variables(os.environ)
    except runtime_paths.RuntimeNotFound as error:
        return complain(str(error), 126)
    if options.device:
        variables["ANYWARP_DEVICE"] = options.device
    if options.devices:
        variables["ANYWARP_DEVICES"] = options.devices
    if options.trace:
        variables["ANYWARP_TRACE"] = options.trace if options.trace == "1" else os.path.abspath(options.trace)
    import _signal as signal  # type: ignore[import-not-found]  # built in; the enums of `signal` cost 5 ms

    # Python ignores these two, and an ignored signal stays ignored in the program: `anywarp run yes | head` would not end.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(options.command[0], options.command, {**os.environ, **variables})
    except FileNotFoundError:
        return complain(f"{options.command[0]}: command not found", 127)
    except OSError as error:
        return complain(f"{options.command[0]}: {error.strerror}", 126)


def complain(message: str, status: int) -> int:
    print(f"anywarp run: {message}", file=sys.stderr)
    return status
