"""Whole kernels as test files: PTX with the launch and what it must leave in comments at the top.

    // what:   shows in test reports
    // launch: grid=(2,1,1) block=(64,1,1) dynamic_shared=256 seed=1
    // buffer: out u32[128] = 0
    // buffer: in  f32[128] = i * 0.5
    // number: u32 128
    // expect: out[i] == i + 1
    // expect: out[0:32] == 7
    // fails:  MemoryFault
    // prints: hello

`buffer` and `number` are the kernel's arguments in order; expressions are Python over the index `i` (and `N`, the number of elements).
A file has one entry. `order: any` says that the buffers' contents depend on the threads' order: only expectations are checked.
`needs: concurrent CTAs` says that CTAs wait for one another.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anywarp.reference import Options
from tests.kernels.differential import Buffer, Case, Outcome

_CODES = {
    "u8": "B", "s8": "b", "u16": "H", "s16": "h", "f16": "e", "u32": "I", "s32": "i", "b32": "I", "f32": "f",
    "u64": "Q", "s64": "q", "f64": "d",
}  # fmt: skip
_NAMES = {"math": math, "sum": sum, "min": min, "max": max, "range": range, "int": int, "abs": abs, "bin": bin}


@dataclass
class KernelFile:
    """A test file, read."""

    path: Path
    case: Case
    types: dict[str, str] = field(default_factory=dict)
    expectations: list[tuple[str, slice, str]] = field(default_factory=list)
    fails: str | None = None
    prints: str | None = None
    is_ordered: bool = True
    needs: str = ""

    def check(self, outcome: Outcome) -> None:
        """Raises AssertionError where an outcome is not what the file expects."""
        if self.fails is not None:
            assert outcome.error is not None and self.fails in outcome.error, f"expected {self.fails}, found {outcome.error}"
            return
        assert outcome.error is None, outcome.error
        if self.prints is not None:
            assert outcome.output == self.prints, repr(outcome.output)
        for name, where, expression in self.expectations:
            at = next(i for i, b in enumerate(self.case.buffers) if b.name == name)
            values = unpack(self.types[name], outcome.buffers[at])
            for i in range(len(values))[where]:
                want = evaluate(expression, i, len(values))
                assert _same(self.types[name], values[i], want), f"{name}[{i}] is {values[i]}, expected {want} ({expression})"


def read(path: Path) -> KernelFile:
    text = path.read_text()
    entry = re.search(r"\.entry\s+([\w$]+)", text)
    assert entry, f"{path} has no entry"
    result = KernelFile(path, Case(text, entry[1]))
    arguments: list[Any] = []
    for key, rest in re.findall(r"^//\s*(\w+):\s*(.*?)\s*$", text, re.MULTILINE):
        if key == "launch":
            given = {name: evaluate(value) for name, value in re.findall(r"(\w+)=(\([^)]*\)|\S+)", rest)}
            result.case.grid = given.get("grid", (1, 1, 1))
            result.case.block = given.get("block", (32, 1, 1))
            result.case.dynamic_shared = given.get("dynamic_shared", 0)
            result.case.options = Options(seed=given.get("seed", 0), fuel=given.get("fuel", 5_000_000))
        elif key == "buffer":
            match = re.fullmatch(r"(\w+)\s+(\w+)\[(\w+)\]\s*=\s*(.*)", rest)
            assert match, f"{path}: {rest}"
            name, type, count, expression = match.groups()
            n = evaluate(count)
            arguments.append(Buffer(pack(type, [evaluate(expression, i, n) for i in range(n)]), name))
            result.types[name] = type
        elif key == "number":
            type, _, expression = rest.partition(" ")
            arguments.append(int.from_bytes(pack(type, [evaluate(expression)]), "little"))
        elif key == "expect":
            match = re.fullmatch(r"(\w+)\[([^\]]*)\]\s*==\s*(.*)", rest)
            assert match, f"{path}: {rest}"
            name, index, expression = match.groups()
            ends = [int(x) if x.strip() else None for x in index.split(":")] if index != "i" else [None, None]
            where = slice(ends[0], ends[0] + 1) if len(ends) == 1 and ends[0] is not None else slice(*ends)
            result.expectations.append((name, where, expression))
        elif key == "fails":
            result.fails = rest
        elif key == "prints":
            result.prints = rest.encode().decode("unicode_escape")
        elif key == "needs":
            result.needs = rest
        elif key == "order":
            result.is_ordered = rest != "any"
    result.case.arguments = arguments
    return result


def evaluate(expression: str, i: int = 0, n: int = 0) -> Any:
    return eval(expression, {"__builtins__": {}, **_NAMES, "i": i, "N": n})


def pack(type: str, values: list[Any]) -> bytes:
    code = _CODES[type]
    if code in "bBhHiIqQ":
        bits = 8 * struct.calcsize(code)
        values = [int(v) & ((1 << bits) - 1) for v in values]
        code = code.upper()
    return struct.pack(f"<{len(values)}{code}", *values)


def unpack(type: str, data: bytes) -> tuple[Any, ...]:
    code = _CODES[type]
    return struct.unpack(f"<{len(data) // struct.calcsize(code)}{code}", data)


def _same(type: str, got: Any, want: Any) -> bool:
    return pack(type, [got]) == pack(type, [want])


def programs() -> list[Path]:
    """All kernel files."""
    return sorted((Path(__file__).parent / "programs").rglob("*.ptx"))
