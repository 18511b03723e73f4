"""PTX: text to syntax tree and back, and the checks of names. Start at `parser`; the tree is in `tree`."""

from anywarp.ptx.diagnostics import PtxError, UndefinedFunction, UnsupportedInstruction
from anywarp.ptx.parser import parse
from anywarp.ptx.printer import print_module
from anywarp.ptx.verifier import verify

__all__ = ["PtxError", "UndefinedFunction", "UnsupportedInstruction", "parse", "print_module", "verify"]
