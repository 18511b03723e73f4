"""Errors about PTX text, with the place and what helps."""

from __future__ import annotations


class PtxError(Exception):
    """Something is wrong with a PTX module; `line` and `column` are 1-based, 0 where no place applies.

    `str(error)` reads like a compiler's message: `file.ptx:12:5: error: expected ';' after operands, found '}'`.
    """

    def __init__(self, message: str, line: int = 0, column: int = 0, name: str = "<ptx>") -> None:
        self.message, self.line, self.column, self.name = message, line, column, name
        super().__init__(message)

    def __str__(self) -> str:
        place = f"{self.name}:{self.line}:{self.column}" if self.line else self.name
        return f"{place}: error: {self.message}"


class UndefinedFunction(PtxError):
    """A call of a function that the module declares and does not define: another module may, when they are linked."""


class UnsupportedInstruction(PtxError):
    """An instruction of the PTX manual that this version does not compile yet; the message names it and its section."""
