"""The text of an instruction's test file to cases.

    // instruction: add.sat.s32 d, a, b
    // run: (0x7fffffff, 1) == 0x7fffffff    ; source: manual
    // random: 200

A line `instruction:` opens a group; its operands (names as in the declaration's syntax, or at least as many) say which optional operands
are there. `run:` gives the source operands in order and the results. `random: N` adds the types' edges in all combinations (a sample where
that is more than 1,200) and N random tuples, for which the compiled code is compared with the reference.
`rejected:` instead says that the opcode must not be accepted, and why.

Values: hex, decimal (negative too), float literals `1.5f 1.5 -0.0 1e-40 nan snan inf` (rounded to the operand's type; an integer literal is
always a bit pattern), `0f3F800000`, `0d...`, `true`, `false`; `{a, b}` for a vector operand and for the elements of a packed one (lowest
first). A result `nan` stands for every NaN, `_` for any value. Several results are a tuple `(d, p)`. The carry flag of instructions that
read or write it is one more operand or result, the last.

Warp instructions: a value may be an expression over `lane` (`lane*2+1`, `lane & 1`), or 32 values `[a, b, ...]`; a mask of active lanes may
stand before the operands: `run: 0x0000ffff (lane, 1) == lane+1`. Only active lanes' results are compared. Random cases draw a mask,
and give operands called `membermask` that mask.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from anywarp.isa import types
from anywarp.isa.base import OperandType
from tests.isa.values import canonical_nan, element_bits, float_bits, packed

ANY_VALUE = -1  # the result `_`
ANY_NAN = -2  # the result `nan`
SOURCES = ("manual", "ieee", "gpu", "reference")


class FormatError(Exception):
    """A test file that cannot be read; the message names the line."""


@dataclass
class Run:
    """One `run:` line, its values still text."""

    line: int
    mask: str | None
    operands: list[str]
    results: list[str]
    source: str


@dataclass
class Group:
    """One `instruction:` with its cases."""

    line: int
    opcode: tuple[str, ...]
    names: list[str]
    runs: list[Run] = field(default_factory=list)
    random: int | None = None
    rejected: str | None = None

    @property
    def mnemonic(self) -> str:
        return ".".join(self.opcode)


def parse(text: str) -> list[Group]:
    """The groups of a file. Raises FormatError."""
    groups: list[Group] = []
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r"\s*//\s*(instruction|run|random|rejected):\s*(.*)", line)
        if not match:
            continue
        key, rest = match.groups()
        if key == "instruction":
            head, _, tail = rest.split(";")[0].strip().partition(" ")
            groups.append(Group(number, tuple(head.split(".")), re.findall(r"[A-Za-z_]\w*", tail)))
            continue
        if not groups:
            raise FormatError(f"line {number}: '{key}:' before any 'instruction:'")
        if key == "random":
            groups[-1].random = int(rest.split(";")[0])
        elif key == "rejected":
            groups[-1].rejected = rest
        else:
            groups[-1].runs.append(_parse_run(rest, number))
    for group in groups:
        if not group.runs and group.random is None and group.rejected is None:
            raise FormatError(f"line {group.line}: {group.mnemonic} has no cases")
    return groups


def _parse_run(text: str, number: int) -> Run:
    body, _, comment = text.partition(";")
    source = re.search(r"source:\s*(\w+)", comment)
    if not source or source[1] not in SOURCES:
        raise FormatError(f"line {number}: a run ends in '; source: ' and one of {', '.join(SOURCES)}")
    left, equals, right = body.partition("==")
    if not equals:
        raise FormatError(f"line {number}: expected '(operands) == result'")
    left, right = left.strip(), right.strip()
    mask = None
    if not left.startswith("("):
        mask, _, left = left.partition("(")
        mask, left = mask.strip(), "(" + left
    if not left.endswith(")"):
        raise FormatError(f"line {number}: expected ')' after the operands")
    results = split(right[1:-1]) if right.startswith("(") and _closes_at_end(right) else [right]
    return Run(number, mask, split(left[1:-1]), results, source[1])


def _closes_at_end(text: str) -> bool:
    depth = 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if depth == 0:
            return i == len(text) - 1
    return False


def split(text: str) -> list[str]:
    """The items of a list, at the commas that no bracket encloses."""
    items, depth, start = [], 0, 0
    for i, c in enumerate(text):
        if c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
        elif c == "," and depth == 0:
            items.append(text[start:i].strip())
            start = i + 1
    last = text[start:].strip()
    return [*items, last] if last or items else []


def values(text: str, type: OperandType, lane: int = 0) -> tuple[int, ...]:
    """The bit patterns of one operand, one for each register."""
    if text.startswith("[") and text.endswith("]"):
        items = split(text[1:-1])
        if len(items) != 32:
            raise FormatError(f"'{text}' must hold 32 lanes")
        text = items[lane]
    if isinstance(type, tuple):
        element, count = type
        if text == "_":
            return (ANY_VALUE,) * count
        items = split(text[1:-1]) if text.startswith("{") else []
        if len(items) != count:
            raise FormatError(f"expected {{...}} with {count} values of .{element}, found '{text}'")
        return tuple(scalar(item, element, lane) for item in items)
    return (scalar(text, type, lane),)


def scalar(text: str, type: str, lane: int = 0) -> int:
    """One register's bit pattern, ANY_VALUE or ANY_NAN."""
    if text == "_":
        return ANY_VALUE
    width = types.width(type)
    if text.startswith("{"):
        parts = packed(type)
        items = split(text[1:-1])
        if not parts or len(items) != parts[1]:
            raise FormatError(f"'{text}' does not fit .{type}")
        bits = element_bits(type)
        return sum((canonical_nan(parts[0]) if item == "nan" else scalar(item, parts[0], lane)) << bits * i for i, item in enumerate(items))
    if text in ("true", "false"):
        return int(text == "true")
    sign = text.startswith("-")
    bare = text.lstrip("+-")
    if bare in ("nan", "snan"):
        if bare == "nan" and not sign:
            return ANY_NAN
        quiet = canonical_nan(type)
        low = {16: 9 if type == "f16" else 6, 32: 22, 64: 51}[width]
        return (quiet if bare == "nan" else (quiet & ~(1 << low)) | 1) | sign << (width - 1)
    if re.fullmatch(r"0[fF][0-9a-fA-F]{8}|0[dD][0-9a-fA-F]{16}", bare):
        return int(bare[2:], 16)
    if bare.lower() in ("inf", "inff"):
        return float_bits(float("-inf" if sign else "inf"), type)
    if re.fullmatch(r"(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][+-]?\d+)?f?", bare):
        return float_bits(float(text.rstrip("f")), type)
    if re.fullmatch(r"0x[0-9a-fA-F.]*[pP][+-]?\d+f?", bare):
        return float_bits(float.fromhex(text.rstrip("f")), type)
    try:
        value = _evaluate(ast.parse(text, mode="eval").body, lane)
    except (SyntaxError, KeyError, TypeError) as error:
        raise FormatError(f"cannot read the value '{text}': {error}") from error
    if not -(1 << width) < value < 1 << width:
        raise FormatError(f"'{text}' does not fit .{type}")
    return value & ((1 << width) - 1)


_OPERATORS: dict[type[ast.AST], Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
    ast.BitAnd: operator.and_, ast.BitOr: operator.or_, ast.BitXor: operator.xor, ast.LShift: operator.lshift, ast.RShift: operator.rshift,
}  # fmt: skip


def _evaluate(node: ast.expr, lane: int) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return int(node.value)
    if isinstance(node, ast.Name) and node.id == "lane":
        return lane
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Invert)):
        value = _evaluate(node.operand, lane)
        return -value if isinstance(node.op, ast.USub) else ~value
    if isinstance(node, ast.BinOp):
        return _OPERATORS[type(node.op)](_evaluate(node.left, lane), _evaluate(node.right, lane))
    raise TypeError(ast.dump(node))
