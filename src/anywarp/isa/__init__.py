"""The PTX instruction set, one module a family; importing the package declares all of it."""

from anywarp.isa import floating_point, floating_point_minmax, half, half_compare, integer, reduction, shuffle, vote

__all__ = ["floating_point", "floating_point_minmax", "half", "half_compare", "integer", "reduction", "shuffle", "vote"]
