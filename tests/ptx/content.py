"""What a syntax tree says, places aside, as plain values that compare and print."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
FILES = sorted(DATA.glob("*.ptx"))
_PLACES = {"line", "column"}


def content(node: object) -> Any:
    """Nested tuples and dictionaries of everything in `node` but its lines and columns."""
    if dataclasses.is_dataclass(node):
        fields = (field.name for field in dataclasses.fields(node) if field.name not in _PLACES)
        return (type(node).__name__, *((name, content(getattr(node, name))) for name in fields))
    if isinstance(node, dict):
        return {key: content(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return tuple(map(content, node))
    return node


def content_with_places(node: object) -> Any:
    """`content` with lines and columns."""
    if dataclasses.is_dataclass(node):
        return (
            type(node).__name__,
            *((f.name, content_with_places(getattr(node, f.name))) for f in dataclasses.fields(node)),
        )
    if isinstance(node, dict):
        return {key: content_with_places(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return tuple(map(content_with_places, node))
    return node
