"""Printed modules read back as what they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from anywarp.ptx import parse, print_module, verify
from tests.ptx.content import FILES, content


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_round_trip(path: Path) -> None:
    module = parse(path.read_text())
    printed = print_module(module)
    again = parse(printed)
    assert content(again) == content(module)
    verify(again)
    assert print_module(again) == print_module(parse(print_module(again)))
