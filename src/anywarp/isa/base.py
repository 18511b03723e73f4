"""How an instruction is declared. One class is all there is to know of one instruction of the PTX manual.

    @instruction
    class AddInteger(Lane):
        "add: sum of two integers"
        syntax = "add{.sat}.type d, a, b"
        modifiers = {"type": "u16 u32 u64 s16 s32 s64"}
        section = "9.7.1.1"

        def reference(self, a: int, b: int) -> int: ...
        def lower(self, g: Emitter, a: V, b: V) -> V: ...

`syntax` reads as the manual prints it: `.name` is a choice where `modifiers` has that name, else that literal; braces make it optional.
The first operand (or `results`) is written, the others are read. `syntax` may be a tuple of alternatives. An instance of the class is one
opcode with its modifiers decided: `self.type == "s32"`, `self.sat is True`, `self.rnd is None`.

Operand types: `operand_type(name)` gives the PTX type of an operand, `type` unless overridden (or `types = {"a": "u32"}`; a
value that is the name of a modifier means that modifier). `(type, n)` is a vector operand `{...}` of n registers: `lower`
and `reference` get a tuple of n values, and give one for a result.

Three kinds:

- `Lane`: a function of one lane's values. `lower` is written once for any number of lanes: operands arrive as `V`s of one, a few or 32
  lanes and the emitter broadcasts as needed. f32 and f64 arrive as float and double, pred as i1, all else as raw integers of the type's
  width.
- `Warp`: a function of all active lanes' values (vote, shfl, mma). `lower(w, ...)` gets 32-lane values and `w.active`, the mask.
- `Memory`: what reads or writes memory; `lower(w, ...)` gets addresses as shaped values.

`reference` is the plain meaning, in Python integers (bit patterns, unsigned; predicates 0 or 1), without NumPy and without floats.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from anywarp.isa import types
from anywarp.isa.shape import Shape, lane_wise

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V

OperandType = str | tuple[str, int]


class OperandSpec:
    """One operand of a syntax: its name, whether it is written, whether it may be left out, whether it is an address."""

    __slots__ = ("can_negate", "is_address", "is_optional", "is_pair_second", "is_result", "name")

    def __init__(self, name: str, is_result: bool, is_optional: bool, is_address: bool, can_negate: bool, second: bool):
        self.name, self.is_result, self.is_optional = name, is_result, is_optional
        self.is_address, self.can_negate, self.is_pair_second = is_address, can_negate, second


class Slot:
    """One dotted part of a syntax: a literal or a named choice, perhaps optional."""

    __slots__ = ("choices", "is_optional", "name")

    def __init__(self, name: str, choices: frozenset[str] | None, is_optional: bool):
        self.name, self.choices, self.is_optional = name, choices, is_optional

    def accepts(self, part: str) -> bool:
        return part in self.choices if self.choices is not None else part == self.name


class Form:
    """One alternative of a syntax, taken apart."""

    def __init__(self, text: str, modifiers: dict[str, str], results: tuple[str, ...] | None) -> None:
        self.text = text
        head, _, tail = text.strip().rstrip(";").partition(" ")
        match = re.match(r"[A-Za-z0-9_]+", head)
        assert match, text
        self.mnemonic = match[0]
        self.slots: list[Slot] = []
        for brace, name in re.findall(r"(\{?)\.([A-Za-z0-9_:]+)", head[match.end() :]):
            choices = frozenset(modifiers[name].split()) if name in modifiers else None
            self.slots.append(Slot(name, choices, bool(brace)))
        self.operands = self._parse_operands(tail, results)

    @staticmethod
    def _parse_operands(text: str, results: tuple[str, ...] | None) -> list[OperandSpec]:
        operands: list[OperandSpec] = []
        depth = 0
        previous = ""
        for part in re.findall(r"\{!\}|\{\||[{}]|\[|\]|,|\||[A-Za-z_][A-Za-z0-9_]*", text):
            if part in ("{", "{|"):
                depth += 1
            elif part == "}":
                depth -= 1
            if re.match(r"[A-Za-z_]", part):
                first = not operands
                second = previous in ("|", "{|")
                is_result = (first or second) if results is None else part in results
                operands.append(OperandSpec(part, is_result, depth > 0, previous == "[", previous == "{!}", second))
            previous = part
        return operands

    def match(self, parts: tuple[str, ...]) -> dict[str, str | bool | None] | None:
        """The modifiers' values if the dotted parts after the mnemonic are of this form, else None."""
        slots = self.slots

        def step(i: int, j: int) -> dict[str, str | bool | None] | None:
            if i == len(slots):
                return {} if j == len(parts) else None
            slot = slots[i]
            if j < len(parts) and slot.accepts(parts[j]):
                rest = step(i + 1, j + 1)
                if rest is not None:
                    rest[slot.name] = parts[j] if slot.choices is not None else True
                    return rest
            if slot.is_optional:
                rest = step(i + 1, j)
                if rest is not None:
                    rest[slot.name] = None if slot.choices is not None else False
                    return rest
            return None

        return step(0, 0)


class Instruction:
    """An instruction of the manual with its modifiers decided; see the module's docstring.

    Class attributes that a declaration may set: `syntax`, `modifiers` (name to choices, separated by spaces), `section` (of the PTX ISA
    manual), `since` (first PTX version), `target` (first sm), `results` (names of written operands; default: the first, and the second of
    a pair), `types` (operand name to type), `ulp` (largest error of an approximate result in units in the last place; None: exact to the
    bit). The modifiers become attributes of the instance; a declaration that uses one annotates it (`rnd: str | None`, `sat: bool`).
    """

    syntax: ClassVar[str | tuple[str, ...]]
    modifiers: ClassVar[dict[str, str]] = {}
    section: ClassVar[str]
    since: ClassVar[tuple[int, int]] = (1, 0)
    target: ClassVar[int] = 10
    results: ClassVar[tuple[str, ...] | None] = None
    types: ClassVar[dict[str, OperandType]] = {}
    allowed_constants: ClassVar[dict[str, tuple[int, ...]]] = {}  # operands that must be constants: the values that they may have
    ulp: ClassVar[float | None] = None
    nan_payload_unspecified: ClassVar[bool] = False  # where the result is a NaN, the manual allows any
    forms: ClassVar[list[Form]]

    # Effects: what passes ask for.
    is_pure: ClassVar[bool] = False  # no effect, result depends on operands only: may move, repeat, vanish
    is_convergent: ClassVar[bool] = False  # lanes exchange values: may not move under another mask
    reads: ClassVar[bool] = False  # memory
    writes: ClassVar[bool] = False
    is_atomic: ClassVar[bool] = False
    may_trap: ClassVar[bool] = False
    reads_carry: ClassVar[bool] = False  # the carry flag is one more source operand, the last (a predicate)
    writes_carry: ClassVar[bool] = False  # the carry flag is one more result, the last
    reads_destination: ClassVar[bool] = False  # the first result is an operand too, the last (before a carry)
    is_cut: ClassVar[bool] = False  # the warp may have to wait here: its state is saved and others run

    type: Any

    def __init__(self, opcode: tuple[str, ...], form: Form, values: dict[str, str | bool | None]) -> None:
        self.opcode, self.form = opcode, form
        for slot_form in type(self).forms:  # a modifier that this form lacks reads as absent
            for slot in slot_form.slots:
                setattr(self, slot.name.replace("::", "_"), None if slot.choices is not None else False)
        for name, value in values.items():
            setattr(self, name.replace("::", "_"), value)

    def __repr__(self) -> str:
        return ".".join(self.opcode)

    def operand_type(self, name: str) -> OperandType:
        """The PTX type of an operand, or (type, n) for a vector of n registers."""
        given = self.types.get(name, "type")
        if isinstance(given, str) and given in self.modifiers:
            return str(getattr(self, given))
        return given

    def check(self) -> str | None:
        """What is wrong with this combination of modifiers, in words, or None."""
        return None

    def shape(self, *operands: Shape) -> Shape:
        """The result's shape from the source operands' (constants arrive as `Shape` too; see `constants`)."""
        raise NotImplementedError


class Lane(Instruction):
    """A pure function of one lane's values."""

    is_pure = True

    def shape(self, *operands: Shape) -> Shape:
        return lane_wise(*operands)

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> tuple[int, int] | None:
        """(stride, multiple) of the result where this instruction keeps values affine, else None.

        `constants[i]` is operand i's value (unsigned) where it is a constant. The strides are exact in the arithmetic modulo 2^width of
        the result. Only called where some operand has a stride, or to find `multiple`."""
        return None

    def no_wrap(self, g: Emitter, operands: tuple[Shape, ...], bases: tuple[V, ...]) -> V | None:
        """An i1 that is true where `stride` holds, or None where it always does. For instructions that widen."""
        return None

    def reference(self, *operands: Any) -> Any:
        """The results' bit patterns (an int, or a tuple of them), from the operands' unsigned bit patterns."""
        raise NotImplementedError

    def lower(self, g: Emitter, *operands: Any) -> Any:
        """The LLVM code for the result(s)."""
        raise NotImplementedError


class Warp(Instruction):
    """A function of the values of all active lanes."""

    is_convergent = True
    uniform_result: ClassVar[bool] = False  # all active lanes get the same result: `lower` gives a V of one lane

    def shape(self, *operands: Shape) -> Shape:
        return Shape(1) if self.uniform_result else Shape(32)

    def shape_of(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> Shape:
        """The shape of every result; `constants[i]` is operand i's value (unsigned) where it is a constant. `lower` gives V of one lane
        exactly where this is uniform. Passes call this; `shape` is for declarations that need no constants."""
        return self.shape(*operands)

    def reference(self, lanes: dict[int, tuple[Any, ...]]) -> dict[int, Any]:
        """The results by lane, from the operands of each active lane (the lanes that execute the instruction together)."""
        raise NotImplementedError

    def undefined(self, lanes: dict[int, tuple[Any, ...]]) -> set[int]:
        """The lanes whose first result the manual leaves open (`reference` still gives a value there): tests skip them."""
        return set()

    def lower(self, w: Any, *operands: Any) -> Any:
        """The LLVM code; operands have 32 lanes (or one where uniform), `w.active` is the mask of active lanes as an i32 V."""
        raise NotImplementedError


class Memory(Instruction):
    """An instruction that reads or writes memory."""

    def shape(self, *operands: Shape) -> Shape:
        return Shape(32)

    def lower(self, w: Any, *operands: Any) -> Any:
        raise NotImplementedError


_REGISTRY: dict[str, list[type[Instruction]]] = {}
T = TypeVar("T", bound=type[Instruction])


def instruction(cls: T) -> T:
    """Registers a declaration."""
    syntaxes = (cls.syntax,) if isinstance(cls.syntax, str) else cls.syntax
    cls.forms = [Form(s, cls.modifiers, cls.results) for s in syntaxes]
    for mnemonic in dict.fromkeys(form.mnemonic for form in cls.forms):
        _REGISTRY.setdefault(mnemonic, []).append(cls)
    return cls


def declarations() -> Iterable[type[Instruction]]:
    """Every declared instruction once, in order of declaration."""
    return dict.fromkeys(cls for classes in _REGISTRY.values() for cls in classes)


@cache
def resolve(opcode: tuple[str, ...]) -> tuple[Instruction, ...]:
    """The instructions that an opcode can mean (several where operands decide), each checked; empty if none is declared."""
    found: list[Instruction] = []
    for cls in _REGISTRY.get(opcode[0], ()):
        for form in cls.forms:
            if form.mnemonic != opcode[0]:
                continue
            values = form.match(opcode[1:])
            if values is not None:
                candidate = cls(opcode, form, values)
                if candidate.check() is None:
                    found.append(candidate)
    if not found and (ordered := _in_the_manuals_order(opcode)) != opcode:
        return resolve(ordered)
    return tuple(found)


_MEMORY_MODIFIERS = (
    frozenset(("relaxed", "acquire", "release", "acq_rel", "volatile", "weak")),
    frozenset(("cta", "cluster", "gpu", "sys")),
    frozenset(("global", "shared", "shared::cta", "shared::cluster")),
)


def _in_the_manuals_order(opcode: tuple[str, ...]) -> tuple[str, ...]:
    """Assemblers take the semantics, scope and space of a memory access in any order; some write `atom.global.gpu.acq_rel.add.f32`, and CUB
    `vote.ballot.sync.b32`."""
    if opcode[0] == "vote":
        return (opcode[0], *sorted(opcode[1:], key=lambda part: part != "sync"))
    if opcode[0] not in ("atom", "red", "ld", "st"):
        return opcode
    last = len(_MEMORY_MODIFIERS)

    def place(part: str) -> int:
        return next((i for i, words in enumerate(_MEMORY_MODIFIERS) if part in words), last)

    return (opcode[0], *sorted(opcode[1:], key=place))


def mnemonics() -> Iterable[str]:
    """The first parts of all declared opcodes."""
    return _REGISTRY.keys()


def element_width(type: OperandType) -> int:
    """Register width in bits of an operand (of one element of a vector)."""
    return types.width(type if isinstance(type, str) else type[0])
