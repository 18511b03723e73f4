"""`anywarp doctor [FILE]`: what is installed, what will work, what is missing and the command that mends it.

Without a file: the machine, the native libraries, the compiler, the cache, then client by client. With one: what a program or an image
holds, and whether it will run (examine.py). The exit status is 1 where something that Anywarp itself needs is broken, or the file will
not run.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import anywarp
from anywarp import runtime_paths
from anywarp.cli.findings import BAD, GOOD, WARNING, Finding, show


def doctor(
    file: Annotated[Path | None, typer.Argument(help="A program, a library, PTX or a fatbin: will it run?", show_default=False)] = None,
) -> None:
    """Say what is installed, what will work, and the command that mends what does not."""
    console = Console()
    if file is not None:
        from anywarp.cli.examine import examine

        findings = examine(file)
        show(console, str(file), findings)
    else:
        findings = [*machine(), *native(), *compiler(), *cache()]
        show(console, f"anywarp {anywarp.__version__}", findings)
        show(console, f"clients in {sys.prefix}", clients())
    if any(f.mark == BAD for f in findings):
        raise typer.Exit(1)


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
