"""Compiled and interpreted results against those that were recorded on real GPUs (`records/`, made by record.py).

A case whose code or operands have changed since is stale: it is skipped and says so. The recorder itself is tested with our own driver,
in a folder that is thrown away; those records are never kept.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.golden import cases, judge, records
from tests.golden.cases import GoldenCase
from tests.golden.record import record
from tests.golden.records import Entry, Record
from tests.isa import case_format
from tests.kernels import routes

FILES = records.files()
SAMPLE = (
    *("logic/lop3", "extended_precision/subc", "vote/vote.sync", "video/vmad", "matrix/mma.block", "shuffle/shfl.sync"),
    "floating_point/ex2",
)
NONE_YET = "no records yet: nobody has run `python -m tests.golden.record` on a GPU"


def compare(made: Record) -> tuple[list[str], list[str]]:
    """(what differs, the stale cases) of one family."""
    known = {case.name: case for path in cases.files() if path.parent.name == made.family for case in cases.cases(path)}
    wrong: list[str] = []
    fresh: list[tuple[GoldenCase, Entry]] = []
    stale: list[str] = []
    for entry in made.entries:
        case = known.get(entry.name)
        if case is None or case.digest != entry.digest:
            stale.append(entry.name)
        elif entry.results is not None:
            fresh.append((case, entry))
    if not fresh:
        return wrong, stale
    for (case, entry), ours in zip(fresh, judge.compiled([case for case, _ in fresh])):
        want = judge.interpreted(case)
        wrong += filter(None, [judge.difference(case, case.results(entry.results or b""), want, "recorded")])
        wrong += filter(None, [judge.difference(case, ours, want, "compiled")])
    return wrong, stale


@pytest.mark.parametrize("path", FILES or [None], ids=[f"{p.parent.name}-{p.stem}" for p in FILES] or ["none"])
def test_agrees_with_a_gpu(path: Path | None) -> None:
    if path is None:
        pytest.skip(NONE_YET)
    wrong, stale = compare(records.read(path))
    assert not wrong, "\n".join(wrong[:20])
    if stale:
        pytest.skip(f"{len(stale)} cases have changed since they were recorded, among them {stale[0]}: record them again")


# --------------------------------------------------------------------------------------------------------- the recorder


@pytest.fixture(scope="module")
def library() -> Path:
    found = routes.find_library()
    if found is None:
        pytest.skip("no libcuda.so.1: build it (cmake --build build) or set ANYWARP_LIBCUDA")
    return found


@pytest.fixture(scope="module")
def made(library: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """What the recorder writes with our driver, of some test files with all that is awkward: carries, constants, masks, parts, vectors."""
    patch = pytest.MonkeyPatch()
    patch.setenv("ANYWARP_COMPUTE_CAPABILITY", "12.0")
    patch.setenv("ANYWARP_PYTHON", os.environ.get("ANYWARP_PYTHON", sys.executable))
    patch.setenv("ANYWARP_PYTHONPATH", os.environ.get("ANYWARP_PYTHONPATH", str(routes.ROOT / "src")))
    out = tmp_path_factory.mktemp("golden")
    try:
        for name in SAMPLE:
            assert list(record(name, str(library), out))
    finally:
        patch.undo()
    return {path.stem: records.read(path) for path in records.files(out)}


def test_records_of_our_own_driver_agree(made: dict[str, Record]) -> None:
    assert set(made) == {name.partition("/")[0] for name in SAMPLE}
    for each in made.values():
        refused = [f"{e.name}: {e.why_none}" for e in each.entries if e.results is None]
        assert not refused, refused[:3]
        assert compare(each) == ([], [])
        assert each.device and each.driver and re.fullmatch(r"\d{4}-\d\d-\d\d", each.date)


def test_a_false_record_is_seen(made: dict[str, Record]) -> None:
    each = made["video"]
    data = bytearray(each.entries[3].results or b"")
    data[len(data) // 2] ^= 1
    entries = [*each.entries[:3], replace(each.entries[3], results=bytes(data)), *each.entries[4:]]
    wrong, stale = compare(replace(each, entries=entries))
    assert len(wrong) == 1 and wrong[0].startswith(each.entries[3].name) and "recorded" in wrong[0] and not stale


def test_a_stale_record_is_seen(made: dict[str, Record]) -> None:
    each = made["vote"]
    entries = [replace(each.entries[0], digest="0" * 24), *each.entries[1:]]
    assert compare(replace(each, entries=entries)) == ([], [each.entries[0].name])


def test_approximations_have_a_table(made: dict[str, Record]) -> None:
    rows = judge.table([made["floating_point"]]).splitlines()[2:]
    assert any("`ex2.approx.f32`" in row for row in rows)
    assert all(float(row.split("|")[5]) <= 2 for row in rows)  # ours: measured errors are below one unit


def test_every_group_has_a_case() -> None:
    """All groups that are neither rejections nor left out for a stated reason."""
    for path in cases.files():
        groups = [g for g in case_format.parse(path.read_text(encoding="utf-8")) if g.rejected is None and g.opcode[0] not in cases.SKIPPED]
        names = {case.name.rpartition("#")[0] for case in cases.cases(path)}
        missing = {f"{path.relative_to(cases.FOLDER).as_posix()}:{g.mnemonic}" for g in groups} - names
        assert not missing, sorted(missing)
