"""Which tests run, and the native library for them: the installed one, else one that is built here once.

`$ANYWARP_TEST_LIBRARY_DIR` names a folder to use instead.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is marked `full` takes minutes to hours: only `-m full`, or an expression with it, runs it."""
    if "full" in (config.getoption("-m") or ""):
        return
    heavy = [item for item in items if item.get_closest_marker("full")]
    if heavy:
        config.hook.pytest_deselected(items=heavy)
        items[:] = [item for item in items if not item.get_closest_marker("full")]


def installed_library_dir() -> Path | None:
    """The installed package's native libraries, if it is installed in this environment."""
    for scheme in ("platlib", "purelib"):
        folder = Path(sysconfig.get_paths()[scheme]) / "anywarp" / "_runtime" / "lib"
        if (folder / "libcuda.so.1").exists():
            return folder
    return None


def build_library(build: Path) -> Path:
    """Configures and builds the native libraries into `build`; does nothing that is up to date. Returns their folder."""
    commands = [
        ["cmake", "-S", str(ROOT), "-B", str(build), f"-DPython_EXECUTABLE={sys.executable}"],
        ["cmake", "--build", str(build), "-j", str(min(os.cpu_count() or 1, 4))],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.fail(f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}", pytrace=False)
    return build / "lib"


@pytest.fixture(scope="session")
def library_dir() -> Path:
    """The folder with libcuda.so.1 and libcudart.so.*."""
    if chosen := os.environ.get("ANYWARP_TEST_LIBRARY_DIR"):
        return Path(chosen)
    if (folder := installed_library_dir()) is not None:
        return folder
    # The compiler's child process must find this package and this interpreter.
    os.environ.setdefault("ANYWARP_PYTHONPATH", str(ROOT / "src"))
    os.environ.setdefault("ANYWARP_PYTHON", sys.executable)
    return build_library(ROOT / "build" / "native")
