"""Atomic operations (PTX ISA 9.7.13.5 atom, 9.7.13.6 red). A vector's elements are updated each by itself, as PTX has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING, Any

from anywarp.isa import types
from anywarp.isa.base import Memory, OperandType, instruction
from anywarp.isa.ieee import FORMATS
from anywarp.isa.load_store import SCOPES

if TYPE_CHECKING:
    from anywarp.ir.model import Address

_TYPES = "b16 b32 b64 b128 u32 u64 s32 s64 f16 f16x2 bf16 bf16x2 f32 f64"
_MODIFIERS = {
    "sem": "relaxed acquire release acq_rel",
    "scope": SCOPES,
    "space": "global shared shared::cta shared::cluster",
    "op": "and or xor exch add inc dec min max",
    "type": _TYPES,
    "vec": "v2 v4 v8",
    "cache": "L2::cache_hint",
}

_ALLOWED = {
    "and": "b32 b64", "or": "b32 b64", "xor": "b32 b64", "exch": "b32 b64 b128",
    "add": "u32 u64 s32 s64 f16 f16x2 bf16 bf16x2 f32 f64", "inc": "u32", "dec": "u32",
    "min": "u32 u64 s32 s64", "max": "u32 u64 s32 s64", "cas": "b16 b32 b64 b128",
}  # fmt: skip


_VECTORS = {"f32": "add", **dict.fromkeys(("f16", "bf16", "f16x2", "bf16x2"), "add min max")}


Operation = Callable[[int, int], int]  # (old, b) -> new
_PACKED = {"f16x2": "f16", "bf16x2": "bf16"}


def operation(name: str, type: str) -> Operation:
    """What an atomic operation makes of the old value and its operand, as bit patterns. Raises KeyError for what does not exist."""
    if type in _PACKED:
        single = operation(name, _PACKED[type])
        return lambda a, b: single(a & 0xFFFF, b & 0xFFFF) | single(a >> 16, b >> 16) << 16
    if type in FORMATS:
        form = FORMATS[type]
        if name == "add":
            return form.add
        if name in ("min", "max"):

            def extreme(a: int, b: int) -> int:
                if form.is_nan(a) or form.is_nan(b):
                    return form.nan if form.is_nan(a) and form.is_nan(b) else b if form.is_nan(a) else a
                first_is_less = form.order(a) < form.order(b)
                return a if first_is_less == (name == "min") else b

            return extreme
        return _BITS[name]
    width = types.width(type)
    mask = (1 << width) - 1
    flip = 1 << (width - 1) if types.is_signed(type) else 0  # makes unsigned order of signed order
    table: dict[str, Operation] = {
        "add": lambda a, b: (a + b) & mask,
        "min": lambda a, b: a if a ^ flip < b ^ flip else b,
        "max": lambda a, b: a if a ^ flip > b ^ flip else b,
        "inc": lambda a, b: 0 if a >= b else a + 1,
        "dec": lambda a, b: b if a == 0 or a > b else a - 1,
        **_BITS,
    }
    return table[name]


_BITS: dict[str, Operation] = {
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "exch": lambda a, b: b,
}


# Order of semantics, scope and state space: the manual's first; assemblers take any, and compilers write several.
_QUALIFIERS = tuple("".join(order) for order in permutations(("{.sem}", "{.scope}", "{.space}")))


class _Atomic(Memory):
    sem: str | None
    vec: str | None
    space: str | None
    op: str | None
    type: str
    modifiers = _MODIFIERS
    reads = True
    writes = True
    is_atomic = True
    since = (1, 1)
    target = 11

    @property
    def order(self) -> str:
        return {"acquire": "acquire", "release": "release", "acq_rel": "acq_rel"}.get(self.sem or "", "monotonic")

    @property
    def operation(self) -> str:
        return self.op or "cas"

    @property
    def count(self) -> int:
        return int(self.vec[1]) if self.vec else 1

    def operand_type(self, name: str) -> OperandType:
        if name == "policy":
            return "b64"
        return (self.type, self.count) if self.vec else self.type

    def check(self) -> str | None:
        if self.vec:
            if self.operation not in _VECTORS.get(self.type, "").split():
                return "vectors are of f32 (add), f16, bf16, f16x2 and bf16x2 (add, min, max)"
            if self.count * types.width(self.type) > 128:
                return "a vector of an atomic operation has 128 bits at most"
            return None
        if self.type not in _ALLOWED[self.operation].split():
            return f"{self.operation} takes {_ALLOWED[self.operation]}"
        return None

    def lower_elements(self, w: Any, op: Any, wants_old: bool) -> list[Any]:
        space, address = self.space or "", op.operands[0]
        if self.vec:
            return lower_vector(w, space, self.operation, self.type, address, op.operands[1], wants_old, self.order)
        sources = op.operands[1:3] if self.operation == "cas" else op.operands[1:2]  # without the cache policy
        olds: list[Any] = w.atomic(address, sources, space, self.operation, self.type, types.width(self.type), wants_old, self.order)
        return olds


def lower_vector(
    w: Any, space: str, operation: str, type: str, address: Address, values: Sequence[Any], wants_old: bool, order: str
) -> list[Any]:
    """One atomic operation an element; gives the old values."""
    size = types.width(type) // 8
    w.check_alignment(w.place(space, address), size * len(values))
    olds: list[Any] = []
    for i, value in enumerate(values):
        place = replace(address, offset=address.offset + size * i)
        olds += w.atomic(place, [value], space, operation, type, 8 * size, wants_old, order)
    return olds


@instruction
class Atom(_Atomic):
    """atom: reads, combines and writes one element without interruption; gives the old value"""

    syntax = tuple(
        f"atom{order}{tail}"
        for order in _QUALIFIERS
        for tail in (".op{.noftz}{.cache}{.vec}.type d, [a], b{, policy}", ".cas{.cache}.type d, [a], b, c{, policy}")
    )
    section = "9.7.13.5"

    def polling(self, in_loop: Callable[[int], bool], constant: Callable[[int], int | None]) -> bool:
        """Whether a loop that hangs on this waits: it expects or writes what no round changes, or only reads."""
        if self.operation in ("cas", "exch"):
            return not in_loop(1)
        return constant(1) == 0

    def lower(self, w: Any, op: Any) -> Any:
        return self.lower_elements(w, op, wants_old=True)


@instruction
class Red(_Atomic):
    """red: combines one element in memory, without giving the old value"""

    syntax = tuple(f"red{order}.op{{.noftz}}{{.cache}}{{.vec}}.type [a], b{{, policy}}" for order in _QUALIFIERS)
    results = ()
    section = "9.7.13.6"

    def lower(self, w: Any, op: Any) -> Any:
        self.lower_elements(w, op, wants_old=False)
