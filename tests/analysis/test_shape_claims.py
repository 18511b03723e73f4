"""What the analysis claims of a value's shape holds for every thread: random straight-line programs, interpreted by the declarations'
`reference`.

Thread numbers, block numbers and parameters go in (parameters also negative and at the type's edges), integer
operations come out. For every value: lane l of each warp has `base + stride * l` of its row, bases are divisible by `multiple`, and numbers
that are said to be the same in every warp are.
"""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

import anywarp.isa  # noqa: F401
from anywarp import ptx
from anywarp.analysis.shapes import Shapes, analyse
from anywarp.analysis.thread_values import _COMPUTE, ThreadValues
from anywarp.ir import builtin, model
from anywarp.ir.build import build
from anywarp.isa import types
from anywarp.isa.special_registers import SpecialRegister

HEAD = """.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 a, .param .u32 n, .param .u32 m)
{
  .reg .pred %p<40>;
  .reg .b32 %r<40>;
  .reg .b64 %rd<40>;
  mov.u32 %r0, %tid.x;
  mov.u32 %r1, %ctaid.x;
  ld.param.u32 %r2, [n];
  mad.lo.s32 %r3, %r1, %r2, %r0;
  mov.u32 %r4, %laneid;
"""
CONSTANTS = [0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 27, 28, 31, 32, 63, 64, 127, 256, 1023, 1024, -1, -4, -16, -32, -1024, 0x7FFFFFFF, -0x80000000]


def program(rng: random.Random) -> str:
    """Twenty random operations on 32 bits, with forms that compilers give to divisions by powers of two among them."""
    lines = []
    registers, predicates = ["%r0", "%r1", "%r2", "%r3", "%r4"], [""]
    wide = 0

    def some() -> str:
        return rng.choice(registers[-4:]) if rng.random() < 0.5 else rng.choice(registers)

    while len(registers) < 28:
        d = f"%r{len(registers)}"
        kind = rng.randrange(12)
        constant = rng.choice(CONSTANTS)
        either = constant if rng.random() < 0.5 else some()
        if kind == 0:
            k = rng.randrange(1, 7)
            a, e = some(), len(registers)
            lines += [f"shr.s32 %r{e}, {a}, 31;", f"shr.u32 %r{e + 1}, %r{e}, {32 - k};", f"add.s32 %r{e + 2}, {a}, %r{e + 1};"]
            lines += [
                f"shr.s32 %r{e + 3}, %r{e + 2}, {k};",
                f"and.b32 %r{e + 4}, %r{e + 2}, {-(1 << k)};",
                f"sub.s32 %r{e + 5}, {a}, %r{e + 4};",
            ]
            registers += [f"%r{e + i}" for i in range(6)]
            continue
        if kind <= 4:
            lines.append(f"{rng.choice(['add.s32', 'sub.s32', 'and.b32', 'or.b32', 'xor.b32', 'mul.lo.s32'])} {d}, {some()}, {either};")
        elif kind <= 6:
            lines.append(f"{rng.choice(['shl.b32', 'shr.u32', 'shr.s32', 'shr.b32'])} {d}, {some()}, {rng.randrange(0, 34)};")
        elif kind == 7:
            lines.append(f"{rng.choice(['min.s32', 'max.s32', 'min.u32', 'max.u32', 'rem.u32', 'div.u32'])} {d}, {some()}, {either};")
        elif kind == 8:
            p = f"%p{len(predicates)}"
            lines.append(f"setp.{rng.choice(['lt.s32', 'eq.s32', 'ge.u32', 'hi.u32', 'ne.b32'])} {p}, {some()}, {either};")
            predicates.append(p)
            continue
        elif kind == 9 and len(predicates) > 1:
            lines.append(f"selp.b32 {d}, {some()}, {either}, {rng.choice(predicates[1:])};")
        elif kind == 10:
            lines.append(f"mul.wide.{rng.choice('su')}32 %rd{wide}, {some()}, {rng.choice([1, 4, 8, 12])};")
            lines.append(f"cvt.u32.u64 {d}, %rd{wide};")
            wide += 1
        else:
            lines.append(f"{rng.choice(['neg.s32', 'not.b32', 'mov.u32'])} {d}, {some()};")
        registers.append(d)
    return "".join(f"  {line}\n" for line in lines)


def lanes_of(function: model.Function, special: dict[str, list[int]], parameters: dict[int, int]) -> dict[int, list[int]]:
    """Every value of a straight-line kernel in the 32 lanes of one warp."""
    values: dict[int, list[int]] = {}

    def operand(o: Any) -> list[int]:
        return values[o.id] if type(o) is model.Value else [o.value] * 32

    for op in function.operations():
        if not op.results:
            continue
        if isinstance(op.op, SpecialRegister):
            values[op.results[0].id] = special[op.op.name]
        elif isinstance(op.op, builtin.LoadParameter):
            values[op.results[0].id] = [parameters[op.op.offset]] * 32
        else:
            outs = [
                op.op.reference(*(v & ((1 << types.width(t)) - 1) for v, t in zip(lane, op.types)))
                for lane in zip(*map(operand, op.operands))
            ]
            for i, r in enumerate(op.results):
                values[r.id] = [(o[i] if isinstance(o, tuple) else o) & ((1 << r.width) - 1) for o in outs]
    return values


def check(function: model.Function, shapes: Shapes, values: dict[int, list[int]], text: str) -> None:
    for op in function.operations():
        for r in op.results:
            shape, lanes = shapes.of[r.id], values[r.id]
            said = f"line {op.line}: {op.op!r} is {shape}, lanes {lanes}\n{text}"
            if r.id in shapes.constants:
                assert list(shapes.constants[r.id]) == lanes, said
            if shape.deviation:
                continue  # a run-time test decides
            for row in range(shape.rows):
                base = lanes[row * shape.row_lanes]
                assert base % shape.multiple == 0 or shape.is_varying, said
                for i in range(shape.row_lanes):
                    assert lanes[row * shape.row_lanes + i] == (base + shape.stride * i) & ((1 << r.width) - 1), said


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("variant", ["line", "line.partial", "rows16", "rows4"])
def test_what_is_claimed_of_lanes_holds_in_every_warp(variant: str, seed: int) -> None:
    rng = random.Random(f"{variant} {seed}")
    text = HEAD + program(rng) + "  ret;\n}\n"
    function = build(ptx.parse(text), "k")
    shapes = analyse(function, variant)
    for _ in range(12):
        warp = rng.choice([0, 1, 2, 7, 31])
        row = int(variant[4:]) if variant.startswith("rows") else 1024
        tid = [(32 * warp + lane) % row for lane in range(32)]
        n = rng.choice([rng.getrandbits(32), rng.choice(CONSTANTS) & 0xFFFFFFFF, rng.randrange(2000), 0x80000000 - rng.randrange(1100)])
        special = {"%tid.x": tid, "%ctaid.x": [rng.choice([0, 1, 77, rng.getrandbits(31)])] * 32, "%laneid": list(range(32))}
        check(function, shapes, lanes_of(function, special, {8: n, 12: n, 0: 0}), text)


def test_signed_division_and_remainder_of_a_thread_number_are_warp_and_lane() -> None:
    body = """
  shr.s32 %r5, %r0, 31;
  shr.u32 %r6, %r5, 27;
  add.s32 %r7, %r0, %r6;
  shr.s32 %r8, %r7, 5;
  and.b32 %r9, %r7, -32;
  sub.s32 %r10, %r0, %r9;
  setp.lt.s32 %p1, %r10, 4;
  max.s32 %r11, %r0, 768;
  add.s32 %r12, %r11, 255;
  sub.s32 %r13, %r12, %r0;
  shr.u32 %r14, %r13, 8;
  setp.gt.s32 %p2, %r0, 31;
"""
    function = build(ptx.parse(HEAD + body + "  ret;\n}\n"), "k")
    shapes = analyse(function, "line")
    by_line = {op.line: op.results[0] for op in function.operations() if op.results}
    first = HEAD.count("\n") + 2
    of = [shapes.of[by_line[first + i].id] for i in range(12)]
    assert of[3].is_uniform and of[4].is_uniform
    assert of[5].is_affine and of[5].stride == 1
    assert shapes.constants[by_line[first + 6].id] == (1,) * 4 + (0,) * 28
    assert of[10].is_uniform
    assert of[11].is_uniform


@pytest.mark.parametrize("declaration", sorted(_COMPUTE, key=str), ids=lambda d: d.__name__)
def test_meaning_for_many_threads_is_the_reference(declaration: Any) -> None:
    rng = random.Random(declaration.__name__)
    checked = 0
    for op in _instances(declaration):
        operands = [[_pattern(rng, t) for _ in range(200)] for t in _operand_types(op)]
        result = _COMPUTE[declaration](op, operands)
        if result is None:
            continue
        checked += 1
        for got, lane in zip(result, zip(*operands)):
            want = _reference(op, lane)
            assert got == (want[0] if isinstance(want, tuple) else want), (op, lane)
    assert checked


def _pattern(rng: random.Random, type: str) -> int:
    width = types.width(type)
    mask = (1 << width) - 1
    return rng.choice([rng.getrandbits(width), rng.randrange(70), -rng.randrange(70), 1 << rng.randrange(width), mask >> 1]) & mask


def _reference(op: Any, lane: tuple[int, ...]) -> Any:
    if isinstance(op, builtin.Not):
        return 1 - lane[0]
    if isinstance(op, builtin.Select):
        return lane[1] if lane[0] else lane[2]
    if isinstance(op, builtin.Resize):
        a = lane[0] & ((1 << op.from_width) - 1)
        return (a - (1 << op.from_width) if op.signed and a >> (op.from_width - 1) else a) & ((1 << op.to_width) - 1)
    return op.reference(*lane)


def _instances(declaration: Any) -> list[Any]:
    if declaration is builtin.Resize:
        return [builtin.Resize(f, t, s) for f in (16, 32, 64) for t in (16, 32, 64) for s in (False, True)]
    if issubclass(declaration, builtin.Builtin):
        return [declaration()]
    found: list[Any] = []
    for form in declaration.forms:
        choices = [
            [*sorted(s.choices), *[None] * s.is_optional] if s.choices is not None else [True, *[False] * s.is_optional] for s in form.slots
        ]
        for chosen in itertools.product(*choices):
            values = {s.name: c for s, c in zip(form.slots, chosen)}
            op = declaration((form.mnemonic, *(str(c) for c in chosen if c)), form, values)
            if op.check() is None:
                found.append(op)
    return found


def _operand_types(op: Any) -> list[str]:
    if isinstance(op, builtin.Not):
        return ["pred"]
    if isinstance(op, builtin.Select):
        return ["pred", "b32", "b32"]
    if isinstance(op, builtin.Resize):
        return [f"b{op.from_width}"]
    return [op.operand_type(o.name) for o in op.form.operands if not o.is_result]


def test_values_that_hang_on_more_than_the_thread_are_not_known() -> None:
    function = build(ptx.parse(HEAD + "  add.u32 %r5, %r0, %r2;\n  ret;\n}\n"), "k")
    add = next(op for op in function.operations() if repr(op.op) == "add.u32")
    assert ThreadValues("line").of(add.results[0]) is None
    assert ThreadValues("any").of(add.operands[0]) is None
