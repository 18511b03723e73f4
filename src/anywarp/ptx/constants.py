"""Constants and constant expressions (PTX ISA manual, section "Constants"), folded while they are parsed.

Integer expressions are evaluated in 64 bits, signed or unsigned as the manual's table says; floating-point ones in
double precision. The only name that may stand in an expression is `WARP_SZ`, which is 32.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from anywarp.ptx.lexer import Lexer
from anywarp.ptx.tree import Float, Integer

WARP_SIZE = 32
MAX_DEPTH = 100  # nesting of parentheses and operators; real modules stay below five

_LEVELS: tuple[tuple[str, ...], ...] = (
    ("||",),
    ("&&",),
    ("|",),
    ("^",),
    ("&",),
    ("==", "!="),
    ("<", "<=", ">", ">="),
    ("<<", ">>"),
    ("+", "-"),
    ("*", "/", "%"),
)
_PRECEDENCE = {operator: level for level, operators in enumerate(_LEVELS) for operator in operators}
ADDITIVE = _PRECEDENCE["+"]
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_CASTS = {".s64": False, ".u64": True}


def integer(value: int, unsigned: bool) -> Integer:
    """`value` wrapped to 64 bits."""
    value &= (1 << 64) - 1
    if not unsigned and value >> 63:
        value -= 1 << 64
    return Integer(value, unsigned)


def double(value: float) -> Float:
    bits: int = struct.unpack("<Q", struct.pack("<d", value))[0]
    return Float(bits, 64)


def value_of(constant: Integer | Float) -> int | float:
    """The number that a constant stands for."""
    if isinstance(constant, Integer):
        return constant.value
    value: float
    if constant.width == 32:
        value = struct.unpack("<f", struct.pack("<I", constant.bits))[0]
    else:
        value = struct.unpack("<d", struct.pack("<Q", constant.bits))[0]
    return value


def literal(lexer: Lexer) -> Integer | Float:
    """The current token, of kind "integer" or "float", as a node; steps over it."""
    text, kind = lexer.text, lexer.kind
    if kind == "float":
        lexer.advance()
        if text[1] in "fF":
            return Float(int(text[2:], base=16), 32)
        if text[1] in "dD":
            return Float(int(text[2:], base=16), 64)
        return double(float(text))
    digits = text.rstrip("U")
    if len(digits) > 80:
        lexer.fail("integer constant does not fit into 64 bits")
    try:
        value = int(digits, 8) if digits[0] == "0" and digits.isdigit() else int(digits, 0)
    except ValueError:
        lexer.fail(f"malformed octal number '{digits}'")
    if value >> 64:
        lexer.fail("integer constant does not fit into 64 bits")
    lexer.advance()
    return Integer(value, text.endswith("U") or value >> 63 != 0)


def expression(lexer: Lexer, what: str = "a constant", level: int = 0, depth: int = 0) -> Integer | Float:
    """Parse and fold one constant expression; `what` names it in errors. `level` bounds the operators' precedence."""
    if depth > MAX_DEPTH:
        lexer.fail("constant expression is nested too deeply")
    left = _unary(lexer, what, depth)
    while True:
        operator = lexer.text
        if lexer.kind == "name" and operator[0] == "%":
            operator = "%"
        found = _PRECEDENCE.get(operator)
        if found is None or found < level:
            break
        start = lexer.start
        lexer.jump(start + len(operator))
        right = expression(lexer, what, found + 1, depth + 1)
        left = _binary(lexer, operator, left, right, start)
    if level == 0 and lexer.text == "?":
        lexer.advance()
        first = expression(lexer, what, 0, depth + 1)
        lexer.expect(":", "in the conditional expression")
        second = expression(lexer, what, 0, depth + 1)
        left = first if value_of(left) else second
    return left


def integer_expression(lexer: Lexer, what: str, level: int = 0) -> int:
    """Parse a constant expression that must be an integer."""
    start = lexer.start
    constant = expression(lexer, what, level)
    if not isinstance(constant, Integer):
        lexer.fail(f"expected {what}, found a floating-point constant", start)
    return constant.value


def _unary(lexer: Lexer, what: str, depth: int) -> Integer | Float:
    if lexer.kind in ("integer", "float"):
        return literal(lexer)
    start, text = lexer.start, lexer.text
    if depth > MAX_DEPTH:
        lexer.fail("constant expression is nested too deeply")
    if text == "(":
        lexer.advance()
        if lexer.text in _CASTS:
            unsigned = _CASTS[lexer.advance()]
            lexer.expect(")", "after the type of the cast")
            operand = _unary(lexer, what, depth + 1)
            value = value_of(operand)
            if not math.isfinite(value):
                lexer.fail("this constant has no integer value", start)
            return integer(int(value), unsigned)
        inner = expression(lexer, what, 0, depth + 1)
        lexer.expect(")", "to end the constant expression")
        return inner
    if text in ("+", "-", "!", "~"):
        lexer.advance()
        operand = _unary(lexer, what, depth + 1)
        if text == "+":
            return operand
        if text == "!":
            return Integer(int(not value_of(operand)))
        if isinstance(operand, Float):
            if text == "~":
                lexer.fail("'~' needs an integer", start)
            return Float(operand.bits ^ (1 << (operand.width - 1)), operand.width)
        if text == "~":
            return integer(~operand.value, operand.unsigned)
        if operand.value == 1 << 63:  # as writers mean it: the least s64
            return Integer(-operand.value)
        return integer(-operand.value, operand.unsigned)
    if text == "WARP_SZ":
        lexer.advance()
        return Integer(WARP_SIZE)
    raise lexer.error(what)


def _binary(lexer: Lexer, operator: str, left: Integer | Float, right: Integer | Float, start: int) -> Integer | Float:
    if operator in _COMPARISONS:
        return Integer(int(_COMPARISONS[operator](value_of(left), value_of(right))))
    if operator == "&&":
        return Integer(int(bool(value_of(left)) and bool(value_of(right))))
    if operator == "||":
        return Integer(int(bool(value_of(left)) or bool(value_of(right))))
    if isinstance(left, Float) or isinstance(right, Float):
        return _float_arithmetic(lexer, operator, float(value_of(left)), float(value_of(right)), start)
    a, b = left.value, right.value
    unsigned = left.unsigned or right.unsigned
    if operator in ("/", "%"):
        if unsigned:
            a, b = a & (1 << 64) - 1, b & (1 << 64) - 1
        if b == 0:
            lexer.fail("division by zero in a constant expression", start)
        quotient = abs(a) // abs(b) * (-1 if (a < 0) != (b < 0) else 1)
        return integer(quotient if operator == "/" else a - b * quotient, unsigned)
    if operator == "<<":
        return integer(a << b, left.unsigned) if 0 <= b < 64 else Integer(0, left.unsigned)
    if operator == ">>":
        return integer(a >> (b if 0 <= b < 64 else 64), left.unsigned)
    if operator in ("&", "|", "^"):
        bits = a & b if operator == "&" else a | b if operator == "|" else a ^ b
        return integer(bits, unsigned)
    return integer(a + b if operator == "+" else a - b if operator == "-" else a * b, unsigned)


def _float_arithmetic(lexer: Lexer, operator: str, a: float, b: float, start: int) -> Float:
    if operator == "+":
        return double(a + b)
    if operator == "-":
        return double(a - b)
    if operator == "*":
        return double(a * b)
    if operator == "/":
        if b == 0:
            lexer.fail("division by zero in a constant expression", start)
        return double(a / b)
    lexer.fail(f"'{operator}' needs integers", start)
