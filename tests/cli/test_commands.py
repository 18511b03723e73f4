"""dump, compile, doctor, cache, devices: what they print, and their exit status where something is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from anywarp import pipeline
from anywarp.cli import dump
from anywarp.cli.app import application

PTX = """.version 7.5
.target sm_80
.address_size 64
.visible .entry first(.param .u64 p) {
  .reg .b64 %d<2>; .reg .b32 %r;
  .shared .align 4 .b8 tile[64];
  ld.param.u64 %d1, [p]; mov.u32 %r, %tid.x; st.global.u32 [%d1], %r; ret;
}
.visible .entry second() { ret; }
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANYWARP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")
    path = tmp_path / "two.ptx"
    path.write_text(PTX)
    return path


def invoke(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(application, [str(a) for a in arguments])
    return result.exit_code, result.output


def test_stages_are_the_pipelines() -> None:
    assert dump.STAGES == pipeline.STAGES


@pytest.mark.parametrize("stage", pipeline.STAGES)
def test_dump_prints_every_stage(file: Path, stage: str) -> None:
    status, output = invoke("dump", f"--after={stage}", file)
    assert status == 0 and len(output) > 20


def test_dump_of_one_entry(file: Path) -> None:
    assert "first" not in invoke("dump", "--entry", "second", file)[1]
    assert invoke("dump", "--entry", "third", file)[0] == 1


def test_compile_reports_and_writes(file: Path, tmp_path: Path) -> None:
    status, output = invoke("compile", file, "-o", tmp_path / "objects")
    assert status == 0
    row = next(line for line in output.splitlines() if line.strip().startswith("first"))
    assert row.split()[2] == "64"  # shared bytes
    assert (tmp_path / "objects" / "second.o").read_bytes()[:4] == b"\x7fELF"


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_compile_shows_every_column_on_any_terminal(file: Path, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    _, output = invoke("compile", file)
    head = next(line for line in output.splitlines() if line.strip().startswith("entry")).split()
    row = next(line for line in output.splitlines() if line.strip().startswith("second")).split()
    assert head == ["entry", "regs", "shared", "local", "size", "ir", "lower", "llvm", "opt", "emit"] and len(row) == len(head)
    assert "…" not in output


def test_compile_says_where_it_failed(file: Path) -> None:
    file.write_text(PTX.replace("st.global.u32 [%d1], %r;", "st.nonsense.u32 [%d1], %r;"))
    status, output = invoke("compile", file)
    assert status == 1 and f"{file.name}:7:" in output and "second" in output


def test_cache_commands(file: Path, tmp_path: Path) -> None:
    from anywarp.cache import store

    assert "empty" in invoke("cache", "info")[1]
    assert store.write("module", bytes(range(32)), b"payload")
    assert invoke("cache", "verify") == (0, "1 intact, 0 damaged\n")
    assert "module" in invoke("cache", "info")[1]
    path = next(store.entries()).path
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    status, output = invoke("cache", "verify")
    assert status == 1 and "1 damaged" in output
    assert "1 files removed" in invoke("cache", "clear")[1] and not list(store.entries())


def test_devices_lists_the_profiles() -> None:
    status, output = invoke("devices")
    assert status == 0 and "generic-sm80" in output and "in use" in output
