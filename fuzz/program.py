"""Random kernels as trees: statements that can be printed as PTX, and removed one by one to make a failing kernel small.

Every kernel is well typed and deterministic whatever the order of threads: a thread writes its own words of the output, shared memory is
read behind a barrier, barriers and warp instructions stand in flow that all threads take alike, and atomics commute.

Registers: %r 32 bits, %d 64, %h 16, %p predicates (those that statements work on); %c loop counters, %t, %u, %q temporaries.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

R, D, H, P = 8, 4, 4, 4  # registers of each kind
INPUT_WORDS = 256
OUTPUT_WORDS = R + 2 * D + H // 2 + 2  # of one thread: registers, halves, predicates; even


class Statement:
    """A node; `bodies` are the lists of statements inside."""

    bodies: tuple[list[Statement], ...] = ()

    def lines(self, w: Writer) -> Iterator[str]:
        raise NotImplementedError


class Writer:
    """Gives fresh names while a kernel is printed."""

    def __init__(self) -> None:
        self._count = itertools.count()
        self.counters = 0
        self.breaks: list[str] = []
        self.nexts: list[str] = []

    def label(self) -> str:
        return f"L{next(self._count)}"

    def counter(self) -> str:
        self.counters += 1
        return f"%c{self.counters - 1}"

    def print(self, body: list[Statement]) -> Iterator[str]:
        for statement in body:
            yield from statement.lines(self)


@dataclass
class Plain(Statement):
    """Instructions that belong together."""

    text: list[str]

    def lines(self, w: Writer) -> Iterator[str]:
        yield from self.text


@dataclass
class If(Statement):
    condition: str
    then: list[Statement]
    other: list[Statement]

    def __post_init__(self) -> None:
        self.bodies = (self.then, self.other)

    def lines(self, w: Writer) -> Iterator[str]:
        other, end = w.label(), w.label()
        yield f"@!{self.condition} bra {other};"
        yield from w.print(self.then)
        yield f"bra {end};"
        yield f"{other}:"
        yield from w.print(self.other)
        yield f"{end}:"


@dataclass
class Loop(Statement):
    """Runs `limit` times at most (a register's low bits plus `extra`); tested at the end or, with `is_while`, at the start."""

    limit: str | None  # a %r register, None: `extra` times, the same in all threads
    extra: int
    is_while: bool
    body: list[Statement]
    is_uniform: bool = False  # all threads run it alike: nobody may leave it early

    def __post_init__(self) -> None:
        self.bodies = (self.body,)

    def lines(self, w: Writer) -> Iterator[str]:
        counter, limit, head, following, end = w.counter(), w.counter(), w.label(), w.label(), w.label()
        if self.limit is None:
            yield f"mov.u32 {limit}, {self.extra};"
        else:
            yield f"and.b32 {limit}, {self.limit}, 3;"
            yield f"add.u32 {limit}, {limit}, {self.extra};"
        yield f"mov.u32 {counter}, 0;"
        yield f"{head}:"
        if self.is_while:
            yield f"setp.ge.u32 %q0, {counter}, {limit};"
            yield f"@%q0 bra {end};"
        w.breaks.append("" if self.is_uniform else end)
        w.nexts.append("" if self.is_uniform else following)
        yield from w.print(self.body)
        w.breaks.pop()
        w.nexts.pop()
        yield f"{following}:"
        yield f"add.u32 {counter}, {counter}, 1;"
        if self.is_while:
            yield f"bra {head};"
        else:
            yield f"setp.lt.u32 %q0, {counter}, {limit};"
            yield f"@%q0 bra {head};"
        yield f"{end}:"


@dataclass
class Jump(Statement):
    """break or continue of a loop some levels out; nothing outside of loops that threads may leave."""

    guard: str
    is_break: bool
    levels: int

    def lines(self, w: Writer) -> Iterator[str]:
        targets = list(reversed(w.breaks if self.is_break else w.nexts))
        if "" in targets:
            targets = targets[: targets.index("")]
        if targets:
            yield f"@{self.guard} bra {targets[min(self.levels, len(targets) - 1)]};"


@dataclass
class Switch(Statement):
    """brx.idx over a register's low bits; a case falls through to the next unless it ends in a jump behind them all."""

    selector: str
    cases: list[list[Statement]]
    falls: list[bool]

    def __post_init__(self) -> None:
        self.bodies = tuple(self.cases)

    def lines(self, w: Writer) -> Iterator[str]:
        labels, table, end = [w.label() for _ in self.cases], w.label(), w.label()
        yield f"rem.u32 %t0, {self.selector}, {len(labels)};"
        yield f"{table}: .branchtargets {', '.join(labels)};"
        yield f"brx.idx %t0, {table};"
        for label, case, falls in zip(labels, self.cases, self.falls):
            yield f"{label}:"
            yield from w.print(case)
            if not falls:
                yield f"bra {end};"
        yield f"{end}:"


@dataclass
class Exchange(Statement):
    """All threads write a register to shared memory and read another's behind a barrier. Only in uniform flow."""

    source: str
    target: str
    index: str

    def lines(self, w: Writer) -> Iterator[str]:
        yield "bar.sync 0;"
        yield "shl.b32 %t0, %linear, 2;"
        yield f"st.shared.b32 [%t0], {self.source};"
        yield "bar.sync 0;"
        yield f"rem.u32 %t1, {self.index}, %threads;"
        yield "shl.b32 %t1, %t1, 2;"
        yield f"ld.shared.b32 {self.target}, [%t1];"


@dataclass
class SharedSum(Statement):
    """A shared atomic of all threads, its result read behind a barrier. Only in uniform flow."""

    operation: str
    source: str
    target: str

    def lines(self, w: Writer) -> Iterator[str]:
        yield "bar.sync 0;"
        yield "mov.u32 %t0, total;"
        yield "setp.eq.u32 %q0, %linear, 0;"
        yield "@%q0 st.shared.u32 [%t0], 5;"
        yield "bar.sync 0;"
        yield f"red.shared.{self.operation} [%t0], {self.source};"
        yield "bar.sync 0;"
        yield f"ld.shared.b32 {self.target}, [%t0];"


@dataclass
class GlobalSum(Statement):
    """A commutative atomic without result on a common word; anywhere."""

    operation: str
    source: str
    word: int
    guard: str | None

    def lines(self, w: Writer) -> Iterator[str]:
        yield f"{f'@{self.guard} ' if self.guard else ''}red.global.{self.operation} [%sums+{4 * self.word}], {self.source};"


@dataclass
class Kernel:
    """A whole kernel with its launch."""

    body: list[Statement]
    functions: list[list[Statement]] = field(default_factory=list)
    block: tuple[int, int, int] = (32, 1, 1)
    grid: tuple[int, int, int] = (1, 1, 1)

    @property
    def threads(self) -> int:
        return self.block[0] * self.block[1] * self.block[2]

    def text(self) -> str:
        """The PTX module; its entry is `k(out, in, sums)`."""
        w = Writer()
        functions = [self._function(number, body) for number, body in enumerate(self.functions)]
        body = list(w.print(self.body))
        used = set(re.findall(r"%[rdhp]\d", " ".join(body)))
        lines = [
            ".version 8.6", ".target sm_100", ".address_size 64", *functions,
            ".visible .entry k(.param .u64 out, .param .u64 in, .param .u64 sums)", "{",
            *self._registers(w.counters),
            f".shared .align 4 .b8 cells[{4 * self.threads}];", ".shared .align 4 .b8 total[4];",
            ".reg .b32 %linear, %threads, %global, %x, %y, %z;", ".reg .b64 %out, %in, %sums, %at;",
            "mov.u32 %x, %tid.x;", "mov.u32 %y, %tid.y;", "mov.u32 %z, %tid.z;", "mov.u32 %t0, %ntid.x;", "mov.u32 %t1, %ntid.y;",
            "mad.lo.u32 %linear, %z, %t1, %y;", "mad.lo.u32 %linear, %linear, %t0, %x;",
            f"mov.u32 %threads, {self.threads};", "mov.u32 %t0, %ctaid.x;", "mad.lo.u32 %global, %t0, %threads, %linear;",
            "ld.param.u64 %out, [out];", "ld.param.u64 %in, [in];", "ld.param.u64 %sums, [sums];",
            "cvta.to.global.u64 %out, %out;", "cvta.to.global.u64 %in, %in;", "cvta.to.global.u64 %sums, %sums;",
            f"mul.wide.u32 %at, %global, {4 * OUTPUT_WORDS};", "add.s64 %out, %out, %at;",
            *self._loads(used), *body, *self._stores(used), "ret;", "}", "",
        ]  # fmt: skip
        return "\n".join(lines)

    @staticmethod
    def _registers(counters: int) -> list[str]:
        return [
            f".reg .b32 %r<{R}>, %c<{max(1, counters)}>, %t<4>;", f".reg .b64 %d<{D}>, %u<2>;", f".reg .b16 %h<{H}>, %v<2>;",
            f".reg .pred %p<{P}>, %q<2>;",
        ]  # fmt: skip

    def _function(self, number: int, body: list[Statement]) -> str:
        w = Writer()
        printed = list(w.print(body))
        used = set(re.findall(r"%[rdhp]\d", " ".join(printed)))
        top = max([int(r[2:]) for r in used if r[1] != "d"], default=1)
        wide = max([int(r[2:]) for r in used if r[1] == "d"], default=0)
        lines = [
            f".func (.param .b32 result) f{number}(.param .b32 a, .param .b64 b)", "{", *self._registers(w.counters),
            "ld.param.b32 %r0, [a];", "ld.param.b64 %d0, [b];",
            *(f"add.u32 %r{i}, %r{i - 1}, 0x9e3779b9;" for i in range(1, max(1, top) + 1)),
            *(f"add.u64 %d{i}, %d{i - 1}, 77;" for i in range(1, wide + 1)),
            *(f"cvt.u16.u32 %h{i}, %r{i};" for i in range(H) if f"%h{i}" in used),
            *(f"setp.lt.s32 %p{i}, %r{i}, 0;" for i in range(P) if f"%p{i}" in used),
            *printed, "xor.b32 %r0, %r0, %r1;", "st.param.b32 [result], %r0;", "ret;", "}",
        ]  # fmt: skip
        return "\n".join(lines)

    @staticmethod
    def _loads(used: set[str]) -> Iterator[str]:
        """Every register that the body names begins with another word of the input."""
        needed = used | {f"%r{r[2:]}" for r in used if r[1] in "hp"}
        for i in range(R + 2 * D):
            if (f"%r{i}" if i < R else f"%d{(i - R) // 2}") not in needed:
                continue
            yield f"mad.lo.u32 %t0, %global, 7, {11 * i};"
            yield f"and.b32 %t0, %t0, {INPUT_WORDS - 1};"
            yield "mul.wide.u32 %at, %t0, 4;"
            yield "add.s64 %at, %in, %at;"
            if i < R:
                yield f"ld.global.b32 %r{i}, [%at];"
            else:
                yield f"ld.global.b32 %t{2 + i % 2}, [%at];"
                if i % 2:
                    yield f"mov.b64 %d{(i - R) // 2}, {{%t2, %t3}};"
        yield from (f"cvt.u16.u32 %h{i}, %r{i};" for i in range(H) if f"%h{i}" in used)
        yield from (f"setp.lt.s32 %p{i}, %r{i}, 0;" for i in range(P) if f"%p{i}" in used)

    @staticmethod
    def _stores(used: set[str]) -> Iterator[str]:
        """Every register that the body names, at its place in the thread's words."""
        for i in range(R):
            if f"%r{i}" in used:
                yield f"st.global.b32 [%out+{4 * i}], %r{i};"
        for i in range(D):
            if f"%d{i}" in used:
                yield f"mov.b64 {{%t0, %t1}}, %d{i};"
                yield f"st.global.b32 [%out+{4 * (R + 2 * i)}], %t0;"
                yield f"st.global.b32 [%out+{4 * (R + 2 * i) + 4}], %t1;"
        for i in range(H):
            if f"%h{i}" in used:
                yield f"st.global.b16 [%out+{4 * (R + 2 * D) + 2 * i}], %h{i};"
        yield "mov.u32 %t0, 0;"
        for i in range(P):
            if f"%p{i}" in used:
                yield f"@%p{i} or.b32 %t0, %t0, {1 << i};"
        yield f"st.global.b32 [%out+{4 * (R + 2 * D + H // 2)}], %t0;"
