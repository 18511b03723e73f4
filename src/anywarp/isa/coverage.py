"""The table of declared instructions for people: `python -m anywarp.isa.coverage --out docs/instructions.md`.

Every declaration becomes a row: its mnemonic, the types and modifiers of its syntax, the manual's section, the first PTX version
and target, and a test file with an opcode that resolves to it. Declarations stand under their module, modules in the order of the manual.
Standard library only.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import anywarp.isa  # noqa: F401  declares every instruction
from anywarp.isa import manual, types
from anywarp.isa.base import Instruction, declarations, resolve

ROOT = Path(__file__).resolve().parents[3]
TEST_FOLDERS = ("tests/isa", "tests/kernels", "tests/reference")  # the first with an instruction counts
MANY = 12  # choices; of more, the page shows some and the number
_OPCODE = re.compile(r"(?:^//\s*instruction:\s*|^\s*(?:@!?[\w%$]+\s+)?)([a-z][\w.:]*)(?=[\s;])", re.MULTILINE)


def test_files(root: Path = ROOT) -> dict[type[Instruction], str]:
    """A test file (relative to `root`) for each declaration that one names; of several, that with the fewest instructions."""
    found: dict[type[Instruction], str] = {}
    for folder in TEST_FOLDERS:
        named: dict[str, set[type[Instruction]]] = {}
        for path in sorted((root / folder).rglob("*.ptx")):
            opcodes = set(_OPCODE.findall(path.read_text(encoding="utf-8")))
            named[path.relative_to(root).as_posix()] = {type(i) for opcode in opcodes for i in resolve(tuple(opcode.split(".")))}
        for name, classes in sorted(named.items(), key=lambda item: (len(item[1]), item[0])):
            for cls in classes - {c for c, file in found.items() if not file.startswith(folder)}:
                found.setdefault(cls, name)
    return found


def page(root: Path = ROOT) -> str:
    """docs/instructions.md."""
    tests = test_files(root)
    families: dict[str, list[type[Instruction]]] = {}
    for cls in declarations():
        families.setdefault(cls.__module__, []).append(cls)
    for classes in families.values():
        classes.sort(key=_place)
    count = sum(map(len, families.values()))
    mnemonics = {form.mnemonic for cls in declarations() for form in cls.forms}
    lines = [
        "# Instructions",
        "",
        "Generated from the declarations in `src/anywarp/isa/` by `python -m anywarp.isa.coverage --out docs/instructions.md`. "
        f"{count} declarations cover {len(mnemonics)} mnemonics; {', '.join(f'`{name}`' for name in sorted(manual.CONTROL_FLOW))} are the "
        "IR's own. Sections are those of the PTX ISA manual. A test names the instruction in its text; kernels stand for instructions "
        "that only a whole program can test.",
        "",
        f"Known, and not compiled yet: {', '.join(f'`{name}`' for name in sorted(manual.NOT_COMPILED)) or 'none'}. A kernel that uses one "
        "fails to compile with the instruction's name and line.",
    ]
    for module, classes in sorted(families.items(), key=lambda family: (_place(family[1][0]), family[0])):
        name = module.rpartition(".")[2]
        lines += [
            "",
            f"## [{name}](../src/anywarp/isa/{name}.py)",
            "",
            _first_sentence(sys.modules[module].__doc__ or ""),
            "",
            "| instruction | types | modifiers | section | since PTX | target | test |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [_row(cls, tests.get(cls, "")) for cls in classes]
    return "\n".join(lines) + "\n"


def _place(cls: type[Instruction]) -> tuple[tuple[int, ...], str]:
    return tuple(int(n) for n in cls.section.split(".")), cls.forms[0].mnemonic


def _first_sentence(text: str) -> str:
    """As one line, ending in a full stop."""
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    return re.split(r"(?<=\.) (?=[A-Z])", paragraph)[0]


def _row(cls: type[Instruction], test: str) -> str:
    names = list(dict.fromkeys(form.mnemonic for form in cls.forms))
    # Leading parts that all forms share belong to the name: `cp.async.bulk`, `fence.proxy`.
    shared: list[str] = []
    if len(names) == 1:
        for slots in zip(*(form.slots for form in cls.forms)):
            if any(s.is_optional or s.choices is not None or s.name != slots[0].name or s.name in types.WIDTHS for s in slots):
                break
            shared.append(slots[0].name)
    type_slots: dict[str, list[str]] = {}  # name to choices
    modifiers: dict[str, list[str]] = {}
    literal_types: dict[str, None] = {}
    literals: dict[str, None] = {}
    for form in cls.forms:
        for slot in form.slots[len(shared) :]:
            if slot.choices is None:
                (literal_types if slot.name in types.WIDTHS else literals)[slot.name] = None
                continue
            choices = cls.modifiers[slot.name].split()
            (type_slots if slot.choices <= types.WIDTHS.keys() else modifiers)[slot.name] = choices
    shown_types = [_choices(names_, choices, bare=len(type_slots) == 1) for names_, choices in _grouped(type_slots)]
    if literal_types:
        shown_types.append(" ".join(literal_types))
    shown = [_choices(names_, choices, bare=False) for names_, choices in _grouped(modifiers)]
    shown += [f".{name}" for name in literals]
    cells = [
        ", ".join(f"`{'.'.join([name, *shared])}`" for name in names),
        "; ".join(shown_types),
        "; ".join(shown),
        cls.section,
        ".".join(map(str, cls.since)),
        f"sm_{cls.target}",
        f"[{test.rpartition('/')[2]}](../{test})" if test else "none",
    ]
    return f"| {' | '.join(cells)} |"


def _grouped(slots: dict[str, list[str]]) -> list[tuple[list[str], list[str]]]:
    """Names of slots with the same choices together."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, choices in slots.items():
        groups.setdefault(tuple(choices), []).append(name)
    return [(names, list(choices)) for choices, names in groups.items()]


def _choices(names: list[str], choices: list[str], bare: bool) -> str:
    text = " ".join(choices) if len(choices) <= MANY else f"{' '.join(choices[:3])} … ({len(choices)})"
    return text if bare else f"{', '.join(f'*{name}*' for name in names)}: {text}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m anywarp.isa.coverage", description="Writes the page of instructions.")
    parser.add_argument("--out", type=Path, help="the page's file (default: standard output)")
    options = parser.parse_args()
    if options.out:
        options.out.write_text(page(), encoding="utf-8")
    else:
        print(page(), end="")


if __name__ == "__main__":
    main()
