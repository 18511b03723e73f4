"""A group of the instruction tests to an entry of a PTX module and its operands: what a GPU is asked to run.

An entry `k(in, out)` computes one row of operands a thread. Each source register is an array in `in`, each result register one in `out`
(structure of arrays, in the order of the syntax; a predicate is a byte). For a `Warp` instruction 32 rows are a warp's, and lanes that
are off in its mask branch around the instruction. Operands that PTX wants as constants make an entry for each of their values.

Left out, because the manual leaves the result to the machine: `SKIPPED`.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from anywarp.isa.matrix import MatrixProduct
from tests.isa import case_format, plan
from tests.isa.lane_harness import FULL, WARP, Operand, Subject, registers, resolve
from tests.isa.matrix.products import KINDS, fragments

FOLDER = Path(__file__).parents[1] / "isa"
ROWS = 256  # of a `Lane` group, besides its `run:` lines
BLOCKS = 24  # random warps of a `Warp` group
IMMEDIATES = 16  # values of a constant operand
THREADS = 128  # of a CTA
ALIGNMENT = 16  # of arrays
SKIPPED = {
    "wmma": "which lane holds which element is the machine's choice",
    "activemask": "which lanes run together is the machine's choice",
    "elect": "which lane is elected is the machine's choice",
}

Row = tuple[int, ...]


@dataclass
class GoldenCase:
    """One entry: `rows` (source registers of a thread) and, for a `Warp` instruction, a mask for each 32 of them."""

    name: str  # of the group, by file, opcode and number
    subject: Subject
    rows: list[Row]
    masks: list[int] | None = None
    immediates: Row = ()  # the constant operands' registers, in order; they stand in the rows too

    @property
    def digest(self) -> str:
        """Of all that decides the results: the code and its operands."""
        return hashlib.sha256(self.entry("k").encode() + self.input()).hexdigest()[:24]

    @property
    def is_approximate(self) -> bool:
        """Whether the manual only bounds the result."""
        instruction = self.subject.instruction
        return instruction.ulp is not None or hasattr(instruction, "accepts")

    @property
    def output_bytes(self) -> int:
        return sum(self.array_bytes(operand) for operand, _ in registers(self.subject.results))

    def array_bytes(self, operand: Operand) -> int:
        """The room of one register's array."""
        return -(-operand.storage_bytes * len(self.rows) // ALIGNMENT) * ALIGNMENT

    def input(self) -> bytes:
        """The operands' arrays, then the masks."""
        data = b""
        for i, (operand, _) in enumerate(registers(self.subject.sources)):
            array = b"".join(row[i].to_bytes(operand.storage_bytes, "little") for row in self.rows)
            data += array + bytes(-len(array) % ALIGNMENT)
        return data + b"".join(mask.to_bytes(4, "little") for mask in self.masks or ())

    def results(self, data: bytes) -> list[Row]:
        """The result registers of each row from the arrays that an entry wrote."""
        columns, at = [], 0
        for operand, _ in registers(self.subject.results):
            size = operand.storage_bytes
            columns.append([int.from_bytes(data[at + size * i : at + size * (i + 1)], "little") for i in range(len(self.rows))])
            at += self.array_bytes(operand)
        return list(zip(*columns))

    def entry(self, name: str) -> str:
        """The PTX of the entry."""
        return _Entry(self).text(name)


# --------------------------------------------------------------------------------------------------------------- cases


def files() -> list[Path]:
    return sorted(FOLDER.rglob("*.ptx"))


def cases(path: Path) -> Iterator[GoldenCase]:
    """The cases of a test file."""
    seen: Counter[str] = Counter()
    for group in case_format.parse(path.read_text(encoding="utf-8")):
        seen[group.mnemonic] += 1
        if group.rejected is not None or group.opcode[0] in SKIPPED:
            continue
        subject = resolve(group)
        name = f"{path.relative_to(FOLDER).as_posix()}:{group.mnemonic}#{seen[group.mnemonic]}"
        yield from _by_immediates(GoldenCase(name, subject, *(_warps(subject) if subject.is_warp else (_rows(subject), None))))


def _rows(subject: Subject) -> list[Row]:
    generator = plan.seed(subject.group)
    rows = plan.lane_rows(subject, generator)
    given = len(subject.group.runs)
    return rows[:given] + generator.sample(rows[given:], min(ROWS, len(rows) - given))


def _warps(subject: Subject) -> tuple[list[Row], list[int]]:
    generator = plan.seed(subject.group)
    blocks = [plan.run_block(subject, run) for run in subject.group.runs]
    if isinstance(subject.instruction, MatrixProduct):
        for kind in range(KINDS):
            lanes = fragments(subject.instruction, random.Random(f"{subject.group.mnemonic} {kind}"), kind)
            blocks.append((FULL, [_flat(lane) for lane in lanes]))
    elif subject.group.random is not None:
        blocks += [plan.random_block(subject, generator) for _ in range(BLOCKS)]
    members = [i for i, (operand, _) in enumerate(registers(subject.sources)) if operand.name == "membermask"]
    # Lanes that a mask names but that do not come are waited for: for ever, on a GPU.
    blocks = [(m, rows) for m, rows in blocks if all(rows[lane][i] == m for i in members for lane in range(WARP) if m >> lane & 1)]
    if "aligned" in subject.group.opcode:
        blocks = [(mask, rows) for mask, rows in blocks if mask == FULL]
    return [row for _, rows in blocks for row in rows], [mask for mask, _ in blocks]


def _flat(operands: tuple[int | tuple[int, ...], ...]) -> Row:
    return tuple(number for operand in operands for number in (operand if isinstance(operand, tuple) else (operand,)))


def is_immediate(subject: Subject, operand: Operand) -> bool:
    """Whether PTX wants a constant there: look-up tables, selectors of sparse and scaled products."""
    return operand.name.startswith(("imm", "select")) or (operand.name == "f" and subject.group.opcode[0] == "mma")


def _by_immediates(case: GoldenCase) -> Iterator[GoldenCase]:
    places = [i for i, (operand, _) in enumerate(registers(case.subject.sources)) if is_immediate(case.subject, operand)]
    if not case.rows:
        return
    if not places:
        yield case
        return
    step = WARP if case.masks is not None else 1
    units: dict[Row, list[int]] = {}
    for start in range(0, len(case.rows), step):
        units.setdefault(tuple(case.rows[start][i] for i in places), []).append(start)
    for values in list(units)[:IMMEDIATES]:
        rows = [row for start in units[values] for row in case.rows[start : start + step]]
        masks = None if case.masks is None else [case.masks[start // WARP] for start in units[values]]
        yield GoldenCase(f"{case.name}[{','.join(map(hex, values))}]", case.subject, rows, masks, values)


# ----------------------------------------------------------------------------------------------------------------- PTX


class _Entry:
    """Writes an entry."""

    def __init__(self, case: GoldenCase) -> None:
        self.case = case
        self.subject = case.subject
        self.declarations: list[str] = []
        self.lines: list[str] = []

    def text(self, name: str) -> str:
        subject = self.subject
        sources = self._load()
        results = self._names(subject.results, "%d")
        before, after = self._carry(sources, results)
        guard = []
        if self.case.masks is not None:
            at = sum(self.case.array_bytes(operand) for operand, _ in registers(subject.sources))
            guard = [
                "shr.u32 %w, %i, 5;", "mul.wide.u32 %at, %w, 4;", "add.u64 %at, %in, %at;", f"ld.global.b32 %w, [%at+{at}];",
                "and.b32 %l, %i, 31;", "shr.u32 %w, %w, %l;", "and.b32 %w, %w, 1;", "setp.eq.u32 %off, %w, 0;", "@%off bra done;",
            ]  # fmt: skip
        body = [*self.lines, *guard, *before, f"{self._opcode()}{self._operands(sources, results)};", *after, *self._store(results)]
        head = [
            ".reg .pred %off, %p;", ".reg .b16 %byte;", ".reg .b32 %i, %l, %w, %carry;", ".reg .b64 %in, %out, %at, %low, %high;",
            *self.declarations, "ld.param.u64 %in, [in];", "ld.param.u64 %out, [out];",
            "mov.u32 %i, %ctaid.x;", "mov.u32 %l, %ntid.x;", "mov.u32 %w, %tid.x;", "mad.lo.u32 %i, %i, %l, %w;",
            f"setp.ge.u32 %off, %i, {len(self.case.rows)};", "@%off bra done;",
        ]  # fmt: skip
        lines = "\n  ".join([*head, *body])
        return f".visible .entry {name}(.param .u64 in, .param .u64 out)\n{{\n  {lines}\ndone:\n  ret;\n}}\n"

    def _declare(self, name: str, operand: Operand) -> None:
        bits = 8 * operand.storage_bytes
        kind = {"pred": "pred", "f32": "f32", "f64": "f64", "u8": "b16", "s8": "b16"}.get(operand.element, f"b{bits}")
        self.declarations.append(f".reg .{kind} {name};")

    def _names(self, operands: list[Operand], stem: str) -> list[str]:
        names = []
        for i, (operand, _) in enumerate(registers(operands)):
            names.append(f"{stem}{i}")
            self._declare(names[-1], operand)
        return names

    def _load(self) -> list[str]:
        names = []
        start = 0
        immediates = iter(self.case.immediates)
        for i, (operand, _) in enumerate(registers(self.subject.sources)):
            size, name = operand.storage_bytes, f"%s{i}"
            if is_immediate(self.subject, operand):
                names.append(hex(next(immediates)))
            else:
                names.append(name)
                self._declare(name, operand)
                self.lines += [f"mul.wide.u32 %at, %i, {size};", "add.u64 %at, %in, %at;"]
                place = f"[%at+{start}]"
                if operand.element == "pred":
                    self.lines += [f"ld.global.u8 %byte, {place};", f"setp.ne.u16 {name}, %byte, 0;"]
                elif size == 16:
                    low, high = f"[%at+{start}]", f"[%at+{start + 8}]"
                    self.lines += [f"ld.global.b64 %low, {low};", f"ld.global.b64 %high, {high};", f"mov.b128 {name}, {{%low, %high}};"]
                else:
                    self.lines.append(f"ld.global.b{8 * size} {name}, {place};")
            start += self.case.array_bytes(operand)
        return names

    def _store(self, names: list[str]) -> list[str]:
        lines = []
        start = 0
        for name, (operand, _) in zip(names, registers(self.subject.results)):
            size = operand.storage_bytes
            lines += [f"mul.wide.u32 %at, %i, {size};", "add.u64 %at, %out, %at;"]
            place = f"[%at+{start}]"
            if operand.element == "pred":
                lines += [f"selp.u16 %byte, 1, 0, {name};", f"st.global.u8 {place}, %byte;"]
            elif size == 16:
                lines += [f"mov.b128 {{%low, %high}}, {name};", f"st.global.b64 {place}, %low;", f"st.global.b64 [%at+{start + 8}], %high;"]
            else:
                lines.append(f"st.global.b{8 * size} {place}, {name};")
            start += self.case.array_bytes(operand)
        return lines

    def _carry(self, sources: list[str], results: list[str]) -> tuple[list[str], list[str]]:
        """What sets the carry flag from its operand in front of the instruction, and reads it behind: the same kind of instruction, so
        that it does not matter how a machine keeps borrows."""
        instruction = self.subject.instruction
        borrows = instruction.opcode[0].startswith("sub")
        before, after = [], []
        if instruction.reads_carry:
            set_flag = "sub.cc.u32 %w, 0, %carry;" if borrows else "add.cc.u32 %w, %carry, 0xffffffff;"
            before = [f"selp.u32 %carry, 1, 0, {sources.pop()};", set_flag]
        if instruction.writes_carry:
            read_flag = ["subc.u32 %carry, 0, 0;", "and.b32 %carry, %carry, 1;"] if borrows else ["addc.u32 %carry, 0, 0;"]
            after = [*read_flag, f"setp.ne.u32 {results[-1]}, %carry, 0;"]
        return before, after

    def _opcode(self) -> str:
        parts = self.subject.group.opcode
        return ".".join(part for part in parts if not re.fullmatch(r"[dabc]_\w+|[abc]\d_\d|neg_\w", part)) + " "

    def _selector(self, name: str) -> tuple[str, str]:
        """The sign and the part that a video instruction's operand is written with (isa/video.py keeps them as modifiers)."""
        parts = self.subject.group.opcode
        sign = "-" if f"neg_{name}" in parts else ""
        whole = [part[2:] for part in parts if part.startswith(f"{name}_")]
        digits = "".join(part[3:] for part in parts if re.fullmatch(rf"{name}\d_\d", part))
        letter = "h" if parts[0].endswith("2") else "b"
        return sign, f".{whole[0]}" if whole else f".{letter}{digits}" if digits else ""

    def _operands(self, sources: list[str], results: list[str]) -> str:
        subject = self.subject
        given = {o.name: o for o in subject.sources + subject.results}
        streams = {True: iter(results), False: iter(sources)}
        texts: list[str] = []
        for spec in subject.instruction.form.operands:
            operand = given[spec.name]
            if not operand.is_present:
                continue
            names = [next(streams[spec.is_result]) for _ in range(operand.count)]
            text = names[0] if isinstance(operand.type, str) else f"{{{', '.join(names)}}}"
            if subject.group.opcode[0].startswith("v") and len(spec.name) == 1:
                sign, part = self._selector(spec.name)
                text = f"{sign}{text}{part}"
            if spec.is_pair_second and texts:
                texts[-1] += f"|{text}"
            else:
                texts.append(text)
        return ", ".join(texts)
