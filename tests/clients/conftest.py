"""Real packages, run as their users run them: programs in tests/clients/programs under `anywarp run`, each in a process of its own.

The client is looked for in this interpreter's environment, or in the one that `$ANYWARP_TEST_PYTHON_<CLIENT>` names (for those who keep an
environment a client). Where it is missing, the test skips with the command that installs it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from anywarp.integrations import catalogue

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).parent / "programs"
_found: dict[tuple[str, str], bool] = {}


def interpreter(client: str) -> str:
    """The interpreter that a client's programs run in. Skips the test where the client is not installed there."""
    description = catalogue.client(client)
    python = os.environ.get("ANYWARP_TEST_PYTHON_" + client.upper().replace("-", "_"), sys.executable)
    key = (python, description.module)
    if key not in _found:
        package = description.module.split(".")[0]
        code = f"from importlib.util import find_spec as f; exit(f({package!r}) is None or f({description.module!r}) is None)"
        _found[key] = subprocess.run([python, "-c", code], capture_output=True).returncode == 0
    if not _found[key]:
        pytest.skip(f"{description.name} is not installed: {description.install}")
    return python


@pytest.fixture(scope="session")
def base_environment(library_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of every program: an empty cache, the libraries under test, the package under test."""
    environment = {k: v for k, v in os.environ.items() if k not in ("LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH")}
    environment["ANYWARP_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    import anywarp

    if Path(anywarp.__file__).is_relative_to(ROOT):
        environment["PYTHONPATH"] = str(ROOT / "src")
        environment["ANYWARP_RUNTIME_DIR"] = str(library_dir.parent)
    return environment


@pytest.fixture
def run_under(base_environment: dict[str, str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """run_under(command, options=[...], **environment): a command under `anywarp run`, in an empty folder."""

    def run(command: list[str], options: list[str] | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        full = [sys.executable, "-m", "anywarp", "run", *(options or []), "--", *command]
        return subprocess.run(full, env={**base_environment, **environment}, cwd=tmp_path, capture_output=True, text=True, timeout=900)

    return run


@pytest.fixture
def run_program(run_under: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., str]:
    """run_program(client, file): a program of that client under `anywarp run`; it checks itself. Returns what it printed."""

    def run(client: str, file: str, **environment: str) -> str:
        path = PROGRAMS / file
        done = run_under([interpreter(client), "-W", "ignore", str(path)], **environment)
        if done.returncode != 0:
            settings = " ".join(f"{k}={v}" for k, v in environment.items())
            pytest.fail(f"{settings} anywarp run python {path}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}", pytrace=False)
        return done.stdout

    return run
