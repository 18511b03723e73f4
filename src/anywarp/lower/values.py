"""Values of the IR in the emitter's hands: bases, vectors when needed, slots between blocks, run-time tests of affine shapes.

A value that is used outside of its block lives in a slot, an `alloca` that LLVM turns into SSA again. That keeps the lowering free to emit
a block more than once (for a full warp and for a part of one) and to run blocks in an order that the original dominance knows nothing of.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from anywarp.analysis.ranges import Ranges
from anywarp.analysis.shapes import Shapes
from anywarp.ir import model
from anywarp.ir.model import Constant, Operation, Undefined, Value
from anywarp.isa import types
from anywarp.isa.base import Lane
from anywarp.isa.shape import UNIFORM, Shape
from anywarp.isa.special_registers import SpecialRegister
from anywarp.lower.emit import WARP, WIDTH, Module, V, vector_type
from anywarp.lower.warp import WarpEmitter

MEMORY_SLOTS_FROM = 500  # operations of a kernel from which on vectors live in memory between blocks


class Held:
    """A value in the current copy of a block: its shape, its bases, and (lazily) one number a lane."""

    __slots__ = ("aligned", "base", "casts", "shape", "value", "vector")

    def __init__(self, shape: Shape, base: V, value: Value | None) -> None:
        self.shape, self.base, self.value = shape, base, value
        self.vector: V | None = base if base.n == WARP else None
        self.casts: dict[str, V] = {}  # the vector as other element types
        self.aligned: tuple[tuple[int, int], ...] = ()  # (size, offset): base + offset is known to be a multiple of size


Snapshot = tuple[dict[int, Held], dict[int, tuple["V | None", tuple[tuple[int, int], ...]]], dict[int, V]]


class ValueEmitter(WarpEmitter):
    """Gives operands to instructions and takes their results."""

    def __init__(self, module: Module, function: model.Function, shapes: Shapes, launch: V, cta: V, warp: V) -> None:
        super().__init__(module, launch, cta, warp)
        self.function, self.shapes = function, shapes
        self.held: dict[int, Held] = {}  # of the block copy being emitted
        self.invariants: dict[int, V] = {}  # uniform values by id that are there in every block
        self.tests: dict[int, V] = {}  # i1 by id of the widening operation's result
        self.slots: dict[int, str] = {}
        self.test_slots: dict[int, str] = {}
        self.elems: dict[int, str] = {}
        self.slots_in_memory = sum(len(b.operations) for b in function.blocks) > MEMORY_SLOTS_FROM and len(function.blocks) > 20
        self._memory_at, self._memory_bytes = 0, 0  # slots that LLVM keeps in memory: the line that reserves them, and how much
        self.blend_slots = False  # whether a slot keeps the values of lanes that are not active
        self.crossing: set[int] = set()
        self.home: dict[int, int] = {}  # the block of each value's definition
        self._choose_elements()
        self._find_crossing()

    @cached_property
    def ranges(self) -> Ranges:
        return Ranges(self.function)

    # ------------------------------------------------------------------------------------------------ which values need what

    def _choose_elements(self) -> None:
        """The LLVM element type in which each value is kept: that of the instruction that makes it."""
        for block in self.function.blocks:
            for op in block.operations:
                for r, t in zip(op.results, op.result_types):
                    self.elems[r.id] = types.llvm(t)
        for _ in range(2):
            for block in self.function.blocks:
                for phi in block.phis:
                    for o in phi.operands:
                        if type(o) is Value and self.elems.get(o.id, "?")[0] in "fd":
                            self.elems[phi.result.id] = self.elems[o.id]
                            break
        for block in self.function.blocks:
            for phi in block.phis:
                self.elems.setdefault(phi.result.id, f"i{phi.result.width}")

    def _find_crossing(self) -> None:
        """Values that are used in a block other than their own, and what tests of affine shapes are made of."""
        home = self.home
        for block in self.function.blocks:
            for phi in block.phis:
                home[phi.result.id] = block.index
                self.crossing.add(phi.result.id)
            for op in block.operations:
                for r in op.results:
                    home[r.id] = block.index

        def use(o: Any, block: model.Block) -> None:
            if type(o) is not Value:
                return
            if home[o.id] != block.index:
                self.crossing.add(o.id)
                for source in self.sources_of(o):
                    self.crossing.add(source.id)
                    definition = source.definition
                    assert isinstance(definition, Operation)
                    self.crossing |= {i.id for i in definition.inputs() if type(i) is Value}

        for block in self.function.blocks:
            for op in block.operations:
                for o in op.inputs():
                    use(o, block)
            if block.cut is not None:
                for r in block.cut.results:
                    self.crossing.add(r.id)
            t = block.terminator
            use(getattr(t, "condition", None), block)
            use(getattr(t, "index", None), block)
            for s in block.successors():
                which = s.predecessors.index(block)
                for phi in s.phis:
                    use(phi.operands[which], block)
                    if block.cut is not None and type(phi.operands[which]) is Value:
                        self.crossing.add(phi.operands[which].id)  # type: ignore[union-attr]
                    if type(phi.operands[which]) is Value:
                        for source in self.sources_of(phi.operands[which]):  # type: ignore[arg-type]
                            self.crossing.add(source.id)
                            self.crossing |= {i.id for i in source.definition.inputs() if type(i) is Value}  # type: ignore[union-attr]

    def sources_of(self, value: Value) -> list[Value]:
        """The results of the widening operations whose tests a value's shape hangs on."""
        deviation = self.shapes.of[value.id].deviation
        if not deviation:
            return []
        if not hasattr(self, "_by_id"):
            self._by_id = {r.id: r for op in self.function.operations() for r in op.results}
        return [self._by_id[i] for i, _ in deviation]

    # ------------------------------------------------------------------------------------------------ slots

    def slot_type(self, value: Value) -> str:
        """What a slot holds: the bases; of a predicate with one number a lane, a mask of 32 bits (LLVM takes <32 x i1> in memory apart)."""
        rows = self.shapes.of[value.id].rows
        return "i32" if self.is_mask(value) else vector_type(self.elems[value.id], rows)

    def is_mask(self, value: Value) -> bool:
        return self.elems[value.id] == "i1" and self.shapes.of[value.id].rows == WARP

    def slot(self, value: Value) -> str:
        """The name of a value's slot, reserved when first asked for."""
        name = self.slots.get(value.id)
        if name is None:
            name = self.slots[value.id] = f"%slot{value.id}"
            if self.slots_in_memory and self.shapes.of[value.id].rows == WARP:
                self._reserve_memory(name, value)
            else:
                self.entry_lines.append(f"  {name} = alloca {self.slot_type(value)}, align 64")
        return name

    def _reserve_memory(self, name: str, value: Value) -> None:
        """A slot that LLVM keeps in memory: the address of all has gone through one assembler statement (one, since a function with
        cuts passes it at each of its entries)."""
        if not self._memory_bytes:
            self._memory_at = len(self.entry_lines)
            self.entry_lines += ["", '  %slots = call ptr asm "", "=r,0"(ptr %slots.memory)']
        self.entry_lines.append(f"  {name} = getelementptr i8, ptr %slots, i64 {self._memory_bytes}")
        size = 4 if self.is_mask(value) else WARP * max(1, WIDTH[self.elems[value.id]] // 8)
        self._memory_bytes += -(-size // 64) * 64
        self.entry_lines[self._memory_at] = f"  %slots.memory = alloca [{self._memory_bytes} x i8], align 64"

    def test_slot(self, source: int) -> str:
        name = self.test_slots.get(source)
        if name is None:
            name = self.test_slots[source] = f"%test{source}"
            self.entry_lines.append(f"  {name} = alloca i1, align 1")
        return name

    def read_slot(self, value: Value) -> V:
        elem, rows = self.elems[value.id], self.shapes.of[value.id].rows
        if self.is_mask(value):
            return self.lanes_of(self.value("i32", 1, f"load i32, ptr {self.slot(value)}, align 64"))
        return self.value(elem, rows, f"load {vector_type(elem, rows)}, ptr {self.slot(value)}, align 64")

    def write_slot(self, value: Value, base: V, lanes: V | None = None) -> None:
        """Stores a value's bases; `lanes` (a mask): only those lanes of a varying one."""
        base = self.cast(self.broadcast(base, self.shapes.of[value.id].rows), self.elems[value.id])
        if self.is_mask(value):
            mask = self.mask_of(base)
            if lanes is not None:
                old = self.value("i32", 1, f"load i32, ptr {self.slot(value)}, align 64")
                mask = self.or_(self.and_(mask, lanes), self.and_(old, self.not_(lanes)))
            self.line(f"store {mask.typed}, ptr {self.slot(value)}, align 64")
            return
        if lanes is not None and base.n == WARP:
            base = self.select(self.lanes_of(lanes), base, self.read_slot(value))
        self.line(f"store {base.typed}, ptr {self.slot(value)}, align 64")

    # ------------------------------------------------------------------------------------------------ operands

    def get(self, operand: Any) -> Held:
        """An operand in the current block."""
        if type(operand) is Value:
            held = self.held.get(operand.id)
            if held is None:
                base = self.invariants.get(operand.id)
                held = self.held[operand.id] = Held(self.shapes.of[operand.id], base or self.read_slot(operand), operand)
            return held
        if type(operand) is Constant:
            return Held(self.shapes.shape(operand), self.const(f"i{operand.width}", operand.value), None)
        assert type(operand) is Undefined
        return Held(UNIFORM, self.const(f"i{operand.width}", 0), None)

    def snapshot(self) -> Snapshot:
        """What is known at this point of a block: to be restored where another way begins at it."""
        return dict(self.held), {k: (h.vector, h.aligned) for k, h in self.held.items()}, dict(self.tests)

    def restore(self, state: Snapshot) -> None:
        self.held, self.tests = dict(state[0]), dict(state[2])
        for k, (vector, aligned) in state[1].items():
            self.held[k].vector, self.held[k].aligned, self.held[k].casts = vector, aligned, {}

    def cast(self, v: V, elem: str) -> V:
        """Reinterprets to an element type of the same width; constants are rewritten in place."""
        if v.elem == elem:
            return v
        if v.n == 1 and v.elem[0] == "i" and v.name.lstrip("-").isdigit():
            return self.const(elem, int(v.name) & ((1 << v.bits) - 1))
        return self.bitcast(v, elem)

    def vector(self, operand: Any) -> V:
        """An operand with one number a lane (32 lanes)."""
        held = self.get(operand)
        if held.vector is None:
            held.vector = self._materialise(held)
        return held.vector

    def wide_or_uniform(self, operand: Any) -> V:
        """One number a lane, or the scalar where uniform: what Warp instructions get."""
        held = self.get(operand)
        return held.base if held.shape.is_uniform else self.vector(operand)

    def _materialise(self, held: Held) -> V:
        shape = held.shape
        if shape.stride == 0:
            return self.broadcast(held.base, WARP)
        if not shape.deviation:
            return self._linear(shape, held.base)
        assert held.value is not None
        definition = held.value.definition
        if (
            isinstance(definition, Operation)
            and definition.results[0].id in self.held
            and all(type(i) is not Value or i.id in self.held or i.id in self.crossing for i in definition.inputs())
        ):  # exact from its operands, lane by lane
            return self.cast(self.lane_code(definition, WARP)[0], self.elems[held.value.id])
        total = self._linear(shape, held.base)
        for source, coefficient in shape.deviation:
            value = next(v for v in self.sources_of(held.value) if v.id == source)
            operation = value.definition
            assert isinstance(operation, Operation)
            exact = self.cast(self.lane_code(operation, WARP)[0], held.base.elem)
            difference = self.sub(exact, self._linear(self.shapes.of[source], self.cast(self.get(value).base, held.base.elem)))
            if coefficient != 1:
                difference = self.mul(difference, self.const(held.base.elem, coefficient))
            total = self.add(total, difference)
        return total

    def _linear(self, shape: Shape, base: V) -> V:
        """base + stride * lane within the row, for 32 lanes."""
        steps = self.lane_constants(base.elem, [shape.stride * (lane % shape.row_lanes) for lane in range(WARP)])
        return self.add(self.broadcast(base, WARP), steps)

    def bases(self, operand: Any, rows: int) -> V:
        """An operand's bases: the numbers in the first lanes of so many rows."""
        held = self.get(operand)
        shape = held.shape
        if shape.rows > rows:  # only `analysis.thread_values` finds results of fewer rows than an operand's
            return self.shuffle(held.base, None, range(0, shape.rows, shape.rows // rows))
        if shape.stride == 0 or shape.rows == rows:
            return held.base
        per_row = WARP // rows
        within = [shape.stride * ((r * per_row) % shape.row_lanes) for r in range(rows)]
        return self.add(self.broadcast(held.base, rows), self.lane_constants(held.base.elem, within))

    def test(self, shape: Shape) -> V | None:
        """An i1: the shape holds (all its widening operations' tests do). None where it always does."""
        result: V | None = None
        for source, _ in shape.deviation:
            condition = self.tests.get(source)
            if condition is None:
                condition = self.tests[source] = self.value("i1", 1, f"load i1, ptr {self.test_slot(source)}, align 1")
            result = condition if result is None else self.and_(result, condition)
        return result

    # ------------------------------------------------------------------------------------------------ lane-wise instructions

    def lane_code(self, op: Operation, rows: int) -> list[V]:
        """The code of a lane-wise instruction for 1, a few or 32 lanes; its results with as many lanes or fewer."""
        operands: list[Any] = []
        for operand, type_ in zip(op.operands, op.types):
            if type(operand) is tuple:
                operands.append(tuple(self._lane_operand(o, type_[0], rows) for o in operand))
            else:
                operands.append(self._lane_operand(operand, type_, rows))
        declaration = op.op
        result = declaration.lower(self, *operands)
        return list(result) if type(result) in (tuple, list) else [result]

    def _lane_operand(self, operand: Any, type_: str, rows: int) -> V:
        elem = types.llvm(type_)
        if rows < WARP:
            return self.cast(self.bases(operand, rows), elem)
        held = self.get(operand)
        if held.shape.is_uniform:
            return self.cast(held.base, elem)
        if elem not in held.casts:
            held.casts[elem] = self.cast(self.vector(operand), elem)
        return held.casts[elem]

    def lane_operation(self, op: Operation) -> None:
        """Emits a lane-wise instruction and keeps its results."""
        declaration = op.op
        assert isinstance(declaration, Lane)
        if isinstance(declaration, SpecialRegister):
            v, known = declaration.lower(self), declaration.shape_in("any")
            if known.stride and self.shapes.of[op.results[0].id].is_varying:  # %laneid where every value is one number a lane
                v = self.add(self.broadcast(v, WARP), self.lane_constants(v.elem, [known.stride * lane for lane in range(WARP)]))
            self.define(op.results[0], v)
            return
        if all(r.id in self.shapes.constants for r in op.results):
            for r in op.results:
                elem, numbers = self.elems[r.id], self.shapes.constants[r.id][:: WARP // self.shapes.of[r.id].rows]
                self.define(r, self.lane_constants(elem, numbers) if len(numbers) > 1 else self.const(elem, numbers[0]))
            return
        shape = self.shapes.of[op.results[0].id]
        rows = max(self.shapes.of[r.id].rows for r in op.results)
        if not op.operands:
            results = [declaration.lower(self)]
        else:
            results = self.lane_code(op, rows)
        if any(source == op.results[0].id for source, _ in shape.deviation):
            bases = tuple(self._lane_operand(o, t, rows) for o, t in zip(op.operands, op.types))
            condition = declaration.no_wrap(self, tuple(self.shapes.shape(o) for o in op.operands), bases)
            assert condition is not None
            self.tests[op.results[0].id] = condition
            if op.results[0].id in self.crossing:
                self.line(f"store {condition.typed}, ptr {self.test_slot(op.results[0].id)}, align 1")
        for value, v in zip(op.results, results):
            self.define(value, v)

    def define(self, value: Value, v: V) -> None:
        """Takes an instruction's result: bases of the value's shape."""
        shape = self.shapes.of[value.id]
        v = self.broadcast(v, shape.rows)
        held = self.held[value.id] = Held(shape, v, value)
        if value.id in self.crossing:
            lanes = self.active if self.blend_slots and not self.is_full else None
            self.write_slot(value, held.base, lanes)
