"""Directed rounding where it is hardest, against the exact references: near overflow, underflow, and total cancellation; and the short code
for a sum that stays near its addend, which only constants and `.sat` together bring about (nvcc's expf)."""

from __future__ import annotations

import ctypes
import random
import struct
from collections.abc import Callable
from typing import Any

import pytest

import anywarp.isa  # noqa: F401  declares every instruction
from anywarp.codegen import llvm as codegen
from anywarp.isa import base, floating_point_rounding, ieee
from anywarp.lower.emit import Emitter, Module, V

LANES = 32
MODES = ("rm", "rp", "rz")


def resolved(name: str) -> Any:
    return base.resolve(tuple(name.split(".")))[0]


def compute(elem: str, rows: list[tuple[int, ...]], code: Callable[[Emitter, list[V]], V]) -> list[int]:
    """The results of vector code for as many rows of operands as there are lanes, times any number of blocks."""
    size, count = (4 if elem == "float" else 8), len(rows[0])
    assert len(rows) % LANES == 0
    module = Module(codegen.feature_set())
    g = Emitter(module)
    result = code(g, [g.load(elem, LANES, V("ptr", 1, f"%s{i}"), size) for i in range(count)])
    g.store(result, V("ptr", 1, "%d"), size)
    parameters = ", ".join(["ptr %d", *(f"ptr %s{i}" for i in range(count))])
    module.functions.append(f"define void @run({parameters}) {{\n" + "\n".join([*g.lines, "  ret void", "}"]))
    compiled = codegen.parse(module.text())
    codegen.optimise(compiled)
    engine = codegen.create_engine(compiled)
    run = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (count + 1))(engine.get_function_address("run"))
    array = (ctypes.c_uint32 if size == 4 else ctypes.c_uint64) * LANES
    out: list[int] = []
    for start in range(0, len(rows), LANES):
        block, results = rows[start : start + LANES], array()
        run(results, *(array(*(row[i] for row in block)) for i in range(count)))
        out += list(results)
    return out


def differences(f: ieee.Format, rows: list[tuple[int, ...]], got: list[int], reference: Callable[..., int]) -> list[str]:
    wanted = [reference(*row) for row in rows]
    return [
        f"{[hex(x) for x in row]}: {g:#x}, should be {w:#x}"
        for row, g, w in zip(rows, got, wanted, strict=True)
        if g != w and not (f.is_nan(g) and f.is_nan(w))
    ]


class Operands:
    """Random operands that aim at the ends of the exponents' range and at results that just miss a number."""

    def __init__(self, f: ieee.Format, seed: str) -> None:
        self.f, self.random = f, random.Random(seed)

    def mantissa(self) -> int:
        top = (1 << self.f.mantissa_bits) - 1
        single = 1 << self.random.randrange(self.f.mantissa_bits)
        return self.random.choice((0, 1, top, single, top ^ single, self.random.getrandbits(self.f.mantissa_bits)))

    def number(self, exponent: int | None = None) -> int:
        """A finite number, of a biased exponent near `exponent`, or of any."""
        f = self.f
        if exponent is None:
            exponent = self.random.choice((0, 1, f.bias, f.top - 1, self.random.randrange(f.top)))
        exponent = min(max(exponent, 0), f.top - 1)
        return f.signed(self.random.getrandbits(1), exponent << f.mantissa_bits | self.mantissa())

    def exponent(self, a: int) -> int:
        return a >> self.f.mantissa_bits & self.f.top

    def row(self, operation: str) -> tuple[int, ...]:
        f, a, choose = self.f, self.number(), self.random.randrange
        if operation == "sqrt":
            return (a,)
        if operation == "add":
            return a, self.number(self.exponent(a) + choose(-f.mantissa_bits - 3, f.mantissa_bits + 4))
        # the product's or quotient's exponent: underflows, overflows, or about 0
        aim = self.random.choice((choose(-f.mantissa_bits - 4, 2 * f.mantissa_bits), f.top + choose(-3, 2), f.bias))
        if operation == "div":
            return a, self.number(self.exponent(a) - aim + f.bias)
        b = self.number(aim - self.exponent(a) + f.bias)
        if operation == "mul":
            return a, b
        product = f.multiply(a, b)
        near = f.negate(product) + choose(-2, 3)
        is_number = 4 < product & ~f.sign_bit < f.largest - 4
        if is_number and choose(2):
            return a, b, near
        return a, b, self.number(self.exponent(product) + choose(-2 * f.mantissa_bits - 3, f.mantissa_bits + 4))

    def rows(self, operation: str, count: int) -> list[tuple[int, ...]]:
        """In turns a block of different rows and one with the same row in all lanes: a row whose neighbours are all easy, or all hard."""
        out: list[tuple[int, ...]] = []
        for _ in range(count):
            out += [self.row(operation) for _ in range(LANES)]
            out += [self.row(operation)] * LANES
        return out


@pytest.mark.parametrize("in_place", [0, floating_point_rounding.IN_PLACE])  # 0: every operation is a call
@pytest.mark.parametrize("type", ["f32", "f64"])
@pytest.mark.parametrize("operation", ["add", "mul", "fma", "div", "sqrt"])
def test_results_at_the_ends_of_the_range_are_exact(operation: str, type: str, in_place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floating_point_rounding, "IN_PLACE", in_place)
    for mode in MODES:
        instruction = resolved(f"{operation}.{mode}.{type}")
        operands = Operands(instruction.format, f"{operation} {mode} {type}")
        rows = operands.rows(operation, 24)
        got = compute("float" if type == "f32" else "double", rows, lambda g, a: instruction.lower(g, *a))  # noqa: B023  called at once
        assert not differences(instruction.format, rows, got, instruction.reference)


def f32(value: float) -> int:
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


@pytest.mark.parametrize("factor", [252.0, -4194304.0, 2.0**-20, 0.0])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ftz", ["", ".ftz"])
def test_sum_that_stays_near_its_addend_is_exact(factor: float, mode: str, ftz: str) -> None:
    saturating, fused = resolved(f"add{ftz}.sat.f32"), resolved(f"fma.{mode}{ftz}.f32")
    b, c = f32(factor), f32(12582913.0)
    operands = Operands(ieee.F32, f"{factor} {mode}{ftz}")
    first = (0, 1 << 31, 1, 0x80000001, ieee.F32.infinity, ieee.F32.nan, f32(1.0), f32(0.5))
    special = [(x, y) for x in first for y in (0, 1 << 31, 1, f32(1.0))]
    rows = special + [(f32(operands.random.random()), 0) for _ in range(LANES * 20)] + operands.rows("add", 8)
    written: list[str] = []

    def code(g: Emitter, a: list[V]) -> V:
        result: V = fused.lower(g, saturating.lower(g, *a), g.const("float", b), g.const("float", c))
        written.extend(g.lines)
        return result

    got = compute("float", rows, code)
    assert not differences(ieee.F32, rows, got, lambda x, y: fused.reference(saturating.reference(x, y), b, c))
    if "fma" in codegen.feature_set():
        assert not any("fpext" in line or "@f32.fma" in line for line in written), "the short code was not taken"
