"""Random kernels as trees: statements that can be printed as PTX, and removed one by one to make a failing kernel small.

Every kernel is well typed and deterministic whatever the order of threads. A statement asks the writer's `Context` whether it may stand
where it is, and prints nothing where it may not, so that a tree stays right whatever is taken out of it:

- what all threads of a CTA do together (barriers) stands where all threads come alike (`Context.everyone`);
- what a warp's lanes do together stands where a register holds the lanes that come alike (`Context.members`);
- memory that threads share is read behind a barrier, has one owner a word, or is changed by atomics that commute.

Statements: `flow` (branches and loops), `accesses` (memory), `together` (barriers, warps, waiting), `functions` (calls).

Registers: %r 32 bits, %d 64, %h 16, %p predicates (those that statements work on); %c counters and masks, %t, %u, %v, %q temporaries.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

R, D, H, P = 8, 4, 4, 4  # registers of each kind
INPUT_WORDS = 1024
OUTPUT_WORDS = R + 2 * D + H // 2 + 2  # of one thread: registers, halves, predicates; even
OWN_BYTES = 64  # of one thread: its own words of global and of local memory
STRIDED_WORDS, STRIDED_PART = 509, 512  # that grid-stride loops go over, of each element size, and from one size's to the next's
PIECES = 2  # numbers of a thread in the buffer where neighbouring threads' numbers lie side by side, of each size
CELLS = 3  # words of shared memory a thread: to exchange in the CTA, its own, to exchange in the warp


class Statement:
    """A node; `bodies` are the lists of statements inside."""

    bodies: tuple[list[Statement], ...] = ()

    def lines(self, w: Writer) -> Iterator[str]:
        raise NotImplementedError


@dataclass(frozen=True)
class Context:
    """Who comes to a place. `everyone`: all live threads of the CTA, alike. `members`: register with the lanes of the warp that come alike,
    None where that depends on the threads' data."""

    everyone: bool
    members: str | None


NOBODY = Context(False, None)


class Writer:
    """Gives fresh names while a kernel is printed, and knows where it is."""

    def __init__(self, kernel: Kernel, function: int | None = None) -> None:
        self._count = itertools.count()
        self.kernel, self.function = kernel, function
        self.counters = 0
        self.breaks: list[str] = []  # where a thread may go that leaves the loops around; "" where it may not
        self.nexts: list[str] = []
        self.context = NOBODY
        self.loops = 0  # around this place
        self.has_exited = False  # some threads may have
        self.keeps_carry = False  # nothing may be called
        self.in_histogram = False
        self.recurses = False

    def label(self) -> str:
        return f"L{next(self._count)}"

    def counter(self) -> str:
        self.counters += 1
        return f"%c{self.counters - 1}"

    @contextmanager
    def where(self, context: Context) -> Iterator[None]:
        """Statements that are printed meanwhile stand in this context."""
        outer, self.context = self.context, context
        yield
        self.context = NOBODY if self.has_exited else outer

    @contextmanager
    def loop(self, break_to: str, continue_to: str, context: Context) -> Iterator[None]:
        """Statements that are printed meanwhile stand in a loop; "" where a thread may not leave it, or go on to its next round."""
        self.breaks.append(break_to)
        self.nexts.append(continue_to)
        self.loops += 1
        with self.where(context):
            yield
        self.loops -= 1
        self.breaks.pop()
        self.nexts.pop()

    def exited(self) -> None:
        """From here on, some threads may be gone."""
        self.has_exited, self.context = True, NOBODY

    def print(self, body: list[Statement]) -> Iterator[str]:
        for statement in body:
            yield from statement.lines(self)


def guarded(predicate: str | None) -> str:
    """A guard in front of an instruction, or nothing."""
    return f"@{predicate} " if predicate else ""


@dataclass
class Plain(Statement):
    """Instructions that belong together."""

    text: list[str]

    def lines(self, w: Writer) -> Iterator[str]:
        yield from self.text


@dataclass
class Function:
    """A device function. `comes_together`: only called where all threads of the CTA come alike."""

    body: list[Statement]
    comes_together: bool = False


Dim = tuple[int, int, int]


@dataclass
class Kernel:
    """A whole kernel with its launch."""

    body: list[Statement]
    functions: list[Function] = field(default_factory=list)
    block: Dim = (32, 1, 1)
    grid: Dim = (1, 1, 1)
    has_barriers: bool = True  # False: what needs the CTA's barriers is left out, so that warps run straight through

    @property
    def threads(self) -> int:
        return self.block[0] * self.block[1] * self.block[2]

    @property
    def ctas(self) -> int:
        return self.grid[0] * self.grid[1] * self.grid[2]

    @property
    def warps(self) -> int:
        return -(-self.threads // 32)

    def text(self) -> str:
        """The PTX module; its entry is `k(out, in, sums, own, strided, side, scalar)`."""
        functions = [self._function(number, function) for number, function in enumerate(self.functions)]
        w = Writer(self)
        w.context = Context(True, "%members")
        body = list(w.print(self.body))
        used = set(re.findall(r"%[rdhp]\d", " ".join(body)))
        pointers = ["out", "in", "sums", "own", "strided", "side"]
        lines = [
            ".version 8.6", ".target sm_100", ".address_size 64",
            f".shared .align 16 .b8 cells[{4 * CELLS * self.threads}];", ".shared .align 16 .b8 total[80];",
            *(f"{self._head(n)};" for n in range(len(self.functions))), *functions,
            f".visible .entry k({', '.join(f'.param .u64 {p}' for p in pointers)}, .param .u32 scalar)", "{",
            *self._registers(w.counters), ".reg .b64 %at;", *(f".reg .b64 %{p};" for p in pointers),
            *self._threads(), "mov.u32 %t0, %ctaid.z;", "mov.u32 %t1, %nctaid.y;", "mov.u32 %t2, %ctaid.y;",
            "mad.lo.u32 %t0, %t0, %t1, %t2;", "mov.u32 %t1, %nctaid.x;", "mov.u32 %t2, %ctaid.x;", "mad.lo.u32 %t0, %t0, %t1, %t2;",
            "mad.lo.u32 %global, %t0, %threads, %linear;",
            *(line for p in pointers for line in (f"ld.param.u64 %{p}, [{p}];", f"cvta.to.global.u64 %{p}, %{p};")),
            "ld.param.u32 %scalar, [scalar];",
            f"mul.wide.u32 %at, %global, {4 * OUTPUT_WORDS};", "add.s64 %out, %out, %at;",
            f"mul.wide.u32 %at, %global, {OWN_BYTES};", "add.s64 %own, %own, %at;",
            *self._local(body), *self._cells(body), *self._loads(used), *body, *self._stores(used), "ret;", "}", "",
        ]  # fmt: skip
        return "\n".join(lines)

    @staticmethod
    def _registers(counters: int) -> list[str]:
        return [
            f".reg .b32 %r<{R}>, %c<{max(1, counters)}>, %t<8>;", f".reg .b64 %d<{D}>, %u<4>;", f".reg .b16 %h<{H}>, %v<2>;",
            f".reg .pred %p<{P}>, %q<4>;", ".reg .b32 %linear, %threads, %global, %x, %y, %z, %members, %scalar;",
        ]  # fmt: skip

    def _threads(self) -> list[str]:
        """The thread's numbers, and the lanes that its warp has."""
        lines = [
            "mov.u32 %x, %tid.x;", "mov.u32 %y, %tid.y;", "mov.u32 %z, %tid.z;", "mov.u32 %t0, %ntid.x;", "mov.u32 %t1, %ntid.y;",
            "mad.lo.u32 %linear, %z, %t1, %y;", "mad.lo.u32 %linear, %linear, %t0, %x;", f"mov.u32 %threads, {self.threads};",
            "mov.u32 %members, -1;",
        ]  # fmt: skip
        if self.threads % 32:
            lines += [
                f"setp.ge.u32 %q0, %linear, {self.threads // 32 * 32};",
                f"@%q0 mov.u32 %members, {(1 << self.threads % 32) - 1:#x};",
            ]
        return lines

    @staticmethod
    def _local(body: list[str]) -> list[str]:
        if not any("spot" in line for line in body):
            return []
        return [
            f".local .align 16 .b8 spot[{OWN_BYTES}];",
            *(f"st.local.b32 [spot+{at}], {0x01020304 * (at + 1) & 0xFFFFFFFF};" for at in range(0, OWN_BYTES, 4)),
        ]

    def _cells(self, body: list[str]) -> list[str]:
        if not any("cells" in line for line in body):
            return []
        stores = (f"st.shared.b32 [%t0+{4 * self.threads * part}], %linear;" for part in range(CELLS))
        return ["mov.u32 %t0, cells;", "mad.lo.u32 %t0, %linear, 4, %t0;", *stores]

    def _head(self, number: int) -> str:
        return f".func (.param .b32 result) f{number}(.param .b32 a, .param .b64 b, .param .b64 memory, .param .b32 depth)"

    def _function(self, number: int, function: Function) -> str:
        w = Writer(self, number)
        if function.comes_together and self.has_barriers:
            w.context = Context(True, "%members")
        printed = list(w.print(function.body))
        used = set(re.findall(r"%[rdhp]\d", " ".join(printed)))
        top = max([int(r[2:]) for r in used if r[1] != "d"], default=1)
        wide = max([int(r[2:]) for r in used if r[1] == "d"], default=0)
        lines = [
            self._head(number), "{", *self._registers(w.counters), ".reg .b64 %memory;", ".reg .b32 %depth;",
            *(self._threads() if re.search("%(linear|members|threads|[xyz])\\b", " ".join(printed)) else ()),
            "ld.param.b32 %r0, [a];", "ld.param.b64 %d0, [b];", "ld.param.b64 %memory, [memory];", "ld.param.b32 %depth, [depth];",
            *(f"add.u32 %r{i}, %r{i - 1}, 0x9e3779b9;" for i in range(1, max(1, top) + 1)),
            *(f"add.u64 %d{i}, %d{i - 1}, 77;" for i in range(1, wide + 1)),
            *(f"cvt.u16.u32 %h{i}, %r{i};" for i in range(H) if f"%h{i}" in used),
            *(f"setp.lt.s32 %p{i}, %r{i}, 0;" for i in range(P) if f"%p{i}" in used),
            *self._local(printed), *printed, "xor.b32 %r0, %r0, %r1;", "st.param.b32 [result], %r0;", "ret;", "}",
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
