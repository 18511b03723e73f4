"""Every declared instruction is whole: section, syntax, meaning, vector code, and a test file that names it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

import anywarp.isa  # noqa: F401  declares every instruction
from anywarp.isa import base, types

ROOT = Path(__file__).parent
DECLARATIONS = list(base.declarations())
each = pytest.mark.parametrize("cls", DECLARATIONS, ids=[f"{c.__module__.rpartition('.')[2]}.{c.__name__}" for c in DECLARATIONS])


@cache
def named_in_files() -> frozenset[type[base.Instruction]]:
    """The declarations that some test file's opcode resolves to: an `// instruction:` line, or an instruction of a whole kernel."""
    found: set[type[base.Instruction]] = set()
    for path in [*ROOT.rglob("*.ptx"), *(ROOT.parent / "reference").rglob("*.ptx"), *(ROOT.parent / "kernels").rglob("*.ptx")]:
        for opcode in re.findall(
            r"(?:^//\s*instruction:\s*|^\s*(?:@!?[\w%$]+\s+)?)([a-z][\w.:]*)(?=[\s;])", path.read_text(), re.MULTILINE
        ):
            found.update(type(i) for i in base.resolve(tuple(opcode.split("."))))
    return frozenset(found)


def overrides(cls: type[base.Instruction], method: str) -> bool:
    return getattr(cls, method, None) not in (getattr(k, method, None) for k in (base.Lane, base.Warp, base.Memory, base.Instruction))


@each
def test_names_section_version_and_target(cls: type[base.Instruction]) -> None:
    assert re.fullmatch(r"\d+(\.\d+)+", cls.section), f"section is {cls.section!r}"
    assert (1, 0) <= cls.since <= (9, 9) and 10 <= cls.target <= 130
    assert cls.__doc__, "the docstring says what the instruction does"


@each
def test_syntax_names_only_known_types(cls: type[base.Instruction]) -> None:
    for form in cls.forms:
        for name in form.operands:
            given = cls.types.get(name.name)
            element = given[0] if isinstance(given, tuple) else given
            assert element is None or element in cls.modifiers or element in types.WIDTHS, f"{form.text}: {name.name} is .{element}"
        for slot in form.slots:
            assert slot.choices is None or all(slot.choices), form.text


@each
def test_has_vector_code(cls: type[base.Instruction]) -> None:
    """`lower`, or what a cut has in its place."""
    assert overrides(cls, "lower") or (cls.is_cut and callable(getattr(cls, "lower_cut", None)))


@each
def test_has_a_plain_meaning(cls: type[base.Instruction]) -> None:
    if issubclass(cls, base.Lane | base.Warp) or hasattr(cls, "reference"):
        assert overrides(cls, "reference")
    else:
        from anywarp.reference import semantics

        assert any(mnemonic in semantics.mnemonics() for mnemonic in {f.mnemonic for f in cls.forms}), "the interpreter does not know it"


@each
def test_a_test_file_names_it(cls: type[base.Instruction]) -> None:
    is_named = cls in named_in_files()
    assert is_named, "no tests/**/*.ptx has an instruction that resolves to it"
