"""Shuffles whose lane operands are constants or uniform, on the features of several targets: every way in which code is chosen."""

from __future__ import annotations

import random
from typing import Any

import pytest

from anywarp.codegen import llvm as codegen
from tests.isa.warp_harness import WARP, Kernels, instruction

FULL = 0xFFFFFFFF
CLAMPS = (0x1F, 0, 0x1C1F, 0x1800, 0x101F, 0x001D, 0x0F1F)
OFFSETS = (0, 1, 2, 4, 5, 8, 16, 23, 31, 33)


def features_of_targets() -> list[Any]:
    host = codegen.feature_set()
    sets = [pytest.param(frozenset(), id="no features")]
    if "avx2" in host:
        sets.append(pytest.param(host - {"avx512f"}, id="avx2"))
    if "avx512f" in host:
        sets.append(pytest.param(host, id="avx512"))
    return sets


@pytest.mark.parametrize("features", features_of_targets())
@pytest.mark.parametrize("mode", ["up", "down", "bfly", "idx"])
def test_every_kind_of_lane_operand(mode: str, features: frozenset[str]) -> None:
    subject = instruction(f"shfl.sync.{mode}.b32")
    kernels = Kernels(features)
    generator = random.Random(mode)
    cases: list[tuple[int, int, list[tuple[int, int, int, int]]]] = []
    for c in CLAMPS:
        for b in OFFSETS:
            rows = [(generator.getrandbits(32), b, c, FULL) for _ in range(WARP)]
            cases.append((kernels.add(subject, {"b": b, "c": c, "membermask": FULL}, is_full=True), FULL, rows))
        uniform = kernels.add(subject, {"c": c, "membermask": FULL}, uniform=("b",))
        varying = kernels.add(subject, {"c": c, "membermask": FULL})
        for b in OFFSETS:
            cases.append((uniform, FULL, [(generator.getrandbits(32), b, c, FULL) for _ in range(WARP)]))
        for mask in (FULL, 0x0F0F0F0F, 0xFFFF, 1 << 31):
            cases.append((varying, mask, [(generator.getrandbits(32), generator.randrange(40), c, FULL) for _ in range(WARP)]))
    kernels.compile()
    for number, mask, rows in cases:
        lanes = {lane: rows[lane] for lane in range(WARP) if mask >> lane & 1}
        want, skipped = subject.reference(lanes), subject.undefined(lanes)
        got = kernels.run(number, rows, mask)
        for lane in lanes:
            assert got[lane][1] == want[lane][1], (rows[lane], lane)
            assert lane in skipped or got[lane][0] == want[lane][0], (rows[lane], lane)


def test_a_broadcast_of_one_lane_is_uniform() -> None:
    from anywarp.isa.shape import Shape

    subject = instruction("shfl.sync.idx.b32")
    shapes = (Shape(32), Shape(1), Shape(1), Shape(1))
    assert subject.shape_of(shapes, (None, None, 0x1F, FULL)).is_uniform
    assert subject.shape_of(shapes, (None, 3, 0x1C1F, FULL)).is_varying
    assert subject.shape_of(shapes, (None, None, None, FULL)).is_varying
    assert subject.shape_of((Shape(32), Shape(32), Shape(1), Shape(1)), (None, None, 0x1F, FULL)).is_varying
