"""Every benchmark kernel, small: anywarp and natural C++ give the same results. What is timed is then known to be the same job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.cases import CASES, Case
from benchmarks.measure import difference, ratio
from benchmarks.natural_route import compiler

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def records(library_dir: Path) -> dict[str, dict[str, Any]]:
    """By case, from one process for all."""
    if compiler() is None:
        pytest.skip("no g++ for the C++ side: apt install g++")
    environment = {**os.environ, "ANYWARP_RUNTIME_DIR": str(library_dir.parent), "OMP_NUM_THREADS": "2", "ANYWARP_NUM_THREADS": "2"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    command = [sys.executable, "-m", "benchmarks.measure", "2", "1", "0.02", "c++", *(c.name for c in CASES)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=900)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(found) == len(CASES), f"the process ended with {done.returncode} after {len(found)} cases\n{done.stderr[-3000:]}"
    return {record["case"]: record for record in found}


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_results_agree(case: Case, records: dict[str, dict[str, Any]]) -> None:
    record = records[case.name]
    assert record["problems"] == {}
    assert record["reasons"] == {}
    assert set(record["seconds"]) == {"anywarp", "c++"}


def test_a_wrong_result_is_noticed() -> None:
    work = next(c for c in CASES if c.source == "nbody").make(0.02)
    right = [np.ones((4, 4), np.float32)]
    wrong = [right[0].copy()]
    wrong[0][2, 1] += 1
    assert difference(work, right, right) == ""
    assert "first at 9" in difference(work, right, wrong)
    wrong[0][2, 1] = np.nan
    assert difference(work, right, wrong)


def test_ratio_is_of_minima_with_quartiles_of_the_rounds() -> None:
    record = {"seconds": {"anywarp": [2.0, 4.0, 3.0], "c++": [4.0, 4.0, 2.0]}}
    assert ratio(record, "c++") == (1.0, 1.0, 0.75, 1.25)
    assert ratio(record, "PoCL") is None


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_ptx_is_checked_in(case: Case) -> None:
    text = (ROOT / "benchmarks" / "kernels" / f"{case.source}.ptx").read_text()
    assert f".entry {case.source}(" in text
