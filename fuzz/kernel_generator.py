"""Draws random kernels (program.py): from a `random.Random` for speed, or from Hypothesis
(`kernels()`), whose shrinking then works on every choice.

Each kernel uses some kinds of statements only, chosen anew: what is rare among all kinds is then common in some kernels (swarm testing).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st

from anywarp.isa import types
from fuzz import accesses, functions, together
from fuzz.flow import Carry, End, Exit, If, Jump, Loop, Switch, Web
from fuzz.opcodes import Opcode, pool
from fuzz.program import INPUT_WORDS, OUTPUT_WORDS, OWN_BYTES, PIECES, STRIDED_PART, D, Dim, Function, H, Kernel, P, Plain, R, Statement
from tests.kernels.differential import Buffer, Case

T = TypeVar("T")
BLOCKS = (
    (32, 1, 1), (64, 1, 1), (48, 1, 1), (7, 1, 1), (16, 4, 1), (8, 8, 1), (16, 3, 1), (4, 2, 8), (5, 7, 1), (33, 2, 1), (2, 16, 2),
    (96, 1, 1), (32, 4, 1), (64, 2, 1), (128, 1, 1), (31, 3, 1), (4, 4, 4), (2, 3, 5), (8, 4, 2), (1, 1, 1), (1, 32, 1), (65, 1, 1),
    (3, 1, 33), (16, 2, 3), (8, 3, 1), (32, 1, 2),
)  # fmt: skip
GRIDS = ((1, 1, 1), (2, 1, 1), (3, 1, 1), (1, 2, 1), (2, 2, 1), (1, 1, 3), (5, 1, 1))
EDGES = (0, 1, 2, 31, 32, 33, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x3F800000, 0x7F800000,
         0x7FC00000, 0x80000001, 0x00800000, 0x3C003C00, 0x7C00FC00, 0x4F000000)  # fmt: skip
ATOMICS = {32: ("add.u32", "min.s32", "max.u32", "and.b32", "or.b32", "xor.b32", "exch.b32", "inc.u32", "dec.u32", "cas.b32"),
           64: ("add.u64", "min.s64", "max.u64", "and.b64", "or.b64", "xor.b64", "exch.b64", "cas.b64")}  # fmt: skip
SUMS = ("add.u32", "xor.b32", "max.s32", "min.u32")  # one word each: they do not commute with one another
FUEL = 3_000_000  # instructions of a kernel, by the interpreter; what takes longer is left out


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
        self._functions: list[Function] = []
        self._in_function = False
        self._carriers = [o for o in pool() if o.writes_carry and not o.reads_carry]
        self._takers = [o for o in pool() if o.reads_carry]
        self._opcodes = [o for o in pool() if not o.writes_carry and not o.reads_carry]
        self._guards = [o for o in self._opcodes if o.results == ("pred",)]
        nested: list[Callable[[int], Statement]] = [self._if, self._loop, self._loop, self._switch, self._web, self._nest, self._carried]
        leaves: list[Callable[[int], Statement]] = [
            self._jump, self._vote, self._shuffle, self._warp_exchange, self._load, self._load, self._own, self._own, self._own_atomic,
            self._sum, self._index, self._index, self._overwritten_guard,
        ]  # fmt: skip
        big: list[Callable[[int], Statement]] = [self._strided, self._rows]
        meetings: list[Callable[[int], Statement]] = [self._exchange, self._exchange, self._reduction, self._shared_sum, self._histogram]
        waits: list[Callable[[int], Statement]] = [self._halves, self._meet, self._handover]
        rare: list[Callable[[int], Statement]] = [self._lock, self._sleep, self._exit]
        self._nested = self._some(nested, 2)
        self._leaves = self._some(leaves, 2) + self._some(big, 2) + self._some(rare, 8)
        self._meetings = (self._some(meetings, 2) + self._some(waits, 4)) or [self._exchange]
        self._plain = 2 + self._below(10)  # in so many of so many plus ten statements

    def kernel(self) -> Kernel:
        block, grid = self._one_of(BLOCKS), self._one_of(GRIDS)
        has_barriers = bool(self._below(2))
        self._in_function = True
        total, self._left = self._left, min(self._left, 12)
        for _ in range(self._below(3)):
            self._functions.append(Function(self._body(0, 5), has_barriers and self._below(5) == 0))
        self._in_function, self._left = False, total
        return Kernel(self._body(0, 24), self._functions, block, grid, has_barriers)

    # ------------------------------------------------------------------------------------------------ choices

    def _below(self, n: int) -> int:
        return self._choice.below(n)

    def _one_of(self, items: Sequence[T]) -> T:
        return items[self._below(len(items))]

    def _some(self, items: Sequence[T], one_in: int) -> list[T]:
        """Each with a chance of one in so many."""
        return [item for item in items if self._below(one_in) == 0]

    def _register(self, type: str) -> str:
        width = types.width(type)
        letter, count = {1: ("p", P), 8: ("h", H), 16: ("h", H), 32: ("r", R), 64: ("d", D)}[width]
        return f"%{letter}{self._below(count)}"

    def _distinct(self, type: str, n: int) -> list[str]:
        """Neighbouring registers; fewer where there are not that many."""
        first = self._register(type)
        count = {"h": H, "r": R, "d": D}[first[1]]
        return [f"{first[:2]}{(int(first[2:]) + k) % count}" for k in range(min(n, count))]

    def _guard(self, one_in: int = 3) -> str | None:
        return f"{self._one_of(('', '!'))}{self._register('pred')}" if self._below(one_in) == 0 else None

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

    def _index_source(self) -> str:
        """Something that is affine, uniform or varying in a warp."""
        return self._one_of(("%linear", "%x", "%y", "%global", "%scalar", self._register("b32"), str(self._below(64))))

    # ------------------------------------------------------------------------------------------------ statements

    def _body(self, depth: int, most: int) -> list[Statement]:
        body: list[Statement] = []
        for _ in range(1 + self._below(most)):
            if self._left <= 0:
                break
            self._left -= 1
            body.append(self._statement(depth))
        return body

    def _statement(self, depth: int) -> Statement:
        kind = self._below(10 + self._plain)
        if kind < 4 and depth < 4 and self._nested:
            return self._one_of(self._nested)(depth)
        if kind in (4, 5) and depth < 2:
            return self._one_of(self._meetings)(depth)
        if kind == 6 and (self._functions or self._in_function):
            return self._call(depth)
        if kind < 10 and self._leaves:
            return self._one_of(self._leaves)(depth)
        prefix = f"@{guard} " if (guard := self._guard()) else None
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

    def _overwritten_guard(self, depth: int) -> Statement:
        lines = self._instruction(self._one_of(self._guards), None)
        target = lines[0].split()[1].rstrip(",")
        return Plain([f"@{self._one_of(('', '!'))}{target} {lines[0]}"])

    def _if(self, depth: int) -> Statement:
        return If(self._register("pred"), self._body(depth + 1, 5), self._body(depth + 1, 3), bool(self._below(2)))

    def _loop(self, depth: int) -> Statement:
        return Loop(
            self._register("b32") if self._below(2) else None,
            1 + self._below(3),
            self._one_of(("until", "while", "header")),
            self._body(depth + 1, 5),
            self._one_of(("0", "%linear", "%x", "-3", "5")),
            self._one_of((1, 1, 4, 32, -1)),
            self._register("b32") if self._below(2) else None,
            is_known=self._below(2) == 0,
        )

    def _nest(self, depth: int) -> Statement:
        """Loops in loops, where inner ones leave straight to the header of an outer one."""
        levels = 2 + self._below(2)
        inner: list[Statement] = []
        for level in range(levels):
            body = self._body(depth + 2, 2) if self._left > 0 else []
            if self._below(2):
                body.append(self._jump(depth))
            if level and self._below(4) == 0:
                inner = [If(self._register("pred"), inner, [])]
            loop = Loop(
                self._register("b32") if self._below(3) else None,
                1 + self._below(3),
                self._one_of(("until", "while", "header")),
                [*body, *inner],
                shown=self._register("b32") if self._below(2) else None,
                leaves_to=self._below(levels) if level < levels - 1 else 0,
            )
            inner = [loop]
        return If(self._register("pred"), inner, []) if self._below(3) else inner[0]

    def _web(self, depth: int) -> Statement:
        n = 2 + self._below(5)
        blocks = [self._body(depth + 2, 2) for _ in range(n)]
        ends = []
        for i in range(n):
            kind = self._below(6)
            condition = self._guard(1) or ""
            if kind == 0:
                condition = ""
            elif kind == 1:
                condition = str(1 + self._below(3))
            selector, targets = None, ()
            if kind == 2:
                selector, targets = self._register("b32"), tuple(self._below(n + 1) for _ in range(2 + self._below(3)))
            target = self._below(i + 1) if self._below(2) else self._below(n + 1)
            ends.append(End(condition, target, self._below(n + 1) if self._below(3) == 0 else None, selector, targets))
        fuel = self._register("b32") if self._below(2) else str(2 + self._below(6))
        entry = (self._guard(1) or "", self._below(n)) if self._below(3) == 0 else None
        return Web(blocks, ends, fuel, entry)

    def _jump(self, depth: int) -> Statement:
        return Jump(f"{self._one_of(('', '!'))}{self._register('pred')}", bool(self._below(2)), self._below(3))

    def _switch(self, depth: int) -> Statement:
        cases = [self._body(depth + 1, 3) for _ in range(2 + self._below(3))]
        return Switch(self._register("b32"), cases, [bool(self._below(2)) for _ in cases])

    def _exit(self, depth: int) -> Statement:
        return Exit(self._register("pred"), bool(self._below(2)), bool(self._below(2)))

    def _carried(self, depth: int) -> Statement:
        first, second = self._instruction(self._one_of(self._carriers), None), self._instruction(self._one_of(self._takers), None)
        return Carry(first, self._body(depth + 1, 3) if self._below(2) else [], second)

    # ------------------------------------------------------------------------------------------------ memory

    def _load(self, depth: int) -> Statement:
        type = self._one_of(("b32", "b32", "b32", "u8", "s8", "s16", "u16", "b64", "f32"))
        bits = int(type[1:])
        n = self._one_of((1, 1, 2, 4, 3))
        is_vector = n in (2, 4) and bits * n <= 128 and bits >= 32 and self._below(2) == 0
        targets = self._distinct("b64" if bits == 64 else "b32", n)
        is_vector = is_vector and len(targets) == n
        index = self._index_source()
        is_bounded = index in ("%linear", "%x", "%y") or index.isdigit()
        return accesses.Load(
            type, index, self._one_of((1, 1, 2, 3, 4)), self._below(256), is_bounded, targets, is_vector, self._guard(),
            self._one_of(("", "", ".nc", ".ca")),
        )  # fmt: skip

    def _own(self, depth: int) -> Statement:
        space = self._one_of(("own", "side", "spot", "shared")) if not self._in_function else self._one_of(("spot", "memory"))
        type = self._one_of(("b32", "b32", "u8", "s8", "u16", "s16", "b64"))
        n = self._one_of((1, 1, 2, 4))
        values = self._distinct("b64" if type == "b64" else "b32", n if not (type == "b64" and n == 4) else 2)
        at = (
            str(self._below(64))
            if self._below(2)
            else self._one_of((self._register("b32"), "%x", "%scalar") if not self._in_function else (self._register("b32"),))
        )
        return accesses.Own(space, type, at, values, bool(self._below(2)), self._guard())

    def _own_atomic(self, depth: int) -> Statement:
        bits = self._one_of((32, 32, 64))
        operation = self._one_of(ATOMICS[bits])
        sources = [self._register(f"b{bits}") for _ in range(2 if "cas" in operation else 1)]
        return accesses.OwnAtomic(self._one_of(("global", "shared")), operation, bits, self._register(f"b{bits}"), sources, self._guard())

    def _sum(self, depth: int) -> Statement:
        if self._below(3) == 0:
            return together.SharedAdd(self._register("b32"), str(1 + self._below(9)), self._guard(), bool(self._below(2)))
        word = self._below(len(SUMS))
        return accesses.GlobalSum(SUMS[word], self._register("b32"), word, self._guard(2))

    def _index(self, depth: int) -> Statement:
        """Puts numbers of the thread, the CTA and the launch into a register."""
        target = self._register("b32")
        names = ("%tid.x", "%tid.y", "%laneid", "%ntid.x", "%ctaid.x", "%nctaid.x")
        if not self._in_function:
            names += ("%linear", "%global", "%scalar", "%tid.z", "%ntid.y")
        lines = [f"mov.u32 {target}, {self._one_of(names)};"]
        if self._below(2):
            lines.append(f"mad.lo.s32 {target}, {target}, {self._one_of((2, 3, 4, -1, 16))}, {self._one_of((0, 1, -7, 100))};")
        if self._below(3) == 0:
            other = self._one_of(names)
            lines += [f"mov.u32 %t0, {other};", f"{self._one_of(('add.s32', 'sub.s32', 'xor.b32', 'min.s32'))} {target}, {target}, %t0;"]
        if self._below(3) == 0:
            compare = self._one_of(("eq", "lt", "ge"))
            lines.append(f"setp.{compare}.s32 {self._register('pred')}, {target}, {self._one_of(('4', '0', '16', '31'))};")
        if self._below(4) == 0:
            operation = self._one_of(("div.s32", "rem.s32", "shr.s32", "and.b32", "div.u32", "rem.u32"))
            lines.append(f"{operation} {target}, {target}, {self._one_of((2, 3, 8, 32))};")
        return Plain(lines)

    def _strided(self, depth: int) -> Statement:
        body = self._body(depth + 3, 2) if self._below(3) == 0 else []
        return accesses.Strided(
            self._one_of((1, 1, 2, 4)), self._one_of(("add.u32", "xor.b32", "min.u32", "sub.u32")), self._register("b32"),
            self._one_of(("3", self._register("b32"), "%scalar")), self._below(3) == 0,
            self._below(3) == 0, body,
        )  # fmt: skip

    def _rows(self, depth: int) -> Statement:
        kind = self._one_of(("sum", "mix", "chase", "search"))
        body = self._body(depth + 3, 2) if self._below(4) == 0 else []
        return accesses.Rows(kind, self._one_of((self._register("b32"), "%linear")), self._register("b32"), self._register("b32"), body)

    # ------------------------------------------------------------------------------------------------ together

    def _exchange(self, depth: int) -> Statement:
        return together.Exchange(self._register("b32"), self._register("b32"), self._register("b32"))

    def _reduction(self, depth: int) -> Statement:
        operation = self._one_of(("popc.u32", "and.pred", "or.pred"))
        target = self._register("b32" if operation == "popc.u32" else "pred")
        return together.BarrierReduction(operation, target, self._register("pred"), self._below(3))

    def _shared_sum(self, depth: int) -> Statement:
        operation = self._one_of(("add.u32", "xor.b32", "max.s32", "min.u32", "or.b32"))
        return together.SharedSum(operation, self._register("b32"), self._register("b32"))

    def _histogram(self, depth: int) -> Statement:
        body = self._body(depth + 1, 4)
        body.insert(self._below(len(body) + 1), together.SharedAdd(self._register("b32"), "1", self._guard(), False))
        return together.Histogram(self._register("b32"), self._register("b32"), body)

    def _vote(self, depth: int) -> Statement:
        target, source, predicate = self._register("b32"), self._register("b32"), self._register("pred")
        kind = self._below(4)
        if kind == 0:
            return together.Vote(f"vote.sync.ballot.b32 {target}, {predicate}, {{m}};")
        if kind == 1:
            return together.Vote(f"vote.sync.{self._one_of(('any', 'all', 'uni'))}.pred {self._register('pred')}, {predicate}, {{m}};")
        if kind == 2:
            reduction = self._one_of(("add.s32", "min.s32", "max.u32", "and.b32", "or.b32", "xor.b32"))
            return together.Vote(f"redux.sync.{reduction} {target}, {source}, {{m}};")
        if self._below(2):
            return together.Vote(f"match.any.sync.b32 {target}, {source}, {{m}};")
        return together.Vote(f"match.all.sync.b32 {target}|{predicate}, {source}, {{m}};")

    def _shuffle(self, depth: int) -> Statement:
        mode, clamp = self._one_of(
            (("bfly", "31"), ("idx", "31"), ("down", "31"), ("up", "0"), ("idx", "0x181F"), ("bfly", "0x101F"), ("up", "0x1800"))
        )
        lane = str(self._below(32)) if self._below(2) else self._register("b32")
        return together.Shuffle(mode, self._register("b32"), self._register("b32"), lane, clamp)

    def _warp_exchange(self, depth: int) -> Statement:
        return together.WarpExchange(self._register("b32"), self._register("b32"))

    def _halves(self, depth: int) -> Statement:
        bodies = (self._body(depth + 2, 2), self._body(depth + 2, 2))
        registers = [self._register("b32") for _ in range(3)]
        return together.Halves(registers[0], registers[1], registers[2], bodies, 1 + self._below(2), bool(self._below(2)))

    def _meet(self, depth: int) -> Statement:
        bodies = (self._body(depth + 2, 2), self._body(depth + 2, 2))
        return together.Meet(self._register("pred"), bodies, self._register("b32"), self._register("b32"), self._register("b32"))

    def _handover(self, depth: int) -> Statement:
        return together.Handover(self._register("b32"), self._register("b32"), self._below(100), self._one_of(("volatile", "acquire")))

    def _lock(self, depth: int) -> Statement:
        return together.Lock(self._register("b32"), bool(self._below(2)))

    def _sleep(self, depth: int) -> Statement:
        return together.Sleep(self._register("b32"), self._guard(2))

    def _call(self, depth: int) -> Statement:
        a, b, result = self._register("b32"), self._register("b64"), self._register("b32")
        if self._in_function:
            return functions.Recurse(a, b, result, self._register("pred") if self._below(2) else None)
        other = (self._register("pred"), self._below(3)) if self._below(3) == 0 else None
        return functions.Call(self._below(3), a, b, result, self._one_of(("spot", "own")), self._below(3), other)


def random_kernel(seed: int, size: int = 40) -> Kernel:
    """The kernel of a seed."""
    return Generator(RandomChoice(seed), size).kernel()


@st.composite
def kernels(draw: Any, size: int = 25) -> Kernel:
    """Hypothesis strategy of kernels."""
    return Generator(DrawnChoice(draw), size).kernel()


def case_of(kernel: Kernel, seed: int = 0) -> Case:
    """The launch of a kernel on inputs drawn from a seed."""
    return case_of_text(kernel.text(), kernel.grid, kernel.block, seed)


def case_of_text(ptx: str, grid: Dim, block: Dim, seed: int) -> Case:
    """The launch of a kernel's text, perhaps edited since."""
    generator = random.Random(seed)
    words = [
        generator.choice(EDGES) if generator.randrange(3) == 0 else generator.getrandbits(32) >> generator.choice((0, 0, 8, 24))
        for _ in range(INPUT_WORDS)
    ]
    data = b"".join(w.to_bytes(4, "little") for w in words)
    count = grid[0] * grid[1] * grid[2] * block[0] * block[1] * block[2]
    buffers = [
        Buffer(bytes(4 * OUTPUT_WORDS * count), "out"), Buffer(data, "in"), Buffer(bytes(64), "sums"),
        Buffer(bytes(range(OWN_BYTES)) * count, "own"), Buffer((data * 3)[: 3 * 4 * STRIDED_PART], "strided"),
        Buffer(bytes(k & 0xFF for k in range(PIECES * count * sum(accesses.SIDE_SIZES))), "side"),
    ]  # fmt: skip
    case = Case(ptx, "k", grid, block, [*buffers, seed & 7])
    case.options.fuel = FUEL
    return case
