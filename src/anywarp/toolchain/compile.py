"""Compiles CUDA C++ with clang: `compile_program(find_clang(), source, program, library_dir)`.

A clang with the NVPTX target: the one in the `ziglang` wheel (`pip install ziglang`, tested with 0.17.1), or the system's. A host compiler
links.
"""

from __future__ import annotations

import importlib.util
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from anywarp.toolchain.headers import INCLUDE, runtime_api_header


class CompileError(Exception):
    """A step failed; the message is what the compiler said."""


@dataclass(frozen=True)
class Clang:
    command: tuple[str, ...]  # behaves as clang++
    resource_include: Path | None = None  # its own headers, if it does not find them itself


def find_clang() -> Clang | None:
    """The clang of the ziglang package, else `clang++-N` from $PATH, N at least 19. Clang 15 writes launches of an older form."""
    found = importlib.util.find_spec("ziglang")
    if found is not None and found.origin is not None:
        include = Path(found.origin).parent / "lib" / "include"
        return Clang((sys.executable, "-m", "ziglang", "clang", "--driver-mode=g++", "-target", "x86_64-linux-gnu"), include)
    for version in range(23, 18, -1):
        if (path := shutil.which(f"clang++-{version}")) is not None:
            return Clang((path,))
    return None


def fatbin(ptx: bytes, capability: int) -> bytes:
    """A fat binary with one entry of PTX, not compressed (layout: anywarp.image.fatbin)."""
    text = ptx + bytes(1)
    text += bytes(-len(text) % 8)
    header = bytearray(64)
    struct.pack_into("<HHIQ", header, 0, 1, 0x101, len(header), len(text))
    struct.pack_into("<I", header, 28, capability)
    struct.pack_into("<Q", header, 40, 0x11)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(header) + len(text)) + bytes(header) + text


def compile_program(clang: Clang, source: Path, output: Path, library_dir: Path, options: Sequence[str] = (), capability: int = 80) -> None:
    """One source file to a program that needs libcudart.so.13. Raises CompileError."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "anywarp_runtime_api.h").write_text(runtime_api_header(), encoding="utf-8")
        common = [*clang.command, "-x", "cuda", "-nocudainc", "-nocudalib", "-Xclang", "-target-sdk-version=12.0", "-fdeclspec"]
        common += ["-Wno-unknown-cuda-version", f"-I{INCLUDE}", f"-I{work}", "-std=c++17", "-O2", *options]
        if clang.resource_include is not None:
            common += ["-isystem", str(clang.resource_include)]
        _run([*common, "--cuda-device-only", f"--cuda-gpu-arch=sm_{capability}", "-S", str(source), "-o", str(work / "device.ptx")])
        image = work / "device.fatbin"
        image.write_bytes(fatbin((work / "device.ptx").read_bytes(), capability))
        host = work / "host.o"
        _run(
            [*common, "--cuda-host-only", "-Xclang", "-fcuda-include-gpubinary", "-Xclang", str(image), "-c", str(source), "-o", str(host)]
        )
        link = ["c++", str(host), f"-L{library_dir}", "-l:libcudart.so.13", f"-Wl,-rpath-link,{library_dir}", "-pthread", "-o", str(output)]
        _run(link)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise CompileError(f"{' '.join(command)}\n{done.stderr}")
