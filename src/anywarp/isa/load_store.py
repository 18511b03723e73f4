"""Loads and stores (PTX ISA 9.7.9.8 ld, 9.7.9.9 ld.global.nc, 9.7.9.10 ldu, 9.7.9.11 st) and hints (prefetch, applypriority, discard).

Cache operators, eviction priorities and prefetch sizes are hints: they change no result. `.volatile`, `.relaxed`, `.acquire` and `.mmio`
accesses are atomic (LLVM's monotonic order), kept one by one and in order; acquire and release add the fence of that name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anywarp.isa import types
from anywarp.isa.base import Memory, OperandType, instruction
from anywarp.isa.shape import VARYING, Shape

SPACES = "const global local param param::entry param::func shared shared::cta shared::cluster"
TYPES = "b8 b16 b32 b64 b128 u8 u16 u32 u64 s8 s16 s32 s64 f16 bf16 f32 f64"
SCOPES = "cta cluster gpu sys"
_HINTS = "{.cop}{.unified}{.evict1}{.evict2}{.cache}{.prefetch}"
_HINT_CHOICES = {
    "cop": "ca cg cs lu cv wb wt",
    "evict1": "L1::evict_normal L1::evict_unchanged L1::evict_first L1::evict_last L1::no_allocate",
    "evict2": "L2::evict_normal L2::evict_first L2::evict_last",
    "cache": "L2::cache_hint",
    "prefetch": "L2::64B L2::128B L2::256B",
}


class _Access(Memory):
    """What loads and stores have in common."""

    sem: str | None
    ss: str | None
    vec: str | None
    cop: str | None
    modifiers = {
        "sem": "weak relaxed acquire release volatile",
        "scope": SCOPES,
        "ss": SPACES,
        "vec": "v2 v4 v8",
        "type": TYPES,
        **_HINT_CHOICES,
    }

    @property
    def space(self) -> str:
        """The state space: "" for generic addresses."""
        return self.ss if self.ss == "shared::cluster" else (self.ss or "").split("::")[0]

    @property
    def count(self) -> int:
        return int(self.vec[1]) if self.vec else 1

    @property
    def is_ordered(self) -> bool:
        """Whether accesses must happen one by one, as the program has them."""
        return self.sem not in (None, "weak") or self.cop == "cv"

    def operand_type(self, name: str) -> OperandType:
        if name == "policy":
            return "b64"
        return (self.type, self.count) if self.vec else self.type

    def check(self) -> str | None:
        if self.count * types.width(self.type) > 256:
            return "a vector access moves 256 bits at most"
        return None


@instruction
class Load(_Access):
    """ld: loads a register or a vector of registers"""

    syntax = (
        f"ld{{.sem}}{{.scope}}{{.ss}}{{.nc}}{_HINTS}{{.vec}}.type d, [a]{{, policy}}",
        f"ld{{.sem}}{{.ss}}{{.scope}}{_HINTS}{{.vec}}.type d, [a]{{, policy}}",
        "ld.ss.cop.nc{.evict1}{.evict2}{.cache}{.prefetch}{.vec}.type d, [a]{, policy}",
        "ld.mmio.sem.scope{.ss}.type d, [a]",
        "ldu{.ss}{.vec}.type d, [a]",
    )
    section = "9.7.9.8"
    reads = True

    def shape(self, *operands: Shape) -> Shape:
        address = operands[0]
        if self.space == "local" or address.stride or address.deviation or (self.is_ordered and not address.is_uniform):
            return VARYING
        return Shape(address.rows)

    def polling(self, in_loop: Callable[[int], bool], constant: Callable[[int], int | None]) -> bool:
        """Whether a loop that hangs on this waits for another thread (`analysis.polling`)."""
        return self.is_ordered

    def lower(self, w: Any, op: Any) -> Any:
        results = w.load_lanes(op.extra or self.space, op.operands[0], f"i{types.width(self.type)}", self.count, self.is_ordered)
        if self.sem == "acquire":
            w.line("fence acquire")
        return results


@instruction
class Store(_Access):
    """st: stores a register or a vector of registers"""

    syntax = (
        f"st{{.sem}}{{.scope}}{{.ss}}{_HINTS}{{.vec}}.type [a], b{{, policy}}",
        f"st{{.sem}}{{.ss}}{{.scope}}{_HINTS}{{.vec}}.type [a], b{{, policy}}",
        "st.mmio.sem.scope{.ss}.type [a], b",
    )
    results = ()
    section = "9.7.9.11"
    writes = True

    def lower(self, w: Any, op: Any) -> Any:
        if self.sem == "release":
            w.line("fence release")
        elem = f"i{types.width(self.type)}"
        data = op.operands[1] if type(op.operands[1]) is tuple else (op.operands[1],)

        def vector(operand: Any) -> Any:
            return lambda: w.cast(w.vector(operand), elem)

        held = [w.get(o) for o in data]
        scalars = [w.cast(h.base, elem) if h.shape.is_uniform else None for h in held]
        w.store_lanes(op.extra or self.space, op.operands[0], [vector(o) for o in data], scalars, elem, self.is_ordered)


@instruction
class Prefetch(Memory):
    """prefetch, prefetchu, applypriority: hints about caches that change no result"""

    syntax = (
        "prefetch{.space}.level [a]",
        "prefetch.global.eviction [a]",
        "prefetchu.L1 [a]",
        "prefetch{.tspace}.tensormap [a]",
        "applypriority{.global}.prio [a], size",
    )
    modifiers = {
        "space": "global local",
        "level": "L1 L2",
        "eviction": "L2::evict_last L2::evict_normal",
        "tspace": "const param param::entry",
        "prio": "L2::evict_normal",
    }
    types = {"size": "u32"}
    results = ()
    section = "9.7.9.15"
    since = (2, 0)
    target = 20

    def lower(self, w: Any, op: Any) -> Any:
        return None


@instruction
class Discard(Memory):
    """discard: the data at an address is not needed any more (its value becomes undefined; here it stays)"""

    syntax = "discard{.global}.L2 [a], size"
    types = {"size": "u32"}
    results = ()
    section = "9.7.9.17"
    since = (7, 4)
    target = 80

    def lower(self, w: Any, op: Any) -> Any:
        return None


@instruction
class CreatePolicy(Memory):
    """createpolicy: a cache policy for `.L2::cache_hint`: a hint, so any number serves"""

    syntax = (
        "createpolicy.range{.global}.primary{.secondary}.b64 d, [a], primary_size, total_size",
        "createpolicy.fractional.primary{.secondary}.b64 d{, fraction}",
        "createpolicy.cvt.L2.b64 d, access",
    )
    modifiers = {
        "primary": "L2::evict_last L2::evict_normal L2::evict_first L2::evict_unchanged",
        "secondary": "L2::evict_first L2::evict_unchanged",
    }
    types = {"d": "b64", "primary_size": "u32", "total_size": "u32", "fraction": "f32", "access": "b64"}
    section = "9.7.9.18"
    since = (7, 4)
    target = 80

    def shape(self, *operands: Shape) -> Shape:
        return Shape(1)

    def lower(self, w: Any, op: Any) -> Any:
        return w.const("i64", 0x14F0000000000000)
