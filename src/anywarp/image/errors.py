"""Errors about device code images."""

from __future__ import annotations


class ImageError(Exception):
    """The bytes are no image, or a broken one; the message says what was expected where."""


class NoPtxError(ImageError):
    """The image is sound but holds no PTX; the message says what it holds and how to build it with PTX."""
