"""What the commands that read an image share: the file, its errors, the choice of variant."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

VARIANTS = ("line", "rows16", "rows8", "rows4", "rows2", "any")


def read(path: Path) -> bytes:
    """The bytes of a file, `-` for standard input. Ends the program with a message where it cannot be read."""
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise fail(f"{path}: {error.strerror}") from None


def check_variant(variant: str) -> str:
    """A variant's name, for Typer. Raises typer.BadParameter."""
    if variant.removesuffix(".partial") not in VARIANTS:
        raise typer.BadParameter(f"one of {', '.join(VARIANTS)}, each with or without .partial")
    return variant


def fail(message: str) -> typer.Exit:
    """Prints an error; the caller raises what it returns."""
    typer.echo(message, err=True)
    return typer.Exit(1)
