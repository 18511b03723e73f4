"""Statements that read and write memory: loads of all patterns from the input, a thread's own words in every space, strided loops, rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fuzz.program import INPUT_WORDS, NOBODY, OWN_BYTES, PIECES, STRIDED_PART, STRIDED_WORDS, Statement, Writer, guarded

STRIDED_SIZES = (1, 2, 4)  # 32-bit words of an element, each in a part of the buffer of its own
SIDE_SIZES = (1, 2, 4, 8)  # bytes of an element, likewise


@dataclass
class Load(Statement):
    """Loads from the input at `index`, a %-register or constant that `scale` and `offset` make a word's number; taken modulo the input's
    size unless `is_bounded`. `targets`: registers of the type's width, one for each neighbouring load or element of the vector."""

    type: str
    index: str
    scale: int
    offset: int
    is_bounded: bool
    targets: list[str]
    is_vector: bool
    guard: str | None
    cache: str = ""

    def lines(self, w: Writer) -> Iterator[str]:
        if w.function is not None:
            return
        bits, n = int(self.type.strip("busf")), len(self.targets)
        yield f"mov.b32 %t0, {self.index};"
        if self.scale != 1 or self.offset:
            yield f"mad.lo.s32 %t0, %t0, {self.scale}, {self.offset};"
        if not self.is_bounded:
            yield f"and.b32 %t0, %t0, {INPUT_WORDS // 2 - 1};"
        if bits == 64 or self.is_vector:
            yield f"and.b32 %t0, %t0, {-max(1, bits * (n if self.is_vector else 1) // 32)};"
        yield "mul.wide.s32 %u0, %t0, 4;"
        yield "add.s64 %u0, %in, %u0;"
        guard = f"@{self.guard} " if self.guard else ""
        if self.is_vector:
            yield f"{guard}ld.global{self.cache}.v{n}.{self.type} {{{', '.join(self.targets)}}}, [%u0];"
            return
        for k, target in enumerate(self.targets):
            yield f"{guard}ld.global{self.cache}.{self.type} {target}, [%u0+{k * bits // 8}];"


@dataclass
class Own(Statement):
    """Stores and loads of a thread's own words. `space`: "own" (global, one thread's behind the other's), "side" (global, neighbouring
    threads' side by side), "spot" (local), "memory" (a generic pointer that a function was given), "shared". `at`: a byte number, or a
    register whose low bits choose one."""

    space: str
    type: str
    at: str
    values: list[str]
    is_store: bool
    guard: str | None

    def lines(self, w: Writer) -> Iterator[str]:
        if (self.space == "memory") != (w.function is not None) and self.space != "spot":
            return
        bits, n = int(self.type.strip("busf")), len(self.values)
        size = bits // 8 * n
        bound = {"own": OWN_BYTES, "spot": OWN_BYTES, "memory": OWN_BYTES, "side": PIECES * size, "shared": 4}[self.space]
        if size > bound or (self.space == "side" and n > 1):
            return
        places = bound // size
        if self.at.isdigit():
            yield f"mov.u32 %t0, {int(self.at) % places};"
        else:
            yield f"and.b32 %t0, {self.at}, {(1 << places.bit_length() - 1) - 1};"
        if self.space == "side":
            total = w.kernel.threads * w.kernel.ctas
            begin = sum(PIECES * total * s for s in SIDE_SIZES if s > size)
            yield f"mad.lo.u32 %t0, %t0, {total}, %global;"
            yield f"mul.wide.u32 %u0, %t0, {size};"
            yield "add.s64 %u0, %side, %u0;"
            address = f"%u0+{begin}"
        elif self.space == "shared":
            yield f"mul.lo.u32 %t0, %t0, {size};"
            yield "mad.lo.u32 %t0, %linear, 4, %t0;"
            yield "mov.u32 %t1, cells;"
            yield "add.u32 %t0, %t0, %t1;"
            address = f"%t0+{4 * w.kernel.threads}"
        elif self.space == "spot":
            yield f"mul.lo.u32 %t0, %t0, {size};"
            yield "mov.u32 %t1, spot;"
            yield "add.u32 %t0, %t0, %t1;"
            address = "%t0"
        else:
            yield f"mul.wide.u32 %u0, %t0, {size};"
            yield f"add.s64 %u0, %{self.space}, %u0;"
            address = "%u0"
        space = {"own": ".global", "side": ".global", "spot": ".local", "shared": ".shared", "memory": ""}[self.space]
        operand = f"{{{', '.join(self.values)}}}" if n > 1 else self.values[0]
        vector = f".v{n}" if n > 1 else ""
        guard = guarded(self.guard)
        if self.is_store:
            yield f"{guard}st{space}{vector}.{self.type} [{address}], {operand};"
        else:
            yield f"{guard}ld{space}{vector}.{self.type} {operand}, [{address}];"


@dataclass
class OwnAtomic(Statement):
    """An atomic on a word that no other thread touches, so that what it finds there is known. `space`: "global" or "shared"."""

    space: str
    operation: str
    bits: int
    target: str
    sources: list[str]
    guard: str | None

    def lines(self, w: Writer) -> Iterator[str]:
        if w.function is not None or (self.space == "shared" and self.bits != 32):
            return
        if self.space == "global":
            address = "%own+8" if self.bits == 64 else "%own+4"
        else:
            yield "mov.u32 %t1, cells;"
            yield "mad.lo.u32 %t0, %linear, 4, %t1;"
            address = f"%t0+{4 * w.kernel.threads}"
        yield f"{guarded(self.guard)}atom.{self.space}.{self.operation} {self.target}, [{address}], {', '.join(self.sources)};"


@dataclass
class GlobalSum(Statement):
    """A commutative atomic without result on a common word; anywhere."""

    operation: str
    source: str
    word: int
    guard: str | None

    def lines(self, w: Writer) -> Iterator[str]:
        if w.function is None:
            yield f"{guarded(self.guard)}red.global.{self.operation} [%sums+{4 * self.word}], {self.source};"


@dataclass
class Strided(Statement):
    """A grid-stride loop over elements of `words` 32-bit words: reads an element and the input's beside it, works on both, stores it, and
    sums in `sum`. An element belongs to the thread that always comes to it. `stores_some`: only elements
    whose first word became odd are stored. `has_constant_step`: the grid's size is a number in the text, and not asked for."""

    words: int
    operation: str
    sum: str
    factor: str
    stores_some: bool
    has_constant_step: bool
    body: list[Statement]

    def __post_init__(self) -> None:
        self.bodies = (self.body,)

    def lines(self, w: Writer) -> Iterator[str]:
        if w.function is not None:
            return
        n, words = STRIDED_WORDS // self.words, self.words
        total = w.kernel.threads * w.kernel.ctas
        i, head, end = w.counter(), w.label(), w.label()
        values = [w.counter() for _ in range(words)]
        begin = 4 * STRIDED_PART * STRIDED_SIZES.index(words)
        yield f"mov.u32 {i}, %global;"
        step = str(total)
        if not self.has_constant_step:
            step = w.counter()
            yield f"mov.u32 {step}, %nctaid.x;"
            for name in ("%nctaid.y", "%nctaid.z", "%ntid.x", "%ntid.y", "%ntid.z"):
                yield f"mov.u32 %t1, {name};"
                yield f"mul.lo.u32 {step}, {step}, %t1;"
        yield f"{head}:"
        yield f"setp.ge.u32 %q0, {i}, {n};"
        yield f"@%q0 bra {end};"
        yield f"mul.wide.u32 %u0, {i}, {4 * words};"
        yield "add.s64 %u1, %strided, %u0;"
        yield "add.s64 %u0, %in, %u0;"
        operand = f"{{{', '.join(values)}}}" if words > 1 else values[0]
        vector = f".v{words}" if words > 1 else ""
        yield f"ld.global{vector}.b32 {operand}, [%u1+{begin}];"
        yield "ld.global.u32 %t2, [%u0];"
        for v in values:
            yield f"{self.operation} {v}, {v}, %t2;"
            yield f"mad.lo.u32 {v}, {v}, {self.factor}, %t2;"
            yield f"xor.b32 {self.sum}, {self.sum}, {v};"
        if self.stores_some:
            yield f"and.b32 %t3, {values[0]}, 1;"
            yield "setp.ne.u32 %q0, %t3, 0;"
        yield f"{guarded('%q0' if self.stores_some else None)}st.global{vector}.b32 [%u1+{begin}], {operand};"
        with w.loop(end, "", NOBODY):
            yield from w.print(self.body)
        yield f"add.u32 {i}, {i}, {step};"
        yield f"bra {head};"
        yield f"{end}:"


@dataclass
class Rows(Statement):
    """A loop over a row of a sparse matrix: bounds from the thread's data, an index from the input, and what lies there. `kind`: "sum" (of
    floats, in order), "mix" (of words), "chase" (each index comes from the last), "search" (a binary search)."""

    kind: str
    begin: str
    length: str
    target: str
    body: list[Statement]

    def __post_init__(self) -> None:
        self.bodies = (self.body,)

    def lines(self, w: Writer) -> Iterator[str]:
        if w.function is not None:
            return
        j, end, sum, head, out = w.counter(), w.counter(), w.counter(), w.label(), w.label()
        yield f"and.b32 {j}, {self.begin}, 255;"
        yield f"and.b32 {end}, {self.length}, 7;"
        yield f"add.u32 {end}, {end}, {j};"
        yield f"mov.b32 {sum}, {'0f3F800000' if self.kind == 'sum' else self.target};"
        if self.kind == "search":
            yield f"mov.u32 {end}, 512;"
            yield f"{head}:"
            yield f"sub.u32 %t0, {end}, {j};"
            yield "setp.le.u32 %q0, %t0, 1;"
            yield f"@%q0 bra {out};"
            yield f"add.u32 %t0, {j}, {end};"
            yield "shr.u32 %t0, %t0, 1;"
            yield "mul.wide.u32 %u0, %t0, 4;"
            yield "add.s64 %u0, %in, %u0;"
            yield "ld.global.u32 %t1, [%u0];"
            yield f"setp.lt.u32 %q0, %t1, {self.length};"
            yield f"@%q0 mov.u32 {j}, %t0;"
            yield f"@!%q0 mov.u32 {end}, %t0;"
            yield f"bra {head};"
            yield f"{out}:"
            yield f"xor.b32 {self.target}, {self.target}, {j};"
            return
        yield f"setp.ge.u32 %q0, {j}, {end};"
        yield f"@%q0 bra {out};"
        yield f"{head}:"
        if self.kind == "chase":
            yield f"and.b32 %t0, {sum}, {INPUT_WORDS - 1};"
        yield f"mul.wide.u32 %u0, {'%t0' if self.kind == 'chase' else j}, 4;"
        yield "add.s64 %u0, %in, %u0;"
        yield "ld.global.nc.u32 %t0, [%u0];"
        if self.kind == "chase":
            yield f"add.u32 {sum}, %t0, {j};"
        else:
            yield f"and.b32 %t0, %t0, {INPUT_WORDS - 1};"
            yield "mul.wide.u32 %u1, %t0, 4;"
            yield "add.s64 %u1, %in, %u1;"
            if self.kind == "sum":
                yield "ld.global.nc.u16 %t1, [%u1];"
                yield "cvt.rn.f32.u32 %t1, %t1;"
                yield f"fma.rn.f32 {sum}, %t1, 0f3F000001, {sum};"
            else:
                yield "ld.global.nc.b32 %t1, [%u1];"
                yield f"mad.lo.u32 {sum}, {sum}, 33, %t1;"
        with w.loop(out, "", NOBODY):
            yield from w.print(self.body)
        yield f"add.u32 {j}, {j}, 1;"
        yield f"setp.lt.u32 %q0, {j}, {end};"
        yield f"@%q0 bra {head};"
        yield f"{out}:"
        yield f"mov.b32 {self.target}, {sum};"
