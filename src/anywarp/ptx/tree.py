"""The PTX syntax tree: what a module says, with nothing resolved yet.

Names are strings, numbers are values, opcodes are tuples of their dotted parts; which instruction an opcode means is
decided by `anywarp.isa`, what a name refers to by `anywarp.ir`. Every node that an error message can be about carries
`line` (1-based, in the text handed to the parser). Nodes are immutable by convention and compare by identity.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

# ---------------------------------------------------------------------------------------------------------- operands


@dataclass(slots=True, frozen=True)
class Register:
    """A register or special register by its name: `%r1`, `%tid.x`, `p`. Immutable and shared between uses."""

    name: str


@dataclass(slots=True, frozen=True)
class Integer:
    """An integer constant (decimal, hexadecimal, octal, binary, character or a folded constant expression)."""

    value: int
    unsigned: bool = False  # written with the suffix U, or too large for s64


@dataclass(slots=True, frozen=True)
class Float:
    """A floating-point constant as its bit pattern: `0f3F800000` has width 32, `0d...` and decimal literals 64."""

    bits: int
    width: Literal[32, 64]


@dataclass(slots=True, frozen=True)
class Symbol:
    """A variable, function or label by name, plus a byte offset: `buffer`, `buffer+8`. `generic(x)` sets `generic`."""

    name: str
    offset: int = 0
    generic: bool = False


@dataclass(slots=True, frozen=True)
class Address:
    """A memory operand `[base+offset]`; `base` None is an absolute address. `offset` is in bytes. `index` is the
    register of the array form `name[i+1]` of old PTX, in elements of the variable; constant indices are in `offset`.
    A symbol's own offset is folded into `offset` too, so `base` is a `Symbol` with offset 0."""

    base: Register | Symbol | None
    offset: int = 0
    index: Register | None = None


@dataclass(slots=True, frozen=True)
class Vector:
    """`{a, b, ...}`: elements of a vector load, a mov pack or unpack, mma fragments, tensor coordinates."""

    elements: tuple[Operand, ...]


@dataclass(slots=True, frozen=True)
class Component:
    """One component of a vector variable or register: `v.x`, `v.r`; index 0 to 3."""

    base: Register
    index: int


@dataclass(slots=True, frozen=True)
class Part:
    """`-r.h0`, `r.b7654`: what a video instruction takes of a register, or which of its bytes it writes; `selector` is the text after the
    dot, None where only a minus stands before the register."""

    base: Register
    selector: str | None
    negated: bool = False


@dataclass(slots=True, frozen=True)
class Negated:
    """`!p` as a source operand of setp, selp, barriers and votes."""

    operand: Register


@dataclass(slots=True, frozen=True)
class Pair:
    """`p|q`: the two destinations of setp, shfl, match and elect."""

    first: Operand
    second: Operand


@dataclass(slots=True, frozen=True)
class Sink:
    """`_`: a result that nobody wants."""


@dataclass(slots=True, frozen=True)
class AddressList:
    """`[tensorMap, {x, y}]`, `[tex, sampler, {x, y}]`: a bracketed list of operands (textures, tensor maps)."""

    items: tuple[Operand, ...]

    def flat(self) -> tuple[Operand, ...]:
        """The items as operands of their own, the first as an address."""
        first, *rest = self.items
        if isinstance(first, Integer):
            first = Address(None, first.value)
        elif isinstance(first, Register | Symbol):
            first = Address(first)
        return (first, *rest)


@dataclass(slots=True, frozen=True)
class Arguments:
    """`(a, b)`: the results or the arguments of a call."""

    items: tuple[Operand, ...]


Operand: TypeAlias = (
    Register | Integer | Float | Symbol | Address | Vector | Component | Part | Negated | Pair | Sink | AddressList | Arguments
)


def flat_operands(operands: tuple[Operand, ...]) -> tuple[Operand, ...]:
    """Operands with the items of bracketed lists in the place of the lists, as declarations of instructions name them."""
    if not any(isinstance(o, AddressList) for o in operands):
        return operands
    return tuple(item for o in operands for item in (o.flat() if isinstance(o, AddressList) else (o,)))


# ---------------------------------------------------------------------------------------------------------- statements


@dataclass(slots=True)
class Instruction:
    """`@!p opcode.modifiers operands;`

    `opcode` is split at the dots (`("ld", "global", "v4", "f32")`; `("mbarrier", "try_wait", "shared::cta", "b64")`).
    A `call` has operands `[Arguments results]? target [Arguments]? [Symbol prototype-or-targets]?`.
    """

    opcode: tuple[str, ...]
    operands: tuple[Operand, ...]
    line: int
    guard: str | None = None  # register name
    guard_negated: bool = False
    column: int = 1

    @property
    def mnemonic(self) -> str:
        return ".".join(self.opcode)


@dataclass(slots=True)
class Label:
    name: str
    line: int


@dataclass(slots=True)
class RegisterDeclaration:
    """`.reg .b32 %r<10>;` gives prefix `%r` and count 10; `.reg .pred p, q;` gives one declaration a name, count None.
    `vector` is 1, 2 or 4 for `.v2`/`.v4` registers."""

    type: str  # without the dot: "b32", "pred"
    name: str
    count: int | None
    line: int
    vector: int = 1


@dataclass(slots=True)
class Variable:
    """A variable of any state space but `.reg`, at module scope, in a body, or as a parameter.

    `dimensions` are the array's sizes, outermost first; an unsized first dimension is 0; a scalar has ().
    `initializer` is a flat tuple of constants and `Symbol`s in row-major order, or None; `mask` is unused bytes for
    `0xff(sym)` initialisers: those are `MaskedSymbol`.
    """

    space: Literal["global", "const", "shared", "local", "param", "tex", "reg"]  # "reg": .func (.reg .b32 x) only
    type: str  # "b8", "f32", "texref", "samplerref", "surfref", "mbarrier"
    name: str
    line: int
    dimensions: tuple[int, ...] = ()
    vector: int = 1
    alignment: int | None = None  # bytes
    linkage: Literal["", "visible", "extern", "weak", "common"] = ""
    initializer: tuple[Initial, ...] | None = None
    attributes: dict[str, str] = field(default_factory=dict)  # .attribute(.managed, .unified(...))
    pointer: str | None = None  # parameter's `.ptr.global` -> "global"; "" for a generic `.ptr`
    pointer_alignment: int | None = None


@dataclass(slots=True, frozen=True)
class MaskedSymbol:
    """`0xFF00(symbol+offset)`: the bytes of an address selected by a mask, shifted down by its trailing zeros."""

    mask: int
    symbol: Symbol


Initial: TypeAlias = Integer | Float | Symbol | MaskedSymbol


@dataclass(slots=True)
class Location:
    """`.loc file line column` with the optional `function_name`, `inlined_at` operands."""

    file: int
    source_line: int
    source_column: int
    line: int
    function_name: str | None = None
    inlined_at: tuple[int, int, int] | None = None


@dataclass(slots=True)
class Pragma:
    text: str
    line: int


@dataclass(slots=True)
class BranchTargets:
    """`name: .branchtargets L1, L2;` (also `L<4>` expanded)."""

    name: str
    labels: tuple[str, ...]
    line: int


@dataclass(slots=True)
class CallTargets:
    """`name: .calltargets f, g;`"""

    name: str
    functions: tuple[str, ...]
    line: int


@dataclass(slots=True)
class CallPrototype:
    """`name: .callprototype (ret) _ (params) .noreturn;`"""

    name: str
    returns: tuple[Variable, ...]
    params: tuple[Variable, ...]
    line: int
    noreturn: bool = False


@dataclass(slots=True)
class Block:
    """`{ ... }`: a scope of names (nvcc puts `.param` variables of a call there)."""

    statements: list[Statement]
    line: int


Statement: TypeAlias = (
    Instruction | Label | RegisterDeclaration | Variable | Location | Pragma | BranchTargets | CallTargets | CallPrototype | Block
)

# ------------------------------------------------------------------------------------------------------------- module


@dataclass(slots=True)
class Function:
    """An `.entry` or `.func`; `body` is None for a declaration. `directives` holds the performance directives by name
    without the dot: `{"maxntid": (256, 1, 1), "noreturn": (), "pragma": ("nounroll",)}`; `.attribute(.unified(1, 2))`
    is `"unified": (1, 2)`."""

    kind: Literal["entry", "func"]
    name: str
    line: int
    linkage: Literal["", "visible", "extern", "weak"] = ""
    returns: tuple[Variable, ...] = ()
    params: tuple[Variable, ...] = ()
    directives: dict[str, tuple[object, ...]] = field(default_factory=dict)
    body: list[Statement] | None = None


@dataclass(slots=True)
class Module:
    version: tuple[int, int]  # (9, 0)
    target: str  # "sm_90a"
    target_options: tuple[str, ...]  # "debug", "texmode_independent", "map_f64_to_f32"
    address_size: Literal[32, 64]
    functions: dict[str, Function]  # definitions win over declarations
    variables: dict[str, Variable]
    aliases: dict[str, str]  # .alias name, aliasee
    files: dict[int, str]  # .file index -> path
    pragmas: tuple[str, ...] = ()
