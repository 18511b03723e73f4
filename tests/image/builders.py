"""Fatbins and ELF files made for the tests, from the layout that `anywarp.image.fatbin` documents."""

from __future__ import annotations

import struct

import lz4.block
import zstandard

from anywarp.image import fatbin


def ptx(target: str) -> bytes:
    return f"\n.version 9.0\n.target {target}\n.address_size 64\n.visible .entry k () {{ ret; }}\n".encode() + b"\0"


def entry(
    payload: bytes,
    architecture: int,
    kind: int = 1,
    compression: str = "none",
    flags: int = 0,
    name: bytes = b"",
    size: int | None = None,
) -> bytes:
    """One entry; `size` overrides the decompressed size that the header states."""
    stored, compressed, stated = payload, 0, 0
    if compression != "none":
        flags |= fatbin.FLAG_LZ4 if compression == "lz4" else fatbin.FLAG_ZSTD
        stored = lz4.block.compress(payload, store_size=False) if compression == "lz4" else zstandard.ZstdCompressor().compress(payload)
        compressed, stated = len(stored), len(payload) if size is None else size
    stored += bytes(-len(stored) % 8)
    name += bytes(-len(name) % 8)
    header = struct.pack(
        "<HHIQIIHHIIIQQQ",
        kind,
        0x101,
        64 + len(name),
        len(stored),
        compressed,
        0,
        0,
        9,
        architecture,
        64 if name else 0,
        len(name.rstrip(b"\0")),
        flags,
        0,
        stated,
    )
    return header + name + stored


def container(*entries: bytes) -> bytes:
    body = b"".join(entries)
    return struct.pack("<IHHQ", fatbin.MAGIC, 1, 16, len(body)) + body


def elf(sections: dict[bytes, bytes], machine: int = 62, flags: int = 0, abi_version: int = 0) -> bytes:
    """A 64-bit ELF file with these sections."""
    names = b"\0"
    offsets = []
    for name in (*sections, b".shstrtab"):
        offsets.append(len(names))
        names += name + b"\0"
    position, data, headers = 64, b"", [bytes(64)]
    for (name, content), name_offset in zip((*sections.items(), (b".shstrtab", names)), offsets, strict=True):
        kind = 3 if name == b".shstrtab" else 1
        headers.append(struct.pack("<IIQQQQIIQQ", name_offset, kind, 0, 0, position + len(data), len(content), 0, 0, 8, 0))
        data += content + bytes(-len(content) % 8)
    ident = b"\x7fELF" + bytes([2, 1, 1, 0, abi_version]) + bytes(7)
    count = len(headers)
    header = struct.pack("<HHIQQQIHHHHHH", 1, machine, 1, 0, 0, 64 + len(data), flags, 64, 0, 0, 64, count, count - 1)
    return ident + header + data + b"".join(headers)
