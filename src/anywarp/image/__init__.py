"""Images: what a program hands to the driver as device code. `read` is the entry point; PTX comes out of it."""

from anywarp.image.entry import Image, ImageEntry
from anywarp.image.errors import ImageError, NoPtxError
from anywarp.image.reader import read

__all__ = ["Image", "ImageEntry", "ImageError", "NoPtxError", "describe", "read"]


def describe(data: bytes) -> str:
    """What an image holds, an entry a line: kind, architecture, size. Raises ImageError."""
    found = read(data)
    lines = [f"{found.container} with {len(found.entries)} entries"]
    lines += [f"  {e.target:<12} {e.size or len(e.payload):>10} bytes  {e.compression:<5} {e.name}".rstrip() for e in found.entries]
    return "\n".join(lines) + "\n"
