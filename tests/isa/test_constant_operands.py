"""Instructions whose code depends on the value of a constant operand: all kinds of values, compiled for 1, 8 and 32 lanes."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from anywarp.codegen import llvm as codegen
from tests.isa import case_format, values
from tests.isa.lane_harness import AskedFeatures, Call, Code, execute, registers, resolve, results_of
from tests.isa.plan import LanePlan

EDGES = 600


def check(declaration: str, operand: int, constants: Iterable[int], lanes: tuple[int, ...]) -> None:
    """Compares the compiled code with the reference, with source operand number `operand` a constant of each value."""
    group = case_format.parse(f"// instruction: {declaration}\n// random: 60")[0]
    subject = resolve(group)
    code = Code(AskedFeatures(codegen.feature_set()))
    plan = LanePlan(subject, code)
    subject.calls.clear()
    generator = random.Random(declaration)
    element_types = [element for _, element in registers(subject.sources)]
    rows = values.edge_tuples(element_types, EDGES, generator)
    rows += [tuple(values.random_value(t, generator) for t in element_types) for _ in range(-len(rows) % 32 + 64)]
    for constant in constants:
        fixed = [(*row[:operand], constant, *row[operand + 1 :]) for row in rows]
        for n in lanes:
            some = fixed if n == 32 else fixed[:32]
            function = code.function(subject, [n] * len(element_types), n, (operand, constant), False)
            subject.calls.append(Call(function, n, [n] * len(element_types), some, operand, what=f"constant {constant:#x}"))
    memory = execute(code, [subject])
    for call in subject.calls:
        assert not (report := plan.verdict(call, results_of(memory, subject, call))), report


@pytest.mark.parametrize("opcode", [f"{op}.{type}" for op in ("div", "rem") for type in ("u16", "s16", "u32", "s32", "u64", "s64")])
def test_divisors(opcode: str) -> None:
    width = int(opcode[-2:])
    ones = (1 << width) - 1
    top = 1 << width - 1
    divisors = [0, 1, 2, 3, 7, 10, 32, 1000, ones, ones - 1, ones - 6, ones - 31, top, top - 1, top + 1]
    check(f"{opcode} d, a, b", 1, divisors, (1, 8, 32))


@pytest.mark.parametrize("half", [0, 128])
def test_lop3_tables(half: int) -> None:
    check("lop3.b32 d, a, b, c, immLut", 3, range(half, half + 128), (32,))


def test_prmt_selectors() -> None:
    generator = random.Random(1)
    selectors = [0x3210, 0x7654, 0x0123, 0x8888, 0xBA98, 0xFEDC, 0xFFFF0000, 0x5410, 0x7632, 0x9180]
    check("prmt.b32 d, a, b, c", 2, [*selectors, *(generator.getrandbits(16) for _ in range(40))], (1, 32))


@pytest.mark.parametrize("mode", ["f4e", "b4e", "rc8", "ecl", "ecr", "rc16"])
def test_prmt_modes(mode: str) -> None:
    check(f"prmt.b32.{mode} d, a, b, c", 2, [0, 1, 2, 3, 0xFFFFFFFE], (1, 32))


@pytest.mark.parametrize("opcode", ["shl.b32", "shl.b64", "shl.b16", "shr.u32", "shr.s32", "shr.s64", "shr.u16", "shr.s16"])
def test_shift_amounts(opcode: str) -> None:
    check(f"{opcode} d, a, b", 1, [0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 256, 0x80000000, 0xFFFFFFFF], (1, 32))


@pytest.mark.parametrize("opcode", ["shf.l.wrap.b32", "shf.r.wrap.b32", "shf.l.clamp.b32", "shf.r.clamp.b32"])
def test_funnel_shift_amounts(opcode: str) -> None:
    check(f"{opcode} d, a, b, c", 2, [0, 1, 16, 31, 32, 33, 63, 64, 0xFFFFFFFF], (1, 32))


@pytest.mark.parametrize("opcode", ["bfe.u32", "bfe.s32", "bfe.u64", "bfe.s64"])
@pytest.mark.parametrize("operand", [1, 2])
def test_bit_fields(opcode: str, operand: int) -> None:
    check(f"{opcode} d, a, b, c", operand, [0, 1, 8, 31, 32, 33, 63, 64, 65, 255, 256, 257], (1, 32))
