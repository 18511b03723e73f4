"""The PTX instruction set, one module a family; importing the package declares all of it."""

from anywarp.isa import half, half_compare, integer

__all__ = ["half", "half_compare", "integer"]
