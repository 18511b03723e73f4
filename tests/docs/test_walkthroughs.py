"""The code blocks of docs/add-an-instruction.md stand in the sources, and the files that the docs name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
NAMES = ("add-an-instruction.md", "quick-start.md", "how-it-works.md", "provenance.md")
PAGES = [ROOT / "README.md", *(DOCS / name for name in NAMES), *DOCS.glob("clients/*.md")]


def test_blocks_of_the_instruction_walkthrough_are_the_sources() -> None:
    text = (DOCS / "add-an-instruction.md").read_text()
    code, case = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    assert code in (ROOT / "src/anywarp/isa/logic.py").read_text()
    assert case in (ROOT / "tests/isa/logic/cnot.ptx").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_named_files_exist(page: Path) -> None:
    text = page.read_text()
    links = [page.parent / target for target in re.findall(r"\]\(([^)#:]+)\)", text)]
    paths = [ROOT / p for p in re.findall(r"`((?:src|tests|docs|examples)/[\w./-]+)`", text)]
    missing = [str(p) for p in [*links, *paths] if not p.exists()]
    assert not missing
