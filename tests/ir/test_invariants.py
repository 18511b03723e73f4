"""The IR of real kernels keeps its invariants, before and after the passes that change it."""

from __future__ import annotations

from pathlib import Path

import pytest

import anywarp.isa  # noqa: F401
from anywarp import ptx
from anywarp.ir import model
from anywarp.ir.build import build
from anywarp.ir.verify import InvalidIr, verify
from anywarp.transform.yield_in_polling_loops import yield_in_polling_loops

PROGRAMS = sorted((Path(__file__).parents[1] / "kernels" / "programs").glob("*.ptx"))


def functions_of(path: Path) -> list[model.Function]:
    module = ptx.parse(path.read_text())
    built = []
    for f in module.functions.values():
        if f.kind == "entry" and f.body is not None:
            try:
                kernel = build(module, f.name)
            except ptx.UnsupportedInstruction as error:
                pytest.skip(f"not compiled yet: {error}")
            built += [kernel, *kernel.callees.values()]
    return built


@pytest.mark.parametrize("path", PROGRAMS, ids=[p.stem for p in PROGRAMS])
def test_kernels_are_well_formed(path: Path) -> None:
    for function in functions_of(path):
        verify(function)
        yield_in_polling_loops(function)
        verify(function)


def straight_kernel() -> model.Function:
    text = """.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 out)
{
  .reg .b32 %r<4>;
  .reg .b64 %rd<4>;
  ld.param.u64 %rd1, [out];
  mov.u32 %r1, %tid.x;
  add.u32 %r2, %r1, 7;
  mul.wide.u32 %rd2, %r1, 4;
  add.u64 %rd3, %rd1, %rd2;
  st.global.u32 [%rd3], %r2;
  ret;
}
"""
    return build(ptx.parse(text), "k")


def test_a_use_before_its_definition_is_found() -> None:
    function = straight_kernel()
    body = next(b for b in function.blocks if b.operations)
    body.operations.insert(0, body.operations.pop())
    with pytest.raises(InvalidIr, match="before it is defined"):
        verify(function)


def test_a_wrong_predecessor_is_found() -> None:
    function = straight_kernel()
    function.blocks[-1].predecessors.append(function.blocks[0])
    with pytest.raises(InvalidIr, match="predecessors"):
        verify(function)


def test_a_moved_block_is_found() -> None:
    function = straight_kernel()
    function.blocks[0], function.blocks[1] = function.blocks[1], function.blocks[0]
    with pytest.raises(InvalidIr, match="stands at"):
        verify(function)


def test_copies_are_names_and_no_operations() -> None:
    """mov between registers gives no operation: the constant reaches its use."""
    text = """.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 out)
{
  .reg .b32 %r<4>;
  .reg .b64 %rd<4>;
  ld.param.u64 %rd1, [out];
  mov.b32 %r1, 5;
  mov.b32 %r2, %r1;
  st.global.u32 [%rd1], %r2;
  ret;
}
"""
    function = build(ptx.parse(text), "k")
    store = next(op for op in function.operations() if op.op.opcode[0] == "st")
    assert store.operands[1] == model.Constant(5, 32)
    assert not any(op.op.opcode[0] == "mov" for op in function.operations())
