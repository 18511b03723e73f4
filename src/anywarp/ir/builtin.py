"""Operations of the IR that are no PTX instructions: what `ir.build` needs to say what PTX says implicitly."""

from __future__ import annotations

from typing import Any

from anywarp import abi
from anywarp.isa.base import Instruction, Lane
from anywarp.isa.integer import widening_holds
from anywarp.isa.shape import UNIFORM, Shape


class Builtin(Lane):
    """A pure operation without PTX syntax."""

    syntax = ()
    section = ""
    forms = []

    def __init__(self) -> None:
        self.opcode = (type(self).__name__.lower(),)

    def check(self) -> str | None:
        return None


class Select(Builtin):
    """select(p, a, b): what a guarded pure instruction leaves in its destination."""

    def lower(self, g: Any, p: Any, a: Any, b: Any) -> Any:
        return g.select(p, a, b)


class Not(Builtin):
    """The negation of a predicate: `@!p`, `!p`."""

    def lower(self, g: Any, p: Any) -> Any:
        return g.not_(p)


class Resize(Builtin):
    """Truncates or extends (by sign or zero) an integer register: an operand in a register wider than its type, or a result."""

    def __init__(self, from_width: int, to_width: int, signed: bool) -> None:
        super().__init__()
        self.from_width, self.to_width, self.signed = from_width, to_width, signed

    def stride(self, operands: tuple[Shape, ...], constants: tuple[int | None, ...]) -> tuple[int, int] | None:
        return operands[0].stride, operands[0].multiple

    def no_wrap(self, g: Any, operands: tuple[Shape, ...], bases: tuple[Any, ...]) -> Any:
        if self.to_width <= self.from_width:
            return None
        return widening_holds(g, operands, bases, self.signed)

    def lower(self, g: Any, a: Any) -> Any:
        return g.resize(a, f"i{self.to_width}", self.signed)


class LoadParameter(Builtin):
    """A kernel parameter (or a part of one): `bits` at a byte offset in the parameter buffer."""

    def __init__(self, offset: int, bits: int) -> None:
        super().__init__()
        self.offset, self.bits = offset, bits

    def shape(self, *operands: Shape) -> Shape:
        return UNIFORM

    def lower(self, w: Any) -> Any:
        elem = f"i{self.bits}"
        return w.load(elem, 1, w.offset(w.launch_field("params"), self.offset), min(self.bits // 8, 8), invariant=True)


class ParameterAddress(Builtin):
    """The address of the parameter buffer at a byte offset."""

    def __init__(self, offset: int) -> None:
        super().__init__()
        self.offset = offset

    def lower(self, w: Any) -> Any:
        return w.convert("ptrtoint", w.offset(w.launch_field("params"), self.offset), "i64")


class SymbolAddress(Builtin):
    """The address of the module's variable or function number `index` of `Function.symbols`, plus an offset."""

    def __init__(self, index: int, offset: int) -> None:
        super().__init__()
        self.index, self.offset = index, offset

    def lower(self, w: Any) -> Any:
        table = w.launch_field("symbols")
        address = w.load("i64", 1, w.offset(table, 8 * self.index), 8, invariant=True)
        return w.add(address, w.const("i64", self.offset)) if self.offset else address


class SharedAddress(Builtin):
    """The generic address of the shared window at a byte offset (`generic(x)` and cvta of shared symbols)."""

    def __init__(self, offset: int) -> None:
        super().__init__()
        self.offset = offset

    def lower(self, w: Any) -> Any:
        return w.convert("ptrtoint", w.offset(w.shared_base, self.offset), "i64")


class DynamicSharedOffset(Builtin):
    """Where dynamic shared memory begins in the shared window: behind the static variables, 16-byte aligned. Known once the
    kernel's static shared memory is laid out, so `layout` is read late."""

    def __init__(self, layout: Any, offset: int, width: int) -> None:
        super().__init__()
        self.layout, self.offset, self.width = layout, offset, width

    def lower(self, w: Any) -> Any:
        return w.const(f"i{self.width}", -(-self.layout.bytes // 16) * 16 + self.offset)


class Effect(Instruction):
    """A built-in operation with effects."""

    syntax = ()
    section = ""
    forms = []

    def __init__(self) -> None:
        self.opcode = (type(self).__name__.lower(),)

    def shape(self, *operands: Shape) -> Shape:
        return Shape(32)


class Spin(Effect):
    """The back edge of a loop that polls memory: the warp gives way to others, then goes on."""

    is_cut = True

    def lower_cut(self, w: Any, op: Any) -> Any:
        return abi.Status.YIELD


class Step(Effect):
    """A place in a loop up to which the warps of a CTA come together (`transform.step_in_strided_loops`): whoever is there lets the others
    come as far. `is_grid_stride`: together, the CTAs touch everything."""

    is_cut = True

    def __init__(self, is_grid_stride: bool) -> None:
        super().__init__()
        self.is_grid_stride = is_grid_stride

    def lower_cut(self, w: Any, op: Any) -> Any:
        return abi.Status.STEPPED


class LoadNeighbours(Effect):
    """`count` elements of `bits` that follow one another, from an address a lane that need only be a multiple of one element's size
    (`transform.merge_neighbouring_loads`)."""

    reads = True

    def __init__(self, space: str, bits: int, count: int) -> None:
        super().__init__()
        self.space, self.bits, self.count = space, bits, count

    def lower(self, w: Any, op: Any) -> Any:
        return w.load_neighbours(self.space, op.operands[0], f"i{self.bits}", self.count)


class CallFunction(Effect):
    """A call of a device function that stays a function. Arguments and results are parts of a block of `block_bytes` bytes a lane:
    (byte offset, bits). `name` is None for an indirect call, whose address is the first operand and which goes to one of `candidates`
    (function name, number in `Function.symbols`)."""

    reads = True
    writes = True
    is_convergent = True

    def __init__(
        self,
        name: str | None,
        candidates: list[tuple[str, int]],
        argument_places: list[tuple[int, int]],
        result_places: list[tuple[int, int]],
        block_bytes: int,
    ) -> None:
        super().__init__()
        self.name, self.candidates, self.block_bytes = name, candidates, block_bytes
        self.argument_places, self.result_places = argument_places, result_places

    def lower(self, w: Any, op: Any) -> Any:
        values = op.operands if self.name is not None else op.operands[1:]
        address = w.cast(w.vector(op.operands[0]), "i64") if self.name is None else None
        return w.call_function(self, address, [w.vector(v) for v in values])


class ServiceCall(Effect):
    """A call of a function that the platform provides: vprintf, malloc, free, __assertfail."""

    writes = True
    reads = True
    is_convergent = True

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def lower(self, w: Any, op: Any) -> Any:
        """Arguments and results go through arrays of 32 elements on the stack, as `abi.SERVICES` has them."""
        arrays = []
        for operand in op.operands:
            v = w.vector(operand)
            v = w.cast(v, f"i{v.bits}")
            array = w.scratch(v.elem)
            w.store(v, array, 64)
            arrays.append(array)
        results = [w.scratch(f"i{r.width}") for r in op.results]
        taken = {"assertfail": 4}.get(self.name, len(arrays))  # __assertfail's character size is of no use
        w.service(self.name, "void", w.launch, w.cta, w.active, *arrays[:taken], *results)
        return [w.load(f"i{r.width}", 32, array, 64) for r, array in zip(op.results, results)]
