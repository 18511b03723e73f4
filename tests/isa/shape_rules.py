"""Checks the shape rules of `Lane` instructions: what `stride` promises must be what `reference` computes.

For random bases, strides and rows of the operands, the result in lane l of a row must be the result of the row's base plus
l times the promised stride, unless `no_wrap` (compiled, and asked with the same bases) says that the promise does not hold there;
and the promised `multiple` must divide the results of the bases.
"""

from __future__ import annotations

import random
from typing import Any

from anywarp.isa import base, types
from anywarp.isa.shape import WARP, Shape
from tests.isa import values
from tests.isa.lane_harness import SEED, Call, Code, Operand, Subject, arguments, flat, registers

ROWS = 60  # bases for each combination of shapes
COMBINATIONS = 40


class ShapePlan:
    """The shape cases of one instruction; the same life as `plan.LanePlan`."""

    def __init__(self, subject: Subject, code: Code) -> None:
        self.failure = ""
        self._tested = subject
        source_registers = registers(subject.sources)
        self.subject = Subject(subject.group, subject.instruction, subject.sources, [Operand("holds", "pred")])
        self._claims: dict[int, tuple[tuple[Shape, ...], int, int]] = {}
        has_rule = getattr(type(subject.instruction), "stride", None) is not base.Lane.stride
        if not has_rule or any(o.count != 1 or not o.is_present for o in subject.sources):
            return
        if not subject.results or subject.results[0].count != 1:
            return
        generator = random.Random(f"{SEED} shapes {subject.group.mnemonic}")
        for _ in range(COMBINATIONS):
            constants = self._constants(source_registers, generator)
            shapes = tuple(self._shape(constants[i], generator) for i in range(len(source_registers)))
            claim = subject.instruction.stride(shapes, constants)  # type: ignore[attr-defined]
            if claim is None:
                continue
            rows = []
            for _ in range(ROWS):
                row = []
                for (_, element), shape, constant in zip(source_registers, shapes, constants):
                    value = values.random_value(element, generator) // shape.multiple * shape.multiple
                    row.append(value if constant is None else constant)
                rows.append(tuple(row))
            self._check(code, shapes, claim, rows)
            if self.failure:
                return

    @staticmethod
    def _constants(source_registers: list[tuple[Operand, str]], generator: random.Random) -> tuple[int | None, ...]:
        chosen = generator.choice([None, *range(len(source_registers))]) if len(source_registers) > 1 else None
        out: list[int | None] = []
        for i, (_, element) in enumerate(source_registers):
            value = generator.choice(
                (generator.randrange(70), 1 << generator.randrange(types.width(element)), values.random_value(element, generator))
            )
            out.append(value & ((1 << types.width(element)) - 1) if i == chosen else None)
        return tuple(out)

    @staticmethod
    def _shape(constant: int | None, generator: random.Random) -> Shape:
        if constant is not None:
            return Shape(1, 0, (constant & -constant) or 1 << 30)
        multiple = generator.choice((1, 1, 4, 32, 128, 1024))
        return Shape(1, generator.choice((0, 0, 1, 1, 2, 4, -1, 8, 3)), multiple)

    def _check(self, code: Code, shapes: tuple[Shape, ...], claim: tuple[int, int], rows: list[tuple[int, ...]]) -> None:
        """Checks the rows at once where the promise is unconditional; plans a call where `no_wrap` has conditions."""
        from anywarp.lower.emit import V

        stride, multiple = claim
        if multiple < 1 or multiple & (multiple - 1):
            self.failure = f"stride{shapes} promises the multiple {multiple}, which is no power of two"
            return
        is_conditional = False

        class Probe(type(self.subject.instruction)):  # type: ignore[misc]
            def lower(probe, g: Any, *bases: V) -> V:
                nonlocal is_conditional
                condition: V | None = self.subject.instruction.no_wrap(g, shapes, bases)  # type: ignore[attr-defined]
                is_conditional = condition is not None
                return condition if condition is not None else g.const("i1", 1)

        probe = object.__new__(Probe)
        probe.__dict__ = self.subject.instruction.__dict__
        tested = Subject(self.subject.group, probe, self.subject.sources, self.subject.results)
        before = list(code.module.functions)
        name = code.function(tested, [1] * len(registers(tested.sources)), 1, None, False)
        self._keep = [*getattr(self, "_keep", []), tested]
        if not is_conditional:
            code.module.functions[:] = before
            for row in rows:
                self.failure = self.failure or self._broken(shapes, stride, multiple, row, True)
            return
        call = Call(name, 1, [1] * len(rows[0]), rows, what="shape rule")
        self._claims[id(call)] = (shapes, stride, multiple)
        self.subject.calls.append(call)

    def _broken(self, shapes: tuple[Shape, ...], stride: int, multiple: int, row: tuple[int, ...], holds: bool) -> str:
        subject = self._tested
        elements = [element for _, element in registers(subject.sources)]
        width = types.width(subject.results[0].element)
        reference = subject.instruction.reference  # type: ignore[attr-defined]
        first = flat(subject, reference(*arguments(subject, row)))[0]
        shown = f"operands {[hex(x) for x in row]} of shapes {[(s.stride, s.multiple) for s in shapes]}"
        if first % multiple:
            return f"shape rule: {shown}: the promised multiple {multiple} does not divide {first:#x}"
        if not holds:
            return ""
        for lane in (1, 2, 7, 16, WARP - 1):
            moved = tuple((v + s.stride * lane) & ((1 << types.width(e)) - 1) for v, s, e in zip(row, shapes, elements))
            got = flat(subject, reference(*arguments(subject, moved)))[0]
            want = (first + stride * lane) & ((1 << width) - 1)
            if got != want:
                return f"shape rule: {shown}: lane {lane} has {got:#x}, the stride {stride} says {want:#x} (lane 0: {first:#x})"
        return ""

    def verdict(self, call: Call, results: list[tuple[int, ...]]) -> str:
        shapes, stride, multiple = self._claims[id(call)]
        for row, (holds,) in zip(call.rows, results):
            broken = self._broken(shapes, stride, multiple, row, bool(holds))
            if broken:
                return broken
        return ""
