"""Programs that the grammar allows and the instruction set does not are refused with their line, not by a failure of the compiler."""

from __future__ import annotations

import pytest

from anywarp.ir.build import build
from anywarp.pipeline import read_module
from anywarp.ptx import PtxError

HEAD = (
    ".version 8.0\n.target sm_80\n.address_size 64\n.extern .func (.param .b32 r) vprintf (.param .b64 f, .param .b64 a);\n"
    ".visible .entry k(.param .u64 p)\n{\n.reg .pred %p;\n.reg .b32 %r<4>;\n.reg .b64 %d<4>;\n.shared .b8 box[64];\n"
)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("bra;", "does not take these 0 operands"),
        ("brx.idx %r1;", "does not take these 1 operands"),
        ("brx.idx %r1, %r2;", "needs a .branchtargets list"),
        ("cp.async.ca.shared.global [box], [%d1], 33;", "size of cp.async.ca.shared.global must be one of 4, 8, 16"),
        ("cp.async.ca.shared.global [box], [%d1], %r1;", "must be one of 4, 8, 16"),
        ("alloca.u64 %d1, %d2, %r1;", "alignment of alloca.u64 must be one of 1, 2, 4"),
        ("ld.param.reg %r1, [p];", "instruction ld.param.reg is not supported"),
        ("setp.gt.u32 %p, %p, 10;", "a predicate where a number of 32 bits belongs"),
        ("add.u32 %p, %r1, 10;", "a predicate where a number of 32 bits belongs"),
        ("selp.b32 %r1, %r2, %r3, !%r1;", "'!' in front of what is no predicate"),
        (
            "{ .param .b64 f; .param .b64 a; .param .b32 r; st.param.b32 [f], %r1; st.param.b32 [f+4], %r1; st.param.b64 [a], %d1; "
            "call (r), vprintf, (f, a); }",
            "needs its parameter 'f' stored or loaded whole",
        ),
    ],
)
def test_refused_with_its_line(statement: str, message: str) -> None:
    with pytest.raises(PtxError, match=message.replace(".", r"\.").replace("(", r"\(")) as caught:
        build(read_module(f"{HEAD}{statement}\nret;\n}}\n"), "k")
    assert caught.value.line == HEAD.count("\n") + 1
