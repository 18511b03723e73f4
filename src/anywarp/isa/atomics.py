"""Atomic operations (PTX ISA 9.7.13.5 atom, 9.7.13.6 red)."""

from __future__ import annotations

from typing import Any

from anywarp.isa import types
from anywarp.isa.base import Memory, OperandType, instruction
from anywarp.isa.load_store import SCOPES

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


class _Atomic(Memory):
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

    def operand_type(self, name: str) -> OperandType:
        return "b64" if name == "policy" else self.type

    def check(self) -> str | None:
        if self.type not in _ALLOWED[self.operation].split():
            return f"{self.operation} takes {_ALLOWED[self.operation]}"
        return None


@instruction
class Atom(_Atomic):
    """atom: reads, combines and writes one element without interruption; gives the old value"""

    syntax = (
        "atom{.sem}{.scope}{.space}.op{.noftz}{.cache}.type d, [a], b{, policy}",
        "atom{.sem}{.scope}{.space}.cas{.cache}.type d, [a], b, c{, policy}",
        "atom{.sem}{.space}{.scope}.op{.noftz}{.cache}.type d, [a], b{, policy}",
        "atom{.sem}{.space}{.scope}.cas{.cache}.type d, [a], b, c{, policy}",
    )
    section = "9.7.13.5"

    def polling(self, in_loop: Any, constant: Any) -> bool:
        """Whether a loop that hangs on this waits: it expects or writes what no round changes, or only reads."""
        if self.operation in ("cas", "exch"):
            return not in_loop(1)
        return constant(1) == 0

    def lower(self, w: Any, op: Any) -> Any:
        operands = op.operands[:3] if self.operation == "cas" else op.operands[:2]
        return w.atomic(_Only(operands), self.space or "", self.operation, self.type, types.width(self.type), True, self.order)


@instruction
class Red(_Atomic):
    """red: combines one element in memory, without giving the old value"""

    syntax = (
        "red{.sem}{.scope}{.space}.op{.noftz}{.cache}.type [a], b{, policy}",
        "red{.sem}{.space}{.scope}.op{.noftz}{.cache}.type [a], b{, policy}",
    )
    results = ()
    section = "9.7.13.6"

    def lower(self, w: Any, op: Any) -> Any:
        w.atomic(_Only(op.operands[:2]), self.space or "", self.operation, self.type, types.width(self.type), False, self.order)


class _Only:
    """An operation's operands without the cache policy."""

    def __init__(self, operands: list[Any]) -> None:
        self.operands = operands
