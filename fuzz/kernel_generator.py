"""Draws random kernels (program.py): from a `random.Random` for speed, or from Hypothesis
(`kernels()`), whose shrinking then works on every choice.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st

from anywarp.isa import types
from fuzz.opcodes import Opcode, pool
from fuzz.program import (
    INPUT_WORDS,
    OUTPUT_WORDS,
    D,
    Exchange,
    GlobalSum,
    H,
    If,
    Jump,
    Kernel,
    Loop,
    P,
    Plain,
    R,
    SharedSum,
    Statement,
    Switch,
)
from tests.kernels.differential import Buffer, Case

T = TypeVar("T")
BLOCKS = (
    (32, 1, 1),
    (64, 1, 1),
    (48, 1, 1),
    (7, 1, 1),
    (16, 4, 1),
    (8, 8, 1),
    (16, 3, 1),
    (4, 2, 8),
    (5, 7, 1),
    (33, 2, 1),
    (2, 16, 2),
    (96, 1, 1),
)
EDGES = (0, 1, 2, 31, 32, 33, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x3F800000, 0x7F800000,
         0x7FC00000, 0x80000001, 0x00800000, 0x3C003C00, 0x7C00FC00, 0x4F000000)  # fmt: skip


class Choice(Protocol):
    def below(self, n: int) -> int:
        """A number from 0 to n - 1; 0 is the simplest."""


class RandomChoice:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def below(self, n: int) -> int:
        return self._random.randrange(n)


class DrawnChoice:
    def __init__(self, draw: Any) -> None:
        self._draw = draw

    def below(self, n: int) -> int:
        return int(self._draw(st.integers(0, n - 1)))


class Generator:
    """Makes one kernel. `size` bounds the statements."""

    def __init__(self, choice: Choice, size: int) -> None:
        self._choice, self._left = choice, size
        self._functions: list[list[Statement]] = []
        self._in_function = False
        self._carriers = [o for o in pool() if o.writes_carry and not o.reads_carry]
        self._takers = [o for o in pool() if o.reads_carry]
        self._opcodes = [o for o in pool() if not o.writes_carry and not o.reads_carry]

    def kernel(self) -> Kernel:
        block = self._one_of(BLOCKS)
        grid = (1 + self._below(3), 1, 1)
        self._in_function = True
        total, self._left = self._left, min(self._left, 12)
        for _ in range(self._below(3)):
            self._functions.append(self._body(0, False, 4))
        self._in_function, self._left = False, total
        self._warps_are_full = (block[0] * block[1] * block[2]) % 32 == 0
        return Kernel(self._body(0, True, 24), self._functions, block, grid)

    # ------------------------------------------------------------------------------------------------ choices

    def _below(self, n: int) -> int:
        return self._choice.below(n)

    def _one_of(self, items: Sequence[T]) -> T:
        return items[self._below(len(items))]

    def _register(self, type: str) -> str:
        width = types.width(type)
        letter, count = {1: ("p", P), 8: ("h", H), 16: ("h", H), 32: ("r", R), 64: ("d", D)}[width]
        return f"%{letter}{self._below(count)}"

    def _source(self, type: str, is_immediate: bool) -> str:
        width = types.width(type)
        if is_immediate or (width >= 32 and type[0] in "bus" and "x" not in type and self._below(4) == 0):
            value = self._one_of(EDGES) if self._below(2) else self._below(256)
            if width == 64 and self._below(2):
                value = value << 32 | value
            return hex(value & (0xFF if is_immediate else (1 << width) - 1))
        if type == "f32" and self._below(6) == 0:
            return f"0f{self._one_of(EDGES):08X}"
        return self._register(type)

    # ------------------------------------------------------------------------------------------------ statements

    def _body(self, depth: int, is_uniform: bool, most: int) -> list[Statement]:
        body: list[Statement] = []
        for _ in range(1 + self._below(most)):
            if self._left <= 0:
                break
            self._left -= 1
            body.append(self._statement(depth, is_uniform))
        return body

    def _statement(self, depth: int, is_uniform: bool) -> Statement:
        kind = self._below(20)
        if depth < 3:
            if kind == 19:
                return If(self._register("pred"), self._body(depth + 1, False, 5), self._body(depth + 1, False, 3))
            if kind == 18:
                varies = self._below(2) == 1
                inside = is_uniform and not varies
                return Loop(
                    self._register("b32") if varies else None,
                    1 + self._below(3),
                    bool(self._below(2)),
                    self._body(depth + 1, inside, 5),
                    inside,
                )
            if kind == 17:
                cases = [self._body(depth + 1, False, 3) for _ in range(2 + self._below(3))]
                return Switch(self._register("b32"), cases, [bool(self._below(2)) for _ in cases])
        if kind == 16 and not is_uniform:
            return Jump(f"{self._one_of(('', '!'))}{self._register('pred')}", bool(self._below(2)), self._below(2))
        if kind in (14, 15) and is_uniform and not self._in_function:
            return self._together()
        if kind == 13 and not self._in_function:
            if self._functions and self._below(2):
                return self._call()
            operation = self._one_of(("add.u32", "xor.b32", "max.s32", "min.u32"))  # one word each: they do not commute with one another
            word = ("add.u32", "xor.b32", "max.s32", "min.u32").index(operation)
            return GlobalSum(operation, self._register("b32"), word, self._register("pred") if self._below(2) else None)
        if kind == 12 and self._carriers and self._takers:
            first = self._one_of(self._carriers)
            return Plain([*self._instruction(first, None), *self._instruction(self._one_of(self._takers), None)])
        if kind == 11 and not self._in_function:
            return self._load()
        guard = self._below(5)
        prefix = f"@{'!' if guard == 3 else ''}{self._register('pred')} " if guard >= 3 else None
        return Plain(self._instruction(self._one_of(self._opcodes), prefix))

    def _instruction(self, opcode: Opcode, guard: str | None) -> list[str]:
        results = [self._register(t) for t in opcode.results]
        if len(set(results)) != len(results):  # two results in one register have no order
            results = [f"{r[:2]}{i}" for i, r in enumerate(results)]
        written = "|".join(results) if opcode.is_pair else ", ".join(results)
        sources = [self._source(t, i) for t, i in zip(opcode.sources, opcode.immediate)]
        lines = [f"{guard or ''}{opcode.text} {', '.join([written, *sources])};"]
        if opcode.is_nan_open:  # any payload will do: take one
            for result, type in zip(results, opcode.results):
                canonical = "0x7fffffff" if type == "f32" else "0x7fffffffffffffff"
                lines += [f"setp.nan.{type} %q1, {result}, {result};", f"@%q1 mov.b{types.width(type)} {result}, {canonical};"]
        return lines

    def _load(self) -> Statement:
        """A load from anywhere in the input, by an index that is coalesced, uniform or scattered."""
        index = self._one_of(("%linear", self._register("b32"), str(self._below(INPUT_WORDS))))
        type = self._one_of(("b32", "u8", "s8", "s16", "v2.b32"))
        lines = [f"mov.b32 %t0, {index};", f"and.b32 %t0, %t0, {INPUT_WORDS - 2};", "mul.wide.u32 %u0, %t0, 4;", "add.s64 %u0, %in, %u0;"]
        if type == "v2.b32":
            a, b = self._below(R), self._below(R - 1)
            lines.append(f"ld.global.v2.b32 {{%r{a}, %r{b if b < a else b + 1}}}, [%u0];")
        else:
            lines.append(f"ld.global.{type} {self._register('b32')}, [%u0];")
        return Plain(lines)

    def _together(self) -> Statement:
        """What all threads of the CTA or the warp do at once."""
        kind = self._below(5)
        target, source = self._register("b32"), self._register("b32")
        if kind == 0:
            return Exchange(source, target, self._register("b32"))
        if kind == 1:
            return SharedSum(self._one_of(("add.u32", "xor.b32", "max.s32", "min.u32", "or.b32")), source, target)
        if kind == 2:
            return Plain([f"vote.sync.ballot.b32 {target}, {self._register('pred')}, 0xffffffff;"])
        if kind == 3:
            return Plain(
                [f"vote.sync.{self._one_of(('any', 'all', 'uni'))}.pred {self._register('pred')}, {self._register('pred')}, 0xffffffff;"]
            )
        if not self._warps_are_full:
            return Plain([f"bar.red.popc.u32 {target}, 0, {self._register('pred')};"])
        mode, clamp = self._one_of((("bfly", 31), ("idx", 31), ("down", 31), ("up", 0), ("idx", 0x181F), ("bfly", 0x101F)))
        lane = str(self._below(32)) if self._below(2) else self._register("b32")
        return Plain([f"shfl.sync.{mode}.b32 {target}, {source}, {lane}, {clamp}, 0xffffffff;"])

    def _call(self) -> Statement:
        number = self._below(len(self._functions))
        return Plain([
            "{", ".param .b32 a;", ".param .b64 b;", ".param .b32 result;", f"st.param.b32 [a], {self._register('b32')};",
            f"st.param.b64 [b], {self._register('b64')};", f"call (result), f{number}, (a, b);",
            f"ld.param.b32 {self._register('b32')}, [result];",
            "}",
        ])  # fmt: skip


def random_kernel(seed: int, size: int = 40) -> Kernel:
    """The kernel of a seed."""
    return Generator(RandomChoice(seed), size).kernel()


@st.composite
def kernels(draw: Any, size: int = 25) -> Kernel:
    """Hypothesis strategy of kernels."""
    return Generator(DrawnChoice(draw), size).kernel()


def case_of(kernel: Kernel, seed: int = 0) -> Case:
    """The launch of a kernel on inputs drawn from a seed."""
    generator = random.Random(seed)
    words = [
        generator.choice(EDGES) if generator.randrange(3) == 0 else generator.getrandbits(32) >> generator.choice((0, 0, 8, 24))
        for _ in range(INPUT_WORDS)
    ]
    data = b"".join(w.to_bytes(4, "little") for w in words)
    count = kernel.threads * kernel.grid[0]
    buffers = [Buffer(bytes(4 * OUTPUT_WORDS * count), "out"), Buffer(data, "in"), Buffer(bytes(64), "sums")]
    return Case(kernel.text(), "k", kernel.grid, kernel.block, buffers)
