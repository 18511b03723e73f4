"""What docs/add-an-instruction.md quotes in indented blocks stands in the files that it names, and docs/instructions.md is current."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from anywarp.isa import base, coverage

ROOT = Path(__file__).resolve().parents[2]
FILE = re.compile(r"`((?:src|tests)/[\w./]+\.(?:py|ptx))`")


def blocks(page: str) -> list[tuple[str, str]]:
    """(file named last before it, text) of each indented block; commands, which begin with $, have no file."""
    found = []
    page = re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)  # those are tests/docs' business
    for match in re.finditer(r"(?:^    .*\n|^\n(?=    ))+", page, re.MULTILINE):
        text = textwrap.dedent(match[0]).strip()
        named = FILE.findall(page[: match.start()])
        found.append(("" if text.startswith("$ ") else named[-1], text))
    return found


def stands_in(text: str, source: str) -> bool:
    """Whole lines of the source, at any depth of classes."""
    lines = f"\n{source}"
    return any(f"\n{textwrap.indent(text, ' ' * depth)}\n" in lines for depth in (0, 4))


def test_walkthrough_quotes_what_is_there() -> None:
    page = (ROOT / "docs" / "add-an-instruction.md").read_text(encoding="utf-8")
    quoted = [(name, text) for name, text in blocks(page) if name]
    assert len(quoted) == 3
    for name, text in quoted:
        assert stands_in(text, (ROOT / name).read_text(encoding="utf-8")), f"{name} has no\n{text}"


def test_walkthrough_names_files_that_are_there() -> None:
    page = (ROOT / "docs" / "add-an-instruction.md").read_text(encoding="utf-8")
    commands = [text for name, text in blocks(page) if not name]
    named = [*FILE.findall(page), *(word for c in commands for word in re.findall(r"(?:tests|docs)/[\w./-]+", c))]
    assert commands and [name for name in named if not (ROOT / name).exists()] == []


def test_instructions_page_is_current() -> None:
    page = (ROOT / "docs" / "instructions.md").read_text(encoding="utf-8")
    assert page == coverage.page(), "run: python -m anywarp.isa.coverage --out docs/instructions.md"


def test_instructions_page_has_a_row_for_each_declaration() -> None:
    rows = [line for line in coverage.page().splitlines() if re.match(r"\| `", line)]
    assert len(rows) == len(list(base.declarations()))
    assert all(line.count("|") == 8 for line in rows)
