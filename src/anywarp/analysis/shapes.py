"""The shape of every value of a kernel, for one layout of threads in warps: an optimistic fixpoint over the SSA graph.

Everything starts as unknown; operations give their results' shapes from their operands' (`isa` declares the rules), phis join theirs,
divergent branches make the phis of their joins varying, and that repeats until nothing changes. Shapes only ever grow, so it ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from anywarp.analysis.divergence import Effects, Graph, effects_of
from anywarp.analysis.thread_values import ThreadValues
from anywarp.ir import model
from anywarp.ir.model import Address, Branch, Constant, Phi, Switch, Undefined, Value
from anywarp.isa import types
from anywarp.isa.base import Lane, Memory, OperandType, Warp
from anywarp.isa.shape import UNIFORM, VARYING, Shape, join, lane_wise
from anywarp.isa.special_registers import SpecialRegister
from anywarp.lower.emit import Emitter, Module, V

MAX_MULTIPLE = 1 << 30


@dataclass
class Shapes:
    """The result. `of[value.id]` is a value's shape; blocks are given by their index."""

    of: list[Shape]
    graph: Graph
    divergent_branches: dict[int, Effects]  # block -> effects of the branch at its end
    divergent_blocks: set[int]  # may run with only a part of the warp's lanes
    constants: dict[int, tuple[int, ...]]  # by id: numbers of 32 lanes that are the same in every warp (where it was asked)
    threads: ThreadValues

    def shape(self, operand: Any) -> Shape:
        if type(operand) is Value:
            return self.of[operand.id]
        return constant_shape(operand)


def constant_shape(operand: Any) -> Shape:
    """A constant is uniform, and a multiple of what divides it."""
    if type(operand) is Constant and operand.value:
        return Shape(1, 0, min(operand.value & -operand.value, MAX_MULTIPLE))
    return Shape(1, 0, MAX_MULTIPLE)


def analyse(function: model.Function, layout: str, all_varying: bool = False) -> Shapes:
    """Computes the shapes for a variant's layout (`line`, `rows16`, `any`, with `.partial`).

    `all_varying`: one number a lane for everything."""
    graph = Graph([[s.index for s in b.successors()] for b in function.blocks])
    analysis = _Analysis(function, graph, layout, all_varying)
    analysis.run()
    return Shapes(
        analysis.result(), graph, analysis.divergent, analysis.blocks(), {} if all_varying else analysis.constants(), analysis.threads
    )


class _Analysis:
    def __init__(self, function: model.Function, graph: Graph, layout: str, all_varying: bool) -> None:
        self.function, self.graph, self.layout, self.all_varying = function, graph, layout, all_varying
        self.shapes: list[Shape | None] = [None] * function.values
        self.divergent: dict[int, Effects] = {}
        self.joins: set[int] = set()
        self.left_loops: set[int] = set()
        self.threads = ThreadValues("any" if all_varying else layout)
        self.by_thread: dict[int, tuple[Value, Shape | None]] = {}  # values whose shape was asked of `threads`
        self.block_of: dict[int, int] = {}
        for block in function.blocks:
            for phi in block.phis:
                self.block_of[phi.result.id] = block.index
            for op in block.operations:
                for r in op.results:
                    self.block_of[r.id] = block.index

    def run(self) -> None:
        changed = True
        while changed:
            changed = False
            for block in self.function.blocks:
                for phi in block.phis:
                    changed |= self._set(phi.result, self._phi(phi, block))
                for op in block.operations:
                    for result, shape in zip(op.results, self._operation(op)):
                        changed |= self._set(result, shape)
            changed |= self._branches()

    def result(self) -> list[Shape]:
        return [s or UNIFORM for s in self.shapes]

    def blocks(self) -> set[int]:
        found: set[int] = set()
        for effects in self.divergent.values():
            found |= effects.region
        return found

    def _set(self, value: Value, shape: Shape | None) -> bool:
        old = self.shapes[value.id]
        if shape is None:
            return False
        if self.all_varying:
            shape = VARYING
        if old is not None:
            shape = join(old, shape)
        if shape == old:
            return False
        self.shapes[value.id] = shape
        return True

    def _get(self, operand: Any) -> Shape | None:
        if type(operand) is Value:
            return self.shapes[operand.id]
        return constant_shape(operand)

    # ------------------------------------------------------------------------------------------------ rules

    def _phi(self, phi: Phi, block: model.Block) -> Shape | None:
        operands = phi.operands
        known = [s for s in map(self._get, operands) if s is not None]
        if not known:
            return None
        index = block.index
        defined = [o for o in operands if type(o) is not Undefined]
        distinct = {id(o) if type(o) is Value else o for o in defined}
        if index in self.joins and len(distinct) > 1:
            return VARYING
        if self.left_loops:
            for loop in self.graph.loops.all:
                if loop.header in self.left_loops and index not in loop.blocks:
                    for o, p in zip(operands, block.predecessors):
                        if p.index in loop.blocks and type(o) is Value and self.block_of[o.id] in loop.blocks:
                            return VARYING
        shape = known[0]
        for other in known[1:]:
            shape = join(shape, other)
        if shape.deviation:
            inner = self.graph.loops.innermost[index]
            if inner is not None and inner.header == index:
                for source, _ in shape.deviation:  # of another iteration by the time of the next
                    if self.block_of[source] in inner.blocks:
                        return VARYING
        return shape

    def _operation(self, op: model.Operation) -> list[Shape | None]:
        declaration = op.op
        n = len(op.results)
        if not n:
            return []
        if isinstance(declaration, SpecialRegister):
            return [declaration.shape_in(self.layout)]
        inputs = [self._get(o) for o in op.inputs()]
        if any(s is None for s in inputs):
            return [None] * n
        shapes: list[Shape] = inputs  # type: ignore[assignment]
        if isinstance(declaration, Lane):
            shape = self._lane(op, declaration, shapes)
            is_rough = shape.is_varying or shape.deviation or (shape.rows > 1 and op.results[0].width == 1)
            if is_rough and not self.all_varying:
                shape = self._by_thread(op.results[0]) or shape
            return [shape] * n
        constants = tuple(o.value if type(o) is Constant else None for o in op.inputs())
        if isinstance(declaration, Warp):
            return [declaration.shape_of(tuple(shapes), constants)] * n
        if isinstance(declaration, Memory):
            return [declaration.shape(*shapes)] * n
        return [VARYING] * n

    def _by_thread(self, value: Value) -> Shape | None:
        """The shape of a value that hangs on nothing but the thread's place in its block."""
        if value.id not in self.by_thread:
            self.by_thread[value.id] = value, self.threads.shape(value)
        return self.by_thread[value.id][1]

    def constants(self) -> dict[int, tuple[int, ...]]:
        found: dict[int, tuple[int, ...]] = {}
        for value, _ in self.by_thread.values():
            assert isinstance(value.definition, model.Operation)
            for result in value.definition.results:
                lanes = self.threads.constant(result)
                if lanes is not None:
                    found[result.id] = lanes
        return found

    def _lane(self, op: model.Operation, declaration: Lane, shapes: list[Shape]) -> Shape:
        plain = all(s.stride == 0 for s in shapes)
        rows = max((s.rows for s in shapes), default=1)
        if rows == 32:
            return VARYING
        if len(op.results) != 1 or len(shapes) != len(op.operands) or any(type(o) in (tuple, Address) for o in op.operands):
            return lane_wise(*shapes)
        constants = tuple(o.value if type(o) is Constant else None for o in op.operands)
        if plain and type(declaration).stride is Lane.stride:
            return Shape(rows)
        shapes = [s if s.stride == 0 else s.in_rows(rows) for s in shapes]
        rule = declaration.stride(tuple(shapes), constants)
        if rule is None:
            return self._by_rows(op, declaration, shapes, constants) or lane_wise(*shapes)
        stride, multiple = rule
        width = op.results[0].width
        half = 1 << (width - 1)
        stride = ((stride + half) & (2 * half - 1)) - half
        multiple = max(1, min(multiple, MAX_MULTIPLE))
        if plain:
            return Shape(rows, 0, multiple)
        has_deviation = any(s.deviation for s in shapes)
        if stride == 0 and not has_deviation:
            return Shape(rows, 0, multiple)
        if abs(stride) * 32 >= half:
            return VARYING
        source = self._needs_test(op, declaration, shapes)
        if not has_deviation:
            return Shape(rows, stride, multiple, ((op.results[0].id, 1),) if source else ())
        if source:
            return VARYING  # a test of a tested value
        total: dict[int, int] = {}
        for i, s in enumerate(shapes):
            if not s.deviation:
                continue
            alone = tuple(Shape(1, 1 if j == i else 0) for j in range(len(shapes)))
            unit = declaration.stride(alone, constants)
            if unit is None:
                return VARYING
            for key, coefficient in s.deviation:
                total[key] = total.get(key, 0) + coefficient * unit[0]
        deviation = tuple(sorted((k, c) for k, c in total.items() if c))
        if deviation and stride == 0:
            return VARYING
        return Shape(rows, stride, multiple, deviation)

    def _by_rows(self, op: model.Operation, declaration: Lane, shapes: list[Shape], constants: tuple[int | None, ...]) -> Shape | None:
        """The result's shape where operands are affine over fewer lanes than they could be: `tid >> 3` is the same in rows of 8 lanes,
        `tid & 15` counts up in rows of 16."""
        if any(s.deviation for s in shapes):
            return None
        for rows in (2, 4, 8, 16):
            if rows <= max(s.rows for s in shapes):
                continue
            finer = tuple(s.in_rows(rows) for s in shapes)
            rule = declaration.stride(finer, constants)
            if rule is None or self._needs_test(op, declaration, list(finer)):
                continue
            width = op.results[0].width
            half = 1 << (width - 1)
            stride = ((rule[0] + half) & (2 * half - 1)) - half
            if abs(stride) * 32 >= half:
                return None
            return Shape(rows, stride, max(1, min(rule[1], MAX_MULTIPLE)))
        return None

    def _needs_test(self, op: model.Operation, declaration: Lane, shapes: list[Shape]) -> bool:
        """Whether the result is affine only if a run-time test holds: `no_wrap` gives one."""
        g = Emitter(Module())
        bases = tuple(V(types.llvm(t), s.rows, "%base") for t, s in zip(op.types, shapes) if isinstance(t, str))
        return declaration.no_wrap(g, tuple(shapes), bases) is not None

    # ------------------------------------------------------------------------------------------------ control flow

    def _branches(self) -> bool:
        changed = False
        for block in self.function.blocks:
            if block.index in self.divergent:
                continue
            t = block.terminator
            condition = t.condition if isinstance(t, Branch) and not t.is_uniform else t.index if isinstance(t, Switch) else None
            if condition is None:
                continue
            shape = self._get(condition)
            if shape is None or shape.is_uniform:
                continue
            effects = effects_of(self.graph, block.index)
            self.divergent[block.index] = effects
            self.joins |= effects.joins
            self.left_loops |= effects.loops
            changed = True
        return changed


__all__ = ["OperandType", "Shapes", "analyse"]
