"""The cache in trouble: read-only, full, damaged at any byte, or new to many processes at once. A kernel runs all the same."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import PRELUDE, ROOT
from .kernels import ADD

PROCESSES = 200

# Adds 5 to [0, 1, 2, 3] on the device and prints what comes back.
RUN = f"""
import struct
PTX = {ADD!r}
device, context, module, function, memory = c_int(), c_void_p(), c_void_p(), c_void_p(), c_ulonglong()
check(cuda.cuInit(0))
check(cuda.cuDevicePrimaryCtxRetain(byref(context), 0))
check(cuda.cuCtxSetCurrent(context))
check(cuda.cuModuleLoadData(byref(module), PTX.encode()))
check(cuda.cuModuleGetFunction(byref(function), module, b"add"))
check(cuda.cuMemAlloc_v2(byref(memory), 16))
check(cuda.cuMemcpyHtoD_v2(memory, struct.pack("<4I", 0, 1, 2, 3), 16))
n, v = c_uint(4), c_uint(5)
arguments = (c_void_p * 3)(addressof(memory), addressof(n), addressof(v))
check(cuda.cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, None, arguments, None))
out = create_string_buffer(16)
check(cuda.cuMemcpyDtoH_v2(out, memory, 16))
print(*struct.unpack("<4I", out.raw))
"""
RESULT = "5 6 7 8\n"


class Runner:
    """Starts processes that run RUN with a cache folder."""

    def __init__(self, library_dir: Path) -> None:
        self._code = PRELUDE.format(library=library_dir / "libcuda.so.1") + RUN

    def start(self, cache: Path, within: list[str] | None = None, **environment: str) -> subprocess.Popen[str]:
        """`within`: a command that runs the command behind it."""
        env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "ANYWARP_CACHE_DIR": str(cache), **environment}
        command = [*(within or []), sys.executable, "-c", self._code]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)

    def run(self, cache: Path, within: list[str] | None = None, **environment: str) -> None:
        """Runs one to its end. The result must be right, with nothing on stderr."""
        out, err = (process := self.start(cache, within, **environment)).communicate(timeout=300)
        assert (out, err, process.returncode) == (RESULT, "", 0)


@pytest.fixture(scope="module")
def runner(library_dir: Path) -> Runner:
    return Runner(library_dir)


def files_of(cache: Path) -> list[Path]:
    return sorted(p for p in cache.glob("*/*/*") if p.is_file())


def mounted(folder: Path, options: str) -> list[str]:
    """A command that runs the command behind it with a small file system of its own mounted on `folder`."""
    folder.mkdir()
    script = f'mount -t tmpfs -o {options} none "{folder}" && exec "$@"'
    command = ["unshare", "-rm", "sh", "-c", script, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs unshare -rm: user namespaces with mounts are not allowed here")
    return command


def test_the_second_process_compiles_nothing(runner: Runner, tmp_path: Path) -> None:
    runner.run(tmp_path / "cache")
    assert {p.parts[-3] for p in files_of(tmp_path / "cache")} == {"module", "kernel"}
    assert all(p.stat().st_mode & 0o077 == 0 for p in [tmp_path / "cache", *files_of(tmp_path / "cache")])
    runner.run(tmp_path / "cache", ANYWARP_PYTHON="/nonexistent")


def test_a_folder_that_cannot_be_made(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    runner.run(tmp_path / "file" / "cache")


def test_a_folder_that_cannot_be_written(runner: Runner, tmp_path: Path) -> None:
    runner.run(tmp_path / "cache", mounted(tmp_path / "cache", "ro"))


def test_a_full_file_system(runner: Runner, tmp_path: Path) -> None:
    runner.run(tmp_path / "cache", mounted(tmp_path / "cache", "size=4k"))


def test_damaged_files_are_compiled_anew(runner: Runner, tmp_path: Path) -> None:
    """One byte changed at the ends, in the header and at random places, and cut off at such places, in each file."""
    cache = tmp_path / "cache"
    runner.run(cache)
    intact = {path: path.read_bytes() for path in files_of(cache)}
    rng = random.Random(7)
    for round_ in range(6):
        for path, data in intact.items():
            at = (0, 9, 20, len(data) - 1)[round_] if round_ < 4 else rng.randrange(len(data))
            path.write_bytes(data[:at] if round_ == 5 else data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :])
        runner.run(cache)
        assert all(len(path.read_bytes()) == len(data) for path, data in intact.items())
        runner.run(cache, ANYWARP_PYTHON="/nonexistent")


def test_many_processes_on_an_empty_cache(runner: Runner, tmp_path: Path) -> None:
    running = [runner.start(tmp_path / "cache") for _ in range(PROCESSES)]
    results = [(*process.communicate(timeout=900), process.returncode) for process in running]
    assert set(results) == {(RESULT, "", 0)}
    assert len(files_of(tmp_path / "cache")) == 2, "one module and one kernel; nothing half-written is left"
