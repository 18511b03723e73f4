"""What names mean inside a PTX body: registers, variables, parameters, labels, by scope."""

from __future__ import annotations

from dataclasses import dataclass, field

from anywarp.isa import types
from anywarp.ptx import tree
from anywarp.ptx.diagnostics import PtxError


def is_parameter_access(opcode: tuple[str, ...]) -> bool:
    """Whether an opcode is a load or store of the parameter space, well formed."""
    return opcode[0] in ("ld", "st") and len(opcode) > 1 and opcode[1].startswith("param") and opcode[-1] in types.WIDTHS


class Register:
    """A PTX register before SSA; `index` is unique in the kernel."""

    __slots__ = ("index", "width")

    def __init__(self, index: int, width: int) -> None:
        self.index, self.width = index, width


@dataclass(eq=False)
class CallParameter:
    """A `.param` variable of a call: bytes that caller and callee share. Where all accesses agree on its parts it becomes
    registers (`parts`: byte offset to register), else local memory (`local_offset`)."""

    name: str
    bytes: int
    alignment: int
    accesses: set[tuple[int, int]] = field(default_factory=set)  # (offset, bits)
    has_address: bool = False
    parts: dict[int, Register] | None = None
    local_offset: int | None = None


@dataclass(frozen=True)
class KernelParameter:
    """A parameter of the entry: at `offset` in the parameter buffer."""

    offset: int


@dataclass(frozen=True)
class ArgumentParameter:
    """A parameter or result of a device function that is compiled as a function: at `offset` in each lane's argument block."""

    offset: int


@dataclass(frozen=True)
class WindowVariable:
    """A `.shared` or `.local` variable at a byte offset of its window."""

    space: str
    offset: int


@dataclass(frozen=True)
class DynamicShared:
    """`.extern .shared x[]`: behind the static shared variables."""


@dataclass(frozen=True)
class ModuleSymbol:
    """A `.global` or `.const` variable, or a function, of the module, by name."""

    name: str
    space: str  # "global", "const", "function"


@dataclass(frozen=True)
class LabelName:
    """A label, unique in the kernel."""

    name: str


Entity = (
    Register | CallParameter | KernelParameter | ArgumentParameter | WindowVariable | DynamicShared | ModuleSymbol | LabelName
    | tree.BranchTargets | tree.CallTargets | tree.CallPrototype
)  # fmt: skip


class Counter:
    """Gives out register numbers."""

    def __init__(self) -> None:
        self.next = 0

    def register(self, width: int) -> Register:
        self.next += 1
        return Register(self.next - 1, width)


class Scope:
    """Names of one `{}` and, behind it, of those around."""

    def __init__(self, parent: Scope | None, counter: Counter) -> None:
        self.parent, self.counter = parent, counter
        self.names: dict[str, Entity] = {}
        self.ranges: dict[str, tuple[int, int]] = {}  # prefix -> (count, width)

    def declare_registers(self, declaration: tree.RegisterDeclaration) -> None:
        width = types.WIDTHS.get(declaration.type)
        if width is None:
            raise PtxError(f"unknown register type .{declaration.type}", declaration.line)
        if declaration.count is None:
            if declaration.vector > 1:
                for component in "xyzw"[: declaration.vector]:
                    self.names[f"{declaration.name}.{component}"] = self.counter.register(width)
            else:
                self.names[declaration.name] = self.counter.register(width)
        else:
            self.ranges[declaration.name] = (declaration.count, width)

    def find(self, name: str) -> Entity | None:
        scope: Scope | None = self
        while scope is not None:
            found = scope.names.get(name)
            if found is not None:
                return found
            if scope.ranges:
                register = scope._from_range(name)
                if register is not None:
                    return register
            scope = scope.parent
        return None

    def _from_range(self, name: str) -> Register | None:
        """The register `prefix + number` of a `.reg prefix<count>`, made at its first use. A prefix may end in digits."""
        digits = len(name) - len(name.rstrip("0123456789"))
        for length in range(1, digits + 1):
            entry = self.ranges.get(name[:-length])
            if entry is not None and int(name[-length:]) < entry[0]:
                register = self.counter.register(entry[1])
                self.names[name] = register
                return register
        return None

    def lookup(self, name: str, line: int) -> Entity:
        """What a name means here. Raises PtxError."""
        found = self.find(name)
        if found is None:
            raise PtxError(f"{name!r} is not declared", line)
        return found
