"""Compressed entries of fatbins: LZ4 blocks and zstd frames, with memory bounded by `MAX_BYTES`."""

from __future__ import annotations

from typing import Literal

from anywarp.image.errors import ImageError

MAX_BYTES = 256 << 20
"""Most that an entry may decompress to; the largest PTX known to us has 12 MB."""


def decompress(payload: bytes, compression: Literal["none", "lz4", "zstd"], size: int) -> bytes:
    """`payload` decompressed to `size` bytes. Raises `ImageError` if it is anything else."""
    if compression == "none":
        return payload
    if size > MAX_BYTES:
        raise ImageError(f"entry of {size} bytes is larger than the limit of {MAX_BYTES}")
    data = _lz4(payload, size) if compression == "lz4" else _zstd(payload, size)
    if len(data) != size:
        raise ImageError(f"{compression} entry has {len(data)} bytes where its header says {size}")
    return data


def _lz4(payload: bytes, size: int) -> bytes:
    from lz4 import block  # most images need one decompressor or none

    try:
        data: bytes = block.decompress(payload, uncompressed_size=size)  # type: ignore[attr-defined]  # no stubs
    except (block.LZ4BlockError, ValueError, MemoryError) as error:  # type: ignore[attr-defined]
        raise ImageError(f"corrupt LZ4 entry: {error}") from error
    return data


def _zstd(payload: bytes, size: int) -> bytes:
    import zstandard  # most images need one decompressor or none

    try:
        # A reader, because it stops at the size that it is asked for, whatever the frame's own header promises.
        with zstandard.ZstdDecompressor(max_window_size=MAX_BYTES).stream_reader(payload) as reader:
            return reader.read(size + 1)
    except (zstandard.ZstdError, ValueError, MemoryError) as error:
        raise ImageError(f"corrupt zstd entry: {error}") from error
