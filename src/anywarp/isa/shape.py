"""Shapes: how the 32 lanes of a warp's value hang together, and hence how few numbers hold it.

A value of shape `(rows R, stride s)` is held by R bases (a scalar where R is 1): lane l has `base[l // (32 / R)] + s * (l % (32 / R))`
in the value's own modular arithmetic. So

- uniform is `(1, 0)`: all active lanes have the same value;
- affine is `(1, s)`: `tid.x`, array indices, addresses of coalesced accesses;
- rows is `(R, s)` for R in 2, 4, 8, 16: blocks that are 16, 8, 4 or 2 threads wide;
- varying is `(32, 0)`: one number a lane.

Any lane-wise instruction maps the bases of its operands to the base of its result, since a base is what some lane
holds: the code for a scalar, for a few rows and for 32 lanes is the same code. Only the result's stride needs a rule
(`Lane.shape`), and only instructions that keep values affine have one.

`multiple` is a power of two that divides every base (as an unsigned number): it proves that `base + s * l` does not wrap.

Where that cannot be proved, a widened value is affine only as long as a run-time test holds. `deviation` then names the widening
operations that it hangs on, with coefficients: lane l has `base + s * l + sum(coefficient * deviation of that operation in lane l)`,
where each deviation is 0 in every lane if the operation's test holds. (Set by `analysis.shapes`; declarations need not care.)
"""

from __future__ import annotations

from dataclasses import dataclass

WARP = 32


@dataclass(frozen=True, slots=True)
class Shape:
    rows: int  # 1, 2, 4, 8, 16 or 32
    stride: int = 0  # 0 where rows is 32
    multiple: int = 1
    deviation: tuple[tuple[int, int], ...] = ()  # (id of the widening operation's result, coefficient)

    @property
    def is_uniform(self) -> bool:
        return self.rows == 1 and self.stride == 0

    @property
    def is_affine(self) -> bool:
        """One base and a stride other than 0."""
        return self.rows == 1 and self.stride != 0

    @property
    def is_varying(self) -> bool:
        return self.rows == WARP

    @property
    def row_lanes(self) -> int:
        """Lanes of one row: 32 / rows."""
        return WARP // self.rows

    @property
    def is_row_uniform(self) -> bool:
        """Stride 0: each row's lanes have the same value (uniform and varying values too)."""
        return self.stride == 0

    def in_rows(self, rows: int) -> Shape:
        """The same value seen as one of at least as many rows: first lanes are multiples of what divides base and row's step."""
        if self.stride == 0 or self.rows >= rows:
            return self if self.rows >= rows else Shape(rows, 0, self.multiple, self.deviation)
        step = abs(self.stride) * (WARP // rows)
        return Shape(rows, self.stride, min(self.multiple, step & -step), self.deviation)


UNIFORM = Shape(1)
VARYING = Shape(WARP)


def lane_wise(*shapes: Shape) -> Shape:
    """The shape of a lane-wise function of operands that keeps no stride: as many rows as the operand with the most,
    varying where an operand has a stride."""
    rows = 1
    for s in shapes:
        if s.stride:
            return VARYING
        rows = max(rows, s.rows)
    return Shape(rows)


def with_stride(stride: int, *shapes: Shape, multiple: int = 1) -> Shape:
    """The shape with the operands' rows and a given stride. An operand with fewer rows can be seen as having more:
    its base in row r is `base + stride * r * row_lanes`."""
    rows = max(s.rows for s in shapes)
    if rows == WARP:
        return VARYING
    return Shape(rows, stride, multiple)


def join(a: Shape, b: Shape) -> Shape:
    """The least shape that both are instances of where the same lanes take the same side (a phi without divergence)."""
    rows = max(a.rows, b.rows)
    if a.stride != b.stride or a.deviation != b.deviation or rows == WARP:
        return VARYING
    return Shape(rows, a.stride, min(a.in_rows(rows).multiple, b.in_rows(rows).multiple), a.deviation)
