"""The PTX instruction set, one module a family; importing the package declares all of it."""

from anywarp.isa import integer

__all__ = ["integer"]
