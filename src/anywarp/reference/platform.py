"""Functions that the platform provides to kernels: vprintf, malloc, free, __assertfail; not the device runtime."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from anywarp.isa.integer import signed
from anywarp.reference.errors import KernelTrap

if TYPE_CHECKING:
    from anywarp.reference.machine import Thread

PlatformFunction = Callable[["Thread", list[int]], int]
_CONVERSION = re.compile(r"%([-+ #0]*)(\*|\d+)?(?:\.(\*|\d+))?(hh|h|ll|l|j|z|t|L)?([diouxXeEfFgGaAcsp%])")


def format_output(t: Thread, text: str, arguments: int) -> tuple[str, int]:
    """What printf writes, and how many arguments it took. They lie at an address, each aligned to its size."""
    memory = t.cta.machine.memory
    at = arguments
    used = 0

    def take(size: int) -> int:
        nonlocal at, used
        at = -(-at // size) * size
        value = memory.load(at, size)
        at += size
        used += 1
        return value

    def replace(match: re.Match[str]) -> str:
        flags, width, precision, length, kind = match.groups()
        if kind == "%":
            return "%"
        if width == "*":
            width = str(signed(take(4), 32))
        if precision == "*":
            precision = str(signed(take(4), 32))
        layout = f"%{flags}{width or ''}{'.' + precision if precision is not None else ''}"
        if kind in "eEfFgGaA":
            number: float = struct.unpack("<d", struct.pack("<Q", take(8)))[0]
            return number.hex() if kind in "aA" else (layout + kind) % number
        if kind == "s":
            return (layout + "s") % memory.string(take(8)).decode("utf-8", "replace")
        if kind == "p":
            return (f"%{flags}{width or ''}s") % f"{take(8):#x}"
        if kind == "c":
            return (f"%{flags}{width or ''}c") % chr(take(4) & 0xFF)
        bits = 64 if length in ("l", "ll", "j", "z", "t") else 32
        value = take(bits // 8)
        narrow = {"h": 16, "hh": 8}.get(length or "", bits)
        value &= (1 << narrow) - 1
        if kind in "di":
            value = signed(value, narrow)
        return (layout + ("d" if kind in "diu" else kind)) % value

    return _CONVERSION.sub(replace, text), used


def _vprintf(t: Thread, arguments: list[int]) -> int:
    text = t.cta.machine.memory.string(arguments[0]).decode("utf-8", "replace")
    written, used = format_output(t, text, arguments[1])
    t.cta.machine.output.append(written)
    return used


def _malloc(t: Thread, arguments: list[int]) -> int:
    return t.cta.machine.memory.allocate(arguments[0], "device heap", 16) if arguments[0] else 0


def _free(t: Thread, arguments: list[int]) -> int:
    memory = t.cta.machine.memory
    if arguments[0]:
        region = memory.find(arguments[0])
        if region is None or region.base != arguments[0] or region.name != "device heap":
            raise KernelTrap(f"free of {arguments[0]:#x}, which malloc did not give")
        memory.remove(region)
    return 0


def _assertfail(t: Thread, arguments: list[int]) -> int:
    memory = t.cta.machine.memory
    message, file, line, function = arguments[:4]
    texts = [memory.string(a).decode("utf-8", "replace") if a else "?" for a in (message, file, function)]
    raise KernelTrap(f"{texts[1]}:{line}: {texts[2]}: assertion `{texts[0]}` failed")


def _device(t: Thread, arguments: list[int]) -> int:
    raise KernelTrap("the device runtime (launches by kernels) needs the native runtime")


FUNCTIONS: dict[str, PlatformFunction] = {
    "vprintf": _vprintf,
    "malloc": _malloc,
    "free": _free,
    "__assertfail": _assertfail,
    "anywarp_device": _device,
}
