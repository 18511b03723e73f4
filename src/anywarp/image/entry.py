"""`Image` and its entries: device code as it was found, and the choice of the PTX to compile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from anywarp.image.compression import decompress
from anywarp.image.errors import ImageError, NoPtxError


@dataclass(slots=True)
class ImageEntry:
    """One piece of device code. `payload` is as it stands in the image; `data()` is decompressed."""

    kind: Literal["ptx", "elf", "other"]
    architecture: int  # 80 for sm_80; 0 if unknown
    suffix: Literal["", "a", "f"] = ""  # sm_90a: for this architecture only; sm_100f: for its family
    name: str = ""  # of the source file, where recorded
    flags: int = 0
    payload: bytes = field(default=b"", repr=False)
    compression: Literal["none", "lz4", "zstd"] = "none"
    size: int = 0  # bytes, decompressed
    raw_kind: int = 0  # the number in the fatbin
    fatbin: int = 0  # offset of its fatbin in the image: a program has one for each of its object files

    @property
    def target(self) -> str:
        """`sm_80`, `compute_90a` for PTX, `code of kind 8 for sm_80` for what has no name here."""
        number = f"{self.architecture or '?'}{self.suffix}"
        if self.kind == "ptx":
            return f"compute_{number}"
        return f"sm_{number}" if self.kind == "elf" else f"code of kind {self.raw_kind} for sm_{number}"

    def data(self) -> bytes:
        """The decompressed bytes, at most `compression.MAX_BYTES`. Raises `ImageError` if they are corrupt."""
        return decompress(self.payload, self.compression, self.size)

    def ptx(self) -> str:
        """The PTX text, without the NUL at its end. Bytes that are no UTF-8 (comments, strings) become U+FFFD."""
        if self.kind != "ptx":
            raise ImageError(f"this entry is {self.target} and no PTX")
        data = self.data()
        end = data.find(b"\0")
        return (data if end < 0 else data[:end]).decode("utf-8-sig", errors="replace")


@dataclass(slots=True)
class Image:
    """All device code of one image, in its order; `container` is what the image was."""

    container: Literal["PTX", "fatbin", "cubin", "ELF"]
    entries: list[ImageEntry]

    def best_entry(self, compute_capability: tuple[int, int]) -> ImageEntry:
        """The PTX for a device: the highest architecture not above its capability, else the lowest above it.

        PTX above the capability is accepted because the device has no machine code of its own to lack. Of several
        entries for one architecture the portable one is taken, then sm_100f, then sm_90a. Raises `NoPtxError`.
        """
        capability = compute_capability[0] * 10 + compute_capability[1]
        candidates = [entry for entry in self.entries if entry.kind == "ptx"]
        if not candidates:
            raise NoPtxError(self._without_ptx())
        below = [entry for entry in candidates if entry.architecture <= capability]
        if below:
            return min(below, key=lambda entry: (-entry.architecture, _SUFFIXES.index(entry.suffix)))
        return min(candidates, key=lambda entry: (entry.architecture, _SUFFIXES.index(entry.suffix)))

    def best_ptx(self, compute_capability: tuple[int, int]) -> str:
        """The text of `best_entry`. Raises `NoPtxError`, or `ImageError` if the entry is corrupt."""
        return self.best_entry(compute_capability).ptx()

    def _without_ptx(self) -> str:
        code = [entry for entry in self.entries if entry.kind == "elf"]
        other = [entry for entry in self.entries if entry.kind == "other"]
        held = []
        if code:
            held.append(f"machine code for {_list(code, lambda entry: entry.target)}")
        if other:
            held.append(_list(other, lambda entry: entry.target))
        what = f"{' and '.join(held)} and no PTX" if held else "no device code"
        number = code[0].architecture if code else other[0].architecture if other else 0
        return f"{self.container} holds {what}; rebuild with {_rebuild(number)}"


_SUFFIXES = ("", "f", "a")


def _list(entries: list[ImageEntry], name: Callable[[ImageEntry], str]) -> str:
    return ", ".join(dict.fromkeys(map(name, entries)))


def _rebuild(architecture: int) -> str:
    number = architecture or 80
    return f"-gencode arch=compute_{number},code=compute_{number}"
