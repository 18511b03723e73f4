"""`anywarp check PATH...`: does the compiler take every piece of PTX in files and folders: wheels' libraries, archives, fatbins, texts?

Every module is parsed and verified, every entry is made IR (which decides each instruction's declaration and operands); of all entries a
seeded sample is compiled to objects, each in a process of its own with a time limit. Reports counts, times and failures.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import resource
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from anywarp.cli import files

if TYPE_CHECKING:
    from anywarp.image import Image
    from anywarp.ptx import tree

_FATBIN = b"\x50\xed\x55\xba"
_TEXT = re.compile(rb"\.version[ \t]+\d\.\d[^\0]*?\.target[^\0]*")  # begins with a literal: found at the speed of memory


@dataclass
class Counts:
    """What was found in one file. CPU seconds."""

    modules: int = 0
    again: int = 0  # modules that stood in an earlier file too
    entries: int = 0
    parse_seconds: float = 0.0
    build_seconds: float = 0.0
    bytes: int = 0
    open_entries: int = 0  # call functions that other modules define: not built
    failures: list[str] = field(default_factory=list)

    def add(self, other: Counts) -> None:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass
class Sampled:
    """An entry of the sample: where its module is, and how its compilation ended ("" is well)."""

    place: str
    module: tree.Module
    entry: str
    seconds: float = 0.0
    outcome: str = ""


def check(
    paths: Annotated[list[Path], typer.Argument(help="Files, or folders to search.", show_default=False)],
    compile: Annotated[int, typer.Option(help="Entries to compile, a seeded sample (all if there are no more).")] = 0,
    seed: Annotated[int, typer.Option(help="Of the sample.")] = 1,
    seconds: Annotated[int, typer.Option(help="Time limit of one compilation.")] = 60,
) -> None:
    """Parse, verify and build every PTX module in files or folders; compile a sample. The exit status is 1 if anything failed."""
    from anywarp import image

    console, errors = Console(), Console(stderr=True)
    checker = _Checker(compile, seed)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption="times in seconds of CPU; open: entries that call what other modules define")
    table.add_column("file", overflow="fold")
    for column in ("modules", "again", "MB", "entries", "parse", "build", "open", "failed"):
        table.add_column(column, justify="right", no_wrap=True)
    total = Counts()
    for path in _files(paths):
        found = Counts()
        try:
            for place, text in _texts(path, path in paths):
                checker.check(found, place, text)
        except image.ImageError as error:
            found.failures.append(f"{path}: {error}")
        if found.modules or found.again or found.failures:
            table.add_row(_short(path, paths), *_row(found))
            total.add(found)
            for failure in found.failures:
                errors.print(f"[red]failed[/red] {failure}", highlight=False, soft_wrap=True)
    table.add_section()
    table.add_row("all", *_row(total))
    console.width = max(console.width, 100)
    console.print(table)
    bad = _compile(checker.chosen, seconds, console, errors) if checker.chosen else 0
    if total.failures or bad:
        raise typer.Exit(1)


def _row(found: Counts) -> tuple[str, ...]:
    numbers = (found.modules, found.again, f"{found.bytes / 1e6:.1f}", found.entries, f"{found.parse_seconds:.1f}")
    return tuple(map(str, (*numbers, f"{found.build_seconds:.1f}", found.open_entries, len(found.failures))))


def _short(path: Path, roots: list[Path]) -> str:
    return next((str(path.relative_to(root)) for root in roots if root.is_dir() and path.is_relative_to(root)), str(path))


def _files(paths: list[Path]) -> Iterator[Path]:
    """All files, each once, whatever links lead to it."""
    seen: set[tuple[int, int]] = set()
    for path in paths:
        if not path.exists():
            raise files.fail(f"{path}: there is no such file or folder")
        for each in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if each.is_file() and (identity := (each.stat().st_dev, each.stat().st_ino)) not in seen:
                seen.add(identity)
                yield each


def _texts(path: Path, is_named: bool) -> Iterator[tuple[str, str]]:
    """Every PTX text in a file, with its place. `is_named`: by the caller, and not found in a folder."""
    data = path.read_bytes()
    if _FATBIN not in data and b".version" not in data:
        return
    from anywarp.compiler.link import ARCHIVE, members

    pieces = members(data) if data.startswith(ARCHIVE) else [("", data)]
    for name, piece in pieces:
        place = f"{path}({name})" if name else str(path)
        held = _read(piece)
        # Sources that begin with a comment look like PTX too.
        entries = held.entries if held and (held.container != "PTX" or path.suffix == ".ptx" or is_named) else []
        texts = [entry for entry in entries if entry.kind == "ptx"]
        for number, entry in enumerate(texts):
            yield f"{place}, {entry.target} {number}", entry.ptx()
        if not texts and piece[:4] == b"\x7fELF":  # libraries hold PTX as data too
            for match in _TEXT.finditer(piece):
                if match.start() > 0 and piece[match.start() - 1 : match.start()] not in (b"\0", b"\n", b" ", b"\t"):
                    continue
                yield f"{place} at {match.start():#x}", match[0].decode("utf-8", errors="replace")


def _read(data: bytes) -> Image | None:
    from anywarp import image

    try:
        return image.read(data)
    except image.ImageError:
        return None


class _Checker:
    """Looks at modules, each text once, and chooses the sample of their entries."""

    def __init__(self, wanted: int, seed: int) -> None:
        self.chosen: list[Sampled] = []
        self._wanted, self._generator = wanted, random.Random(seed)
        self._seen: set[bytes] = set()
        self._built = 0  # entries that may be chosen

    def check(self, found: Counts, place: str, text: str) -> None:
        """Parses and builds a module and adds to the counts of its file."""
        from anywarp import pipeline, ptx
        from anywarp.ir.build import build

        digest = hashlib.sha256(text.encode()).digest()
        if digest in self._seen:
            found.again += 1
            return
        self._seen.add(digest)
        found.modules += 1
        found.bytes += len(text)
        start = time.process_time()
        try:
            module = pipeline.read_module(text)
        except ptx.PtxError as error:
            found.failures.append(f"{place}: {error}")
            return
        finally:
            found.parse_seconds += time.process_time() - start
        for function in module.functions.values():
            if function.kind != "entry" or function.body is None:
                continue
            found.entries += 1
            start = time.process_time()
            try:
                build(module, function.name)
            except ptx.UndefinedFunction:
                found.open_entries += 1
            except ptx.PtxError as error:
                found.failures.append(f"{place}: {function.name}: {error}")
            else:
                self._offer(Sampled(place, module, function.name))
            finally:
                found.build_seconds += time.process_time() - start

    def _offer(self, entry: Sampled) -> None:
        """A sample of fixed size of a stream of unknown length (reservoir sampling)."""
        self._built += 1
        if len(self.chosen) < self._wanted:
            self.chosen.append(entry)
        elif self._wanted and (slot := self._generator.randrange(self._built)) < self._wanted:
            self.chosen[slot] = entry


def _compile(chosen: list[Sampled], seconds: int, console: Console, errors: Console) -> int:
    """Compiles the sample; gives the number of failures, those over the time limit not among them."""
    for each in chosen:
        _compile_one(each, seconds)
        if each.outcome:
            errors.print(f"[red]{each.place}[/red]: {each.entry}: {each.outcome}", highlight=False, soft_wrap=True)
    late = [each for each in chosen if each.outcome.startswith("over ")]
    bad = [each for each in chosen if each.outcome and not each.outcome.startswith("over ")]
    times = sorted(each.seconds for each in chosen if not each.outcome)
    done = f", {sum(times):.0f} s of CPU, median {times[len(times) // 2]:.2f}, longest {times[-1]:.1f}" if times else ""
    console.print(f"compiled {len(times)} of {len(chosen)} entries{done}; {len(late)} took more than {seconds} s, {len(bad)} failed")
    return len(bad)


def _compile_one(each: Sampled, seconds: int) -> None:
    incoming, outgoing = os.pipe()
    child = os.fork()
    if child == 0:
        message = b"died"
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + seconds, int(time.process_time()) + seconds + 5))
            signal.signal(signal.SIGXCPU, signal.SIG_DFL)
            message = _outcome(each).encode()[:4000]
        finally:
            os.write(outgoing, message)
            os._exit(0)
    os.close(outgoing)
    with os.fdopen(incoming, "rb") as pipe:
        said = pipe.read().decode()
    _, status, usage = os.wait4(child, 0)
    each.seconds = usage.ru_utime + usage.ru_stime
    if os.WIFSIGNALED(status):
        killed = signal.Signals(os.WTERMSIG(status))
        each.outcome = f"over {seconds} s of CPU" if killed is signal.SIGXCPU else f"the compiler died of {killed.name}"
    else:
        each.outcome = said


def _outcome(each: Sampled) -> str:
    from anywarp import pipeline, ptx
    from anywarp.codegen.llvm import CodegenError

    try:
        pipeline.compile_kernel(each.module, each.entry)
    except (ptx.PtxError, CodegenError) as error:
        return str(error)
    except Exception as error:  # whatever it is, this is the place that says so
        return f"internal error: {type(error).__name__}: {error}"
    return ""
