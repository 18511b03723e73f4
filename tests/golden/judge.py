"""Whether recorded, interpreted and compiled results agree, and how far approximations are from the exact result.

What the manual fixes must be the same bits everywhere (NaNs as the declaration says; matrix products within the bound that
`anywarp.isa.matrix` states, since the order of their sums is the machine's). Of what it only bounds, zeros, infinities and NaNs for
operands that are such must agree; the rest is the table's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from anywarp.codegen import llvm as codegen
from anywarp.isa import types
from anywarp.isa.matrix import MatrixProduct
from tests.golden import cases
from tests.golden.cases import GoldenCase, Row
from tests.golden.records import Record
from tests.isa import lane_harness, values
from tests.isa.case_format import ANY_VALUE
from tests.isa.lane_harness import WARP, Call, Code, arguments, equal, execute, flat, registers, results_of
from tests.isa.matrix import products


def interpreted(case: GoldenCase) -> list[Row]:
    """The reference's results of every row; ANY_VALUE where a lane is off or the manual leaves the result open."""
    subject = case.subject
    instruction = subject.instruction
    if case.masks is None:
        return [flat(subject, instruction.reference(*arguments(subject, row))) for row in case.rows]  # type: ignore[attr-defined]
    anything = (ANY_VALUE,) * len(registers(subject.results))
    first = subject.results[0].count if subject.results and subject.results[0].is_present else 0
    out: list[Row] = []
    for block, mask in enumerate(case.masks):
        rows = case.rows[block * WARP : (block + 1) * WARP]
        lanes = {lane: arguments(subject, rows[lane]) for lane in range(WARP) if mask >> lane & 1}
        found = instruction.reference(lanes)  # type: ignore[attr-defined]
        undefined = instruction.undefined(lanes)  # type: ignore[attr-defined]
        for lane in range(WARP):
            row = flat(subject, found[lane]) if lane in found else anything
            out.append(anything[:first] + row[first:] if lane in undefined else row)
    return out


def compiled(todo: list[GoldenCase]) -> list[list[Row]]:
    """The compiled code's results, all cases as one LLVM module, 32 lanes at a time."""
    code = Code(lane_harness.AskedFeatures(codegen.feature_set()))
    for case in todo:
        sources = registers(case.subject.sources)
        name = code.function(case.subject, [WARP] * len(sources), WARP, None, case.masks is not None)
        rows = case.rows + [case.rows[-1]] * (-len(case.rows) % WARP)
        case.subject.calls = [*case.subject.calls, Call(name, WARP, [WARP] * len(sources), rows, None, case.masks)]
    subjects = list({id(case.subject): case.subject for case in todo}.values())
    try:
        memory = execute(code, subjects)
        taken: dict[int, int] = {}
        out = []
        for case in todo:
            at = taken.get(id(case.subject), 0)
            taken[id(case.subject)] = at + 1
            out.append(results_of(memory, case.subject, case.subject.calls[at])[: len(case.rows)])
        return out
    finally:
        for subject in subjects:
            subject.calls = []


def difference(case: GoldenCase, got: list[Row], want: list[Row], who: str) -> str:
    """Empty, or the first row in which results are not what the reference says, with operands and both."""
    subject = case.subject
    if isinstance(subject.instruction, MatrixProduct):
        for block in range(len(case.rows) // WARP):
            rows = [arguments(subject, row) for row in case.rows[block * WARP : (block + 1) * WARP]]
            out = [_grouped(case, row) for row in got[block * WARP : (block + 1) * WARP]]
            try:
                products.check(subject.instruction, rows, out)
            except AssertionError as error:
                return f"{case.name}: {who}: {str(error)[:400]}"
        return ""
    for i, (row, g, w) in enumerate(zip(case.rows, got, want)):
        if case.is_approximate and who == "recorded":
            agrees = _same_kind(case, row, g, w)
        else:
            agrees = all(x == ANY_VALUE for x in w) or equal(subject, g, w, row)
        if not agrees:
            operands = ", ".join(f"{o.name} = {values.describe(t, x)}" for (o, t), x in zip(registers(subject.sources), row))
            shown = [
                ", ".join("any" if x == ANY_VALUE else values.describe(t, x) for (_, t), x in zip(registers(subject.results), each))
                for each in (g, w)
            ]
            return f"{case.name}, row {i}: {operands}: {who} {shown[0]}, reference {shown[1]}"
    return ""


def _grouped(case: GoldenCase, row: Row) -> tuple[Row, ...]:
    out, at = [], 0
    for result in case.subject.results:
        out.append(row[at : at + result.count])
        at += result.count
    return tuple(out)


def _elements(type: str, bits: int) -> list[tuple[str, int]]:
    parts = values.packed(type)
    if parts is None:
        return [({16: "f16", 32: "f32", 64: "f64"}.get(types.width(type), type) if type[0] == "b" and type != "bf16" else type, bits)]
    size = values.element_bits(type)
    return [(parts[0], bits >> size * i & (1 << size) - 1) for i in range(parts[1])]


def _is_special(type: str, bits: int) -> bool:
    """NaN, infinite or zero."""
    if type not in values.FLOAT_FORMATS:
        return False
    value = values.to_float(type, bits)
    return value == 0 or not math.isfinite(value)


def _same_kind(case: GoldenCase, row: Row, got: Row, want: Row) -> bool:
    """Where an operand is no ordinary number the manual has a table: the results must be the same zero, infinity or NaN."""
    sources = [e for (_, t), bits in zip(registers(case.subject.sources), row) for e in _elements(t, bits)]
    if not any(_is_special(*element) for element in sources):
        return True
    for (_, t), g, w in zip(registers(case.subject.results), got, want):
        for (kind, x), (_, y) in zip(_elements(t, g), _elements(t, w)):
            both_nan = values.is_nan(kind, x) and values.is_nan(kind, y)
            if (_is_special(kind, y) or _is_special(kind, x)) and x != y and not both_nan:
                return False
    return True


# ------------------------------------------------------------------------------------------------------------ distances


@dataclass
class Distances:
    """Of one approximation, in units in the last place of the correctly rounded result, over rows with ordinary operands and results."""

    rows: int = 0
    largest: float = 0.0
    total: float = 0.0

    def add(self, steps: float) -> None:
        self.rows += 1
        self.largest = max(self.largest, steps)
        self.total += steps


def distances(case: GoldenCase, got: list[Row], want: list[Row]) -> Distances:
    out = Distances()
    for row, g_row, w_row in zip(case.rows, got, want):
        sources = [e for (_, t), bits in zip(registers(case.subject.sources), row) for e in _elements(t, bits)]
        if any(_is_special(*element) for element in sources):
            continue
        for (_, t), g, w in zip(registers(case.subject.results), g_row, w_row):
            for (kind, x), (_, y) in zip(_elements(t, g), _elements(t, w)):
                if not _is_special(kind, x) and not _is_special(kind, y):
                    out.add(lane_harness._steps(kind, x, y))
    return out


def table(found: list[Record]) -> str:
    """Markdown: each approximation's distances, the device's beside ours. Stale records are left out."""
    known = {case.name: case for path in cases.files() for case in cases.cases(path) if case.is_approximate}
    lines = ["| instruction | device | driver, date | rows | largest, ulp | mean, ulp | ours: largest, ulp |"]
    lines.append("|---|---|---|---:|---:|---:|---:|")
    for record in found:
        for entry in record.entries:
            case = known.get(entry.name)
            if case is None or entry.results is None or entry.digest != case.digest or isinstance(case.subject.instruction, MatrixProduct):
                continue
            want = interpreted(case)
            theirs = distances(case, case.results(entry.results), want)
            ours = distances(case, compiled([case])[0], want)
            lines.append(
                f"| `{case.subject.group.mnemonic}` | {record.device} | {record.driver}, {record.date} | {theirs.rows} "
                f"| {theirs.largest:g} | {theirs.total / max(1, theirs.rows):.3g} | {ours.largest:g} |"
            )
    return "\n".join(lines)
