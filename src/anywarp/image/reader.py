"""Bytes -> `Image`: tells PTX text, fatbins and ELF files apart."""

from __future__ import annotations

import re
import struct
from typing import Literal, cast

from anywarp.image import elf, fatbin
from anywarp.image.entry import Image, ImageEntry
from anywarp.image.errors import ImageError

_BOM = b"\xef\xbb\xbf"
_TARGET = re.compile(rb"^[ \t]*\.target\s+(?:\w+\s*,\s*)*?(?:sm|compute)_(\d{1,4})([af]?)\b", re.MULTILINE)


def read(data: bytes | bytearray | memoryview) -> Image:
    """Read an image: PTX text (with or without NUL at its end, BOM, white space before), fatbins, or ELF.

    Entries are decompressed when asked for, not here. Raises `ImageError` for all else. The wrapper structure (magic
    0x466243b1) that programs pass to `__cudaRegisterFatBinary` holds a pointer, so only its own process can follow it:
    the runtime does, and passes the fatbin's bytes.
    """
    data = bytes(data)
    if data.startswith(fatbin.MAGIC_BYTES):
        return Image("fatbin", list(fatbin.read_fatbins(data)))
    if data.startswith(elf.MAGIC):
        return elf.read_elf(data)
    if data.startswith(struct.pack("<I", fatbin.WRAPPER_MAGIC)):
        raise ImageError("this is a fatbin wrapper, which holds a pointer; pass the fatbin that it points to")
    text = data[len(_BOM) :] if data.startswith(_BOM) else data
    text = text.lstrip()
    if text.startswith((b".", b"//", b"/*")):
        return Image("PTX", [_text_entry(data)])
    shown = data[:8].hex(" ") or "nothing"
    raise ImageError(f"expected PTX text, a fatbin or an ELF file; the image begins with {shown}")


def _text_entry(data: bytes) -> ImageEntry:
    target = _TARGET.search(data)
    architecture, suffix = (int(target.group(1)), target.group(2).decode()) if target else (0, "")
    return ImageEntry("ptx", architecture, cast(Literal["", "a", "f"], suffix), payload=data, size=len(data), raw_kind=1)
