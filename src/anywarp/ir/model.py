"""The IR of one kernel or device function: a control-flow graph of basic blocks in SSA form.

Values have widths, not types: a register of `.f32` and one of `.b32` both hold 32 bits, and each instruction's declaration says how it
reads them. An `Operation` is one PTX instruction (its `isa` declaration with modifiers decided) or one of the few built-in ones of
`anywarp.ir.builtin`. Operands are `Value`s, `Constant`s, `Address`es and, for vector operands, tuples of them.

Invariants (checked by `anywarp.ir.verify`): every use is dominated by its definition; phis have one operand a predecessor, in order; an
operation that is a cut (`is_cut`: barriers and other waits) is the last of its block, which then ends in a `Jump`; every loop
has one latch, which is in no inner loop; a value that is defined in a loop and used outside goes through a phi at the loop's exit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from anywarp.ptx import tree


class Value:
    """One SSA value of `width` bits; `definition` is the Operation or Phi that makes it."""

    __slots__ = ("definition", "id", "name", "width")

    def __init__(self, id: int, width: int, name: str = "") -> None:
        self.id, self.width, self.name = id, width, name
        self.definition: Operation | Phi | None = None

    def __repr__(self) -> str:
        return f"v{self.id}"


@dataclass(frozen=True, slots=True)
class Constant:
    """A bit pattern of `width` bits."""

    value: int
    width: int

    def __repr__(self) -> str:
        return f"{self.value:#x}:{self.width}"


@dataclass(frozen=True, slots=True)
class Undefined:
    """A register that is read before it is written: any bits."""

    width: int


Scalar = Value | Constant | Undefined


@dataclass(frozen=True, slots=True)
class Address:
    """A memory operand: `base` plus `offset` bytes, in the state space of the instruction."""

    base: Scalar
    offset: int = 0


class Operation:
    """One instruction. `operation.op` is its declaration; `guard` a predicate (lanes where it is false do not take part)
    for operations with effects; pure operations have no guard (a select follows them instead)."""

    __slots__ = ("extra", "guard", "line", "op", "operands", "result_types", "results", "types")

    def __init__(self, op: Any, operands: list[Any], types: list[str], results: list[Value], result_types: list[str], line: int) -> None:
        self.op, self.operands, self.types, self.results, self.result_types, self.line = op, operands, types, results, result_types, line
        self.guard: Scalar | None = None
        self.extra: Any = None

    def inputs(self) -> Iterator[Scalar]:
        """Every scalar that the operation reads, its guard last."""
        for operand in self.operands:
            if type(operand) is tuple:
                yield from operand
            elif type(operand) is Address:
                yield operand.base
            elif operand is not None:
                yield operand
        if self.guard is not None:
            yield self.guard


class Phi:
    """A value that depends on the predecessor that control came from; operands in the order of `Block.predecessors`."""

    __slots__ = ("block", "operands", "register", "result")

    def __init__(self, result: Value, block: Block, register: int) -> None:
        self.result, self.block, self.register = result, block, register
        self.operands: list[Scalar] = []


@dataclass(slots=True)
class Jump:
    target: Block


@dataclass(slots=True)
class Branch:
    condition: Scalar
    if_true: Block
    if_false: Block
    is_uniform: bool = False  # bra.uni: the program promises that all active lanes agree


@dataclass(slots=True)
class Switch:
    """brx.idx; an index outside of `targets` is undefined."""

    index: Scalar
    targets: list[Block]


@dataclass(slots=True)
class Exit:
    """The lanes end (exit, or ret from a kernel)."""


@dataclass(slots=True)
class Return:
    """ret from a device function that is compiled as a function."""


Terminator = Jump | Branch | Switch | Exit | Return


class Block:
    """A basic block; `index` is its place in `Function.blocks`, which is the order of the layout."""

    __slots__ = ("index", "name", "operations", "phis", "predecessors", "terminator")

    def __init__(self, name: str) -> None:
        self.name = name
        self.index = -1
        self.phis: list[Phi] = []
        self.operations: list[Operation] = []
        self.terminator: Terminator = Exit()
        self.predecessors: list[Block] = []

    def __repr__(self) -> str:
        return self.name

    def successors(self) -> list[Block]:
        """Without repetition, in the terminator's order."""
        t = self.terminator
        if isinstance(t, Jump):
            return [t.target]
        if isinstance(t, Branch):
            return [t.if_true] if t.if_true is t.if_false else [t.if_true, t.if_false]
        if isinstance(t, Switch):
            return list(dict.fromkeys(t.targets))
        return []

    def retarget(self, old: Block, new: Block) -> None:
        """Makes the ways that led to `old` lead to `new`; predecessors and phis are the caller's."""
        t = self.terminator
        if isinstance(t, Jump):
            t.target = new if t.target is old else t.target
        elif isinstance(t, Branch):
            t.if_true = new if t.if_true is old else t.if_true
            t.if_false = new if t.if_false is old else t.if_false
        elif isinstance(t, Switch):
            t.targets = [new if target is old else target for target in t.targets]

    @property
    def cut(self) -> Operation | None:
        """The block's last operation where that is a cut."""
        return self.operations[-1] if self.operations and self.operations[-1].op.is_cut else None


@dataclass
class Parameter:
    """A kernel parameter's place in the parameter buffer."""

    name: str
    offset: int  # bytes
    bytes: int
    alignment: int


@dataclass
class Layout:
    """Variables of a state space that belong to the kernel, laid out: name to byte offset, and the sum."""

    offsets: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    alignment: int = 16  # of the whole: at least this

    def add(self, name: str, size: int, alignment: int) -> int:
        """Places one more variable; gives its offset."""
        offset = -(-self.bytes // alignment) * alignment
        self.offsets[name] = offset
        self.bytes = offset + size
        self.alignment = max(self.alignment, alignment)
        return offset


@dataclass
class Function:
    """A kernel, ready for analyses. `blocks[0]` is the entry and has no predecessors."""

    name: str
    blocks: list[Block]
    parameters: list[Parameter]
    shared: Layout
    local: Layout
    symbols: list[str]  # module variables and functions whose addresses the code needs, in order
    uses_dynamic_shared: bool
    source: tree.Function
    values: int = 0  # how many Value ids were given out
    callees: dict[str, Function] = field(default_factory=dict)  # device functions that stay functions, by name (of a kernel)

    def operations(self) -> Iterator[Operation]:
        for block in self.blocks:
            yield from block.operations
