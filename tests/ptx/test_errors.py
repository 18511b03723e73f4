"""Syntax errors name the place and what was expected there."""

from __future__ import annotations

import pytest

from anywarp.ptx import PtxError, parse

HEADER = ".version 8.0\n.target sm_80\n.address_size 64\n"


def error_of(text: str) -> PtxError:
    with pytest.raises(PtxError) as caught:
        parse(text, "file.ptx")
    return caught.value


@pytest.mark.parametrize(
    ("statement", "column", "message"),
    [
        ("add.s32 %r1, %r2 ret;", 18, "expected ',' or ';' after the operand, found 'ret'"),
        ("add.s32 %r1,, %r2;", 13, "expected an operand, found ','"),
        ("add.s32 %r1, %r2,;", 18, "expected an operand, found ';'"),
        ("ld.global.u32 %r1, [%rd1;", 25, "expected ']' after the address, found ';'"),
        ("ld.global.u32 %r1, [%rd1+%r2];", 26, "expected an offset in bytes, found '%r2'"),
        ("mov.b64 {%r1, %r2, %rd1;", 24, "expected '}' to end the list, found ';'"),
        ("mov.b32 %r1, 0x;", 14, "malformed number '0x'"),
        ("mov.b32 %r1, 12ab;", 14, "malformed number '12ab'"),
        ("mov.b32 %r1, 08;", 14, "malformed octal number '08'"),
        ("mov.b32 %r1, 0x10000000000000000;", 14, "integer constant does not fit into 64 bits"),
        ("mov.b32 %r1, 1/0;", 15, "division by zero in a constant expression"),
        ("mov.b32 %r1, %r2.q;", 17, "expected a component (.x .y .z .w or .r .g .b .a) after '%r2', found '.q'"),
        ("@ bra L;", 7, "expected an instruction, found 'L'"),
        ("@%p1;", 5, "expected an instruction, found ';'"),
        (".reg .b32;", 10, "expected a register's name, found ';'"),
        (".reg .b33 %r1;", 6, "expected a register's type, found '.b33'"),
        (".reg .b32 %r<x>;", 14, "expected the number of registers, found 'x'"),
        (".shared .align 3 .b8 x;", 16, "expected a power of two as alignment"),
        (".shared .b8 x[-1];", 15, "expected the size of the array to be positive"),
        (".maxntid 1;", 1, "expected a statement, found the directive '.maxntid', which has no place in a body"),
        (".b32 x;", 1, "expected a state space such as '.reg' in front of the type, found '.b32'"),
        ("% ;", 1, "expected an instruction, a label, a directive or '}', found '%'"),
        ("mov.b32 %r1, #;", 14, "unexpected character '#'"),
        ("t: .branchtargets ;", 19, "expected a label, found ';'"),
        ("add.s32:: %r1;", 8, "expected an operand, found ':'"),
    ],
)
def test_error_in_a_statement(statement: str, column: int, message: str) -> None:
    error = error_of(f"{HEADER}.entry k ()\n{{\n{statement}\n}}\n")
    assert (error.message, error.line, error.column) == (message, 6, column)


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, "expected '.version' at the beginning of the module, found the end of the text"),
        ("hello", 1, 1, "expected '.version' at the beginning of the module, found 'hello'"),
        (".version eight", 1, 10, "expected a version such as 8.0, found 'eight'"),
        (HEADER + "}", 4, 1, "found '}' without a '{' before it"),
        (HEADER + "foo", 4, 1, "expected a function, a variable or a directive of the module, found 'foo'"),
        (
            HEADER + ".entry k () { ret;",
            4,
            19,
            "expected an instruction, a label, a directive or '}', found the end of the text",
        ),
        (HEADER + ".entry k () ret;", 4, 13, "expected '{' or ';', found 'ret'"),
        (
            HEADER + ".entry k () .maxntit 1 { }",
            4,
            13,
            "expected a directive of the function, '{' or ';', found '.maxntit'",
        ),
        (HEADER + ".entry k () .maxntid { }", 4, 22, "expected a number, found '{'"),
        (
            HEADER + ".entry k (.global .b32 x) { }",
            4,
            11,
            "expected a parameter ('.param' or '.reg') or ')', found '.global'",
        ),
        (HEADER + ".entry () { }", 4, 8, "expected the function's name, found '('"),
        (HEADER + ".entry k {} .entry k {}", 4, 20, "'k' is defined twice; the first definition is in line 4"),
        (HEADER + ".global .u32 x; .global .u32 x;", 4, 17, "'x' is defined twice; the first definition is in line 4"),
        (HEADER + ".global .u32 x[2] = {1, 2, 3};", 4, 19, "'x' has 2 elements, found 3 initialisers"),
        (
            HEADER + ".global .u32 x[2] = {{1}, {{2}}};",
            4,
            23,
            "initialiser has more levels of braces than the variable has dimensions",
        ),
        (HEADER + ".global .u32 x[2] = {1, };", 4, 25, "expected an initialiser, found '}'"),
        (HEADER + ".address_size 16", 4, 15, "expected 32 or 64 as address size, found 16"),
        (HEADER + "/* never closed", 4, 1, "expected '*/' to end this comment, found the end of the text"),
        (
            HEADER + ".section .debug_info { .b8 1",
            4,
            22,
            "expected '}' to end the section that begins here, found the end of the text",
        ),
        (HEADER + '.file 1 "x.cu', 4, 9, "expected '\"' to end the string before the end of the line"),
        (HEADER + ".entry k () {\n.loc 1 2\n}", 6, 1, "expected a column, found '}'"),
        (HEADER + ".common .func f () { ret; }", 4, 1, "a function cannot be '.common'"),
        (HEADER + ".global .u32 x = " + "(" * 1000, 4, 119, "constant expression is nested too deeply"),
        (HEADER + ".entry k { " + "{" * 1000, 4, 212, "blocks are nested too deeply"),
    ],
)
def test_error_in_a_module(text: str, line: int, column: int, message: str) -> None:
    error = error_of(text)
    assert (error.message, error.line, error.column) == (message, line, column)
    assert str(error) == f"file.ptx:{line}:{column}: error: {message}"


def test_an_error_behind_good_functions_fails_the_module() -> None:
    good = "".join(f".entry k{i} {{ ret; }}\n" for i in range(50))
    assert error_of(HEADER + good + ".entry bad { add.s32 %r1 %r2; }").line == 54


@pytest.mark.parametrize("bomb", [".global .u8 x[2][1000000000000] = {{1}, {2}};", ".entry k { t: .branchtargets L<1000000000000>; }"])
def test_short_text_cannot_ask_for_much_memory(bomb: str) -> None:
    error_of(HEADER + bomb)
