"""Reads `tables/*`: every function and type of the driver and runtime APIs, as facts in a line-based form.

Functions, one line a symbol (`tables/driver/<chapter>.txt`), the newest version of a function first:

    # Memory management
    3020            cuMemAlloc_v2(CUdeviceptr* dptr, size_t bytesize)
    3020 ptds=7000  cuMemcpyHtoD_v2(CUdeviceptr dstDevice, const void* srcHost, size_t ByteCount)

First the CUDA version that introduced this form of the function (what cuGetProcAddress compares with), then marks: `ptds=N` or
`ptsz=N` (there is a twin with that suffix that uses the per-thread default stream, since version N), `early` (may be called before cuInit),
`also=NAME:N` (what cuGetProcAddress answers to that other name since version N). `-> TYPE` follows where the result is no CUresult. In
`tables/runtime/` the first column names the major versions of libcudart that export this form (`11-13`, `13`), twins have no version, and
the mark `quiet` says that a result is not kept as the thread's last error.

A line may end in `= cuNAME`: the runtime's function is that function of the driver under another name, and its entry point passes the call
on (`cudart/forward.h`); or in `! REASON`: why nothing implements the function, a phrase that goes on from "unsupported:".

Types (`tables/<api>_types.txt`); a name is defined before it is used, but for structs behind pointers:

    handle CUcontext CUctx_st                     an opaque pointer, and the tag of what it points to
    alias CUdevice = CUdevice_v1
    callback CUhostFn(void* userData) -> TYPE     pointer to a function (void without `->`); `signature`: the function type itself
    const CU_STREAM_LEGACY = 1
    enum CUmemAttach_flags                        members are indented: `NAME = VALUE`
    struct CUuuid : 16                            size in bytes (checked when built), `align N` if above 8; members are indented C
                                                  declarations, `union NAME` and `struct NAME` open an inner level

Next: `cpp` (C++ header and entry points), `bindings` (ctypes), `coverage` (the documentation page).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

TABLES = Path(__file__).parent / "tables"
LIBCUDART_MAJORS = (11, 12, 13)
_DECLARATION = re.compile(r"^(?P<type>.*?[\s*])(?P<name>\w+)(?P<array>(\[\d*\])*)$")


class TableError(Exception):
    """A line of a table that cannot be read; the message names file and line."""


@dataclass(frozen=True)
class Declaration:
    """A parameter or member: type as C writes it (`const char*`), name, and dimensions (empty: no array)."""

    type: str
    name: str
    dimensions: tuple[int, ...] = ()

    @staticmethod
    def parse(text: str) -> Declaration:
        match = _DECLARATION.match(text.strip())
        if not match:
            raise TableError(f"not a declaration: {text!r}")
        dimensions = tuple(int(d or 0) for d in re.findall(r"\[(\d*)\]", match["array"]))
        return Declaration(match["type"].strip(), match["name"], dimensions)

    def c(self) -> str:
        return f"{self.type} {self.name}" + "".join(f"[{d}]" for d in self.dimensions)


@dataclass(frozen=True)
class Signature:
    result: str
    parameters: tuple[Declaration, ...]

    @staticmethod
    def parse(text: str, result: str) -> Signature:
        """`text` is what stands between the parentheses."""
        return Signature(result, tuple(Declaration.parse(p) for p in text.split(",") if p.strip()))

    def c_parameters(self) -> str:
        return ", ".join(p.c() for p in self.parameters)


@dataclass(frozen=True)
class Function:
    """One exported form of one function; its twin with another default stream, if there is one, shares it."""

    symbol: str  # cuMemcpyHtoD_v2
    signature: Signature
    chapter: str  # the table's file name: "memory"
    title: str  # the chapter's title
    since: int = 0  # driver: CUDA version of this form
    majors: tuple[int, ...] = ()  # runtime: libcudart versions that export this form
    twin: str = ""  # "ptds", "ptsz" or none
    twin_since: int = 0
    early: bool = False
    quiet: bool = False
    also: tuple[str, int] | None = None  # another name for cuGetProcAddress, and since when
    forward: str = ""  # runtime: the driver's symbol that does the same
    unsupported: str = ""  # why nothing implements it: "needs an EGL display"

    @property
    def base(self) -> str:
        """The name without version: what cuGetProcAddress is asked for."""
        return re.sub(r"_v\d+$", "", self.symbol)

    @property
    def version(self) -> int:
        match = re.search(r"_v(\d+)$", self.symbol)
        return int(match[1]) if match else 1

    @property
    def twin_symbol(self) -> str:
        return f"{self.symbol}_{self.twin}" if self.twin else ""


@dataclass(frozen=True)
class Handle:
    name: str
    tag: str


@dataclass(frozen=True)
class Alias:
    name: str
    target: str


@dataclass(frozen=True)
class Callback:
    name: str
    signature: Signature
    pointer: bool


@dataclass(frozen=True)
class Constant:
    name: str
    value: int


@dataclass(frozen=True)
class Enum:
    name: str
    members: dict[str, int]

    @property
    def signed(self) -> bool:
        return any(v < 0 for v in self.members.values())


@dataclass
class Aggregate:
    """A struct or union; `name` may be empty for an inner one."""

    name: str
    union: bool
    size: int = 0
    alignment: int = 0
    dimensions: tuple[int, ...] = ()
    members: list[Declaration | Aggregate] = field(default_factory=list)


Type = Handle | Alias | Callback | Constant | Enum | Aggregate


@dataclass(frozen=True)
class Api:
    """One API: "driver" or "runtime"."""

    name: str
    functions: tuple[Function, ...]
    types: tuple[Type, ...]

    @cached_property
    def by_base(self) -> dict[str, list[Function]]:
        """The forms of each function, newest first."""
        result: dict[str, list[Function]] = {}
        for f in self.functions:
            result.setdefault(f.base, []).append(f)
        return result

    @cached_property
    def by_name(self) -> dict[str, Type]:
        return {t.name: t for t in self.types}

    def resolve(self, c_type: str) -> str:
        """A C type with aliases followed and `const` dropped, for comparison."""
        pointers = "*" * c_type.count("*")
        name = c_type.replace("*", " ").replace("const ", " ").strip()
        while isinstance(target := self.by_name.get(name), Alias):
            pointers = "*" * target.target.count("*") + pointers
            name = target.target.replace("*", " ").replace("const ", " ").strip()
        return name + pointers

    def same_parameters(self, a: Signature, b: Signature) -> bool:
        return [self.resolve(p.type) for p in a.parameters] == [self.resolve(p.type) for p in b.parameters]

    def exported(self, major: int | None = None) -> list[Function]:
        """The functions of one libcudart (`major`), or all of the driver."""
        return [f for f in self.functions if major is None or major in f.majors]


def load(name: str) -> Api:
    """The API "driver" or "runtime". Raises TableError, with file and line, where a table is wrong."""
    functions: list[Function] = []
    for path in sorted((TABLES / name).glob("*.txt")):
        functions += _functions(path, "CUresult" if name == "driver" else "cudaError_t", name == "runtime")
    seen: set[tuple[str, int]] = set()
    for f in functions:
        for key in [(s, m) for s in (f.symbol, f.twin_symbol) if s for m in f.majors or (0,)]:
            if key in seen:
                raise TableError(f"{name}: {key[0]} stands in the tables twice")
            seen.add(key)
    types = list(_types(TABLES / f"{name}_types.txt"))
    if name == "runtime":
        known = {t.name for t in types}
        types = [t for t in load("driver").types if t.name not in known] + types
    return Api(name, tuple(functions), tuple(types))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() and not (line.startswith("#") and number > 1):
            yield number, line


_FUNCTION = re.compile(
    r"^(?P<marks>[\d\-]+(?: \S+)*?)\s\s*(?P<symbol>\w+)\((?P<parameters>[^!=]*)\)(?: -> (?P<result>[^=!]+?))?"
    r"(?: = (?P<forward>\w+))?(?: ! (?P<unsupported>.+))?$"
)


def _functions(path: Path, default_result: str, runtime: bool) -> Iterator[Function]:
    title = ""
    for number, line in _lines(path):
        if line.startswith("# "):
            title = line[2:].strip()
            continue
        match = _FUNCTION.match(line)
        if not match:
            raise TableError(f"{path}:{number}: not a function: {line!r}")
        first, *marks = match["marks"].split()
        twin, twin_since, early, quiet = "", 0, False, False
        also: tuple[str, int] | None = None
        for mark in marks:
            name, _, value = mark.partition("=")
            if name in ("ptds", "ptsz"):
                twin, twin_since = name, int(value or 0)
            elif name == "early":
                early = True
            elif name == "quiet":
                quiet = True
            elif name == "also":
                other, _, version = value.partition(":")
                also = (other, int(version))
            else:
                raise TableError(f"{path}:{number}: unknown mark {mark!r}")
        majors: tuple[int, ...] = ()
        if runtime:
            low, _, high = first.partition("-")
            majors = tuple(range(int(low), int(high or low) + 1))
        try:
            signature = Signature.parse(match["parameters"], match["result"] or default_result)
        except TableError as error:
            raise TableError(f"{path}:{number}: {error}") from None
        since = 0 if runtime else int(first)
        yield Function(
            match["symbol"],
            signature,
            path.stem,
            title,
            since,
            majors,
            twin,
            twin_since,
            early,
            quiet,
            also,
            match["forward"] or "",
            match["unsupported"] or "",
        )


def _types(path: Path) -> Iterator[Type]:
    members: dict[str, int] = {}
    stack: list[Aggregate] = []
    result: list[Type] = []
    for number, line in _lines(path):
        try:
            depth = (len(line) - len(line.lstrip())) // 2
            text = line.strip()
            if depth == 0:
                members, stack = {}, []
                result.append(_type(text, members, stack))
            elif stack:
                del stack[depth:]
                kind, _, rest = text.partition(" ")
                if kind in ("union", "struct") and ";" not in rest and len(rest.split()) <= 1:
                    name, *dimensions = re.split(r"[\[\]]+", rest.rstrip("]"))
                    inner = Aggregate(name, kind == "union", dimensions=tuple(int(d) for d in dimensions))
                    stack[-1].members.append(inner)
                    stack.append(inner)
                else:
                    stack[-1].members.append(Declaration.parse(text))
            else:
                name, _, value = text.partition(" = ")
                members[name] = int(value, 0)
        except (TableError, ValueError, IndexError) as error:
            raise TableError(f"{path}:{number}: {error}") from None
    return iter(result)


def _type(text: str, members: dict[str, int], stack: list[Aggregate]) -> Type:
    kind, _, rest = text.partition(" ")
    if kind == "handle":
        name, tag = rest.split()
        return Handle(name, tag)
    if kind == "alias":
        name, _, target = rest.partition(" = ")
        return Alias(name, target)
    if kind in ("callback", "signature"):
        match = re.match(r"(\w+)\((.*)\)(?: -> (.+))?$", rest)
        if not match:
            raise TableError(f"not a {kind}: {text!r}")
        return Callback(match[1], Signature.parse(match[2], match[3] or "void"), kind == "callback")
    if kind == "const":
        name, _, value = rest.partition(" = ")
        return Constant(name, int(value, 0))
    if kind == "enum":
        return Enum(rest, members)
    if kind in ("struct", "union"):
        match = re.match(r"(\w+)(?: : (\d+)(?: align (\d+))?)?$", rest)
        if not match:
            raise TableError(f"not a {kind}: {text!r}")
        aggregate = Aggregate(match[1], kind == "union", int(match[2] or 0), int(match[3] or 0))
        stack.append(aggregate)
        return aggregate
    raise TableError(f"unknown kind of type: {text!r}")
