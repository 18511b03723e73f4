"""The ways in: the README's example, `import anywarp.auto` in a process without a wrapper, `pytest -p anywarp`."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .conftest import ROOT, interpreter

KERNEL = """
import numpy as np
from numba import cuda

@cuda.jit
def double(x):
    x[cuda.grid(1)] *= 2

def test_double():
    x = np.arange(32.0)
    double[1, 32](x)
    assert (x == 2 * np.arange(32.0)).all()
"""


def test_the_example_draws_its_picture(run_under: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    example = str(ROOT / "examples" / "nbody.py")
    done = run_under([interpreter("numba-cuda"), example, "--bodies", "1024", "--steps", "5"])
    assert done.returncode == 0, done.stderr[-4000:]
    assert re.search(r"billion interactions a second", done.stdout)
    assert (tmp_path / "nbody.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def _environment(base: dict[str, str], python: str) -> dict[str, str]:
    # A client's own environment may hold no anywarp: the package under test is found by path.
    return base if python == sys.executable else {**base, "PYTHONPATH": str(ROOT / "src"), "ANYWARP_PYTHON": sys.executable}


def test_auto_needs_no_wrapper(base_environment: dict[str, str], tmp_path: Path) -> None:
    python = interpreter("numba-cuda")
    (tmp_path / "program.py").write_text("import anywarp.auto\n" + KERNEL + "\ntest_double()\nprint('done')\n")
    done = subprocess.run([python, "program.py"], cwd=tmp_path, env=_environment(base_environment, python), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-4000:]


def test_pytest_plugin_needs_no_wrapper(base_environment: dict[str, str], tmp_path: Path) -> None:
    python = interpreter("numba-cuda")
    (tmp_path / "test_double.py").write_text(KERNEL)
    command = [python, "-m", "pytest", "-p", "anywarp", "-p", "no:cacheprovider", "test_double.py"]
    done = subprocess.run(command, cwd=tmp_path, env=_environment(base_environment, python), capture_output=True, text=True)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout[-4000:] + done.stderr[-2000:]
    assert any(line.startswith("anywarp ") for line in done.stdout.splitlines())
