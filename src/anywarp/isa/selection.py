"""Which declaration an instruction means: its opcode resolves to one or more, and the number and kinds of its operands decide among them.

The compiler (`ir.operands`) and the reference interpreter (`reference.semantics`) read an instruction's operands by what `paired` says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from anywarp.isa import base, video
from anywarp.ptx import tree


def choose(
    opcode: tuple[str, ...], operands: tuple[tree.Operand, ...], is_predicate: Callable[[str], bool | None]
) -> base.Instruction | None:
    """The declaration that suits best, or None. `is_predicate(name)`: whether a register is a predicate; None where it is not known."""
    fitting = [c for c in base.resolve(opcode) if fits(c, operands)]
    if len(fitting) > 1:
        fitting.sort(key=lambda c: not _agrees(c, operands, is_predicate))
    return fitting[0] if fitting else None


def plain(instruction: tree.Instruction) -> tree.Instruction:
    """The instruction as declarations know it: the items of bracketed lists are operands of their own, and what a video instruction takes
    of its operands stands in its opcode."""
    operands = tree.flat_operands(instruction.operands)
    if any(isinstance(o, tree.Part) for o in operands):
        parts = [o if isinstance(o, tree.Part) else None for o in operands]
        selectors, negated = [p.selector if p else None for p in parts], [p is not None and p.negated for p in parts]
        opcode = video.opcode_with_selectors(instruction.opcode, selectors, negated)
        operands = tuple(o.base if isinstance(o, tree.Part) else o for o in operands)
        return replace(instruction, opcode=opcode, operands=operands)
    return instruction if operands is instruction.operands else replace(instruction, operands=operands)


def paired(declared: base.Instruction, operands: tuple[tree.Operand, ...]) -> list[tuple[base.OperandSpec, tree.Operand | None]] | None:
    """Every operand of the syntax with what stands there, None for what is left out; None where the numbers differ."""
    out: list[tuple[base.OperandSpec, tree.Operand | None]] = []
    rest = list(operands)
    missing = sum(not s.is_pair_second for s in declared.form.operands) - len(operands)
    for spec in declared.form.operands:
        if spec.is_pair_second:
            before = out[-1][1]
            if isinstance(before, tree.Pair):
                out[-1] = (out[-1][0], before.first)
                out.append((spec, before.second))
            else:
                out.append((spec, None))
        elif missing > 0 and spec.is_optional:  # those that come first are left out first: `bar.red d, a{, b}, c`
            missing -= 1
            out.append((spec, None))
        else:
            out.append((spec, rest.pop(0) if rest else None))
    if rest or any(isinstance(o, tree.Pair) for _, o in out):
        return None
    return out


def fits(declared: base.Instruction, operands: tuple[tree.Operand, ...]) -> bool:
    """Whether operands suit a syntax by number and kind."""
    pairs = paired(declared, operands)
    if pairs is None:
        return False
    for spec, operand in pairs:
        if operand is None:
            if not (spec.is_optional or spec.is_pair_second):
                return False
        elif spec.is_address:
            if isinstance(operand, tree.Vector):
                return False
        elif isinstance(operand, tree.Address):
            return False
        else:
            type = declared.operand_type(spec.name)
            registers = type[1] if isinstance(type, tuple) else 1
            if isinstance(operand, tree.Vector):
                if len(operand.elements) != registers:
                    return False
            elif registers > 1 and not isinstance(operand, tree.Register):  # a register may be of a vector type
                return False
    return True


def _agrees(declared: base.Instruction, operands: tuple[tree.Operand, ...], is_predicate: Callable[[str], bool | None]) -> bool:
    """Whether predicates stand where a syntax has them, and nowhere else."""
    for spec, operand in paired(declared, operands) or []:
        if isinstance(operand, tree.Register) and not spec.is_address:
            known = is_predicate(operand.name)
            if known is not None and known != (declared.operand_type(spec.name) == "pred"):
                return False
    return True
