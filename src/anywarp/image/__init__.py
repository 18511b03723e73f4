"""Images: what a program hands to the driver as device code. `read` is the entry point; PTX comes out of it."""

from anywarp.image.entry import Image, ImageEntry
from anywarp.image.errors import ImageError, NoPtxError
from anywarp.image.reader import read

__all__ = ["Image", "ImageEntry", "ImageError", "NoPtxError", "read"]
