"""Builds the native unit tests with CMake and runs each executable (tests/native/*.cpp).

The build directory is kept between runs: `ANYWARP_NATIVE_BUILD`, else one in the system's temporary directory for this user and this
checkout (CMake refuses a build directory that was configured from other sources).
`ANYWARP_NATIVE_SANITIZE=address` or `thread` builds with that sanitizer.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = sorted(path.stem for path in Path(__file__).parent.glob("test_*.cpp"))
SANITIZER = os.environ.get("ANYWARP_NATIVE_SANITIZE", "")


@pytest.fixture(scope="session")
def native_build() -> Path:
    if shutil.which("cmake") is None or not any(shutil.which(c) for c in ("c++", "g++", "clang++")):
        pytest.skip("needs cmake and a C++ compiler: apt-get install cmake g++")
    checkout = hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]
    default = Path(tempfile.gettempdir()) / f"anywarp-native-{os.getuid()}-{checkout}{'-' + SANITIZER if SANITIZER else ''}"
    build = Path(os.environ.get("ANYWARP_NATIVE_BUILD", default))
    build.mkdir(parents=True, exist_ok=True)
    configure = ["cmake", "-S", str(ROOT), "-B", str(build), "-DANYWARP_TESTS=ON", "-DCMAKE_BUILD_TYPE=RelWithDebInfo"]
    configure += [f"-DANYWARP_SANITIZE={SANITIZER}", f"-DPython_EXECUTABLE={sys.executable}"]
    for command in (configure, ["cmake", "--build", str(build), "-j2", "--target", *TESTS]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-5000:]}\n{done.stderr[-5000:]}"
    return build


@pytest.mark.parametrize("name", TESTS)
def test_native(native_build: Path, name: str, tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run([native_build / "tests/native" / name], capture_output=True, text=True, timeout=600, check=False, env=environment)
    assert done.returncode == 0, f"{native_build}/tests/native/{name}\n{done.stderr[-5000:]}"
