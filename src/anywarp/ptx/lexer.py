"""Tokens of PTX (PTX ISA manual, chapter "Syntax"), one at a time from any offset.

The parser's fast path reads whole instructions with one regular expression and never comes here; the lexer serves
everything else, and all error messages. A dotted word (`.reg`, `.v4`, `.x`) is one token of kind "directive".
"""

from __future__ import annotations

import re
from typing import NoReturn

from anywarp.ptx.diagnostics import PtxError
from anywarp.ptx.source import Source

_TOKEN = re.compile(
    r"""
    (?P<name>       [A-Za-z][\w$]* | [_$%][\w$]+ | _ )
  | (?P<directive>  \.[A-Za-z_]\w*(?:::\w+)* )
  | (?P<float>      0[fF][0-9a-fA-F]{8}(?![\w$]) | 0[dD][0-9a-fA-F]{16}(?![\w$])
                  | (?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w$]) | \d+[eE][-+]?\d+(?![\w$]) )
  | (?P<integer>    (?:0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)U?(?![\w$]) )
  | (?P<string>     "[^"\n]*" )
  | (?P<punctuation> << | >> | <= | >= | == | != | && | \|\| | [-+*/%&|^~!?:;,.(){}\[\]<>=@] )
    """,
    re.VERBOSE | re.ASCII,
)
_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"[\w$%.]+|[^\s\w]+", re.ASCII)
_MAX_SHOWN = 40


class Lexer:
    """A cursor: `kind`, `text` and `start` describe the current token, `end` is the offset behind it.

    Kinds: "name", "directive", "float", "integer", "string", "punctuation", and "end" behind the last token.
    """

    __slots__ = ("end", "kind", "previous_end", "source", "start", "text")

    def __init__(self, source: Source, offset: int = 0) -> None:
        self.source = source
        self.end = offset
        self.previous_end = offset
        self.kind = self.text = ""
        self.start = offset
        self.advance()

    def jump(self, offset: int) -> None:
        """Make the token at or behind `offset` the current one."""
        self.end = offset
        self.advance()

    def advance(self) -> str:
        """Go to the next token; return the text of the one left behind."""
        text = self.source.text
        left = self.text
        self.previous_end = self.end
        space = _SPACE.match(text, self.end)
        assert space is not None  # the pattern matches the empty string
        self.start = space.end()
        token = _TOKEN.match(text, self.start)
        if token is not None:
            assert token.lastgroup is not None
            self.kind, self.text, self.end = token.lastgroup, token.group(), token.end()
        elif self.start >= len(text):
            self.kind, self.text, self.end = "end", "", self.start
        else:
            word = _WORD.match(text, self.start)
            shown = word.group() if word else text[self.start]
            if shown[0].isdigit():
                raise self.source.error(f"malformed number '{shown[:_MAX_SHOWN]}'", self.start)
            if shown[0] == '"':
                raise self.source.error("expected '\"' to end the string before the end of the line", self.start)
            raise self.source.error(f"unexpected character {shown[0]!r}", self.start)
        return left

    @property
    def found(self) -> str:
        """The current token as an error message shows it."""
        if self.kind == "end":
            return "the end of the text"
        shown = self.text if len(self.text) <= _MAX_SHOWN else self.text[:_MAX_SHOWN] + "..."
        return shown if self.kind == "string" else f"'{shown}'"

    def error(self, expected: str) -> PtxError:
        """`expected X, found Y` at the current token."""
        return self.source.error(f"expected {expected}, found {self.found}", self.start)

    def accept(self, text: str) -> bool:
        """Step over the current token if it is `text`."""
        if self.text == text:
            self.advance()
            return True
        return False

    def expect(self, text: str, where: str = "") -> None:
        """Step over `text`; `where` completes the message: `after the operands`."""
        if self.text != text:
            raise self.error(f"'{text}'{' ' + where if where else ''}")
        self.advance()

    def expect_name(self, what: str) -> str:
        """Step over an identifier and return it."""
        if self.kind != "name" or self.text == "_":
            raise self.error(what)
        return self.advance()

    def expect_string(self, what: str) -> str:
        """Step over a string and return what stands between its quotes."""
        if self.kind != "string":
            raise self.error(what)
        return self.advance()[1:-1]

    def fail(self, message: str, start: int | None = None) -> NoReturn:
        """Raise an error at an offset (default: the current token)."""
        raise self.source.error(message, self.start if start is None else start)
