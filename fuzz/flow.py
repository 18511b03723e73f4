"""Statements of control flow: branches, loops with many ways out, arbitrary graphs, branch tables, early exits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from fuzz.program import NOBODY, Context, Statement, Writer


@dataclass
class If(Statement):
    """Two ways. `is_known`: where the warp's lanes come alike, a vote says who goes which way, and they stay known on both."""

    condition: str
    then: list[Statement]
    other: list[Statement]
    is_known: bool = False

    def __post_init__(self) -> None:
        self.bodies = (self.then, self.other)

    def lines(self, w: Writer) -> Iterator[str]:
        other, end = w.label(), w.label()
        members = w.context.members
        contexts = (NOBODY, NOBODY)
        if self.is_known and members:
            taken, left = w.counter(), w.counter()
            yield f"vote.sync.ballot.b32 {taken}, {self.condition}, {members};"
            yield f"xor.b32 {left}, {taken}, {members};"
            contexts = (Context(False, taken), Context(False, left))
        yield f"@!{self.condition} bra {other};"
        with w.where(contexts[0]):
            yield from w.print(self.then)
        yield f"bra {end};"
        yield f"{other}:"
        with w.where(contexts[1]):
            yield from w.print(self.other)
        yield f"{end}:"


@dataclass
class Loop(Statement):
    """`extra` rounds and, with a register as `limit`, up to 3 more; the counter goes from `start` by `step`, and `shown` receives it.

    `form`: "until" (tested at the end), "while" (at the start), "header" (counted and tested in the header, to which `continue` and the
    exits of inner loops go directly). `leaves_to`: the exit goes to the header (or behind the body) of the loop so many levels out. Where
    all threads run the loop alike, nobody may leave it early; where lanes do and `is_known`, a vote in each round says who is left."""

    limit: str | None
    extra: int
    form: str
    body: list[Statement]
    start: str = "0"
    step: int = 1
    shown: str | None = None
    leaves_to: int = 0
    is_known: bool = False

    def __post_init__(self) -> None:
        self.bodies = (self.body,)

    def lines(self, w: Writer) -> Iterator[str]:
        counter, limit, head, following, end = w.counter(), w.counter(), w.label(), w.label(), w.label()
        outside = w.context
        nexts = list(reversed(w.nexts))
        leave = nexts[self.leaves_to - 1] if 0 < self.leaves_to <= len(nexts) and all(nexts[: self.leaves_to]) else end
        if self.limit is None:
            yield f"mov.u32 {limit}, {self.extra * self.step};"
        else:
            yield f"and.b32 {limit}, {self.limit}, 3;"
            yield f"add.u32 {limit}, {limit}, {self.extra};"
            yield f"mul.lo.u32 {limit}, {limit}, {self.step};"
        first = f"{self.start}" if self.form != "header" else f"{self.start}, {-self.step}"
        yield f"{'mov.u32' if self.form != 'header' else 'add.s32'} {counter}, {first};"
        yield f"add.s32 {limit}, {limit}, {self.start};"
        compare = ("ge", "lt") if self.step > 0 else ("le", "gt")
        varies = self.limit is not None
        inside = NOBODY
        if not varies:
            inside = outside
        elif self.is_known and outside.members:
            inside = Context(False, w.counter())
            yield f"mov.u32 {inside.members}, {outside.members};"
        stays = inside.everyone or inside.members is not None
        yield f"{head}:"
        if self.form == "header":
            yield f"add.s32 {counter}, {counter}, {self.step};"
            following = head
        if self.form in ("while", "header"):
            yield f"setp.{compare[0]}.s32 %q0, {counter}, {limit};"
            if varies and inside.members:
                yield f"vote.sync.ballot.b32 {inside.members}, !%q0, {inside.members};"
            yield f"@%q0 bra {leave};"
        if self.shown:
            yield f"mov.b32 {self.shown}, {counter};"
        with w.loop("" if stays else end, "" if stays else following, inside):
            yield from w.print(self.body)
        if self.form == "header":
            yield f"bra {head};"
        else:
            yield f"{following}:"
            yield f"add.s32 {counter}, {counter}, {self.step};"
            if self.form == "while":
                yield f"bra {head};"
            else:
                yield f"setp.{compare[1]}.s32 %q0, {counter}, {limit};"
                if varies and inside.members:
                    yield f"vote.sync.ballot.b32 {inside.members}, %q0, {inside.members};"
                if leave == end:
                    yield f"@%q0 bra {head};"
                else:
                    yield f"@!%q0 bra {leave};"
                    yield f"bra {head};"
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
        with w.where(NOBODY):
            for label, case, falls in zip(labels, self.cases, self.falls):
                yield f"{label}:"
                yield from w.print(case)
                if not falls:
                    yield f"bra {end};"
        yield f"{end}:"


@dataclass(frozen=True)
class End:
    """How a block of a `Web` ends. `condition`: "" (always), a predicate with or without `!`, or a number n: in n of n + 1 visits. Goes to
    `target`, else to `other` (None: the next block). With a `selector`: to one of the targets by a branch table."""

    condition: str
    target: int
    other: int | None = None
    selector: str | None = None
    targets: tuple[int, ...] = ()


@dataclass
class Web(Statement):
    """Blocks with branches between any of them: loops with several ways in, out and back. A thread goes backwards `fuel` times at most,
    then only forwards. `entry`: where those for whom the predicate holds begin."""

    blocks: list[list[Statement]]
    ends: list[End]
    fuel: str
    entry: tuple[str, int] | None = None

    def __post_init__(self) -> None:
        self.bodies = tuple(self.blocks)

    def lines(self, w: Writer) -> Iterator[str]:
        n = len(self.blocks)
        labels = [w.label() for _ in range(n + 1)]
        fuel = w.counter()
        visits = [w.counter() if end.condition.isdigit() else "" for end in self.ends]
        yield f"mov.b32 {fuel}, {self.fuel};"
        yield f"and.b32 {fuel}, {fuel}, 7;"
        yield from (f"mov.u32 {v}, 0;" for v in visits if v)
        if self.entry:
            yield f"@{self.entry[0]} bra {labels[self.entry[1] % n]};"
        w.loops += 1
        with w.where(NOBODY):
            for i, (block, end) in enumerate(zip(self.blocks, self.ends)):
                yield f"{labels[i]}:"
                yield from w.print(block)
                yield from self._end(w, i, end, labels, fuel, visits[i])
        w.loops -= 1
        yield f"{labels[n]}:"

    def _end(self, w: Writer, i: int, end: End, labels: list[str], fuel: str, visits: str) -> Iterator[str]:
        def is_back(target: int) -> bool:
            return target <= i

        target, other = min(end.target, len(labels) - 1), None if end.other is None else min(end.other, len(labels) - 1)
        if end.selector:
            table, targets = w.label(), [min(t, len(labels) - 1) for t in end.targets]
            if any(map(is_back, targets)):
                yield f"add.s32 {fuel}, {fuel}, -1;"
                yield f"setp.le.s32 %q0, {fuel}, 0;"
                yield f"@%q0 bra {labels[i + 1]};"
            yield f"rem.u32 %t0, {end.selector}, {len(targets)};"
            yield f"{table}: .branchtargets {', '.join(labels[t] for t in targets)};"
            yield f"brx.idx %t0, {table};"
            return
        condition = end.condition
        if visits:
            yield f"add.u32 {visits}, {visits}, 1;"
            yield f"setp.le.u32 %q1, {visits}, {condition};"
            yield f"@!%q1 mov.u32 {visits}, 0;"
            condition = "%q1"
        if is_back(target):
            yield f"add.s32 {fuel}, {fuel}, -1;"
            yield f"setp.gt.{'and.' if condition else ''}s32 %q0, {fuel}, 0{f', {condition}' if condition else ''};"
            condition = "%q0"
        yield f"{f'@{condition} ' if condition else ''}bra {labels[target]};"
        if other is not None and condition:
            if is_back(other):
                yield f"add.s32 {fuel}, {fuel}, -1;"
                yield f"setp.gt.s32 %q0, {fuel}, 0;"
                yield f"@%q0 bra {labels[other]};"
            else:
                yield f"bra {labels[other]};"


@dataclass
class Exit(Statement):
    """Threads for which a predicate holds end here. Behind it nobody does anything together, except that those who are left may wait for
    one another."""

    condition: str
    is_ret: bool
    waits: bool

    def lines(self, w: Writer) -> Iterator[str]:
        if w.loops or w.function is not None or w.in_histogram:
            return
        everyone = w.context.everyone
        over = w.label()
        yield f"@!{self.condition} bra {over};"
        yield "st.global.b32 [%out], %linear;"
        yield "ret;" if self.is_ret else "exit;"
        yield f"{over}:"
        w.exited()
        if everyone and self.waits and w.kernel.has_barriers:
            yield "bar.sync 0;"


@dataclass
class Carry(Statement):
    """A carry that is made before a body and used behind it."""

    first: list[str]
    body: list[Statement]
    second: list[str]

    def __post_init__(self) -> None:
        self.bodies = (self.body,)

    def lines(self, w: Writer) -> Iterator[str]:
        outer, w.keeps_carry = w.keeps_carry, True
        context = replace(w.context)
        yield from self.first
        nexts, w.nexts = w.nexts, []
        breaks, w.breaks = w.breaks, []
        with w.where(context):
            yield from w.print(self.body)
        yield from self.second
        w.keeps_carry, w.nexts, w.breaks = outer, nexts, breaks
