"""The text of one PTX module: comments blanked out, offsets turned into lines and columns.

`Source.text` has the same lines and, up to a comment, the same columns as the text that was handed in, so that every
offset into it gives a true place. Comments (`//`, `/* */`) and the `@@DWARF` lines of PTX 1.x are gone from it, so the
parser only ever skips white space.
"""

from __future__ import annotations

import re

from anywarp.ptx.diagnostics import PtxError

_COMMENTS = re.compile(r'"[^"\n]*"|//[^\n]*|/\*.*?\*/|/\*|@@[^\n]*', re.DOTALL)
_NOT_NEWLINE = re.compile(r"[^\n]")


class Source:
    """A module's text and name. Not for use by several threads at once."""

    __slots__ = ("_counted", "_line", "name", "text")

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self._counted, self._line = 0, 1  # how far lines are counted, so that places in ascending order cost little
        self.text = text
        if text.startswith("\ufeff"):
            text = " " + text[1:]
        end = text.find("\0")
        if end >= 0:
            text = text[:end]
        if "/" in text or "@@" in text:
            text = _COMMENTS.sub(self._blank, text)
        self.text = text

    def _blank(self, match: re.Match[str]) -> str:
        found = match.group()
        if found.startswith('"'):
            return found
        if found == "/*":
            raise self.error("expected '*/' to end this comment, found the end of the text", match.start())
        if found.startswith("/*"):
            return _NOT_NEWLINE.sub(" ", found)
        return ""

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column, both 1-based, of an offset into `text`."""
        if offset < self._counted:
            self._counted, self._line = 0, 1
        self._line += self.text.count("\n", self._counted, offset)
        self._counted = offset
        return self._line, offset - self.text.rfind("\n", 0, offset)

    def error(self, message: str, offset: int) -> PtxError:
        line, column = self.place(offset)
        return PtxError(message, line, column, self.name)
