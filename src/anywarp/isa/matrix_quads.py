"""mma.m8n8k4 of f16, the first `mma` (sm_70): four products of 8 x 8 x 4 at once; and movmatrix, which transposes (PTX ISA 9.7.14.5).

Product q belongs to the lanes 4q to 4q + 3 (the low group) and 16 + 4q to 16 + 4q + 3. A and B lie in them by rows or by
columns as the instruction says. The code is plain: for each register of the sum and each k it brings the factors to their
lanes by constant shuffles. Only programs for sm_70 use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anywarp.isa.base import OperandType, Warp, instruction
from anywarp.isa.matrix import FloatProduct
from anywarp.isa.shape import Shape

if TYPE_CHECKING:
    from anywarp.lower.emit import V
    from anywarp.lower.warp import WarpEmitter

Lanes = dict[int, tuple[Any, ...]]
Place = tuple[int, int]  # a lane and the number of an element in it


def sum_position(type: str, lane: int, i: int) -> tuple[int, int]:
    """Row and column of element i of a lane's part of C or D."""
    high = 4 * (lane >> 4)
    if type == "f16":
        return lane % 4 + high, i
    return (lane & 1) + (i & 2) + high, (i & 4) + (lane & 2) + (i & 1)


def factor_place(is_along: bool, quad: int, line: int, k: int) -> Place:
    """Where the element is that has index `line` (a row of A, a column of B) and k. `is_along`: a lane has a whole line (A by rows, B by
    columns); otherwise a lane has four lines' elements of one k."""
    high = 16 * (line >> 2)
    if is_along:
        return 4 * quad + line % 4 + high, k
    return 4 * quad + k + high, line % 4


@instruction
class MmaQuads(FloatProduct):
    """mma.m8n8k4 of f16 matrices: four products, one for each two groups of four lanes"""

    syntax = "mma.sync.aligned.m8n8k4.alayout.blayout.dtype.f16.f16.ctype d, a, b, c"
    modifiers = {"alayout": "row col", "blayout": "row col", "dtype": "f16 f32", "ctype": "f16 f32"}
    results = ("d",)
    since = (6, 4)
    target = 70
    alayout: Any
    blayout: Any
    dtype: Any
    ctype: Any

    def check(self) -> str | None:
        return "D must be .f32 where C is" if self.ctype == "f32" and self.dtype == "f16" else None

    def element_types(self) -> tuple[str, str, str, str]:
        return "f16", "f16", self.ctype, self.dtype

    def operand_type(self, name: str) -> OperandType:
        if name in "ab":
            return "f16x2", 2
        return ("f16x2", 4) if (self.dtype if name == "d" else self.ctype) == "f16" else ("f32", 8)

    # Positions number the four products' rows of A and C, and rows of B, one after the other.

    def position(self, matrix: str, type: str, lane: int, i: int) -> tuple[int, int] | None:
        quad = lane % 16 // 4
        if matrix == "c":
            row, column = sum_position(type, lane, i)
            return 8 * quad + row, column
        is_along = self.alayout == "row" if matrix == "a" else self.blayout == "col"
        for line in range(8):
            for k in range(4):
                if factor_place(is_along, quad, line, k) == (lane, i):
                    return (8 * quad + line, k) if matrix == "a" else (4 * quad + k, line)
        raise AssertionError

    def factors(self, a: dict[tuple[int, int], int], b: dict[tuple[int, int], int], at: tuple[int, int]) -> tuple[list[int], list[int]]:
        row, column = at
        return [a.get((row, k), 0) for k in range(4)], [b.get((row // 8 * 4 + k, column), 0) for k in range(4)]

    def lower(self, w: WarpEmitter, a: tuple[V, ...], b: tuple[V, ...], c: tuple[V, ...]) -> tuple[V, ...]:
        from anywarp.lower import half

        factors_a, factors_b = _halves(w, a), _halves(w, b)
        sums = _halves(w, c) if self.ctype == "f16" else [w.wide(x) for x in c]
        quads = [lane % 16 // 4 for lane in range(32)]
        positions = [[sum_position(self.dtype, lane, i) for lane in range(32)] for i in range(8)]
        if self.ctype == "f16" and self.dtype == "f32":
            sums = [_gather(w, sums, [_held("f16", lane, at) for lane, at in enumerate(of)]) for of in positions]
        out = []
        for of, start in zip(positions, sums):
            total = start
            for k in range(4):
                rows = [factor_place(self.alayout == "row", quad, row, k) for quad, (row, _) in zip(quads, of)]
                columns = [factor_place(self.blayout == "col", quad, column, k) for quad, (_, column) in zip(quads, of)]
                x, y = _gather(w, factors_a, rows), _gather(w, factors_b, columns)
                total = w.fma(x, y, total) if {"fma", "neon"} & w.module.features else w.fadd(w.fmul(x, y), total)
            out.append(total)
        if self.dtype == "f32":
            return tuple(out)
        bits = [w.zext(half.f32_to_f16(w, x), "i32") for x in out]
        return tuple(w.or_(bits[i], w.shl(bits[i + 1], w.const("i32", 16))) for i in range(0, 8, 2))


def _held(type: str, lane: int, at: tuple[int, int]) -> Place:
    """The lane of the same product, and the element in it, that holds a position of C."""
    for other in (*range(lane % 16 // 4 * 4, lane % 16 // 4 * 4 + 4), *range(16 + lane % 16 // 4 * 4, 20 + lane % 16 // 4 * 4)):
        for i in range(8):
            if sum_position(type, other, i) == at:
                return other, i
    raise AssertionError


def _halves(w: WarpEmitter, registers: tuple[V, ...]) -> list[V]:
    """The f16 elements of registers as float vectors."""
    from anywarp.lower.matrix_product import decode

    return [part for x in registers for part in decode(w, w.wide(x), "f16", False)]


def _gather(w: WarpEmitter, values: list[V], places: list[Place]) -> V:
    """In each lane the element at its place: a shuffle for each register that some lane reads."""
    result: V | None = None
    for i in sorted({i for _, i in places}):
        here = w.shuffle(values[i], None, [other if number == i else -1 for other, number in places])
        if result is None:
            result = here
        else:
            result = w.select(w.lane_constants("i1", [int(number == i) for _, number in places]), here, result)
    assert result is not None
    return result


@instruction
class MoveMatrix(Warp):
    """movmatrix: an 8 x 8 matrix of 16-bit elements, a row in each four lanes, transposed"""

    syntax = "movmatrix.sync.aligned.m8n8.trans.b16 d, a"
    types = {"d": "b32", "a": "b32"}
    section = "9.7.14.5.17"
    since = (7, 8)
    target = 75

    def shape(self, *operands: Shape) -> Shape:
        return Shape(32)

    def undefined(self, lanes: Lanes) -> set[int]:
        return set() if len(lanes) == 32 else set(lanes)

    def reference(self, lanes: Lanes) -> dict[int, Any]:
        def element(row: int, column: int) -> int:
            word: int = lanes.get(4 * row + column // 2, (0,))[0]
            return word >> 16 * (column & 1) & 0xFFFF

        return {lane: element(2 * (lane & 3), lane >> 2) | element(2 * (lane & 3) + 1, lane >> 2) << 16 for lane in lanes}

    def lower(self, w: WarpEmitter, a: V) -> V:
        from anywarp.lower.matrix_product import transpose

        # words as elements first: row t of the result has columns 2t and 2t + 1 of even rows 0 2 4 6, then of odd ones 1 3 5 7
        columns = transpose(w, w.wide(a))
        even, odd = (w.shuffle(columns, None, [8 * t + 4 * x + j for t in range(4) for j in range(4)]) for x in range(2))
        sixteen, low, high = w.const("i32", 16), w.const("i32", 0xFFFF), w.const("i32", 0xFFFF0000)
        first = w.or_(w.and_(even, low), w.shl(odd, sixteen))
        second = w.or_(w.lshr(even, sixteen), w.and_(odd, high))
        return w.shuffle(first, second, [4 * t + j + 16 * h for t in range(4) for h in range(2) for j in range(4)])
