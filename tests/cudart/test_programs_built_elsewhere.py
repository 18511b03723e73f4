"""CUDA programs of one's own under `anywarp run`: those in the folder that `$ANYWARP_TEST_PROGRAMS` names, each a test.

For instance a build of NVIDIA's cuda-samples: an executable that ends with 0 passes, with 2 it says that it cannot run here (the samples'
EXIT_WAIVED). Each runs in its own folder, where its data is. `pytest tests/cudart/test_programs_built_elsewhere.py -rs` reports.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = os.environ.get("ANYWARP_TEST_PROGRAMS", "")
SECONDS = 900
WAIVED = 2


def is_program(path: Path) -> bool:
    """An executable of ELF's kind that is no shared library by its name."""
    if not path.is_file() or not os.access(path, os.X_OK) or ".so" in path.name or "CMakeFiles" in path.parts:
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


PATHS = sorted(p for p in Path(FOLDER).rglob("*") if is_program(p)) if FOLDER else []


@pytest.mark.skipif(not FOLDER, reason="ANYWARP_TEST_PROGRAMS names no folder of CUDA programs")
def test_the_folder_holds_programs() -> None:
    assert PATHS, f"no executables in {FOLDER}"


@pytest.mark.parametrize("path", PATHS, ids=[str(p.relative_to(FOLDER)) for p in PATHS])
def test_program_succeeds(path: Path, library_dir: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "ANYWARP_RUNTIME_DIR": str(library_dir.parent)}
    command = [sys.executable, "-m", "anywarp", "run", str(path)]
    try:
        done = subprocess.run(command, cwd=path.parent, env=environment, capture_output=True, text=True, errors="replace", timeout=SECONDS)
    except subprocess.TimeoutExpired:
        pytest.fail(f"{path} has not ended after {SECONDS} s", pytrace=False)
    output = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
    if done.returncode == WAIVED:
        pytest.skip(f"{path.name} says: {output}")
    if done.returncode != 0:
        pytest.fail(f"anywarp run {path}: status {done.returncode}\n{output}", pytrace=False)
