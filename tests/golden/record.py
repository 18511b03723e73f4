"""`python -m tests.golden.record`: runs the instruction tests' cases on the GPU of this machine and writes down what came out.

    python -m tests.golden.record                      # everything, through libcuda.so.1, into tests/golden/records/
    python -m tests.golden.record --only integer       # test files whose path holds that
    python -m tests.golden.record --library build/lib/libcuda.so.1 --out /tmp/mine
    python -m tests.golden.record --table              # distances of the recorded approximations from the exact results

A test file is one module with an entry for each case; where the driver's compiler refuses it, the halves are tried, down to single entries,
so that one form that a device lacks costs no other. A process of its own talks to the device: where it dies, or a launch fails or does not
end, the file is done again case by case, and the culprit is written down as failed. Some 2,200 cases: the time is the driver's to compile
them, a few minutes. Commit the new files: `tests/golden/test_records.py` holds compiled and interpreted results against them.
"""

from __future__ import annotations

import datetime
import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated

import typer

from tests.golden import cases, judge, records
from tests.golden.cases import THREADS, GoldenCase
from tests.golden.device import About, Device, DriverError
from tests.golden.records import Entry, Record

SECONDS = 240  # without a word from the device's process


def main(
    only: Annotated[str, typer.Option(help="test files whose path holds this")] = "",
    library: Annotated[str, typer.Option(help="the driver")] = "libcuda.so.1",
    out: Annotated[Path, typer.Option(help="folder of the records")] = records.FOLDER,
    table: Annotated[bool, typer.Option("--table", help="print the approximations' distances and do nothing else")] = False,
) -> None:
    if table:
        print(judge.table([records.read(path) for path in records.files(out)]))
        return
    for path in record(only, library, out):
        made = records.read(path)
        have = sum(e.results is not None for e in made.entries)
        print(f"{path}: {have} of {len(made.entries)} cases, {path.stat().st_size:,} bytes")


def record(only: str, library: str, out: Path) -> Iterator[Path]:
    """Records every family of which a test file was asked for; gives the files as they are written."""
    families: dict[str, list[Path]] = {}
    for path in cases.files():
        if only in path.relative_to(cases.FOLDER).as_posix():
            families.setdefault(path.parent.name, []).append(path)
    runner = Runner(library)
    try:
        for family, paths in families.items():
            entries = [entry for path in paths for entry in runner.run(path)]
            assert runner.about is not None
            about, ptx = runner.about
            today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
            target = out / about.slug / f"{family}.zst"
            kept: list[Entry] = []
            if target.exists():  # of test files that were not asked for now
                done = {f"{path.relative_to(cases.FOLDER).as_posix()}:" for path in paths}
                kept = [e for e in records.read(target).entries if e.name.partition(":")[0] + ":" not in done]
            made = Record(family, about.name, about.capability, about.driver, today, ptx, [*kept, *entries])
            records.write(made, target)
            yield target
    finally:
        runner.stop()


class Runner:
    """Runs files in a child process and starts another where that dies."""

    def __init__(self, library: str) -> None:
        self.about: tuple[About, tuple[int, int]] | None = None
        self._library = library
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    def run(self, path: Path) -> list[Entry]:
        """One entry for each case of a test file. Raises DriverError where there is no device."""
        found: dict[str, Entry] = {}
        is_single = False
        failed: list[str] = []
        while True:
            todo = [c.name for c in cases.cases(path) if c.name not in found]
            if not todo:
                return list(found.values())
            pipe = self._start()
            pipe.send((path, is_single, todo))
            while True:
                name = self._listen(pipe)
                if not isinstance(name, Entry):
                    break
                found[name.name] = name
            if name is not None:  # the process is gone
                if is_single:
                    culprit = next(c for c in cases.cases(path) if c.name not in found)
                    found[culprit.name] = Entry(culprit.name, culprit.digest, None, f"failed: {name}")
                    failed.append(culprit.name)
                is_single = True

    def _listen(self, pipe: Connection) -> Entry | str | None:
        """The next case, None at the end of the file, or why the process is gone."""
        why = f"nothing for {SECONDS} s"
        try:
            if pipe.poll(SECONDS):
                got: Entry | str | None = pipe.recv()
                if not isinstance(got, str):
                    return got
                why = got
        except EOFError:
            why = "the process died"
        self.stop()
        return why

    def _start(self) -> Connection:
        if self._process is None or not self._process.is_alive():
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs, self._library), daemon=True)
            self._process.start()
            theirs.close()
            try:
                about = self._pipe.recv() if self._pipe.poll(SECONDS) else "it does not answer"
            except EOFError:
                about = "its process died"
            if isinstance(about, str):
                raise DriverError(f"{self._library}: {about}")
            self.about = about
        assert self._pipe is not None
        return self._pipe

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


# ------------------------------------------------------------------------------------------------- in the device's process


def _serve(pipe: Connection, library: str) -> None:
    try:
        device = Device(library)
    except (DriverError, OSError) as error:
        pipe.send(str(error))
        return
    pipe.send((device.about, device.ptx_version))
    while True:
        path, is_single, names = pipe.recv()
        todo = [case for case in cases.cases(path) if case.name in set(names)]
        try:
            for batch in [[case] for case in todo] if is_single else [todo]:
                for entry in _run(device, batch):
                    pipe.send(entry)
        except DriverError as error:  # the context is lost
            pipe.send(str(error))
            return
        pipe.send(None)


def _run(device: Device, todo: list[GoldenCase]) -> Iterator[Entry]:
    """Results of cases as one module, or of halves of it where the driver refuses it."""
    major, minor = device.about.capability
    suitable = []
    for case in todo:
        instruction = case.subject.instruction
        if instruction.since > device.ptx_version or instruction.target > 10 * major + minor:
            needs = "PTX {}.{} and sm_{}".format(*instruction.since, instruction.target)
            yield Entry(case.name, case.digest, None, f"refused: needs {needs}")
        else:
            suitable.append(case)
    yield from _run_module(device, suitable)


def _run_module(device: Device, todo: list[GoldenCase]) -> Iterator[Entry]:
    if not todo:
        return
    try:
        module = device.load(device.header + "".join(case.entry(f"k{i}") for i, case in enumerate(todo)))
    except DriverError as error:
        if len(todo) == 1:
            yield Entry(todo[0].name, todo[0].digest, None, f"refused: {error}")
        else:
            yield from _run_module(device, todo[: len(todo) // 2])
            yield from _run_module(device, todo[len(todo) // 2 :])
        return
    memory = []
    for i, case in enumerate(todo):
        places = device.allocate(case.input()), device.allocate(bytes(case.output_bytes))
        memory.append(places)
        device.launch(module, f"k{i}", -(-len(case.rows) // THREADS), THREADS, *places)
    device.synchronise()
    for case, (incoming, outgoing) in zip(todo, memory):
        yield Entry(case.name, case.digest, device.read(outgoing, case.output_bytes))
        device.release(incoming)
        device.release(outgoing)
    device.unload(module)


if __name__ == "__main__":
    typer.run(main)
