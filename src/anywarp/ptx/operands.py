"""Operands of instructions, with one node for all uses of the same text in the same scope.

`OperandReader.nodes` maps the raw text of an operand, white space included, to its node, and parses what it has not
seen; the fast path of the statement parser is a dictionary lookup an operand. A name that begins with `%` is a register
wherever it stands, unless a variable is called so. Any other name is a register only where a `.reg` of an enclosing
scope declares it, so a scope with such registers gets a dictionary of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from anywarp.ptx import constants
from anywarp.ptx.diagnostics import PtxError
from anywarp.ptx.lexer import Lexer
from anywarp.ptx.names import COMPONENTS, VECTOR_SPECIAL_REGISTERS
from anywarp.ptx.source import Source
from anywarp.ptx.tree import (
    Address,
    AddressList,
    Arguments,
    Component,
    Integer,
    Negated,
    Operand,
    Pair,
    Part,
    Register,
    Sink,
    Symbol,
    Vector,
)

_T = TypeVar("_T")
SINK = Sink()
_PLAIN = re.compile(
    r"\s*(?:([%$A-Za-z_][\w$]+|[A-Za-z])"  # name
    r"|(-?[1-9]\d{0,17}|0)"  # decimal integer
    r"|\[\s*([%$A-Za-z_][\w$]+)\s*(?:\+\s*(-?[1-9]\d{0,8}|0)\s*)?\])\s*",  # address
    re.ASCII,
)
_PART = re.compile("b[0-7]{1,4}|h[0-3]{1,2}")  # of a register, in video instructions
_HARD = re.compile(r"[\[{(|]")
# One operand of a list in which brackets may hold commas.
_PIECES = re.compile(r"(?:[^,\[{(]+|\[[^\]]*\]|\{[^}]*\}|\([^)]*\))+")


class _NotSimple(Exception):
    """The text is no operand on its own; the careful parser must look at the whole statement."""


class _Nodes(dict[str, Operand]):
    """Raw operand text -> node; parses on a miss."""

    __slots__ = ("read",)

    def __init__(self, read: Callable[[str], Operand]) -> None:
        super().__init__()
        self.read = read

    def __missing__(self, text: str) -> Operand:
        node = self[text] = self.read(text)
        return node


def _without_lists_of_one(operands: tuple[Operand, ...], opcode: tuple[str, ...]) -> tuple[Operand, ...]:
    """Some compilers write the register of a scalar access in braces, `ld.global.b32 {%r1}, [%rd1]`, which means the register itself."""
    if opcode[0] not in ("ld", "st"):
        return operands
    return tuple(o.elements[0] if isinstance(o, Vector) and len(o.elements) == 1 else o for o in operands)


class OperandReader:
    """Parses operands and knows which names are registers; one for a module.

    `element_bytes` tells the size in bytes of one element of an array in scope, outermost dimension first (a row of an
    inner dimension counts as an element), for operands of the form `name[i]`; None for what is no array.
    """

    nodes: _Nodes
    lookup: Callable[[str], Operand]

    def __init__(self, element_bytes: Callable[[str], tuple[int, ...] | None]) -> None:
        self._element_bytes = element_bytes
        self._registers: dict[str, Register] = {}
        self._symbols: dict[str, Symbol] = {}
        self._kinds: dict[str, bool] = {}  # names that are registers or not against the rule of the `%`
        self._ranges: dict[str, int] = {}  # prefix without `%` -> count of `.reg .pred p<4>`
        self._undo: list[list[Callable[[], None]]] = [[]]  # an entry a scope: what its end takes back
        self._outer: list[_Nodes] = []
        self._restart()

    # ------------------------------------------------------------------------------------------------------ scopes

    def open_scope(self) -> None:
        self._undo.append([])
        self._outer.append(self.nodes)

    def close_scope(self) -> None:
        for undo in reversed(self._undo.pop()):
            undo()
        self.nodes = self._outer.pop()
        self.lookup = self.nodes.__getitem__

    def declare(self, name: str, is_register: bool) -> None:
        """`name` is a register, or a variable, from here to the end of the scope."""
        if self.is_register(name) != is_register:
            self._set(self._kinds, name, is_register)

    def declare_range(self, prefix: str, count: int) -> None:
        """`prefix0` to `prefix(count-1)` are registers from here to the end of the scope."""
        if prefix[0] != "%":
            self._set(self._ranges, prefix, count)

    def is_register(self, name: str) -> bool:
        known = self._kinds.get(name)
        if known is not None:
            return known
        if name[0] == "%":
            return True
        if self._ranges:
            end = len(name)
            split = end
            while split > 1 and name[split - 1].isdigit():
                split -= 1
                if (name[split] != "0" or split == end - 1) and int(name[split:]) < self._ranges.get(name[:split], 0):
                    return True
        return False

    def _set(self, table: dict[str, _T], key: str, value: _T) -> None:
        if key in table:
            self._undo[-1].append(partial(table.__setitem__, key, table[key]))
        else:
            self._undo[-1].append(partial(table.__delitem__, key))
        table[key] = value
        self._restart()

    def _restart(self) -> None:
        self.nodes = _Nodes(self._read_piece)
        self.lookup = self.nodes.__getitem__

    # --------------------------------------------------------------------------------------------------- fast path

    def read_list(self, text: str, opcode: tuple[str, ...]) -> tuple[Operand, ...] | None:
        """The operands in the text between opcode and `;`, or None where the careful parser must decide."""
        try:
            if "(" in text:
                if opcode[0] != "call":  # a constant expression
                    return None
            elif "{" not in text:
                return tuple(map(self.lookup, text.split(",")))
            pieces = _PIECES.findall(text)
            if sum(map(len, pieces)) + len(pieces) - 1 != len(text):
                return None
            return _without_lists_of_one(tuple(map(self.lookup, pieces)), opcode)
        except (_NotSimple, PtxError):
            return None

    def _read_piece(self, text: str) -> Operand:
        plain = _PLAIN.fullmatch(text)
        if plain is not None:
            name, number, base, offset = plain.groups()
            if name is not None:
                return self.name(name) if name != "WARP_SZ" else Integer(constants.WARP_SIZE)
            if number is not None:
                return Integer(int(number))
            return Address(self.name(base), int(offset) if offset else 0)
        stripped = text.strip()
        if not stripped:
            raise _NotSimple
        first, last = stripped[0], stripped[-1]
        if first in "{(" and not _HARD.search(stripped, 1):
            inner = stripped[1:-1]
            if last != ("}" if first == "{" else ")"):
                raise _NotSimple
            items = tuple(map(self.lookup, inner.split(","))) if inner.strip() else ()
            return Vector(items) if first == "{" else Arguments(items)
        if "[" in stripped and first != "[":
            raise _NotSimple  # an array element: what it is depends on the opcode
        lexer = Lexer(Source(text, ""))
        node = self.operand(lexer, ("call",) if first == "(" else ())
        if lexer.kind != "end":
            raise _NotSimple
        return node

    # ------------------------------------------------------------------------------------------------- careful path

    def name(self, name: str) -> Register | Symbol:
        """The node of a bare name."""
        if self.is_register(name):
            register = self._registers.get(name)
            if register is None:
                register = self._registers[name] = Register(name)
            return register
        symbol = self._symbols.get(name)
        if symbol is None:
            symbol = self._symbols[name] = Symbol(name)
        return symbol

    def operand_list(self, lexer: Lexer, opcode: tuple[str, ...]) -> tuple[Operand, ...]:
        """Operands up to, not including, `;`."""
        if lexer.text == ";":
            return ()
        operands = [self.operand(lexer, opcode)]
        while lexer.accept(","):
            operands.append(self.operand(lexer, opcode))
        return _without_lists_of_one(tuple(operands), opcode)

    def operand(self, lexer: Lexer, opcode: tuple[str, ...] = ()) -> Operand:
        """One operand, `p|q` included."""
        text = lexer.text
        if text == "[":
            return self._bracketed(lexer)
        if text == "{":
            vector = Vector(self._items(lexer, "{", "}"))
            if lexer.accept("|"):
                return Pair(vector, self._named(lexer, opcode))
            return vector
        if text == "(" and opcode[:1] == ("call",):
            return Arguments(self._items(lexer, "(", ")"))
        if text == "!":
            start = lexer.start
            lexer.advance()
            if lexer.kind != "name":
                lexer.jump(start)
                return constants.expression(lexer)
            operand = self._named(lexer, opcode)
            if not isinstance(operand, Register):
                lexer.fail("expected a predicate register after '!'", start)
            return Negated(operand)
        if text == "-":
            start = lexer.start
            lexer.advance()
            if lexer.kind == "name" and self.is_register(lexer.text):
                of = self._named(lexer, opcode)
                if isinstance(of, Register | Part):
                    return Part(of, None, True) if isinstance(of, Register) else Part(of.base, of.selector, True)
            lexer.jump(start)
        if lexer.kind != "name" or text == "WARP_SZ":
            if lexer.kind == "end" or text in (";", ",", ")", "]", "}"):
                raise lexer.error("an operand")
            return constants.expression(lexer, "an operand")
        first = self._named(lexer, opcode)
        if lexer.text == "|":
            lexer.advance()
            return Pair(first, self._named(lexer, opcode))
        return first

    def _named(self, lexer: Lexer, opcode: tuple[str, ...] = (), in_brackets: bool = False) -> Operand:
        """An operand that begins with a name: register, component, symbol with offset, array element, `_`."""
        start = lexer.start
        if lexer.kind != "name":
            raise lexer.error("a register")
        name = lexer.advance()
        if name == "_":
            return SINK
        if name == "generic" and lexer.text == "(":
            lexer.advance()
            symbol = Symbol(lexer.expect_name("a variable"), self._offset(lexer), generic=True)
            lexer.expect(")", "after the variable")
            return Symbol(symbol.name, symbol.offset + self._offset(lexer), generic=True)
        node = self.name(name)
        if lexer.kind == "directive" and lexer.start == start + len(name):
            component = lexer.text[1:]
            if name in VECTOR_SPECIAL_REGISTERS and component in ("x", "y", "z", "w"):
                lexer.advance()
                return self.name(f"{name}.{component}")
            if _PART.fullmatch(component):
                lexer.advance()
                return Part(node if isinstance(node, Register) else Register(name), component)
            if component not in COMPONENTS:
                lexer.fail(f"expected a component (.x .y .z .w or .r .g .b .a) after '{name}', found '{lexer.text}'")
            lexer.advance()
            return Component(node if isinstance(node, Register) else Register(name), COMPONENTS[component])
        if isinstance(node, Register):
            return node
        if lexer.text == "[":
            return self._element(lexer, node, opcode[:1] == ("mov",), in_brackets)
        offset = self._offset(lexer)
        return Symbol(name, offset) if offset else node

    def _element(self, lexer: Lexer, base: Symbol, address_of: bool, in_brackets: bool) -> Address | Symbol:
        """`name[i]`, `name[r+1]`, `name[i][j]`: an element as memory operand, or as an address in `mov`.

        In brackets, `[name[r]+8]`, as the printer writes it, `r` counts elements whatever the dimensions are.
        """
        sizes = self._element_bytes(base.name)
        start = lexer.start
        index: Register | None = None
        offset = level = 0
        while lexer.accept("["):
            if sizes is None:
                lexer.fail(f"expected an array that is declared before its element is used, found '{base.name}'", start)
            if level >= len(sizes):
                lexer.fail(f"'{base.name}' has fewer dimensions than this", start)
            may_be_register = (in_brackets or level == len(sizes) - 1) and not address_of
            if lexer.kind == "name" and lexer.text != "WARP_SZ":
                register = self.name(lexer.text)
                if not isinstance(register, Register) or not may_be_register:
                    raise lexer.error("a constant index")
                lexer.advance()
                index = register
                offset += sizes[level] * self._offset(lexer)
            else:
                offset += sizes[level] * constants.integer_expression(lexer, "an index")
            lexer.expect("]", "after the index")
            level += 1
        if address_of:
            return Symbol(base.name, offset)
        return Address(base, offset, index)

    def _offset(self, lexer: Lexer) -> int:
        """`+ constant`, `- constant`, or nothing."""
        total = 0
        while lexer.text in ("+", "-"):
            sign = 1 if lexer.advance() == "+" else -1
            total += sign * constants.integer_expression(lexer, "an offset in bytes", constants.ADDITIVE + 1)
        return total

    def _bracketed(self, lexer: Lexer) -> Address | AddressList:
        lexer.expect("[")
        items: list[Operand] = []
        while True:
            start = lexer.start
            item: Operand
            if lexer.text == "{":
                item = Vector(self._items(lexer, "{", "}"))
            elif lexer.kind == "name" and lexer.text != "WARP_SZ":
                item = self._named(lexer, in_brackets=True)
                if isinstance(item, Register):
                    offset = self._offset(lexer)
                    item = Address(item, offset) if offset else item
                elif isinstance(item, Address):
                    item = Address(item.base, item.offset + self._offset(lexer), item.index)
                elif not isinstance(item, Symbol):
                    lexer.fail("expected an address", start)
            else:
                item = Integer(constants.integer_expression(lexer, "an address"))
            items.append(item)
            if not lexer.accept(","):
                break
        lexer.expect("]", "after the address")
        if len(items) > 1:
            return AddressList(tuple(items))
        only = items[0]
        if isinstance(only, Address):
            return only
        if isinstance(only, Register):
            return Address(only)
        if isinstance(only, Symbol):
            return Address(Symbol(only.name, 0, only.generic) if only.offset else only, only.offset)
        if isinstance(only, Integer):
            return Address(None, only.value)
        lexer.fail("expected an address", start)

    def _items(self, lexer: Lexer, opening: str, closing: str) -> tuple[Operand, ...]:
        """The operands between brackets; constants, registers, symbols, `!p` and `_`, but no further brackets."""
        lexer.expect(opening)
        if lexer.accept(closing):
            return ()
        items: list[Operand] = []
        while True:
            if lexer.text in ("[", "{", "("):
                raise lexer.error("a register or a constant")
            items.append(self.operand(lexer))
            if not lexer.accept(","):
                break
        lexer.expect(closing, "to end the list")
        return tuple(items)
