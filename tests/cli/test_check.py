"""anywarp check: what it finds in folders, archives and libraries, and what it says of PTX that it does not take."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from anywarp.cli.app import application
from tests.cli.test_commands import PTX

BROKEN = PTX.replace("st.global.u32 [%d1], %r;", "st.global.u32 [%d1], %undeclared;")
UNKNOWN = PTX.replace("ret;", "tcgen05.fence::before_thread_sync; ret;", 1)


def check(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> tuple[int, str]:
    monkeypatch.setenv("COLUMNS", "160")
    result = CliRunner().invoke(application, ["check", *map(str, arguments)])
    return result.exit_code, result.output


def row(output: str, name: str) -> list[str]:
    return next(line.split() for line in output.splitlines() if line.split()[:1] == [name])


def test_folders_are_searched_and_each_text_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.ptx").write_text(PTX)
    (tmp_path / "two.ptx").write_text(PTX)
    (tmp_path / "source.cu").write_text("// no PTX, though it begins with a comment and says .version\n")
    status, output = check(monkeypatch, tmp_path, "--compile", "8")
    assert status == 0 and "source.cu" not in output
    assert row(output, "one.ptx")[1:5] == ["1", "0", "0.0", "2"] and row(output, "two.ptx")[1:5] == ["0", "1", "0.0", "0"]
    assert "compiled 2 of 2 entries" in output


def member(name: str, contents: bytes) -> bytes:
    size = str(len(contents)).encode()
    head = name.encode().ljust(16) + b"0".ljust(12) + b"0".ljust(6) * 2 + b"644".ljust(8) + size.ljust(10) + b"`\n"
    return head + contents + b"\n" * (len(contents) % 2)


def test_members_of_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, broken = PTX.encode() + b"\0", BROKEN.encode() + b"\0"
    archive = tmp_path / "lib.a"
    names = b"a_name_that_is_longer_than_its_field.ptx/\n"
    archive.write_bytes(b"!<arch>\n" + member("//", names) + member("kernels.ptx/", text) + member("/0", broken))
    status, output = check(monkeypatch, archive)
    assert status == 1 and row(output, "all")[1] == "2" and "(a_name_that_is_longer_than_its_field.ptx)" in output


def test_a_damaged_archive_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "lib.a"
    archive.write_bytes(b"!<arch>\n" + member("kernels.ptx/", PTX.encode()).replace(b"`\n", b"??", 1))
    status, output = check(monkeypatch, archive)
    assert status == 1 and "damaged" in output


def test_entries_that_need_other_modules_are_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "part.ptx"
    declared = PTX.replace(".visible .entry", ".extern .func elsewhere();\n.visible .entry", 1)
    file.write_text(declared.replace("ret;", "call elsewhere; ret;", 1))
    status, output = check(monkeypatch, file, "--compile", "8")
    assert status == 0 and row(output, "all")[-2:] == ["1", "0"] and "compiled 1 of 1 entries" in output


@pytest.mark.parametrize(("text", "message"), [(BROKEN, "%undeclared"), (UNKNOWN, "tcgen05")])
def test_failures_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    file = tmp_path / "bad.ptx"
    file.write_text(text)
    status, output = check(monkeypatch, file)
    assert status == 1 and "failed" in output and message in output and row(output, "all")[-1] == "1"
