"""Quotients next to whole numbers, where a rounded quotient or inverse would show: dividends just below, at and above multiples."""

from __future__ import annotations

import random

import pytest

from anywarp.codegen import llvm as codegen
from tests.isa import case_format
from tests.isa.lane_harness import AskedFeatures, Call, Code, execute, resolve, results_of
from tests.isa.plan import LanePlan

BLOCKS = 300
TYPES = ("u16", "s16", "u32", "s32", "u64", "s64")


def close_calls(width: int, generator: random.Random) -> list[tuple[int, int]]:
    """Blocks of 32 dividends of all sizes with one divisor."""
    ones = (1 << width) - 1
    rows = []
    for _ in range(BLOCKS):
        some = generator.getrandbits(generator.randint(1, width))
        power = 1 << generator.randrange(width)
        divisor = generator.choice([some, ones - some, some & 0xFF, power, power - 1])
        largest = ones // max(divisor, 1) * divisor
        for _ in range(32):
            n = generator.getrandbits(generator.randint(1, width))
            dividend = generator.choice([n, ones - n, n * divisor, n * divisor - 1, n * divisor + 1, largest, largest - 1])
            rows.append((dividend & ones, divisor))
    return rows


@pytest.mark.parametrize("opcode", [f"{operation}.{type}" for operation in ("div", "rem") for type in TYPES])
def test_quotients_next_to_whole_numbers(opcode: str) -> None:
    subject = resolve(case_format.parse(f"// instruction: {opcode} d, a, b\n// random: 1")[0])
    code = Code(AskedFeatures(codegen.feature_set()))
    plan = LanePlan(subject, code)
    subject.calls.clear()
    rows = close_calls(int(opcode[-2:]), random.Random(opcode))
    for lanes in ([32, 32], [32, 1], [1, 32], [8, 8], [8, 1]):
        n = max(lanes)
        own = rows if lanes[0] == n else [(rows[i // n * n][0], divisor) for i, (_, divisor) in enumerate(rows)]
        subject.calls.append(Call(code.function(subject, lanes, n, None, False), n, lanes, own, what=f"{lanes} lanes"))
    memory = execute(code, [subject])
    for call in subject.calls:
        assert not (report := plan.verdict(call, results_of(memory, subject, call))), report
