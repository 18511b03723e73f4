"""ELF files as images: a host object, library or program with fatbins in it, or device machine code ("cubin")."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from anywarp.image.entry import Image, ImageEntry
from anywarp.image.errors import ImageError
from anywarp.image.fatbin import read_fatbins

MAGIC: Final = b"\x7fELF"
_EM_CUDA: Final = 190
_FATBIN_SECTIONS: Final = (b".nv_fatbin", b"__nv_relfatbin")
_SHT_NOBITS: Final = 8
_HEADER: Final = struct.Struct("<16xHHIQQQIHHHHHH")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")


def read_elf(data: bytes) -> Image:
    """The fatbins in a host ELF, or the machine code that the ELF itself is. Raises `ImageError`."""
    if len(data) < 64:
        raise ImageError("ELF image is cut off in its header")
    if data[4] != 2 or data[5] != 1:
        raise ImageError("ELF image is not a 64-bit little-endian one")
    header = _HEADER.unpack_from(data, 0)
    machine, flags = header[1], header[6]
    if machine == _EM_CUDA:
        return Image("cubin", [ImageEntry("elf", _architecture(data[8], flags), payload=data, size=len(data), raw_kind=2)])
    entries: list[ImageEntry] = []
    for offset, end in _fatbin_sections(data, header):
        entries.extend(read_fatbins(data, offset, end))
    return Image("ELF", entries)


def _architecture(abi_version: int, flags: int) -> int:
    """The number of sm_80 in the flags of a cubin: the second byte since ABI version 8 (CUDA 13), else the first."""
    return flags >> 8 & 0xFF if abi_version >= 8 else flags & 0xFF


def _fatbin_sections(data: bytes, header: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Begin and end of each section that holds fatbins."""
    table, entry_size, count, names_index = header[5], header[10], header[11], header[12]
    if count and (entry_size < _SECTION.size or table + count * entry_size > len(data)):
        raise ImageError("ELF image is cut off: its section headers lie behind its end")
    sections = [_SECTION.unpack_from(data, table + i * entry_size) for i in range(count)]
    if names_index >= len(sections):
        return
    names = sections[names_index][4]
    for name, kind, _, _, offset, size, *_ in sections:
        begin = names + name
        longest = data[begin : begin + 32]
        if kind == _SHT_NOBITS or longest.split(b"\0", 1)[0] not in _FATBIN_SECTIONS:
            continue
        if offset + size > len(data):
            raise ImageError("ELF image is cut off: its fatbin section lies behind its end")
        yield offset, offset + size
