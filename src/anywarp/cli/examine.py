"""`anywarp doctor FILE`: what a program, library or image holds, which CUDA libraries it needs, and what of it will fail and why."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from anywarp import image, runtime_paths
from anywarp.api import redirect, table
from anywarp.cli import files
from anywarp.cli.findings import BAD, GOOD, WARNING, Finding
from anywarp.compiler.link import ARCHIVE, texts_of
from anywarp.image.linkage import Linkage, read_linkage
from anywarp.ptx import device_runtime

COMPILE_SECONDS = 30.0  # kernels that are not compiled by then are not tried
MOST_SHOWN = 10  # kernels that do not compile: the answer stays within a screen
_SHARED = "build it with: nvcc -cudart shared …, or do not strip it"
_WHOLE_RUNTIME = 200  # entry points, as in src/runtime/redirect
_MACHINES = {"AMD64": "x86_64", "arm64": "aarch64"}


def examine(path: Path) -> list[Finding]:
    """The findings about a file. Ends the program with a message where it cannot be read."""
    data = files.read(path)
    if data.startswith(ARCHIVE):
        return [_static_library(path.name, data)]
    linkage: Linkage | None = None
    found: list[Finding] = []
    if data[:4] == b"\x7fELF" and not _is_machine_code(data):
        try:
            linkage = read_linkage(data)
        except image.ImageError as error:
            return [Finding(BAD, str(error))]
        found += _host(linkage)
    return [*found, *_device_code(data, linkage)]


def _static_library(name: str, data: bytes) -> Finding:
    """It is linked into programs: what matters is whether it has PTX for them."""
    if device_runtime.LIBRARY in name:
        return Finding(GOOD, "CUDA's device runtime: ours takes its place in programs that are linked with it")
    try:
        count = sum(1 for _ in texts_of(name, data, (8, 0)))
    except image.ImageError as error:
        return Finding(BAD, str(error))
    if count == 0:
        return Finding(WARNING, "a static library without PTX for programs to link with; ask about the program that it is linked into")
    return Finding(GOOD, f"a static library, {count} of whose members hold PTX, which programs can be linked with (cuLinkAddData)")


def _is_machine_code(data: bytes) -> bool:
    return int.from_bytes(data[18:20], "little") == 190  # a GPU's


def _host(linkage: Linkage) -> list[Finding]:
    found = []
    machine = _MACHINES.get(platform.machine(), platform.machine())
    if linkage.machine != machine:
        found.append(Finding(BAD, f"built for {linkage.machine}; this machine is {machine}", f"build it for {machine}"))
    found += [_library(name) for name in linkage.needed if name.startswith(("libcu", "libnv", "libnccl"))]
    return [*found, *_runtime(linkage), *_missing_functions(linkage)]


def _library(name: str) -> Finding:
    if name.startswith(("libcuda.", "libcudart.")):
        if os.path.exists(os.path.join(runtime_paths.library_dir(), name)):
            return Finding(GOOD, f"needs {name}: ours")
        return Finding(BAD, f"needs {name}: there is none of that version")
    return Finding(WARNING, f"needs {name}: NVIDIA's; calls of it work as far as it needs no machine code of its own")


def _runtime(linkage: Linkage) -> list[Finding]:
    """Which CUDA runtime it uses: a shared one is among the libraries."""
    majors = redirect.majors(table.load("runtime"))
    own = linkage.functions & majors.keys()
    own |= linkage.exports & majors.keys() if len(linkage.exports & majors.keys()) >= _WHOLE_RUNTIME else set()
    if own:
        version = max(table.LIBCUDART_MAJORS, key=lambda major: (sum(major in majors[name] for name in own), major))
        if not linkage.is_dynamic:
            return [
                Finding(
                    BAD, "has the CUDA runtime inside and is no dynamic program, so it cannot load a driver", "build it without -static"
                )
            ]
        text = f"has the CUDA runtime {version} linked in statically; its {len(own)} entry points are sent to our libcudart.so.{version}"
        if runtime_paths.redirect() is None:
            return [Finding(BAD, f"{text}, but {runtime_paths.REDIRECT} is not built")]
        return [Finding(GOOD, text)]
    if linkage.has_device_code and "__cudaRegisterFatBinary" not in linkage.imports:
        why = "" if linkage.has_symbols else ", and its symbols were stripped"
        return [Finding(BAD, f"holds device code and a CUDA runtime whose entry points cannot be found{why}: its CUDA calls fail", _SHARED)]
    return []


def _missing_functions(linkage: Linkage) -> list[Finding]:
    """Functions that it asks other libraries for, and that ours do not implement."""
    path = runtime_paths.missing_functions()
    if path is None:
        return []
    with open(path, encoding="utf-8") as file:
        missing = dict(line.rstrip("\n").partition(" ")[::2] for line in file)
    called = sorted({name.partition("@")[0] for name in linkage.imports} & missing.keys())
    return [
        Finding(
            WARNING,
            f"may call {name}, which is not implemented{': it ' * bool(missing[name])}{missing[name]}; it returns 801, not supported",
        )
        for name in called
    ]


def _device_code(data: bytes, linkage: Linkage | None) -> list[Finding]:
    try:
        held = image.read(data)
    except image.ImageError as error:
        if linkage is not None and not linkage.has_device_code:
            return [Finding(WARNING, "holds no device code of its own; libraries that it loads may")]
        return [Finding(BAD, str(error))]
    if not held.entries:
        return [Finding(WARNING, "holds no device code of its own; libraries that it loads may")]
    fatbins: dict[int, list[image.ImageEntry]] = {}
    for entry in held.entries:
        fatbins.setdefault(entry.fatbin, []).append(entry)
    counts = Counter((e.kind != "ptx", e.target) for e in held.entries)
    container = f"{held.container} with {len(fatbins)} fatbin{'s' * (len(fatbins) > 1)}" if linkage is not None else held.container
    found = [Finding(GOOD, f"{container}: {_targets(counts)}")]
    texts: list[tuple[str, str]] = []
    for number, entries in enumerate(fatbins.values(), 1):
        one = image.Image(held.container, entries)
        try:
            texts.append((f"fatbin {number}", one.best_ptx((8, 0))))
        except image.NoPtxError as error:
            if linkage is None or not linkage.is_relocatable:
                found.append(Finding(BAD, f"fatbin {number} of {len(fatbins)}: {error}"))
        except image.ImageError as error:
            found.append(Finding(BAD, f"fatbin {number} of {len(fatbins)}: {error}"))
    if linkage is not None and linkage.is_relocatable and not texts:
        found.append(Finding(BAD, "its device code is machine code only", "build it with: nvcc -gencode arch=compute_80,code=compute_80 …"))
    return [*found, *_kernels(texts, linkage is not None and linkage.is_relocatable)]


def _targets(counts: Counter[tuple[bool, str]]) -> str:
    """Counts of (is machine code, target) in words."""

    def listed(is_code: bool) -> str:
        return ", ".join(f"{t}{f' ({n} times)' if n > 1 else ''}" for (c, t), n in sorted(counts.items()) if c == is_code)

    parts = [f"PTX for {listed(False)}"] if listed(False) else []
    return "; ".join(parts + ([f"machine code, which is not used, for {listed(True)}"] if listed(True) else []))


def _kernels(texts: Iterable[tuple[str, str]], is_relocatable: bool) -> list[Finding]:
    """Compiles what there is, for a while."""
    from anywarp import pipeline, ptx
    from anywarp.compiler.link import link

    texts = list(texts)
    total, compiled, bad = 0, 0, []
    deadline = time.monotonic() + COMPILE_SECONDS
    try:
        if is_relocatable and texts:
            texts = [("linked", link(texts))]
    except ptx.PtxError as error:
        return [Finding(BAD, f"its device code cannot be linked: {error}")]
    for name, text in texts:
        try:
            module = pipeline.read_module(text)
        except ptx.PtxError as error:
            bad.append(Finding(BAD, f"{name}: {error}" if len(texts) > 1 else str(error)))
            continue
        for kernel in [f.name for f in module.functions.values() if f.kind == "entry" and f.body is not None]:
            total += 1
            if time.monotonic() > deadline:
                continue
            try:
                pipeline.compile_kernel(module, kernel)
                compiled += 1
            except Exception as error:  # whatever it is, this is the place that says so
                bad.append(Finding(BAD, f"{kernel}: {error}"))
    if total == 0 and not bad:
        return []
    untried = total - compiled - sum(1 for _ in bad)
    mark = BAD if bad else GOOD if compiled else WARNING
    more = f"; {untried} not tried" if untried > 0 else ""
    shown = bad if len(bad) <= MOST_SHOWN else [*bad[:MOST_SHOWN], Finding(BAD, f"and {len(bad) - MOST_SHOWN} more")]
    return [Finding(mark, f"{compiled} of {total} kernels compile{more}"), *shown]
