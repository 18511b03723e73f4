"""`anywarp doctor FILE`: what a program or image holds, and what of it will fail and why, before it runs."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from anywarp import image
from anywarp.cli.app import application
from anywarp.image.linkage import read_linkage

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "tests" / "redirect" / "programs"
PTX = """.version 7.5
.target sm_80
.address_size 64
.visible .entry first(.param .u64 p) { .reg .b64 %d; ld.param.u64 %d, [p]; st.global.u32 [%d], 1; ret; }
.visible .entry second() { ret; }
"""
Build = Callable[..., Path]


@pytest.fixture
def doctor(library_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], tuple[int, str]]:
    monkeypatch.setenv("ANYWARP_RUNTIME_DIR", str(library_dir.parent))

    def run(path: Path) -> tuple[int, str]:
        result = CliRunner().invoke(application, ["doctor", str(path)])
        return result.exit_code, result.output

    return run


@pytest.fixture
def build(tmp_path: Path) -> Build:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler: apt-get install gcc")

    def run(*options: str) -> Path:
        program = tmp_path / "program"
        subprocess.run([compiler, "-O1", *options, "-o", str(program)], check=True, cwd=PROGRAMS)
        return program

    return run


def test_kernels_that_compile_are_counted(doctor: Callable[[Path], tuple[int, str]], tmp_path: Path) -> None:
    file = tmp_path / "two.ptx"
    file.write_text(PTX)
    status, output = doctor(file)
    assert status == 0 and "ok  PTX: PTX for compute_80" in output and "ok  2 of 2 kernels compile" in output


def test_a_kernel_that_does_not_compile_is_named_and_nothing_is_called_well(
    doctor: Callable[[Path], tuple[int, str]], tmp_path: Path
) -> None:
    file = tmp_path / "bad.ptx"
    unknown = "call.uni _something_that_nobody_defines, ();"
    file.write_text(
        PTX.replace(
            ".visible .entry second() { ret; }",
            f".extern .func _something_that_nobody_defines;\n.visible .entry second() {{ {unknown} ret; }}",
        )
    )
    status, output = doctor(file)
    assert status == 1 and "no  1 of 2 kernels compile" in output and "no  second:" in output


def test_what_is_no_image_is_refused(doctor: Callable[[Path], tuple[int, str]], tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_bytes(b"neither PTX nor an image")
    assert doctor(file)[0] == 1


def test_static_libraries(doctor: Callable[[Path], tuple[int, str]], tmp_path: Path) -> None:
    def member(name: str, data: bytes) -> bytes:
        return f"{name + '/':16}{0:<12}{0:<6}{0:<6}{644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)

    file = tmp_path / "libmine.a"
    file.write_bytes(b"!<arch>\n" + member("a.ptx", PTX.encode()) + member("b.o", b"host code"))
    status, output = doctor(file)
    assert status == 0 and "1 of whose members hold PTX" in output
    file.write_bytes(b"!<arch>\n" + member("b.o", b"host code"))
    assert "without PTX" in doctor(file)[1]
    runtime = tmp_path / "libcudadevrt.a"
    runtime.write_bytes(file.read_bytes())
    assert "ours takes its place" in doctor(runtime)[1]


def test_many_kernels_that_do_not_compile_stay_within_a_screen(doctor: Callable[[Path], tuple[int, str]], tmp_path: Path) -> None:
    unknown = ".extern .func _something_that_nobody_defines;\n"
    bad = [f".visible .entry bad{i}() {{ call.uni _something_that_nobody_defines, (); ret; }}\n" for i in range(40)]
    file = tmp_path / "bad.ptx"
    file.write_text(".version 8.0\n.target sm_80\n.address_size 64\n" + unknown + "".join(bad))
    status, output = doctor(file)
    assert status == 1 and "0 of 40 kernels compile" in output and "and 30 more" in output


def test_static_runtime_and_its_version(doctor: Callable[[Path], tuple[int, str]], build: Build) -> None:
    status, output = doctor(build("inside.c", "runtime.c", "-DVERSION_12"))
    assert status == 0 and "ok  has the CUDA runtime 12 linked in statically; its 9 entry points are sent to our libcudart.so.12" in output


def test_stripped_program_and_what_helps(doctor: Callable[[Path], tuple[int, str]], build: Build) -> None:
    status, output = doctor(build("inside.c", "runtime.c", "-DDEVICE_CODE", "-s"))
    assert status == 1 and "its symbols were stripped: its CUDA calls fail" in output and "-cudart shared" in output


def test_shared_libraries_and_functions_that_are_not_implemented(
    doctor: Callable[[Path], tuple[int, str]], build: Build, library_dir: Path, tmp_path: Path
) -> None:
    source = tmp_path / "calls.c"
    missing = "cudaGraphicsVDPAURegisterOutputSurface"
    source.write_text(f"int cudaFree(void*); int {missing}(void); int main(void) {{ return cudaFree(0) + {missing}(); }}")
    status, output = doctor(build(str(source), f"-L{library_dir}", "-l:libcudart.so.13"))
    assert status == 0 and "ok  needs libcudart.so.13: ours" in output
    assert f"--  may call {missing}, which is not implemented" in output and "cudaFree" not in output


def test_program_of_another_machine(doctor: Callable[[Path], tuple[int, str]], build: Build, tmp_path: Path) -> None:
    data = bytearray(build("inside.c", "runtime.c").read_bytes())
    other = "aarch64" if platform.machine() == "x86_64" else "x86_64"
    data[18:20] = (183 if other == "aarch64" else 62).to_bytes(2, "little")
    changed = tmp_path / "other"
    changed.write_bytes(data)
    status, output = doctor(changed)
    assert status == 1 and f"no  built for {other}" in output


def test_damaged_files_are_errors_not_exceptions(build: Build) -> None:
    data = build("inside.c", "runtime.c").read_bytes()
    for cut in range(0, len(data), 97):
        for damaged in (data[:cut], data[:cut] + b"\xff" * 8 + data[cut + 8 :]):
            try:
                read_linkage(damaged)
            except image.ImageError:
                continue
