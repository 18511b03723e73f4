"""The stand-in for nvidia-smi: what it prints, alone and beside a process that uses a device."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

_USER = """
import sys
from ctypes import *
cuda, context, address = CDLL("{library}"), c_void_p(), c_ulonglong()
assert cuda.cuInit(0) == cuda.cuCtxCreate_v2(byref(context), 0, 1) == cuda.cuMemAlloc_v2(byref(address), c_size_t(48 << 20)) == 0
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def smi(library_dir: Path) -> object:
    environment = {**os.environ, "ANYWARP_RUNTIME_DIR": str(library_dir.parent), "PYTHONPATH": str(ROOT / "src"), "ANYWARP_DEVICES": "2"}

    def run(*arguments: str, returncode: int = 0) -> str:
        command = [sys.executable, "-m", "anywarp.cli.main", "run", "--", "nvidia-smi", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
        assert done.returncode == returncode, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def user(library_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has 48 MiB of the second device."""
    code = _USER.format(library=library_dir / "libcuda.so.1")
    environment = {**os.environ, "ANYWARP_DEVICES": "2"}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield process
        process.communicate("")


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text), skipinitialspace=True))


def test_list_and_table(smi) -> None:  # type: ignore[no-untyped-def]
    lines = smi("-L").splitlines()
    assert len(lines) == 2 and lines[1].startswith("GPU 1: Anywarp ") and "(UUID: GPU-" in lines[1]
    table = smi().splitlines()[1:]
    assert {len(line) for line in table if line} == {91}
    assert any("CUDA Version: 13." in line for line in table)


def test_queries(smi, user: subprocess.Popen[str]) -> None:  # type: ignore[no-untyped-def]
    head, first, second = rows(smi("--query-gpu=index,uuid,memory.used,memory.free,memory.total,power.draw,pci.bus_id", "--format=csv"))
    assert head == ["index", "uuid", "memory.used [MiB]", "memory.free [MiB]", "memory.total [MiB]", "power.draw", "pci.bus_id"]
    assert first[0] == "0" and second[0] == "1" and first[1] != second[1] and second[5] == "[N/A]"
    used, free, total = (int(cell.removesuffix(" MiB")) for cell in second[2:5])
    assert used >= 48 and abs(used + free - total) <= 1
    bare = rows(smi("-i", "1", "--query-gpu=memory.used,utilization.gpu,compute_cap", "--format=csv,noheader,nounits"))
    assert len(bare) == 1 and int(bare[0][0]) >= 48 and 0 <= int(bare[0][1]) <= 100 and bare[0][2] == "8.0"


def test_processes(smi, user: subprocess.Popen[str]) -> None:  # type: ignore[no-untyped-def]
    apps = rows(smi("--query-compute-apps=pid,used_memory,name,gpu_uuid", "--format=csv,noheader,nounits"))
    mine = [row for row in apps if row[0] == str(user.pid)]
    assert len(mine) == 1 and int(mine[0][1]) >= 48 and mine[0][2] == os.path.realpath(sys.executable)
    assert mine[0][3] in smi("-L").splitlines()[1]
    assert str(user.pid) in smi() and f"Process ID                                 : {user.pid}" in smi("-q")


def test_what_is_not_understood(smi) -> None:  # type: ignore[no-untyped-def]
    assert smi("--query-gpu=index,color", "--format=csv", returncode=2) == 'Field "color" is not a valid field to query.\n'
    for arguments in (["--query-gpu=index"], ["--frobnicate"], ["-i", "7", "-L"], ["--query-gpu=index", "--format=xml"]):
        assert smi(*arguments, returncode=2)


def test_the_fields_that_it_lists_can_be_queried(smi) -> None:  # type: ignore[no-untyped-def]
    names = [line.strip('"') for line in smi("--help-query-gpu").splitlines()]
    assert len(names) > 40
    out = rows(smi("-i", "0", "--query-gpu=" + ",".join(names), "--format=csv,noheader"))
    assert len(out) == 1 and len(out[0]) == len(names)
