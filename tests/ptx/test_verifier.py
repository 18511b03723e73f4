"""Names and structure: what is sound passes, what is not is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from anywarp.ptx import PtxError, parse, verify
from tests.ptx.content import FILES

HEADER = ".version 8.0\n.target sm_80\n.address_size 64\n"
CALLEES = """.func (.param .b32 r) f (.param .b32 a, .param .b32 b);
.extern .func (.param .b32 r) v (.param .b64 format, .param .b8 rest[]);
"""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_compilers_output_is_sound(path: Path) -> None:
    verify(parse(path.read_text()))


@pytest.mark.parametrize(
    "text",
    [
        "bra L; L: ret;",
        "{ L: bra L; } { L: bra L; }",  # labels are names of their block
        ".reg .b32 %r<3>; { .reg .b32 %r<2>; mov.b32 %r1, 0; } mov.b32 %r2, %laneid;",
        ".reg .b32 %r<10>, %r10; mov.b32 %r9, %r10;",
        ".reg .b32 %r1<10>; mov.b32 %r19, %r10;",
        ".param .b32 p, q; call (p), v, (q); call (p), v, (q, 1); call (p), f, (1, 2);",
        ".reg .b64 %rd1; .param .b32 p; call (p), %rd1, (1, 2), t; t: .calltargets f;",
        ".reg .b32 %r1; brx.idx %r1, t; t: .branchtargets A, B; A: B: ret;",
    ],
)
def test_sound_body(text: str) -> None:
    verify(parse(f"{HEADER}{CALLEES}.entry k () {{ {text} }}"))


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("mov.b32 %r1, 0;", 1, "register '%r1' is not declared"),
        (".reg .b32 %r<3>; mov.b32 %r3, 0;", 18, "register '%r3' is not declared"),
        (".reg .b32 %r<3>; mov.b32 %r01, 0;", 18, "register '%r01' is not declared"),
        (".reg .b32 r; { .reg .b32 s; mov.b32 s, r; } mov.b32 r, s;", 45, "name 's' is not declared"),
        ("@p bra L; L: ret;", 1, "register 'p' is not declared"),
        (".reg .b32 %r1; ld.global.u32 %r1, [nowhere+4];", 16, "name 'nowhere' is not declared"),
        (".reg .b32 %r1; mov.b64 {%r1, %r2}, 0;", 16, "register '%r2' is not declared"),
        ("{ L: ret; } bra L;", 13, "name 'L' is not declared"),
        ("L: L: ret;", None, "label 'L' is declared twice in this scope, first in line 8"),
        (".reg .b32 p; .reg .pred p;", None, "register 'p' is declared twice in this scope, first in line 8"),
        (
            ".reg .b32 %r<3>; .reg .b64 %r<4>;",
            None,
            "register '%r<4>' is declared twice in this scope, first in line 8",
        ),
        (".reg .b32 %r<3>; .reg .b32 %r2;", None, "'%r2' is declared twice in this scope, first in line 8"),
        (".reg .b32 %r2; .reg .b32 %r<3>;", None, "'%r2' is declared twice in this scope, first in line 8"),
        (".reg .b32 x; .shared .b32 x;", None, "name 'x' is declared twice in this scope, first in line 8"),
        ("t: .branchtargets L;", None, "label 'L' of 't' is not declared"),
        ("t: .calltargets g;", None, "function 'g' of 't' is not declared"),
        ("call g;", 1, "name 'g' is not declared"),
        ("call k;", 1, "'k' is an entry and cannot be called"),
        ("call x;", 1, "'x' is no function"),
        (".param .b32 p; call (p), f, (1);", 16, "'f' takes 2 arguments, the call passes 1"),
        ("call f, (1, 2);", 1, "'f' returns 1 value, the call takes 0"),
        (".param .b32 p; call (p), v, ();", 16, "'v' takes 2 arguments, the call passes 0"),
        (
            ".reg .b64 %rd1; call %rd1, (1);",
            17,
            "an indirect call needs a '.callprototype' or '.calltargets' as last operand",
        ),
        (".reg .b64 %rd1; call %rd1, (1), L; L: ret;", 17, "'L' is no '.callprototype' or '.calltargets'"),
        (
            ".reg .b64 %rd1; t: .callprototype _ (.param .b32 _); call %rd1, (1, 2), t;",
            54,
            "prototype 't' takes 1 argument, the call passes 2",
        ),
        ("call [x];", 1, "expected a function or a register that holds its address as target of the call"),
    ],
)
def test_unsound_body(text: str, column: int | None, message: str) -> None:
    with pytest.raises(PtxError) as caught:
        verify(parse(f"{HEADER}{CALLEES}.global .u32 x;\n.entry k () {{\n{text}\n}}", "file.ptx"), "file.ptx")
    error = caught.value
    assert (error.message, error.line, error.name) == (message, 8, "file.ptx")
    assert error.column == (column or 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (".global .u64 p = nowhere;", "'nowhere', whose address initialises 'p', is not declared"),
        (".shared .u32 s = 1;", "'s' is in .shared and cannot be initialised"),
        (".global .u32 x; .func x () { ret; }", "'x' is both a variable and a function"),
        (".alias a, b;", "'.alias a, b': no function 'b'"),
        (".entry e { ret; } .alias a, e;", "'.alias a, e': 'e' is an entry"),
        (".func f () { ret; } .func g () { ret; } .alias g, f;", "'g' is an alias and has a body"),
        (".extern .func f () { ret; }", "'f' is '.extern' and has a body"),
        (".entry k (.param .b32 a, .param .b32 a) { ret; }", "'k' has two parameters 'a'"),
        (".entry k (.reg .b32 a) { ret; }", "'a': an entry's parameters are in .param"),
        (".global .u32 x[2][0];", "a dimension of 'x' is 0"),
        (".global .u32 x[16777216][16777216];", "'x' is too large: 281474976710656 elements"),
    ],
)
def test_unsound_module(text: str, message: str) -> None:
    with pytest.raises(PtxError) as caught:
        verify(parse(HEADER + text))
    assert caught.value.message == message


def test_module_without_target() -> None:
    with pytest.raises(PtxError, match=r"no '\.target'"):
        verify(parse(".version 8.0\n"))
