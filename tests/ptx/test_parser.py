"""The tree that the parser makes of each form of the grammar."""

from __future__ import annotations

import struct

import pytest

from anywarp.ptx import PtxError, parse, print_module, tree, verify
from anywarp.ptx.tree import (
    Address,
    AddressList,
    Arguments,
    Component,
    Float,
    Integer,
    MaskedSymbol,
    Negated,
    Operand,
    Pair,
    Register,
    Sink,
    Symbol,
    Vector,
)
from tests.ptx.content import DATA

HEADER = ".version 8.0\n.target sm_80\n.address_size 64\n"
DECLARATIONS = ".global .b32 array[4][8];\n.global .u32 x;\n"


def body(text: str, declarations: str = DECLARATIONS) -> list[tree.Statement]:
    module = parse(f"{HEADER}{declarations}.entry kernel () {{ {text} }}")
    statements = module.functions["kernel"].body
    assert statements is not None
    return statements


def instruction(text: str) -> tree.Instruction:
    """The last statement of a body."""
    last = body(text)[-1]
    assert isinstance(last, tree.Instruction)
    return last


def variable(text: str) -> tree.Variable:
    """The last variable of a module."""
    return list(parse(HEADER + text).variables.values())[-1]


R1, R2 = Register("%r1"), Register("%r2")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%r1", R1),
        ("%tid.x", Register("%tid.x")),
        ("%v.y", Component(Register("%v"), 1)),
        ("%v.a", Component(Register("%v"), 3)),
        ("_", Sink()),
        ("x", Symbol("x")),
        ("x+8", Symbol("x", 8)),
        ("x - 8", Symbol("x", -8)),
        ("generic(x)", Symbol("x", 0, True)),
        ("generic(x)+4", Symbol("x", 4, True)),
        ("array[1][2]", Address(Symbol("array"), 40)),
        ("array[1][%r1]", Address(Symbol("array"), 32, R1)),
        ("array[0][%r1+3]", Address(Symbol("array"), 12, R1)),
        ("[%r1]", Address(R1)),
        ("[ %r1 + 0 ]", Address(R1)),
        ("[%r1+16]", Address(R1, 16)),
        ("[%r1+-16]", Address(R1, -16)),
        ("[%r1-0x10]", Address(R1, -16)),
        ("[%r1+4*2]", Address(R1, 8)),
        ("[x+4]", Address(Symbol("x"), 4)),
        ("[generic(x)+4]", Address(Symbol("x", 0, True), 4)),
        ("[1024]", Address(None, 1024)),
        ("{%r1, 7}", Vector((R1, Integer(7)))),
        ("{ %r1,_ }", Vector((R1, Sink()))),
        ("!%p1", Negated(Register("%p1"))),
        ("%p1|%p2", Pair(Register("%p1"), Register("%p2"))),
        ("%r1 | _", Pair(R1, Sink())),
        ("[x, {%r1, %r2}]", AddressList((Symbol("x"), Vector((R1, R2))))),
        ("[%r1, %r2]", AddressList((R1, R2))),
        ("[%r1+64, {%r2}]", AddressList((Address(R1, 64), Vector((R2,))))),
        ("0", Integer(0)),
        ("-7", Integer(-7)),
        ("0x7fffffffffffffff", Integer((1 << 63) - 1)),
        ("0xFFFFFFFFFFFFFFFF", Integer((1 << 64) - 1, True)),
        ("-9223372036854775808", Integer(-(1 << 63))),
        ("5U", Integer(5, True)),
        ("0b101", Integer(5)),
        ("017", Integer(15)),
        ("WARP_SZ", Integer(32)),
        ("0f3F800000", Float(0x3F800000, 32)),
        ("-0f3F800000", Float(0xBF800000, 32)),
        ("0D3ff0000000000000", Float(0x3FF0000000000000, 64)),
        ("1.5", Float(0x3FF8000000000000, 64)),
        ("-1.5e1", Float(0xC02E000000000000, 64)),
    ],
)
def test_operand(text: str, expected: Operand) -> None:
    assert instruction(f"ld.global.u32 {text}, %r9;").operands == (expected, Register("%r9"))
    assert instruction(f"ld.global.u32 %r9 , \n {text} ;").operands == (Register("%r9"), expected)


@pytest.mark.parametrize(
    ("text", "value", "unsigned"),
    [
        ("1 + 2 * 3", 7, False),
        ("(1 + 2) * 3", 9, False),
        ("1 << 4 | 3", 19, False),
        ("7 % 4 - 10", -7, False),
        ("7%4", 3, False),
        ("-7 / 2", -3, False),
        ("-7 % 2", -1, False),
        ("-1 / 2U", (1 << 63) - 1, True),
        ("~0", -1, False),
        ("!5", 0, False),
        ("(.u64)-1", (1 << 64) - 1, True),
        ("(.s64)0xFFFFFFFFFFFFFFFF", -1, False),
        ("(.s64)2.75", 2, False),
        ("-8 >> 1", -4, False),
        ("1 << 64", 0, False),
        ("1 << 63", -(1 << 63), False),
        ("0x7fffffffffffffff + 1", -(1 << 63), False),
        ("3 > 2 ? 7 : 9", 7, False),
        ("3 == 2 ? 7 : 0 ? 1 : 5", 5, False),
        ("1 && 0 || 1", 1, False),
        ("6 & 3 ^ 1", 3, False),
        ("1.5 > 1", 1, False),
    ],
)
def test_constant_expression(text: str, value: int, unsigned: bool) -> None:
    """Precedences are C's; the results' types are those of the manual's table (section "Constant Expressions")."""
    assert variable(f".global .b64 c = {text};").initializer == (Integer(value, unsigned),)


def test_float_expression_is_a_double() -> None:
    bits = struct.unpack("<Q", struct.pack("<d", 1.0 / 3.0 + 2.0))[0]
    assert variable(".global .f64 c = 1.0 / 3.0 + 2;").initializer == (Float(bits, 64),)


def test_address_of_an_element_in_mov() -> None:
    assert instruction("mov.u64 %rd1, array[1][2];").operands[1] == Symbol("array", 40)


def test_guard_opcode_and_place() -> None:
    guarded = instruction("\n\n  @!%p1 ld.global.L2::128B.v4.b32 {%r1, %r2, %r3, %r4}, [%rd1];")
    assert (guarded.guard, guarded.guard_negated) == ("%p1", True)
    assert guarded.opcode == ("ld", "global", "L2::128B", "v4", "b32")
    assert guarded.mnemonic == "ld.global.L2::128B.v4.b32"
    assert (guarded.line, guarded.column) == (8, 3)


def test_places_survive_comments_and_lines_joined_by_them() -> None:
    first, second = body("/* a\n b */ bar.sync 0; // c; d\n  ret; ")
    assert isinstance(first, tree.Instruction) and isinstance(second, tree.Instruction)
    assert (first.line, first.column, second.line, second.column) == (7, 7, 8, 3)


def test_call_operands() -> None:
    call = instruction("call.uni (ret0), \n target, \n (\n a, 7\n ), proto;")
    assert call.operands == (
        Arguments((Symbol("ret0"),)),
        Symbol("target"),
        Arguments((Symbol("a"), Integer(7))),
        Symbol("proto"),
    )
    assert instruction("call f;").operands == (Symbol("f"),)
    assert instruction("call (a), %rd1, (), p;").operands == (
        Arguments((Symbol("a"),)),
        Register("%rd1"),
        Arguments(()),
        Symbol("p"),
    )
    assert instruction("call f, (1);").operands == (Symbol("f"), Arguments((Integer(1),)))


def test_bare_names_are_registers_where_a_scope_declares_them() -> None:
    outer, declaration, block, after = body("mov.u32 %r1, p; .reg .b32 q; { .reg .b32 p; mov.u32 %r1, p; { mov.u32 p, q; } } mov.u32 q, p;")
    assert isinstance(outer, tree.Instruction) and isinstance(after, tree.Instruction) and isinstance(block, tree.Block)
    assert isinstance(declaration, tree.RegisterDeclaration)
    assert outer.operands == (R1, Symbol("p"))
    assert after.operands == (Register("q"), Symbol("p"))
    inner, innermost = block.statements[1:]
    assert isinstance(inner, tree.Instruction) and isinstance(innermost, tree.Block)
    assert inner.operands == (R1, Register("p"))
    move = innermost.statements[0]
    assert isinstance(move, tree.Instruction) and move.operands == (Register("p"), Register("q"))


def test_bare_register_ranges() -> None:
    *_, inside, outside, leading_zero = body(".reg .b32 r<12>; mov.b32 r11, 0; mov.b32 r12, 0; mov.b32 r01, 0;")
    assert [s.operands[0] for s in (inside, outside, leading_zero) if isinstance(s, tree.Instruction)] == [
        Register("r11"),
        Symbol("r12"),
        Symbol("r01"),
    ]


def test_variables_may_have_names_like_registers() -> None:
    block, after = body("{ .param .b32 %x; st.param.b32 [%x], %r1; } mov.b32 %x, 1;")
    assert isinstance(block, tree.Block) and isinstance(after, tree.Instruction)
    store = block.statements[1]
    assert isinstance(store, tree.Instruction) and store.operands == (Address(Symbol("%x")), R1)
    assert after.operands[0] == Register("%x")


def test_a_variable_hides_a_register_of_an_outer_scope() -> None:
    _, block = body(".reg .b32 x; { .shared .b32 x; ld.shared.b32 %r1, [x]; }")
    assert isinstance(block, tree.Block)
    load = block.statements[1]
    assert isinstance(load, tree.Instruction) and load.operands[1] == Address(Symbol("x"))


def test_equal_operands_are_one_object() -> None:
    first, second = body("add.s32 %r1, %r2, 5; sub.s32 %r3, %r2, 5;")
    assert isinstance(first, tree.Instruction) and isinstance(second, tree.Instruction)
    assert first.operands[1] is second.operands[1]
    assert first.operands[2] is second.operands[2]


def test_registers() -> None:
    assert [
        (d.type, d.name, d.count, d.vector)
        for d in body(".reg .v4 .f32 v, %w<3>; .reg .pred p;")
        if isinstance(d, tree.RegisterDeclaration)
    ] == [
        ("f32", "v", None, 4),
        ("f32", "%w", 3, 4),
        ("pred", "p", None, 1),
    ]


def test_module_directives() -> None:
    module = parse((DATA / "every_form.ptx").read_text())
    assert module.version == (9, 0)
    assert (module.target, module.target_options, module.address_size) == (
        "sm_100a",
        ("texmode_independent", "debug"),
        64,
    )
    assert module.files == {7: "a //not a comment/b.cu"}
    assert module.pragmas == ("module pragma", "second")
    assert module.aliases == {"other_name": "plain"}


def test_address_size_is_32_unless_given() -> None:
    assert parse(".version 1.4\n.target sm_10, map_f64_to_f32\n").address_size == 32


def test_variable_attributes() -> None:
    managed = variable(".visible .global .attribute(.managed, .unified(19, 95)) .align 8 .v2 .u32 m[3];")
    assert managed == tree.Variable(
        "global",
        "u32",
        "m",
        4,
        (3,),
        vector=2,
        alignment=8,
        linkage="visible",
        attributes={"managed": "", "unified": "19,95"},
    )


@pytest.mark.parametrize(
    ("text", "dimensions", "values"),
    [
        (".global .u32 a[2][2] = {{1}, {2, 3}};", (2, 2), (1, 0, 2, 3)),
        (".global .u32 a[2][2] = {1, 2, 3};", (2, 2), (1, 2, 3)),
        (".global .u32 a[] = {1, 2, 3};", (3,), (1, 2, 3)),
        (".global .u32 a[][2] = {{1, 2}, {3, 4}, {5}};", (3, 2), (1, 2, 3, 4, 5)),
        (".global .v2 .u32 a[] = {{1, 2}, {3, 4}};", (2,), (1, 2, 3, 4)),
        (".global .v4 .u32 a = {1, 2, 3, 4};", (), (1, 2, 3, 4)),
        (".global .u32 a[2][2][2] = {{{1}, {2}}, {{3, 4}}};", (2, 2, 2), (1, 0, 2, 0, 3, 4)),
        (".global .u32 a[4] = {};", (4,), ()),
    ],
)
def test_initialiser_in_row_major_order(text: str, dimensions: tuple[int, ...], values: tuple[int, ...]) -> None:
    found = variable(text)
    assert found.dimensions == dimensions
    assert found.initializer == tuple(map(Integer, values))


def test_initialiser_with_addresses() -> None:
    found = variable(".global .u32 x; .global .u64 a[4] = {x, generic(x)+4, x+8, 0};.global .b8 b[2] = {0xFF(x), 0xff00(generic(x)+4)};")
    assert found.initializer == (MaskedSymbol(0xFF, Symbol("x")), MaskedSymbol(0xFF00, Symbol("x", 4, True)))


def test_parameters() -> None:
    module = parse(
        HEADER + ".visible .entry k (.param .u64 .ptr .global .align 16 p, .param .u64 .ptr q, .param .align 8 .b8 s[24])"
        " .maxntid 16, 2 { ret; }"
    )
    kernel = module.functions["k"]
    assert kernel.params == (
        tree.Variable("param", "u64", "p", 4, pointer="global", pointer_alignment=16),
        tree.Variable("param", "u64", "q", 4, pointer=""),
        tree.Variable("param", "b8", "s", 4, (24,), alignment=8),
    )
    assert (kernel.kind, kernel.linkage, kernel.directives) == ("entry", "visible", {"maxntid": (16, 2)})


def test_function_with_register_parameters() -> None:
    function = parse(HEADER + ".func (.reg .u32 result) f (.reg .u32 x) { mov.u32 result, x; ret; }").functions["f"]
    assert [(v.space, v.type, v.name) for v in (*function.returns, *function.params)] == [
        ("reg", "u32", "result"),
        ("reg", "u32", "x"),
    ]
    assert function.body is not None
    move = function.body[0]
    assert isinstance(move, tree.Instruction) and move.operands == (Register("result"), Register("x"))


def test_definition_wins_over_declarations() -> None:
    module = parse(
        HEADER
        + ".visible .func f (); .func f () { ret; } .func f ();"
        + ".extern .global .u32 v; .visible .global .u32 v = 1; .extern .global .u32 v;"
    )
    assert module.functions["f"].body is not None
    assert module.functions["f"].linkage == "visible"
    assert module.variables["v"].initializer == (Integer(1),)


def test_parameters_in_the_body_before_ptx_1_4() -> None:
    module = parse(".version 1.3\n.target sm_10\n.entry k { .param .u32 a; .reg .u32 %r1; ld.param.u32 %r1, [a]; exit; }")
    assert [p.name for p in module.functions["k"].params] == ["a"]


OLD = """.version 1.4
.target sm_10, map_f64_to_f32
.reg .u32 %ra<17>;
.reg .pred shared;
.file 1 "<command-line>"
.entry k (
  .param .u64 __cudaparm_k_p)
{
  .reg .u16 %rh<4>;
  .loc 1 1 0
$LDWbegin_k:
  mov.u16 %rh1, %ctaid.x;
  mov.u32 %ra3, 1;
  exit;
$LDWend_k:
} // k
@@DWARF .section .debug_info
"""


def test_old_compilers_output() -> None:
    module = parse(OLD)
    verify(module)
    first = (module.functions["k"].body or [])[0]
    assert first == tree.RegisterDeclaration("u32", "%ra", 17, 3)


def test_registers_that_functions_share_are_refused() -> None:
    with pytest.raises(PtxError, match="'%ra' of the module is used by 'k' and 'f'"):
        parse(OLD + ".func f () { mov.u32 %ra4, 1; ret; }")


def test_branch_and_call_tables() -> None:
    targets, calls, prototype = body(
        "t: .branchtargets A, L<3>; c: .calltargets f, g;p: .callprototype (.param .b32 _) _ (.param .b8 x[4]) .noreturn;"
    )
    assert targets == tree.BranchTargets("t", ("A", "L0", "L1", "L2"), 6)
    assert calls == tree.CallTargets("c", ("f", "g"), 6)
    assert prototype == tree.CallPrototype(
        "p", (tree.Variable("param", "b32", "_", 6),), (tree.Variable("param", "b8", "x", 6, (4,)),), 6, noreturn=True
    )


def test_debug_information() -> None:
    first, second, third = body(
        ".loc 1 2 3\n.loc 1 5 6, function_name $L__info, inlined_at 1 2 3\n.loc 1 5 6, function_name $L__info+16, inlined_at 1 2 3\n"
    )
    assert first == tree.Location(1, 2, 3, 6)
    assert second == tree.Location(1, 5, 6, 7, "$L__info", (1, 2, 3))
    assert third == tree.Location(1, 5, 6, 8, "$L__info+16", (1, 2, 3))
    assert parse(HEADER + ".section .debug_info {\n.b8 1, 2\n.b32 $L__x+1\n}\n.section .debug_macinfo { }\n").functions == {}


def test_text_may_have_a_mark_a_nul_and_windows_line_ends() -> None:
    module = parse("\ufeff" + (HEADER + ".entry k { ret; }\n").replace("\n", "\r\n") + "\0garbage {")
    assert list(module.functions) == ["k"]


def test_parts_of_video_operands() -> None:
    body = ".reg .b32 a, b, c;\nvmad.s32.u32.s32 a, -b.h0, -c, a;\nvadd4.u32.u32.u32 a.b10, b.b3221, c, a;\n"
    module = parse(f".version 8.0\n.target sm_80\n.entry k()\n{{\n{body}}}\n")
    negated, masked = (s for s in module.functions["k"].body or [] if isinstance(s, tree.Instruction))
    a, b, c = (tree.Register(name) for name in "abc")
    assert negated.operands == (a, tree.Part(b, "h0", True), tree.Part(c, None, True), a)
    assert masked.operands == (tree.Part(a, "b10"), tree.Part(b, "b3221"), c, a)
    assert "vmad.s32.u32.s32 a, -b.h0, -c, a;" in print_module(module)
