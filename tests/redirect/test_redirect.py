"""Programs and libraries with functions of the CUDA runtime's names inside are sent to our libcudart; no CUDA toolkit is needed for these.

`programs/runtime.c` stands for the runtime that is linked in statically. tests/cudart does the same with real ones, where nvcc is
installed.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"
ROOT = Path(__file__).resolve().parents[2]
Build = Callable[..., Path]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def redirect_library(library_dir: Path) -> Path:
    library = library_dir / "libanywarp-redirect.so"
    assert library.exists(), f"{library} was not built"
    return library


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """build("inside.c", "-DX", …): a program or library of one of the sources; a name of its own for each set of options."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler: apt-get install gcc")
    folder = tmp_path_factory.mktemp("redirect")

    def run(source: str, *options: str, strip: bool = False) -> Path:
        name = re.sub(r"\W", "_", "".join((source, *options, str(strip))))
        binary = folder / name
        if not binary.exists():
            links = ["-shared", "-fPIC"] if "-DLIBRARY" in options or source in ("wrapper.c", "trampolines.c") else []
            sources = [str(PROGRAMS / s) for s in ((source, "runtime.c") if source == "inside.c" else (source,))]
            command = [compiler, "-O2", *links, *options, *sources, "-o", str(binary), "-ldl", "-lpthread"]
            subprocess.run([*command, *(["-s"] if strip else [])], check=True)
        return binary

    return run


@pytest.fixture
def run(redirect_library: Path) -> Run:
    """A program with the library as `anywarp run` sets it."""

    def start(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {**os.environ, "LD_LIBRARY_PATH": str(redirect_library.parent), "LD_AUDIT": str(redirect_library), **environment}
        return subprocess.run([str(c) for c in command], env=variables, capture_output=True, text=True, timeout=120)

    return start


@pytest.mark.parametrize(
    ("options", "version"), [((), 13000), (("-DVERSION_12",), 12090), (("-DVERSION_11",), 11080)], ids=["newest", "12", "11"]
)
def test_program_is_sent_to_the_runtime_of_its_version(options: tuple[str, ...], version: int, build: Build, run: Run) -> None:
    done = run(build("inside.c", *options))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"version {version} status 0, 1 devices at the start", "redirected"]


@pytest.mark.parametrize("options", [("-no-pie", "-fno-pie"), ("-pie", "-fPIE"), ("-fcf-protection=full",)], ids=" ".join)
def test_program_is_served_however_it_is_built(options: tuple[str, ...], build: Build, run: Run) -> None:
    if "-fcf-protection=full" in options and os.uname().machine != "x86_64":
        pytest.skip("an option of x86-64's compilers")
    assert "redirected" in run(build("inside.c", *options)).stdout


def test_short_functions_leave_their_neighbours_alone(build: Build, run: Run) -> None:
    program = build("inside.c", "-DTIGHT")
    done = run(program)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "redirected")
    if os.uname().machine == "x86_64":  # one byte takes no jump
        assert done.stderr == f"anywarp: {program}: cudaProfilerStart is too short there to be redirected; calls of it fail\n"


def test_without_the_library_nothing_is_sent_anywhere(build: Build, run: Run) -> None:
    done = run(build("inside.c"), LD_AUDIT="")
    assert (done.returncode, done.stdout) == (1, "version -1 status 99, -3 devices at the start\n")


def test_library_loaded_later_is_served_before_its_constructors_run(build: Build, run: Run) -> None:
    hidden = build("inside.c", "-DLIBRARY")
    done = run(build("loads.c"), hidden, hidden)  # loaded, unloaded, and loaded again
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines().count("version 13000 status 0, 1 devices at the start") == 2


def test_two_versions_live_in_one_process(build: Build, run: Run) -> None:
    done = run(build("loads.c"), build("inside.c", "-DLIBRARY"), build("inside.c", "-DLIBRARY", "-DVERSION_12"))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"version (\d+)", done.stdout) == ["13000", "12090"]


def test_exported_functions_stay_what_they_are(build: Build, run: Run, tmp_path: Path) -> None:
    code = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).cudaMalloc(ctypes.byref(ctypes.c_void_p()), 1))"
    assert run(sys.executable, "-c", code, build("wrapper.c")).stdout == "98\n"


def test_trampolines_to_the_shared_runtime_stay_what_they_are(build: Build, run: Run) -> None:
    done = run(sys.executable, "-c", "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).call())", build("trampolines.c"))
    assert (done.stdout, done.stderr) == ("98\n", "")


def test_stripped_module_with_device_code_gets_one_line(build: Build, run: Run) -> None:
    program = build("inside.c", "-DDEVICE_CODE", strip=True)
    done = run(program)
    assert done.stdout.startswith("version -1 status 99")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"anywarp: {program}: it has the CUDA runtime inside") and "-cudart shared" in line


def test_symbols_without_device_code_and_runtime_say_nothing(build: Build, run: Run) -> None:
    assert run(build("inside.c", strip=True)).stderr == ""


def test_code_is_not_writable_afterwards(build: Build, run: Run) -> None:
    code = (
        "import ctypes, sys; library = ctypes.CDLL(sys.argv[1]); assert library.try_runtime() == 0\n"
        "print([line for line in open('/proc/self/maps') if sys.argv[1] in line and 'w' in line.split()[1] and 'x' in line.split()[1]])"
    )
    assert run(sys.executable, "-c", code, build("inside.c", "-DLIBRARY")).stdout.splitlines()[-1] == "[]"


def test_damaged_symbol_tables_do_no_harm(build: Build, run: Run, tmp_path: Path) -> None:
    """Bytes that the loader does not read, one at a time: the program runs, redirected or not."""
    data = build("inside.c").read_bytes()
    (header,) = struct.unpack_from("<Q", data, 0x28)  # of the sections
    kinds = {section[1]: section for section in struct.iter_unpack("<IIQQQQIIQQ", data[header:])}
    symbols = kinds[2][4]  # the symbol table; strings and section headers follow it to the end
    program = tmp_path / "damaged"
    for position in [*range(symbols, len(data), 11), *range(0x28, 0x30), *range(0x3A, 0x40)]:
        program.write_bytes(data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :])
        program.chmod(0o755)
        done = run(program)
        assert done.returncode in range(7), f"byte {position}: {done.returncode} {done.stderr}"
    program.write_bytes(data[: header + 10])
    assert run(program).returncode in range(7)


@pytest.mark.parametrize("when", ["before", "after"])
def test_auto_serves_modules_of_a_running_process(when: str, build: Build, library_dir: Path) -> None:
    library = build("inside.c", "-DLIBRARY")
    load = f"library = ctypes.CDLL({str(library)!r})"
    code = ["import ctypes", load, "import anywarp.auto"] if when == "before" else ["import ctypes", "import anywarp.auto", load]
    environment = {k: v for k, v in os.environ.items() if k not in ("LD_AUDIT", "LD_LIBRARY_PATH")}
    environment |= {"PYTHONPATH": str(ROOT / "src"), "ANYWARP_RUNTIME_DIR": str(library_dir.parent), "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-c", "\n".join([*code, "exit(library.try_runtime())"])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    started = "1 devices at the start" if when == "after" else "-3 devices at the start"
    assert f"version 13000 status 0, {started}" in done.stdout
