"""Limits of values hold in every iteration of random loops and straight code, and what they decide is folded."""

from __future__ import annotations

import random

import pytest

import anywarp.isa  # noqa: F401
from anywarp import ptx
from anywarp.analysis.ranges import Ranges
from anywarp.analysis.shapes import analyse
from anywarp.ir.build import build
from anywarp.ir.model import Constant, Function, Phi
from anywarp.isa.integer import number
from anywarp.transform.fold_known_numbers import fold_known_numbers
from tests.analysis.test_shape_claims import CONSTANTS, HEAD, lanes_of, program

LOOP = """.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 a, .param .u32 n)
{{
  .reg .pred %p<4>;
  .reg .b32 %r<20>;
  mov.u32 %r1, %tid.x;
  add.s32 %r2, %r1, {start};
LOOP:
  {first}
  shr.s32 %r5, %r2, 31;
  shr.u32 %r6, %r5, 28;
  add.s32 %r7, %r2, %r6;
  shr.s32 %r8, %r7, 4;
  {last}
  @%p1 bra LOOP;
  ret;
}}
"""


def loop(start: int, step: int, comparison: str, bound: int, compares_next: bool) -> Function:
    compare, move = f"setp.{comparison} %p1, %r2, {bound};", f"add.s32 %r2, %r2, {step};"
    text = LOOP.format(start=start, first="" if compares_next else compare, last=move + compare if compares_next else move)
    return build(ptx.parse(text), "k")


def seen(start: int, step: int, comparison: str, bound: int, compares_next: bool, tid: int) -> list[int]:
    """What the counter is at the loop's head, iteration by iteration (of the first few thousand)."""
    name, type = comparison.split(".")
    counter, values = (tid + start) & 0xFFFFFFFF, []
    for _ in range(3000):
        values.append(counter)
        following = (counter + step) & 0xFFFFFFFF
        a, b = number(following if compares_next else counter, type), number(bound, type)
        if not {"lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b, "ne": a != b}[name]:
            break
        counter = following
    return values


@pytest.mark.parametrize("seed", range(150))
def test_counter_stays_below_its_limit(seed: int) -> None:
    rng = random.Random(seed)
    large = [0x7FFFFFFF, 0x7FFFFF00, -1, -300, -0x80000000, 1 << 30]
    start = rng.choice([0, 0, 0, 256, 768, rng.choice(large)])
    step = rng.choice([1, 4, 256, 1024, -1, -256, rng.choice(large)])
    bound = rng.choice([0, 1, 10, 768, 1024, 5000, rng.choice(large)])
    arguments = start, step, rng.choice(["lt.s32", "le.s32", "gt.s32", "ge.s32", "lt.u32", "le.u32", "ne.s32"]), bound, rng.random() < 0.5
    function = loop(*arguments)
    phi = next(p for b in function.blocks for p in b.phis)
    limit = Ranges(function).limit(phi.result)
    for tid in (0, 1, 31, 255, 256, 1023):
        assert all(v < limit for v in seen(*arguments, tid)), (arguments, tid, limit)


@pytest.mark.parametrize(
    ("start", "step", "comparison", "bound", "compares_next", "is_folded"),
    [
        (0, 256, "lt.s32", 1024, True, True),  # for (e = tid; e < 1024; e += 256)
        (0, 1024, "lt.s32", 0, False, True),  # the same where it can run but once
        (0, 256, "lt.u32", 1024, True, True),
        (0, 256, "ne.s32", 1024, True, False),
        (0, 256, "lt.s32", -5, True, True),  # never goes round
        (-1, 256, "lt.s32", 1024, True, False),  # tid - 1 may be negative
        (0, 0x7FFFFFF0, "lt.s32", 0x7FFFFFF1, True, False),  # wraps
    ],
)
def test_a_signed_quotient_of_the_counter(start: int, step: int, comparison: str, bound: int, compares_next: bool, is_folded: bool) -> None:
    function = loop(start, step, comparison, bound, compares_next)
    fold_known_numbers(function)
    shapes = analyse(function, "line")
    quotient = next(op for op in reversed(list(function.operations())) if repr(op.op) == "shr.s32")
    total = next(op for op in function.operations() if op.results[:1] == quotient.operands[:1])
    assert (total.operands[1] == Constant(0, 32)) is is_folded
    assert shapes.of[quotient.results[0].id].is_varying is not is_folded
    assert not isinstance(total.operands[0].definition, Phi) or total.operands[0].width == 32


@pytest.mark.parametrize("seed", range(100))
def test_limits_hold_in_straight_code(seed: int) -> None:
    rng = random.Random(seed)
    function = build(ptx.parse(HEAD + program(rng) + "  ret;\n}\n"), "k")
    ranges = Ranges(function)
    for _ in range(8):
        n = rng.choice([rng.getrandbits(32), rng.choice(CONSTANTS) & 0xFFFFFFFF])
        warp = rng.randrange(32)
        tid = [32 * warp + lane for lane in range(32)]
        special = {"%tid.x": tid, "%ctaid.x": [rng.choice([0, 5, 0x7FFFFFFE])] * 32, "%laneid": list(range(32))}
        values = lanes_of(function, special, {8: n, 12: n, 0: 0})
        for op in function.operations():
            for r in op.results:
                assert max(values[r.id]) < ranges.limit(r), op
                decided = ranges.decided(r) if r.width == 1 else None
                assert decided is None or set(values[r.id]) == {int(decided)}, op
