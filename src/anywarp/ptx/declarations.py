"""Declarations: registers, variables with their initialisers, parameter lists (PTX ISA manual, "State Spaces, Types,
and Variables").

`DeclarationParser` also keeps which variables and registers are in scope, because an operand's meaning can depend
on it.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias, cast

from anywarp.ptx import constants
from anywarp.ptx.diagnostics import PtxError
from anywarp.ptx.lexer import Lexer
from anywarp.ptx.names import REGISTER_TYPES, TYPE_BYTES
from anywarp.ptx.operands import OperandReader
from anywarp.ptx.source import Source
from anywarp.ptx.tree import Initial, Integer, MaskedSymbol, RegisterDeclaration, Symbol, Variable

Space: TypeAlias = Literal["global", "const", "shared", "local", "param", "tex", "reg"]
Linkage: TypeAlias = Literal["", "visible", "extern", "weak", "common"]

SPACES = {".global", ".const", ".shared", ".local", ".param", ".tex"}
LINKAGES = {".visible", ".extern", ".weak", ".common"}
MAX_PADDING = 1 << 24  # elements that nested initialisers may leave out in one module, a bound on memory

_VECTORS = {".v2": 2, ".v4": 4, ".v8": 8}
_FLAT = re.compile(r"\s*\{([^{}]*)\}")
_RANGE_LIMIT = 1 << 31


class _Initials(dict[str, Initial]):
    """Raw text of one initialiser -> node; parses on a miss."""

    def __missing__(self, text: str) -> Initial:
        lexer = Lexer(Source(text, ""))
        node = initial(lexer)
        if lexer.kind != "end":
            raise lexer.error("','")
        self[text] = node
        return node


class DeclarationParser:
    """Parses declarations at the lexer's place and records their names; one for a module."""

    def __init__(self, lexer: Lexer) -> None:
        self.lexer = lexer
        self.operands = OperandReader(self._element_bytes)
        self._variables: list[dict[str, Variable]] = [{}]
        self._initials = _Initials()
        self._padding = 0

    # ------------------------------------------------------------------------------------------------------ scopes

    def open_scope(self) -> None:
        self._variables.append({})
        self.operands.open_scope()

    def close_scope(self) -> None:
        self._variables.pop()
        self.operands.close_scope()

    def declare(self, variable: Variable) -> None:
        """Make the variable known to the operands of what follows in its scope."""
        self._variables[-1][variable.name] = variable
        self.operands.declare(variable.name, is_register=variable.space == "reg")

    def _element_bytes(self, name: str) -> tuple[int, ...] | None:
        for scope in reversed(self._variables):
            if name in scope:
                variable = scope[name]
                size = TYPE_BYTES.get(variable.type, 1) * variable.vector
                sizes: list[int] = []
                for dimension in reversed(variable.dimensions):
                    sizes.append(size)
                    size *= dimension
                return tuple(reversed(sizes)) or None
        return None

    # --------------------------------------------------------------------------------------------------- registers

    def registers(self, line: int) -> list[RegisterDeclaration]:
        """`.reg .b32 %r<10>, x;`, the lexer behind `.reg`."""
        lexer = self.lexer
        vector, type_name = 1, ""
        while lexer.kind == "directive":
            if lexer.text in _VECTORS:
                vector = _VECTORS[lexer.text]
            elif not type_name and lexer.text[1:] in REGISTER_TYPES:
                type_name = lexer.text[1:]
            else:
                raise lexer.error("a register's type" if not type_name else "a register's name")
            lexer.advance()
        if not type_name:
            raise lexer.error("a register's type")
        declarations = []
        while True:
            name = lexer.expect_name("a register's name")
            count = None
            if lexer.accept("<"):
                start = lexer.start
                count = constants.integer_expression(lexer, "the number of registers", constants.ADDITIVE)
                if not 0 <= count < _RANGE_LIMIT:
                    lexer.fail("expected a number of registers from 0 to 2147483647", start)
                lexer.expect(">", "after the number of registers")
                self.operands.declare_range(name, count)
            else:
                self.operands.declare(name, is_register=True)
            declarations.append(RegisterDeclaration(type_name, name, count, line, vector))
            if not lexer.accept(","):
                break
        lexer.expect(";", "after the registers' names")
        return declarations

    # --------------------------------------------------------------------------------------------------- variables

    def variables(self, line: int, linkage: Linkage = "") -> list[Variable]:
        """`.global .align 4 .b8 x[4] = {1, 2}, y;`, the lexer at the state space."""
        lexer = self.lexer
        variables = []
        pattern = self._head(line, SPACES, linkage)
        while True:
            variable = self._declarator(pattern)
            self.declare(variable)
            if lexer.text == "=":
                self._initializer(variable)
            variables.append(variable)
            if not lexer.accept(","):
                break
        lexer.expect(";", "after the declaration")
        return variables

    def parameters(self, allow_unnamed: bool = False) -> tuple[Variable, ...]:
        """`(.param .u64 .ptr .global x, .reg .b32 y)`, the lexer at the parenthesis; declares them in the scope."""
        lexer = self.lexer
        lexer.expect("(")
        if lexer.accept(")"):
            return ()
        parameters = []
        while True:
            line = lexer.source.place(lexer.start)[0]
            if lexer.text not in (".param", ".reg"):
                raise lexer.error("a parameter ('.param' or '.reg') or ')'")
            pattern = self._head(line, {".param", ".reg"}, "")
            parameter = self._declarator(pattern, allow_unnamed)
            if not allow_unnamed:
                self.declare(parameter)
            parameters.append(parameter)
            if not lexer.accept(","):
                break
        lexer.expect(")", "after the parameters")
        return tuple(parameters)

    def _head(self, line: int, spaces: set[str], linkage: Linkage) -> Variable:
        """All that stands before the name, as a variable without one."""
        lexer = self.lexer
        if lexer.text not in spaces:
            raise lexer.error("a state space")
        space = lexer.advance()[1:]
        variable = Variable(cast(Space, space), "", "", line, linkage=linkage)
        types = REGISTER_TYPES if space == "reg" else TYPE_BYTES
        if space == "const" and lexer.accept("["):  # bank of PTX 1.x and 2.x
            constants.integer_expression(lexer, "a constant bank")
            lexer.expect("]", "after the constant bank")
        while lexer.kind == "directive":
            word = lexer.text
            if word == ".align":
                lexer.advance()
                start = lexer.start
                alignment = constants.integer_expression(lexer, "an alignment in bytes")
                if not 0 < alignment <= 1 << 31 or alignment & (alignment - 1):
                    lexer.fail("expected a power of two as alignment", start)
                if variable.pointer is None:
                    variable.alignment = alignment
                else:
                    variable.pointer_alignment = alignment
            elif word == ".attribute":
                self.attributes(variable.attributes)
            elif word in _VECTORS:
                variable.vector = _VECTORS[lexer.advance()]
            elif word == ".ptr" and space == "param":
                lexer.advance()
                variable.pointer = ""
            elif variable.pointer == "" and word in (".global", ".const", ".shared", ".local", ".param"):
                variable.pointer = lexer.advance()[1:]
            elif not variable.type and word[1:] in types:
                variable.type = lexer.advance()[1:]
            else:
                break
        if not variable.type:
            raise lexer.error("a type")
        return variable

    def attributes(self, attributes: dict[str, str]) -> None:
        """`.attribute(.managed, .unified(1, 2))`, the lexer at `.attribute`."""
        lexer = self.lexer
        lexer.expect(".attribute")
        lexer.expect("(", "after '.attribute'")
        while True:
            if lexer.kind != "directive":
                raise lexer.error("an attribute")
            name = lexer.advance()[1:]
            values = []
            if lexer.accept("("):
                while True:
                    values.append(str(constants.integer_expression(lexer, "a number")))
                    if not lexer.accept(","):
                        break
                lexer.expect(")", "after the attribute's numbers")
            attributes[name] = ",".join(values)
            if not lexer.accept(","):
                break
        lexer.expect(")", "after the attributes")

    def _declarator(self, head: Variable, allow_unnamed: bool = False) -> Variable:
        """The name and the dimensions."""
        lexer = self.lexer
        if allow_unnamed and lexer.text in ("_", ",", ")", "["):
            name = "_"
            lexer.accept("_")
        else:
            name = lexer.expect_name("a name")
        dimensions: list[int] = []
        while lexer.accept("["):
            if lexer.text == "]" and not dimensions:
                dimensions.append(0)
            else:
                start = lexer.start
                size = constants.integer_expression(lexer, "the size of the array")
                if not 0 <= size < 1 << 63:
                    lexer.fail("expected the size of the array to be positive", start)
                dimensions.append(size)
            lexer.expect("]", "after the size of the array")
            if len(dimensions) > constants.MAX_DEPTH:
                lexer.fail("too many dimensions")
        return Variable(
            head.space,
            head.type,
            name,
            head.line,
            tuple(dimensions),
            head.vector,
            head.alignment,
            head.linkage,
            None,
            dict(head.attributes),
            head.pointer,
            head.pointer_alignment,
        )

    # ------------------------------------------------------------------------------------------------ initialisers

    def _initializer(self, variable: Variable) -> None:
        lexer = self.lexer
        shape = variable.dimensions + ((variable.vector,) if variable.vector > 1 else ())
        start = lexer.start
        flat = _FLAT.match(lexer.source.text, lexer.end)
        values: tuple[Initial, ...] | None = None
        if flat is not None:
            inner = flat.group(1)
            try:
                values = tuple(map(self._initials.__getitem__, inner.split(","))) if inner.strip() else ()
            except PtxError:  # the careful path below finds the place of the error
                values = None
            else:
                lexer.jump(flat.end())
        if values is None:
            lexer.advance()
            if lexer.text == "{":
                values = tuple(self._nested(shape, 0))
            else:
                values = (initial(lexer),)
        if variable.dimensions and variable.dimensions[0] == 0:
            row = 1
            for size in shape[1:]:
                row *= size
            variable.dimensions = (-(-len(values) // row) if row else 0, *variable.dimensions[1:])
            shape = variable.dimensions + shape[len(variable.dimensions) :]
        capacity = 1
        for size in shape:
            capacity *= size
        if len(values) > capacity:
            lexer.fail(f"'{variable.name}' has {capacity} elements, found {len(values)} initialisers", start)
        variable.initializer = values

    def _nested(self, shape: tuple[int, ...], level: int) -> list[Initial]:
        """`{{1, 2}, {3}}` in row-major order; rows but the last are filled up with zeros."""
        lexer = self.lexer
        lexer.expect("{")
        values: list[Initial] = []
        if lexer.accept("}"):
            return values
        if level >= len(shape):
            lexer.fail("initialiser has more levels of braces than the variable has dimensions")
        row = 1
        for size in shape[level + 1 :]:
            row *= size
        missing = 0
        while True:
            start = lexer.start
            if lexer.text == "{":
                self._padding += missing
                if self._padding > MAX_PADDING:
                    lexer.fail("initialiser leaves out too many elements", start)
                values.extend([Integer(0)] * missing)
                inner = self._nested(shape, level + 1)
                if len(inner) > row:
                    lexer.fail(f"expected at most {row} initialisers in this row, found {len(inner)}", start)
                values.extend(inner)
                missing = row - len(inner)
            else:
                if missing:
                    raise lexer.error("'{'")
                values.append(initial(lexer))
            if not lexer.accept(","):
                break
        lexer.expect("}", "to end the initialiser")
        return values


def initial(lexer: Lexer) -> Initial:
    """One initialiser: a constant, the address of a symbol, or some bytes of it."""
    if lexer.kind == "name" and lexer.text != "WARP_SZ":
        return _address(lexer)
    start = lexer.start
    constant = constants.expression(lexer, "an initialiser")
    if lexer.text != "(":
        return constant
    if not isinstance(constant, Integer):
        lexer.fail("expected an integer as mask of the address", start)
    lexer.advance()
    symbol = _address(lexer)
    lexer.expect(")", "after the masked address")
    return MaskedSymbol(constant.value, symbol)


def _address(lexer: Lexer) -> Symbol:
    generic = False
    if lexer.text == "generic":
        lexer.advance()
        lexer.expect("(", "after 'generic'")
        generic = True
    name = lexer.expect_name("a variable or a function")
    offset = _offset(lexer)
    if generic:
        lexer.expect(")", "after the variable")
        offset += _offset(lexer)
    return Symbol(name, offset, generic)


def _offset(lexer: Lexer) -> int:
    total = 0
    while lexer.text in ("+", "-"):
        sign = 1 if lexer.advance() == "+" else -1
        total += sign * constants.integer_expression(lexer, "an offset in bytes", constants.ADDITIVE + 1)
    return total
