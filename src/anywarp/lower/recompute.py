"""What lives across a cut, and what of it is cheaper to compute again than to keep in the warp's frame.

A value is computed again where it comes, through a few cheap pure instructions, from what is there at every entry of the function:
parameters, thread and CTA indices, constants, addresses of variables.
"""

from __future__ import annotations

from anywarp.analysis.shapes import Shapes
from anywarp.ir import model
from anywarp.ir.model import Block, Operation, Value
from anywarp.isa.base import Lane
from anywarp.isa.special_registers import SpecialRegister

MAX_OPERATIONS = 6  # computed again for one value


class Recompute:
    """Liveness at cuts, split into saved and recomputed values."""

    def __init__(self, function: model.Function, shapes: Shapes) -> None:
        self.function, self.shapes = function, shapes
        self._values: dict[int, Value] = {}
        self._position: dict[int, int] = {}
        n = 0
        for block in function.blocks:
            for phi in block.phis:
                self._values[phi.result.id] = phi.result
            for op in block.operations:
                for r in op.results:
                    self._values[r.id] = r
                    self._position[r.id] = n
                n += 1
        self._live_in: list[int] | None = None
        self._chains: dict[int, tuple[Operation, ...] | None] = {}

    # ------------------------------------------------------------------------------------------------ liveness

    def _uses(self, operand: object) -> int:
        """An operand as a bit set, with the values that the test of its shape hangs on."""
        if type(operand) is not Value:
            return 0
        bits = 1 << operand.id
        for source, _ in self.shapes.of[operand.id].deviation:
            bits |= 1 << source
            definition = self._values[source].definition
            assert isinstance(definition, Operation)
            for i in definition.inputs():
                if type(i) is Value:
                    bits |= 1 << i.id
        return bits

    def live_in(self) -> list[int]:
        """Per block, the set of values that are live at its start (its phis excluded), as bits by id."""
        if self._live_in is not None:
            return self._live_in
        blocks = self.function.blocks
        uses, defs, edge_uses = [], [], []
        for block in blocks:
            use = define = 0
            for phi in block.phis:
                define |= 1 << phi.result.id
            for op in block.operations:
                for i in op.inputs():
                    use |= self._uses(i) & ~define
                for r in op.results:
                    define |= 1 << r.id
            t = block.terminator
            for name in ("condition", "index"):
                use |= self._uses(getattr(t, name, None)) & ~define
            out = 0
            for s in block.successors():
                which = s.predecessors.index(block)
                for phi in s.phis:
                    out |= self._uses(phi.operands[which])
            uses.append(use)
            defs.append(define)
            edge_uses.append(out)
        live = [0] * len(blocks)
        changed = True
        while changed:
            changed = False
            for block in reversed(blocks):
                b = block.index
                out = edge_uses[b]
                for s in block.successors():
                    out |= live[s.index]
                new = uses[b] | (out & ~defs[b])
                if new != live[b]:
                    live[b] = new
                    changed = True
        self._edge_uses = edge_uses
        self._live_in = live
        return live

    def _live_out(self, block: Block, with_waiting: bool) -> list[Value]:
        live = self.live_in()
        bits = self._edge_uses[block.index]
        for s in block.successors():
            bits |= live[s.index]
        if with_waiting:  # lanes may wait at any divergent block, and where they meet behind: what those need lives, too
            divergent = self.shapes.divergent_blocks
            for other in self.function.blocks:
                if other.index in divergent or any(p.index in divergent for p in other.predecessors):
                    bits |= live[other.index]
                    for phi in other.phis:
                        bits |= 1 << phi.result.id
        if block.cut is not None:
            for r in block.cut.results:
                bits &= ~(1 << r.id)
        result = []
        while bits:
            low = bits & -bits
            result.append(self._values[low.bit_length() - 1])
            bits ^= low
        return result

    # ------------------------------------------------------------------------------------------------ recomputation

    def _chain(self, value: Value) -> tuple[Operation, ...] | None:
        """The operations that make a value from what is always there, in order, or None where they are too many or impure."""
        known = self._chains.get(value.id, ())
        if value.id in self._chains:
            return known
        self._chains[value.id] = None
        definition = value.definition
        if not isinstance(definition, Operation) or not isinstance(definition.op, Lane) or getattr(definition.op, "is_volatile", False):
            return None
        is_constant = all(r.id in self.shapes.constants for r in definition.results)
        if isinstance(definition.op, SpecialRegister) or not definition.operands or is_constant:
            self._chains[value.id] = (definition,)
            return (definition,)
        chain: dict[int, Operation] = {}
        for i in definition.inputs():
            if type(i) is Value:
                part = self._chain(i)
                if part is None:
                    return None
                chain.update({id(op): op for op in part})
        if len(chain) >= MAX_OPERATIONS:
            return None
        chain[id(definition)] = definition
        result = tuple(sorted(chain.values(), key=lambda op: self._position[op.results[0].id]))
        self._chains[value.id] = result
        return result

    def live_after(self, block: Block, with_waiting: bool) -> list[Value]:
        """The values to save at a cut at the end of `block`."""
        return [v for v in self._live_out(block, with_waiting) if self._chain(v) is None]

    def plan(self, block: Block, with_waiting: bool) -> list[Operation]:
        """The operations to run again at the resume point, in order."""
        operations: dict[int, Operation] = {}
        for v in self._live_out(block, with_waiting):
            chain = self._chain(v)
            if chain is not None:
                operations.update({id(op): op for op in chain})
        return sorted(operations.values(), key=lambda op: self._position[op.results[0].id])
