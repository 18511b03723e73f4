"""Compressed entries of fatbins: LZ4 blocks and zstd frames, with memory bounded by `MAX_BYTES`."""

from __future__ import annotations

from typing import Literal

from anywarp.image.errors import ImageError

_CHUNK_BYTES = 1 << 20
_LZ4_RATIO = 255  # a block cannot hold more: one byte adds at most 255 to a match's length

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

    if size > _LZ4_RATIO * (len(payload) + 1):
        raise ImageError(f"corrupt LZ4 entry: {len(payload)} bytes cannot hold the {size} that its header says")
    try:
        data: bytes = block.decompress(payload, uncompressed_size=size)  # type: ignore[attr-defined]  # no stubs
    except (block.LZ4BlockError, ValueError, MemoryError) as error:  # type: ignore[attr-defined]
        raise ImageError(f"corrupt LZ4 entry: {error}") from error
    return data


def _zstd(payload: bytes, size: int) -> bytes:
    import zstandard  # most images need one decompressor or none

    try:
        # In pieces, because neither the size in the frame's header nor the entry's is to be trusted with memory.
        with zstandard.ZstdDecompressor(max_window_size=MAX_BYTES).stream_reader(payload) as reader:
            chunks = []
            left = size + 1  # one more shows that there is too much
            while left and (chunk := reader.read(min(left, _CHUNK_BYTES))):
                chunks.append(chunk)
                left -= len(chunk)
            return b"".join(chunks)
    except (zstandard.ZstdError, ValueError, MemoryError) as error:
        raise ImageError(f"corrupt zstd entry: {error}") from error
