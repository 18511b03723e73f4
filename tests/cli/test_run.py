"""`anywarp run`: the program's exit status, signals, output and environment are its own, plus what it needs to find us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from anywarp import runtime_paths
from anywarp.cli import run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environment(library_dir: Path) -> dict[str, str]:
    chosen = {"PYTHONPATH": str(ROOT / "src")}
    if library_dir.parent.name != "_runtime":
        chosen["ANYWARP_RUNTIME_DIR"] = str(library_dir.parent)
    return {**{k: v for k, v in os.environ.items() if not k.startswith("ANYWARP_")}, **chosen}


def anywarp(environment: dict[str, str], *arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "anywarp", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, **more)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_exit_status_is_the_programs(environment: dict[str, str], status: int) -> None:
    assert anywarp(environment, "run", "sh", "-c", f"exit {status}").returncode == status


def test_signal_is_the_programs(environment: dict[str, str]) -> None:
    assert anywarp(environment, "run", "sh", "-c", "kill -TERM $$").returncode == -signal.SIGTERM


def test_output_and_input_are_the_programs(environment: dict[str, str]) -> None:
    done = anywarp(environment, "run", "--", "sh", "-c", "cat; echo problem >&2", input="text\n")
    assert (done.stdout, done.stderr) == ("text\n", "problem\n")


def test_process_is_the_programs(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "anywarp", "run", "sh", "-c", "echo $$"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.communicate()[0].strip() == str(child.pid)


def test_broken_pipe_ends_the_program(environment: dict[str, str]) -> None:
    script = f"{sys.executable} -m anywarp run yes | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"y\n{128 + signal.SIGPIPE}\n"


def test_options_of_the_program_stay_its_own(environment: dict[str, str]) -> None:
    assert anywarp(environment, "run", "echo", "--device", "x", "--help").stdout == "--device x --help\n"


def test_options_arrive_as_variables(environment: dict[str, str]) -> None:
    script = 'echo "$ANYWARP_DEVICE $ANYWARP_DEVICES $ANYWARP_TRACE"'
    done = anywarp(environment, "run", "--device", "generic-sm80", "--devices=3", "--trace", "sh", "-c", script)
    assert done.stdout == "generic-sm80 3 1\n"


def test_what_the_user_has_set_stays(environment: dict[str, str]) -> None:
    mine = {**environment, "TRITON_PTXAS_PATH": "/mine", "LD_LIBRARY_PATH": "/a:/b"}
    done = anywarp(mine, "run", "sh", "-c", 'echo "$TRITON_PTXAS_PATH $LD_LIBRARY_PATH"')
    ptxas, libraries = done.stdout.split()
    assert ptxas == "/mine" and libraries.split(":")[1:] == ["/a", "/b"]
    assert Path(libraries.split(":")[0], "libcuda.so.1").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["no-such-program-at-all"], 127, "command not found"),
        (["/"], 126, "/"),
        (["--device", "nonsense", "true"], 2, "generic-sm80"),
        (["--devices", "two", "true"], 2, "two"),
        (["--nonsense", "true"], 2, "--nonsense"),
        ([], 2, "CMD"),
    ],
)
def test_what_cannot_run_says_why(environment: dict[str, str], arguments: list[str], status: int, message: str) -> None:
    done = anywarp(environment, "run", *arguments)
    assert done.returncode == status and message in done.stderr


def test_python_programs_of_any_environment_start(environment: dict[str, str], tmp_path: Path) -> None:
    """The folder on PYTHONPATH makes way for the environment's own sitecustomize and is not left on sys.path."""
    (tmp_path / "sitecustomize.py").write_text("import builtins\nbuiltins.own = 1\n")
    code = "import sys, sitecustomize; print(own, sitecustomize.__file__, any('startup' in p for p in sys.path))"
    mine = {**environment, "PYTHONPATH": f"{environment['PYTHONPATH']}:{tmp_path}"}
    done = anywarp(mine, "run", sys.executable, "-c", code)
    assert done.stdout.split() == ["1", str(tmp_path / "sitecustomize.py"), "False"], done.stderr


def test_missing_libraries_name_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ANYWARP_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(runtime_paths, "PACKAGE", str(tmp_path / "a" / "b"))
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(runtime_paths.RuntimeNotFound, match=r"pip install \."):
        runtime_paths.library_dir()


def test_parse_leaves_what_it_does_not_know() -> None:
    assert run.parse(["--help"]) is None and run.parse(["--device"]) is None and run.parse([]) is None
    options = run.parse(["--trace=/tmp/t", "--", "--odd-name", "-x"])
    assert options is not None and options.trace == "/tmp/t" and options.command == ["--odd-name", "-x"]
