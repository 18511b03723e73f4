"""`anywarp doctor [FILE]`: what is installed, what will work, what is missing and the command that mends it.

Without a file: the machine, the native libraries, the compiler, the cache, then client by client. With one: what a program or an image
holds, and whether it will run. The exit status is 1 where something that Anywarp itself needs is broken, or the file will not run.
"""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

import anywarp
from anywarp import runtime_paths
from anywarp.cli import files

GOOD, WARNING, BAD = "[green]ok[/green]  ", "[yellow]--[/yellow]  ", "[red]no[/red]  "


@dataclass
class Finding:
    """One line of the report, and the command that mends it."""

    mark: str
    text: str
    mend: str = ""


def doctor(
    file: Annotated[Path | None, typer.Argument(help="A program, a library, PTX or a fatbin: will it run?", show_default=False)] = None,
) -> None:
    """Say what is installed, what will work, and the command that mends what does not."""
    console = Console()
    if file is not None:
        findings = examine_file(file)
        _print(console, str(file), findings)
    else:
        findings = [*machine(), *native(), *compiler(), *cache()]
        _print(console, f"anywarp {anywarp.__version__}", findings)
        _print(console, f"clients in {sys.prefix}", clients())
    if any(f.mark == BAD for f in findings):
        raise typer.Exit(1)


def _print(console: Console, title: str, findings: list[Finding]) -> None:
    console.print(f"[bold]{escape(title)}[/bold]", soft_wrap=True)
    for f in findings:
        console.print(f"  {f.mark}{escape(f.text)}", soft_wrap=True, highlight=False)
        if f.mend:
            console.print(f"      [bold]{escape(f.mend)}[/bold]", soft_wrap=True, highlight=False)


def machine() -> list[Finding]:
    """The processor and the interpreter."""
    cores = len(os.sched_getaffinity(0))
    system, processor = platform.system(), platform.machine()
    supported = system == "Linux" and processor in ("x86_64", "aarch64")
    found = [
        Finding(
            GOOD if supported else BAD, f"{system} {processor}, {cores} cores", "" if supported else "Linux on x86-64 or aarch64 is needed"
        )
    ]
    version = platform.python_version()
    found.append(Finding(GOOD if sys.version_info >= (3, 10) else BAD, f"Python {version} at {sys.executable}"))
    if os.path.exists("/dev/nvidiactl"):
        found.append(Finding(WARNING, "an NVIDIA driver is installed too; `anywarp run` hides it from the program"))
    return found


def native() -> list[Finding]:
    """The native libraries: whether they are there, load, and answer."""
    try:
        folder = runtime_paths.library_dir()
    except runtime_paths.RuntimeNotFound as error:
        return [Finding(BAD, "the native libraries are missing", str(error))]
    libraries = sorted(name for name in os.listdir(folder) if ".so." in name)
    found = [Finding(GOOD, name + (f" in {folder}" if name == runtime_paths.DRIVER else "")) for name in libraries]
    if not any(name.startswith("libcudart") for name in os.listdir(folder)):
        found.append(Finding(WARNING, "libcudart is not built: programs with the shared CUDA runtime do not start"))
    try:
        library = ctypes.CDLL(runtime_paths.driver())
        version, count, status = ctypes.c_int(), ctypes.c_int(), library.cuInit(0)
        library.cuDriverGetVersion(ctypes.byref(version))
        library.cuDeviceGetCount(ctypes.byref(count))
        name = ctypes.create_string_buffer(256)
        library.cuDeviceGetName(name, 256, 0)
    except OSError as error:
        return [*found, Finding(BAD, f"libcuda.so.1 does not load: {error}", "pip install --force-reinstall .   (in the source tree)")]
    if status != 0:
        return [*found, Finding(BAD, f"cuInit gives {status}")]
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return [*found, Finding(GOOD, f"CUDA {cuda}, {count.value} device{'s' * (count.value != 1)}: {name.value.decode()}")]


_PROBE = """.version 7.5
.target sm_80
.address_size 64
.visible .entry probe() { ret; }
"""


def compiler() -> list[Finding]:
    """The compiler's dependencies, and an empty kernel through all stages."""
    try:
        import llvmlite

        from anywarp import pipeline

        start = time.perf_counter()
        pipeline.compile_kernel(pipeline.read_module(_PROBE), "probe")
        spent = 1000 * (time.perf_counter() - start)
    except ImportError as error:
        return [Finding(BAD, f"the compiler lacks {error.name}", f"{sys.executable} -m pip install {error.name}")]
    except Exception as error:  # whatever it is, this is the place that says so
        return [Finding(BAD, f"the compiler fails: {type(error).__name__}: {error}")]
    return [Finding(GOOD, f"compiler: llvmlite {llvmlite.__version__}, an empty kernel in {spent:.0f} ms")]


def cache() -> list[Finding]:
    """Whether the cache can be written."""
    from anywarp.cache import store

    folder = store.directory()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return [
            Finding(
                WARNING,
                f"the cache {folder} cannot be written ({error.strerror}): every process compiles again",
                "export ANYWARP_CACHE_DIR=FOLDER",
            )
        ]
    return [Finding(GOOD, f"cache {folder}")]


def clients() -> list[Finding]:
    """Client by client, for this interpreter's environment."""
    from anywarp.integrations.catalogue import CLIENTS

    found = []
    for client in CLIENTS:
        version = client.version()
        if version is None and not client.is_importable():
            found.append(Finding(WARNING, f"{client.name}: not installed", client.install))
            continue
        title = f"{client.name} {version or ''}".strip()
        missing = client.missing()
        for need in missing:
            found.append(Finding(BAD, f"{title}: {need.what} is missing", need.mend))
        if not missing and not client.tested:
            found.append(Finding(WARNING, f"{title}: {client.note}"))
        elif not missing:
            tested = "" if version == client.tested else f" (tested with {client.tested})"
            found.append(Finding(GOOD, f"{title}{tested}: {client.note}"))
    return found


def examine_file(path: Path) -> list[Finding]:
    """Whether a program or an image will run."""
    data = files.read(path)
    found: list[Finding] = []
    is_elf = data[:4] == b"\x7fELF"
    if is_elf:
        found += _linkage(path)
    found += _image(data, is_elf)
    return found


def _image(data: bytes, is_elf: bool) -> list[Finding]:
    from anywarp import image, pipeline, ptx

    try:
        held = image.describe(data).strip().splitlines()
    except image.ImageError as error:
        if is_elf and not data.count(b"\x50\xed\x55\xba"):
            return [Finding(WARNING, "holds no device code of its own; libraries that it loads may")]
        return [Finding(BAD, str(error))]
    found = [Finding(GOOD, line.strip()) for line in held]
    try:
        module = pipeline.read_module(pipeline.read_image(data))
    except image.ImageError as error:
        return [*found, Finding(BAD, str(error), "build it with PTX: nvcc -gencode arch=compute_80,code=compute_80 …")]
    except ptx.PtxError as error:
        return [*found, Finding(BAD, str(error))]
    names = [f.name for f in module.functions.values() if f.kind == "entry" and f.body is not None]
    bad = []
    for name in names[:200]:
        try:
            pipeline.compile_kernel(module, name)
        except Exception as error:
            bad.append(Finding(BAD, f"{name}: {error}"))
    return [*found, Finding(GOOD, f"{min(len(names), 200) - len(bad)} of {len(names)} kernels compile"), *bad]


def _linkage(path: Path) -> list[Finding]:
    """Which CUDA libraries a program asks the loader for."""
    try:
        listing = subprocess.run(["readelf", "-d", str(path)], capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired):
        return [Finding(WARNING, "readelf is missing: which libraries it needs is unknown", "apt-get install binutils")]
    needed = [line.split("[")[1].rstrip("] ") for line in listing.splitlines() if "(NEEDED)" in line]
    folder = runtime_paths.library_dir()
    found = []
    for name in needed:
        if name.startswith(("libcuda.", "libcudart.")):
            if os.path.exists(os.path.join(folder, name)):
                found.append(Finding(GOOD, f"needs {name}: ours"))
            else:
                found.append(Finding(BAD, f"needs {name}: not there yet"))
        elif name.startswith(("libcu", "libnv", "libnccl")):
            found.append(Finding(WARNING, f"needs {name}: not ours; where its kernels are machine code they do not run"))
    if not any(name.startswith("libcudart.") for name in needed):
        symbols = subprocess.run(["readelf", "-sW", str(path)], capture_output=True, text=True).stdout
        if "__cudaRegisterFatBinary" in symbols:
            found.append(Finding(BAD, "has the CUDA runtime linked in statically", "build it with: nvcc -cudart shared …"))
    return found
