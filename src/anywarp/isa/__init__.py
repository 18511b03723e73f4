"""The PTX instruction set, one module a family; importing the package declares all of it."""

from anywarp.isa import (
    comparison,
    conversion,
    floating_point,
    floating_point_minmax,
    half,
    half_compare,
    integer,
    integer_bits,
    integer_division,
    integer_packed,
    logic,
    move,
    reduction,
    shuffle,
    vote,
)

__all__ = [
    "comparison",
    "conversion",
    "floating_point",
    "floating_point_minmax",
    "half",
    "half_compare",
    "integer",
    "integer_bits",
    "integer_division",
    "integer_packed",
    "logic",
    "move",
    "reduction",
    "shuffle",
    "vote",
]
