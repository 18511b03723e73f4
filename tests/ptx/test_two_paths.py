"""The fast way through a body and the careful one give the same tree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from anywarp.ptx import body, parse
from tests.ptx.content import FILES, content_with_places

NEVER = re.compile(r"(?!)")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_fast_path_agrees_with_the_careful_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = path.read_text()
    fast = content_with_places(parse(text))
    for pattern in ("_INSTRUCTION", "_LABEL", "_PARAM", "_LOC"):
        monkeypatch.setattr(body, pattern, NEVER)
    assert content_with_places(parse(text)) == fast
