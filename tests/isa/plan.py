"""Which rows a group's compiled functions compute, what the reference says of them, and the report where they differ.

`LanePlan` and `WarpPlan` fill `subject.calls` when they are made, check the reference against the file's expected values at once
(`failure`), and judge the compiled results afterwards (`verdict`).
"""

from __future__ import annotations

import random
from typing import Any

from anywarp.isa import types
from tests.isa import case_format, values
from tests.isa.case_format import ANY_NAN, ANY_VALUE, FormatError, Group, Run
from tests.isa.lane_harness import EDGE_LIMIT, FULL, SEED, WARP, Call, CaseFailure, Code, Subject, arguments, equal, flat, registers

Row = tuple[int, ...]
CONSTANT_CASES = 2  # functions with a constant for each operand
MIXED_BLOCKS = 6


def seed(group: Group) -> random.Random:
    """The generator of a group's random cases."""
    return random.Random(f"{SEED} {group.mnemonic}")


def operand_row(subject: Subject, run: Run, texts: list[str], lane: int) -> Row:
    """The source registers of a `run:` line in one lane."""
    present = [s for s in subject.sources if s.is_present]
    if len(texts) != len(present):
        raise FormatError(f"line {run.line}: {len(texts)} operands given, {[s.name for s in present]} expected")
    out: list[int] = []
    for source, text in zip(present, texts):
        for value in case_format.values(text, source.type, lane):
            if value == ANY_VALUE:
                raise FormatError(f"line {run.line}: '_' is no operand")
            out.append(values.canonical_nan(source.element) if value == ANY_NAN else value)
    return tuple(out)


def expected_row(subject: Subject, run: Run, lane: int) -> Row:
    present = [r for r in subject.results if r.is_present]
    texts = run.results
    if len(texts) != len(present):
        raise FormatError(f"line {run.line}: {len(texts)} results given, {[r.name for r in present]} expected")
    return tuple(v for result, text in zip(present, texts) for v in case_format.values(text, result.type, lane))


def report(subject: Subject, row: Row, got: Row | None, want: Row | None, expected: Row | None, where: str) -> str:
    """Operands, got, reference and expected, in hex and as numbers."""

    def show(operands: list[Any], numbers: Row) -> str:
        texts = []
        for (operand, element), number in zip(registers(operands), numbers):
            text = {ANY_VALUE: "any", ANY_NAN: "any NaN"}.get(number) or values.describe(element, number)
            texts.append(f"{operand.name} = {text}")
        return ", ".join(texts)

    lines = [f"  operands   {show(subject.sources, row)}"]
    if got is not None:
        lines.append(f"  compiled   {show(subject.results, got)}    ({where})")
    if want is not None:
        lines.append(f"  reference  {show(subject.results, want)}")
    if expected is not None:
        lines.append(f"  expected   {show(subject.results, expected)}    ({where if got is None else 'test file'})")
    return "\n".join(lines)


def lane_rows(subject: Subject, generator: random.Random) -> list[Row]:
    """The operand tuples of a `Lane` group: those of its `run:` lines first, then edges and random ones."""
    group = subject.group
    rows = [operand_row(subject, run, run.operands, 0) for run in group.runs]
    if group.random is not None:
        element_types = [element for _, element in registers(subject.sources)]
        rows += values.edge_tuples(element_types, EDGE_LIMIT, generator)
        rows += [tuple(values.random_value(t, generator) for t in element_types) for _ in range(group.random)]
    return list(dict.fromkeys(rows))


def run_block(subject: Subject, run: Run) -> tuple[int, list[Row]]:
    """The mask and the 32 rows of a `run:` line of a `Warp` group."""
    mask = case_format.scalar(run.mask, "b32") if run.mask else FULL
    return mask, [operand_row(subject, run, run.operands, lane) for lane in range(WARP)]


def random_block(subject: Subject, generator: random.Random, uniform: Any = (), mask: int | None = None) -> tuple[int, list[Row]]:
    """A mask and 32 rows; registers in `uniform` are the same in all lanes."""
    if mask is None:
        mask = (
            generator.choice([FULL, FULL, generator.getrandbits(32), 1 << generator.randrange(32), 0x55555555, 0xFFFF, 0xFFFF0000]) or FULL
        )
    columns: list[list[int]] = []
    for i, (operand, element) in enumerate(registers(subject.sources)):
        if operand.name == "membermask":
            columns.append([mask] * WARP)
            continue
        if i in uniform or generator.randrange(4) == 0:
            value = _lane_or_value(element, generator)
            columns.append([value] * WARP)
        else:
            pool = [_lane_or_value(element, generator) for _ in range(generator.choice((2, 4, 32)))]
            columns.append([generator.choice(pool) for _ in range(WARP)])
    return mask, list(zip(*columns))


def _lane_or_value(element: str, generator: random.Random) -> int:
    if types.width(element) == 32 and generator.randrange(2):  # lane numbers and clamps
        return generator.choice((generator.randrange(33), generator.randrange(32), 0x1F, 0x1C1F, 0x181F, 0x0F1F, 0))
    return values.random_value(element, generator)


class LanePlan:
    """The cases of a `Lane` instruction."""

    def __init__(self, subject: Subject, code: Code) -> None:
        self.subject = subject
        self.failure = ""
        self._references: dict[Row, Row] = {}
        group = subject.group
        generator = seed(group)
        self._expected: dict[Row, tuple[Row, int]] = {}
        for run in group.runs:
            row = operand_row(subject, run, run.operands, 0)
            expected = expected_row(subject, run, 0)
            self._expected[row] = (expected, run.line)
            want = self.reference(row)
            if not equal(subject, want, expected, row) and not self.failure:
                self.failure = "the reference is wrong\n" + report(subject, row, None, want, expected, f"line {run.line}")
        rows = lane_rows(subject, generator)
        self._plan(code, rows, generator)

    def reference(self, row: Row) -> Row:
        known = self._references.get(row)
        if known is None:
            known = flat(self.subject, self.subject.instruction.reference(*arguments(self.subject, row)))  # type: ignore[attr-defined]
            self._references[row] = known
        return known

    def _plan(self, code: Code, rows: list[Row], generator: random.Random) -> None:
        subject = self.subject
        count = len(registers(subject.sources))
        shuffled = generator.sample(rows, len(rows))
        for n, order, what in (
            (1, rows, "1 lane"),
            (2, rows, "2 lanes"),
            (4, shuffled, "4 lanes"),
            (32, rows, "32 lanes"),
            (32, shuffled, "32 lanes, shuffled"),
        ):
            self._call(code, n, [n] * count, order, what)
        if count > 1:
            for scalars in (0, 1):
                for n, few, what in ((32, 1, "scalars with vectors"), (32, 8, "rows with vectors")):
                    lanes = [few if i % 2 == scalars else n for i in range(count)]
                    self._call(code, n, lanes, self._rows_sharing(shuffled, lanes, n), what)
        for operand in range(count):
            for row in generator.sample(rows, min(CONSTANT_CASES, len(rows))):
                fixed = [(*r[:operand], row[operand], *r[operand + 1 :]) for r in shuffled[: 2 * WARP]]
                name = registers(subject.sources)[operand][0].name
                self._call(code, 32, [32] * count, fixed, f"{name} constant", (operand, row[operand]))

    def _rows_sharing(self, rows: list[Row], lanes: list[int], n: int) -> list[Row]:
        """Blocks of n rows in which an operand of few lanes is the same over each group of n / few lanes."""
        out: list[Row] = []
        for block in range(min(MIXED_BLOCKS, -(-len(rows) // n))):
            chunk = [rows[(block * n + i) % len(rows)] for i in range(n)]
            for lane in range(n):
                out.append(tuple(chunk[lane // (n // k) * (n // k)][i] for i, k in enumerate(lanes)))
        return out

    def _call(self, code: Code, n: int, lanes: list[int], rows: list[Row], what: str, constant: tuple[int, int] | None = None) -> None:
        padded = rows + [rows[-1]] * (-len(rows) % n)
        function = code.function(self.subject, lanes, n, constant, False)
        self.subject.calls.append(Call(function, n, lanes, padded, None if constant is None else constant[0], what=what))

    def verdict(self, call: Call, results: list[Row]) -> str:
        """Empty, or the report of the first row that is wrong."""
        for i, (row, got) in enumerate(zip(call.rows, results)):
            want = self.reference(row)
            if got != want and not equal(self.subject, got, want, row):
                expected = self._expected.get(row)
                return report(self.subject, row, got, want, expected and expected[0], f"{call.what}, lane {i % call.n}")
            if row in self._expected and not equal(self.subject, got, self._expected[row][0], row):
                return report(self.subject, row, got, want, self._expected[row][0], f"{call.what}, lane {i % call.n}")
        return ""


class WarpPlan:
    """The cases of a `Warp` instruction: blocks of 32 rows with a mask."""

    def __init__(self, subject: Subject, code: Code) -> None:
        self.subject = subject
        self.failure = ""
        group = subject.group
        generator = seed(group)
        self._registers = registers(subject.sources)
        blocks: list[tuple[int, list[Row]]] = []
        self._expected: dict[int, tuple[list[Row], int]] = {}
        for run in group.runs:
            mask, rows = run_block(subject, run)
            expected = [expected_row(subject, run, lane) for lane in range(WARP)]
            self._expected[len(blocks)] = (expected, run.line)
            blocks.append((mask, rows))
            want = self._reference(mask, rows)
            for lane in want:
                if not equal(subject, want[lane], expected[lane], rows[lane]) and not self.failure:
                    self.failure = f"the reference is wrong in lane {lane}\n" + report(
                        subject, rows[lane], None, want[lane], expected[lane], f"line {run.line}, mask {mask:#010x}"
                    )
        for _ in range(group.random or 0):
            blocks.append(random_block(subject, generator))
        self._blocks: dict[str, list[tuple[int, list[Row]]]] = {}
        count = len(self._registers)
        self._call(code, blocks, [WARP] * count, "any mask", True)
        self._call(code, [b for b in blocks if b[0] == FULL], [WARP] * count, "full warp", False)
        for uniform in dict.fromkeys((tuple(range(count)), tuple(range(0, count, 2)), tuple(range(1, count, 2)), tuple(range(1, count)))):
            if uniform and (group.random or 0):
                lanes = [1 if i in uniform else WARP for i in range(count)]
                mixed = [random_block(subject, generator, uniform) for _ in range(min(40, group.random or 0))]
                self._call(code, mixed, lanes, "uniform operands", True)
        masks = [i for i, (o, _) in enumerate(self._registers) if o.name == "membermask"]
        for operand in range(count):
            if group.random:
                for _ in range(CONSTANT_CASES):
                    mask, rows = random_block(subject, generator, [operand])
                    value = FULL if operand in masks else rows[0][operand]
                    fixed = []
                    for _ in range(8):
                        mask, rows = random_block(subject, generator, [operand], FULL if operand in masks else None)
                        fixed.append((mask, [(*r[:operand], value, *r[operand + 1 :]) for r in rows]))
                    self._call(code, fixed, [WARP] * count, f"{self._registers[operand][0].name} constant", True, (operand, value))

    def _reference(self, mask: int, rows: list[Row]) -> dict[int, Row]:
        lanes = {lane: arguments(self.subject, rows[lane]) for lane in range(WARP) if mask >> lane & 1}
        found = self.subject.instruction.reference(lanes)  # type: ignore[attr-defined]
        if set(found) != set(lanes):
            raise CaseFailure(f"the reference gives results for lanes {sorted(found)}, the mask is {mask:#010x}")
        return {lane: flat(self.subject, value) for lane, value in found.items()}

    def _call(
        self,
        code: Code,
        blocks: list[tuple[int, list[Row]]],
        lanes: list[int],
        what: str,
        any_mask: bool,
        constant: tuple[int, int] | None = None,
    ) -> None:
        if not blocks:
            return
        function = code.function(self.subject, lanes, WARP, constant, any_mask)
        rows = [row for _, block in blocks for row in block]
        self.subject.calls.append(Call(function, WARP, lanes, rows, None, [m for m, _ in blocks], what=what))

    def verdict(self, call: Call, results: list[Row]) -> str:
        for block, mask in enumerate(call.masks or []):
            rows, got = (x[block * WARP : (block + 1) * WARP] for x in (call.rows, results))
            want = self._reference(mask, rows)
            lanes = {lane: arguments(self.subject, rows[lane]) for lane in want}
            skipped = self.subject.instruction.undefined(lanes)  # type: ignore[attr-defined]
            open_registers = self.subject.results[0].count if self.subject.results and self.subject.results[0].is_present else 0
            for lane, value in want.items():
                if lane in skipped:  # the first result is anything
                    value = (ANY_VALUE,) * open_registers + value[open_registers:]
                expected = self._expected.get(block) if call.what == "any mask" else None
                wrong = not equal(self.subject, got[lane], value, rows[lane])
                wrong = wrong or (expected is not None and not equal(self.subject, got[lane], expected[0][lane], rows[lane]))
                if wrong:
                    return report(
                        self.subject,
                        rows[lane],
                        got[lane],
                        value,
                        expected and expected[0][lane],
                        f"{call.what}, lane {lane}, mask {mask:#010x}",
                    )
        return ""
