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
from dataclasses import dataclass, field
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

_ARCHIVE = b"!<arch>\n"
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
    console, errors = Console(), Console(stderr=True)
    seen: set[bytes] = set()
    chosen: list[Sampled] = []
    generator = random.Random(seed)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption="times in seconds of CPU; open: entries that call what other modules define")
    table.add_column("file", overflow="fold")
    for column in ("modules", "again", "MB", "entries", "parse", "build", "open", "failed"):
        table.add_column(column, justify="right", no_wrap=True)
    total = Counts()
    for path in _files(paths):
        found = Counts()
        for place, text in _texts(path, path in paths):
            _check_module(found, place, text, seen, chosen, compile, generator, total.entries)
        if found.modules or found.again or found.failures:
            table.add_row(_short(path, paths), *_row(found))
            total.entries += found.entries
            for name in ("modules", "again", "bytes", "parse_seconds", "build_seconds", "open_entries"):
                setattr(total, name, getattr(total, name) + getattr(found, name))
            total.failures += found.failures
            for failure in found.failures:
                errors.print(f"[red]failed[/red] {failure}", highlight=False, soft_wrap=True)
    table.add_section()
    table.add_row("all", *_row(total))
    console.width = max(console.width, 100)
    console.print(table)
    bad = _compile(chosen, seconds, console, errors) if chosen else 0
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
    pieces = _members(data) if data.startswith(_ARCHIVE) else [("", data)]
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


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The members of an `ar` archive."""
    at, names = len(_ARCHIVE), b""
    while at + 60 <= len(data):
        name, size = data[at : at + 16].rstrip(), int(data[at + 48 : at + 58])
        body = data[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
        if name == b"//":
            names = body
        elif name not in (b"/", b"/SYM64/"):
            if name[:1] == b"/" and name[1:].isdigit():
                name = names[int(name[1:]) :].partition(b"\n")[0]
            yield name.rstrip(b"/").decode(errors="replace"), body


def _check_module(
    found: Counts,
    place: str,
    text: str,
    seen: set[bytes],
    chosen: list[Sampled],
    wanted: int,
    generator: random.Random,
    before: int,
) -> None:
    from anywarp import pipeline, ptx
    from anywarp.ir.build import build

    digest = hashlib.sha256(text.encode()).digest()
    if digest in seen:
        found.again += 1
        return
    seen.add(digest)
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
        except ptx.PtxError as error:
            if "not defined" in str(error) and re.search(r"extern|function", str(error)):
                found.open_entries += 1
            else:
                found.failures.append(f"{place}: {function.name}: {error}")
            continue
        finally:
            found.build_seconds += time.process_time() - start
        # A sample of fixed size of a stream of unknown length (reservoir sampling).
        if len(chosen) < wanted:
            chosen.append(Sampled(place, module, function.name))
        elif wanted and (slot := generator.randrange(before + found.entries)) < wanted:
            chosen[slot] = Sampled(place, module, function.name)


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
