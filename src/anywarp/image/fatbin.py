"""Fatbins, the container that nvcc, clang and fatbinary make.

    header  magic u32, version u16, header bytes u16, bytes behind the header u64
    entry   0 kind u16 (1 PTX, 2 ELF), 2 version u16, 4 header bytes u32, 8 payload bytes u64 (padded),
            16 compressed bytes u32 (0: not compressed), 24 PTX version u16 minor, u16 major, 28 architecture u32,
            32 offset and 36 length u32 of the source's name, 40 flags u64, 56 decompressed bytes u64

All little-endian, offsets from the beginning of the entry. Read off the fatbins that nvcc 13.0 makes of one source with
each `--compress-mode`, with `-G` and for sm_90a and sm_100f. Several fatbins may follow one another (in a section
`.nv_fatbin` they do), with zeros in between.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, Literal, cast

from anywarp.image.entry import ImageEntry
from anywarp.image.errors import ImageError

MAGIC: Final = 0xBA55ED50
MAGIC_BYTES: Final = struct.pack("<I", MAGIC)
WRAPPER_MAGIC: Final = 0x466243B1
"""First word of the structure {magic u32, version u32, pointer to fatbin, pointer} that a program registers."""

FLAG_LZ4: Final = 0x2000
FLAG_ZSTD: Final = 0x8000
FLAG_ARCHITECTURE_SPECIFIC: Final = 0x100000  # sm_90a
FLAG_FAMILY_SPECIFIC: Final = 0x200000  # sm_100f

_HEADER: Final = struct.Struct("<IHHQ")
_LEAST_ENTRY_HEADER: Final = 48
_KINDS: Final = {1: "ptx", 2: "elf"}


def read_fatbins(data: bytes, offset: int = 0, end: int | None = None) -> Iterator[ImageEntry]:
    """The entries of the fatbin at `offset` and of those that follow it before `end`. Raises `ImageError`."""
    limit = len(data) if end is None else end
    while offset < limit:
        if data[offset : offset + 4] != MAGIC_BYTES:
            if any(data[offset : offset + 4]):
                return  # what follows is not ours
            offset += _zeros(data, offset, limit)
            continue
        if limit - offset < _HEADER.size:
            raise ImageError(f"fatbin at offset {offset} is cut off in its header")
        _, _, header_size, size = _HEADER.unpack_from(data, offset)
        if header_size < _HEADER.size:
            raise ImageError(f"fatbin at offset {offset} has a header of {header_size} bytes; expected {_HEADER.size}")
        begin, stop = offset + header_size, offset + header_size + size
        if stop > limit:
            raise ImageError(
                f"fatbin at offset {offset} is cut off: its header says {header_size + size} bytes, {limit - offset} are there"
            )
        for entry in _read_entries(data, begin, stop):
            entry.fatbin = offset
            yield entry
        offset = stop


def _zeros(data: bytes, offset: int, limit: int) -> int:
    """How many zeros to skip, a multiple of 4 at least."""
    start = offset
    while offset < limit and not any(data[offset : offset + 4096]):
        offset += 4096
    while offset < limit and not any(data[offset : offset + 4]):
        offset += 4
    return max(offset - start, 4)


def _read_entries(data: bytes, offset: int, stop: int) -> Iterator[ImageEntry]:
    while offset < stop:
        if stop - offset < _LEAST_ENTRY_HEADER:
            raise ImageError(f"fatbin entry at offset {offset} is cut off in its header")
        kind, _, header_size, payload_size = struct.unpack_from("<HHIQ", data, offset)
        if not _LEAST_ENTRY_HEADER <= header_size <= stop - offset:
            raise ImageError(f"fatbin entry at offset {offset} has a header of {header_size} bytes")
        if payload_size > stop - offset - header_size:
            raise ImageError(f"fatbin entry at offset {offset} is cut off: it says {payload_size} bytes of payload")
        yield _entry(data, offset, kind, header_size, payload_size)
        offset += header_size + payload_size


def _entry(data: bytes, offset: int, kind: int, header_size: int, payload_size: int) -> ImageEntry:
    (compressed_size,) = struct.unpack_from("<I", data, offset + 16)
    architecture, name_offset, name_size, flags = struct.unpack_from("<IIIQ", data, offset + 28)
    size = struct.unpack_from("<Q", data, offset + 56)[0] if header_size >= 64 else 0
    compression: Literal["none", "lz4", "zstd"] = "none"
    if flags & FLAG_ZSTD:
        compression = "zstd"
    elif flags & FLAG_LZ4:
        compression = "lz4"
    elif compressed_size:
        raise ImageError(f"fatbin entry at offset {offset} is compressed in an unknown way (flags {flags:#x})")
    if compression == "none":
        compressed_size = size = payload_size
    elif compressed_size > payload_size:
        raise ImageError(f"fatbin entry at offset {offset} has {payload_size} bytes, its header says {compressed_size}")
    name = b""
    if name_size and name_offset + name_size <= header_size:
        name = data[offset + name_offset : offset + name_offset + name_size]
    begin = offset + header_size
    return ImageEntry(
        kind=cast(Literal["ptx", "elf", "other"], _KINDS.get(kind, "other")),
        architecture=architecture,
        suffix="a" if flags & FLAG_ARCHITECTURE_SPECIFIC else "f" if flags & FLAG_FAMILY_SPECIFIC else "",
        name=name.decode("utf-8", errors="replace"),
        flags=flags,
        payload=data[begin : begin + compressed_size],
        compression=compression,
        size=size,
        raw_kind=kind,
    )
