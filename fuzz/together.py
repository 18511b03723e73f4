"""Statements that threads do together: barriers of all kinds, votes and shuffles, histograms, and threads that wait for one another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fuzz.program import NOBODY, Context, Statement, Writer, guarded


def meets(w: Writer) -> bool:
    """Whether all threads of the CTA come here, and may wait for one another."""
    return w.context.everyone and w.kernel.has_barriers


def cell(register: str, index: str) -> Iterator[str]:
    """The address of a thread's cell in shared memory."""
    yield f"mov.u32 {register}, cells;"
    yield f"mad.lo.u32 {register}, {index}, 4, {register};"


def common_words(stores: list[str]) -> Iterator[str]:
    """The first thread (%q0) sets words that all threads share, at %t0, between barriers."""
    yield from ("bar.sync 0;", "mov.u32 %t0, total;", "setp.eq.u32 %q0, %linear, 0;", *stores, "bar.sync 0;")


@dataclass
class Exchange(Statement):
    """All threads write a register to shared memory and read another's behind a barrier."""

    source: str
    target: str
    index: str

    def lines(self, w: Writer) -> Iterator[str]:
        if not meets(w):
            return
        yield "bar.sync 0;"
        yield from cell("%t0", "%linear")
        yield f"st.shared.b32 [%t0], {self.source};"
        yield "bar.sync 0;"
        yield f"rem.u32 %t1, {self.index}, %threads;"
        yield from cell("%t0", "%t1")
        yield f"ld.shared.b32 {self.target}, [%t0];"


@dataclass
class BarrierReduction(Statement):
    """bar.red of all threads. `operation`: "popc.u32", "and.pred" or "or.pred"; `number`: of the barrier."""

    operation: str
    target: str
    source: str
    number: int

    def lines(self, w: Writer) -> Iterator[str]:
        if meets(w):
            yield f"bar.red.{self.operation} {self.target}, {self.number}, {self.source};"


@dataclass
class SharedSum(Statement):
    """A shared atomic of all threads, its result read behind a barrier."""

    operation: str
    source: str
    target: str

    def lines(self, w: Writer) -> Iterator[str]:
        if not meets(w):
            return
        yield from common_words(["@%q0 st.shared.u32 [%t0], 5;"])
        yield f"red.shared.{self.operation} [%t0], {self.source};"
        yield "bar.sync 0;"
        yield f"ld.shared.b32 {self.target}, [%t0];"


@dataclass
class Histogram(Statement):
    """16 counters in shared memory, to which `SharedAdd`s inside the body add in any flow; read behind a barrier."""

    target: str
    index: str
    body: list[Statement]

    def __post_init__(self) -> None:
        self.bodies = (self.body,)

    def lines(self, w: Writer) -> Iterator[str]:
        if not meets(w) or w.in_histogram:
            return
        zeros = "{%linear, %linear, %linear, %linear}"
        yield from common_words([f"@%q0 st.shared.v4.b32 [%t0+{16 + k}], {zeros};" for k in range(0, 64, 16)])
        w.in_histogram = True
        yield from w.print(self.body)
        w.in_histogram = False
        yield "bar.sync 0;"
        yield f"and.b32 %t1, {self.index}, 15;"
        yield "mov.u32 %t0, total;"
        yield "mad.lo.u32 %t0, %t1, 4, %t0;"
        yield f"ld.shared.u32 {self.target}, [%t0+16];"


@dataclass
class SharedAdd(Statement):
    """Adds to a counter of the histogram around it."""

    source: str
    value: str
    guard: str | None
    has_result: bool

    def lines(self, w: Writer) -> Iterator[str]:
        if not w.in_histogram:
            return
        yield f"and.b32 %t1, {self.source}, 15;"
        yield "mov.u32 %t0, total;"
        yield "mad.lo.u32 %t0, %t1, 4, %t0;"
        guard = guarded(self.guard)
        if self.has_result:
            yield f"{guard}atom.shared.add.u32 %t1, [%t0+16], {self.value};"
        else:
            yield f"{guard}red.shared.add.u32 [%t0+16], {self.value};"


@dataclass
class Vote(Statement):
    """What the lanes that come alike find out together; `text` has `{m}` for the register that names them."""

    text: str

    def lines(self, w: Writer) -> Iterator[str]:
        if w.context.members:
            yield self.text.format(m=w.context.members)


@dataclass
class Shuffle(Statement):
    """Reads another lane's register; what comes from a lane that is not there is replaced by 0. `mode`: "idx", "bfly", "up", "down"."""

    mode: str
    source: str
    target: str
    lane: str
    clamp: str

    def lines(self, w: Writer) -> Iterator[str]:
        members = w.context.members
        if not members:
            return
        yield f"mov.b32 %t2, {self.lane};"
        yield "and.b32 %t2, %t2, 31;"
        yield "mov.u32 %t3, %laneid;"
        yield f"shfl.sync.{self.mode}.b32 %t0|%q0, {self.source}, %t2, {self.clamp}, {members};"
        yield f"shfl.sync.{self.mode}.b32 %t1, %t3, %t2, {self.clamp}, {members};"
        # The lane's own number has come along, if from a lane that is there: its own where the source was out of range.
        width = 32 - int(self.clamp, 0) // 256 % 32
        first = f"and.b32 %t4, %t3, {32 - width};"
        if self.mode == "idx":
            yield first
            yield f"and.b32 %t2, %t2, {width - 1};"
            yield "or.b32 %t4, %t4, %t2;"
        else:
            yield f"{({'bfly': 'xor.b32', 'up': 'sub.u32', 'down': 'add.u32'})[self.mode]} %t4, %t3, %t2;"
        yield "and.b32 %t4, %t4, 31;"
        yield f"shr.u32 %t4, {members}, %t4;"
        yield "and.b32 %t4, %t4, 1;"
        yield "setp.ne.u32 %q1, %t4, 0;"
        yield "not.pred %q2, %q0;"  # out of range: the lane's own value
        yield "or.pred %q1, %q1, %q2;"
        yield f"selp.b32 {self.target}, %t0, 0, %q1;"
        yield "selp.b32 %t1, %t1, 0, %q1;"
        yield f"@%q0 add.u32 {self.target}, {self.target}, %t1;"


@dataclass
class WarpExchange(Statement):
    """The lanes that come alike exchange a register by shared memory and bar.warp.sync: each reads that of the lowest of them."""

    source: str
    target: str

    def lines(self, w: Writer) -> Iterator[str]:
        members = w.context.members
        if not members:
            return
        yield f"bar.warp.sync {members};"
        yield from cell("%t0", "%linear")
        yield f"st.shared.b32 [%t0+{8 * w.kernel.threads}], {self.source};"
        yield f"bar.warp.sync {members};"
        yield f"brev.b32 %t1, {members};"
        yield "clz.b32 %t1, %t1;"
        yield "and.b32 %t2, %linear, -32;"
        yield "or.b32 %t1, %t1, %t2;"
        yield from cell("%t0", "%t1")
        yield f"ld.shared.b32 {self.target}, [%t0+{8 * w.kernel.threads}];"
        yield f"bar.warp.sync {members};"


@dataclass
class Halves(Statement):
    """Warps with even and with odd numbers go different ways and meet among themselves at named barriers, `rounds` times (the odd ones
    once more). `arrives`: between them they also pass a word on, with bar.arrive on one side."""

    source: str
    target: str
    index: str
    bodies_of: tuple[list[Statement], list[Statement]]
    rounds: int
    arrives: bool

    def __post_init__(self) -> None:
        self.bodies = self.bodies_of

    def lines(self, w: Writer) -> Iterator[str]:
        warps = w.kernel.warps
        if not meets(w) or warps < 2:
            return
        members = w.context.members
        odd, end, warp, i = w.label(), w.label(), w.counter(), w.counter()
        yield "bar.sync 0;"
        yield f"shr.u32 {warp}, %linear, 5;"
        yield f"and.b32 %t0, {warp}, 1;"
        yield "setp.ne.u32 %q0, %t0, 0;"
        yield f"mov.u32 {i}, 0;"
        yield f"@%q0 bra {odd};"
        for which, body in enumerate(self.bodies_of):
            if which:
                yield f"{odd}:"
            count = (warps + 1 - which) // 2
            head = w.label()
            yield f"{head}:"
            with w.loop("", "", Context(False, members)):
                yield from w.print(body)
            yield from cell("%t0", "%linear")
            yield f"st.shared.b32 [%t0], {self.source};"
            yield f"bar.sync {1 + which}, {32 * count};"
            yield f"rem.u32 %t1, {self.index}, {count};"
            yield f"mad.lo.u32 %t1, %t1, 64, {32 * which};"
            yield from cell("%t0", "%t1")
            yield f"ld.shared.b32 {self.target}, [%t0];"
            yield f"barrier.sync {1 + which}, {32 * count};"
            yield f"add.u32 {i}, {i}, 1;"
            yield f"setp.lt.u32 %q0, {i}, {self.rounds + which};"
            yield f"@%q0 bra {head};"
            if self.arrives and which == 0:
                yield from cell("%t0", "%linear")
                yield f"st.shared.b32 [%t0], {self.target};"
                yield f"bar.arrive 3, {32 * warps};"
            elif self.arrives:
                yield f"bar.sync 3, {32 * warps};"
                yield f"rem.u32 %t1, {self.index}, {(warps + 1) // 2};"
                yield "mul.lo.u32 %t1, %t1, 64;"
                yield from cell("%t0", "%t1")
                yield f"ld.shared.b32 {self.target}, [%t0];"
            yield f"bra {end};"
        yield f"{end}:"
        yield "bar.sync 0;"


@dataclass
class Meet(Statement):
    """Lanes go two ways, and on each come to the same barrier at another place; behind it they read one another's word."""

    condition: str
    before: tuple[list[Statement], list[Statement]]
    source: str
    target: str
    index: str

    def __post_init__(self) -> None:
        self.bodies = self.before

    def lines(self, w: Writer) -> Iterator[str]:
        if not meets(w):
            return
        other, end = w.label(), w.label()
        yield "bar.sync 0;"
        yield f"@!{self.condition} bra {other};"
        for which, body in enumerate(self.before):
            if which:
                yield f"{other}:"
            with w.where(NOBODY):
                yield from w.print(body)
            yield from cell("%t0", "%linear")
            yield f"st.shared.b32 [%t0], {self.source};"
            yield "barrier.sync 0;"
            yield f"rem.u32 %t1, {self.index}, %threads;"
            yield from cell("%t0", "%t1")
            yield f"ld.shared.b32 {self.target}, [%t0];"
            yield f"add.u32 {self.target}, {self.target}, {which};"
            yield f"bra {end};"
        yield f"{end}:"
        yield "bar.sync 0;"


@dataclass
class Handover(Statement):
    """One thread publishes a word, for which the others of the CTA wait in a loop that polls."""

    source: str
    target: str
    thread: int
    order: str  # "volatile" or "acquire": how they look

    def lines(self, w: Writer) -> Iterator[str]:
        if not meets(w):
            return
        poll, done, publish = w.label(), w.label(), w.label()
        yield from common_words(["@%q0 st.shared.u32 [%t0+4], 0;"])
        yield f"setp.eq.u32 %q0, %linear, {self.thread % w.kernel.threads};"
        yield f"@%q0 bra {publish};"
        look = "ld.volatile.shared.u32" if self.order == "volatile" else "ld.acquire.cta.shared.u32"
        yield f"{poll}:"
        yield f"{look} %t1, [%t0+4];"
        yield "setp.eq.u32 %q0, %t1, 0;"
        yield f"@%q0 bra {poll};"
        yield f"bra {done};"
        yield f"{publish}:"
        yield f"st.shared.b32 [%t0+8], {self.source};"
        yield "membar.cta;"
        yield "st.volatile.shared.u32 [%t0+4], 1;" if self.order == "volatile" else "st.release.cta.shared.u32 [%t0+4], 1;"
        yield f"{done}:"
        yield "membar.cta;"
        yield f"ld.volatile.shared.b32 {self.target}, [%t0+8];"
        yield "bar.sync 0;"


@dataclass
class Lock(Statement):
    """A few threads of each CTA add to a common word under a spin lock, anywhere. `inside`: what they do under it lies in the loop that
    takes it."""

    source: str
    inside: bool

    def lines(self, w: Writer) -> Iterator[str]:
        if w.function is not None:
            return
        again, skip, end = w.label(), w.label(), w.label()
        yield "setp.ge.u32 %q0, %linear, 5;"
        yield f"@%q0 bra {end};"
        yield "mov.u32 %t1, 0;"
        yield f"{again}:"
        yield "atom.global.cas.b32 %t0, [%sums+32], 0, 1;"
        yield "setp.ne.u32 %q0, %t0, 0;"
        yield f"@%q0 bra {skip if self.inside else again};"
        yield "membar.gl;"
        yield "ld.volatile.global.u32 %t0, [%sums+36];"
        yield f"add.u32 %t0, %t0, {self.source};"
        yield "st.volatile.global.u32 [%sums+36], %t0;"
        yield "membar.gl;"
        yield "atom.global.exch.b32 %t0, [%sums+32], 0;"
        if self.inside:
            yield "mov.u32 %t1, 1;"
            yield f"{skip}:"
            yield "setp.eq.u32 %q0, %t1, 0;"
            yield f"@%q0 bra {again};"
        yield f"{end}:"


@dataclass
class Sleep(Statement):
    """Some lanes sleep while the others wait or run."""

    nanoseconds: str
    guard: str | None

    def lines(self, w: Writer) -> Iterator[str]:
        yield f"and.b32 %t0, {self.nanoseconds}, 63;"
        yield f"{guarded(self.guard)}nanosleep.u32 %t0;"
