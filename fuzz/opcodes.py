"""The opcodes that random kernels are made of: every form of every exact `Lane` declaration whose operands are plain registers."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import lru_cache

import anywarp.isa  # noqa: F401  declares every instruction
from anywarp.isa import base, types

WIDTHS = (1, 8, 16, 32, 64)  # of operands; 8-bit ones stand in 16-bit registers
ADDRESSES = ("cvta", "isspacep", "mapa", "getctarank")  # what they say depends on where things lie
FORMS_EACH = 40  # sampled forms of one syntax


@dataclass(frozen=True)
class Opcode:
    """An opcode with the types of its operands in order; `immediate` marks sources that must be constants."""

    text: str
    results: tuple[str, ...]
    sources: tuple[str, ...]
    immediate: tuple[bool, ...]
    is_pair: bool  # results are written `d|p`
    is_nan_open: bool  # a NaN result may have any payload
    reads_carry: bool
    writes_carry: bool


_excluded = ""


def exclude(pattern: str) -> None:
    """Leaves out the opcodes that a regular expression matches, from now on."""
    global _excluded
    _excluded = pattern
    pool.cache_clear()


@lru_cache(maxsize=1)
def pool() -> tuple[Opcode, ...]:
    """All usable opcodes, in a fixed order."""
    generator = random.Random(1)
    found: dict[str, Opcode] = {}
    for cls in base.declarations():
        if not issubclass(cls, base.Lane) or cls.ulp is not None or hasattr(cls, "accepts"):
            continue
        if any(form.mnemonic in ADDRESSES for form in cls.forms):
            continue
        for form in cls.forms:
            for _ in range(FORMS_EACH):
                parts = [form.mnemonic]
                for slot in form.slots:
                    if slot.is_optional and generator.randrange(2):
                        continue
                    parts.append(generator.choice(sorted(slot.choices)) if slot.choices is not None else slot.name)
                instructions = base.resolve(tuple(parts))
                if len(instructions) == 1 and ".".join(parts) not in found:
                    opcode = _usable(instructions[0])
                    if opcode is not None:
                        found[opcode.text] = opcode
    return tuple(found[text] for text in sorted(found) if not (_excluded and re.search(_excluded, text)))


def _usable(instruction: base.Instruction) -> Opcode | None:
    results, sources, immediate = [], [], []
    is_pair = False
    for spec in instruction.form.operands:
        type = instruction.operand_type(spec.name)
        if spec.is_address or not isinstance(type, str) or types.width(type) not in WIDTHS:
            return None
        is_pair = is_pair or spec.is_pair_second
        if spec.is_result:
            results.append(type)
        else:
            sources.append(type)
            immediate.append(spec.name.startswith("imm"))
    is_open = instruction.nan_payload_unspecified
    if not results or (is_open and not all(t in ("f32", "f64") for t in results)):
        return None
    if instruction.ulp is not None or hasattr(instruction, "accepts"):
        return None
    return Opcode(
        ".".join(instruction.opcode), tuple(results), tuple(sources), tuple(immediate), is_pair, is_open,
        bool(getattr(instruction, "reads_carry", False)), bool(getattr(instruction, "writes_carry", False)),
    )  # fmt: skip
