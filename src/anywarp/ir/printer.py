"""The IR as text, for people: `anywarp dump --after=ir`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anywarp.ir import model


def print_function(function: model.Function, note: Callable[[model.Value], str] | None = None) -> str:
    """One line an operation; `note` adds a remark to each value (its shape, say)."""
    out = [f"kernel {function.name}"]
    out += [f"  param {p.name} at {p.offset}, {p.bytes} bytes" for p in function.parameters]
    if function.shared.bytes:
        out.append(f"  shared {function.shared.bytes} bytes")
    if function.local.bytes:
        out.append(f"  local {function.local.bytes} bytes")

    def value(v: model.Value) -> str:
        remark = note(v) if note else ""
        return f"v{v.id}:{v.width}{' ' + remark if remark else ''}"

    def operand(o: Any) -> str:
        if type(o) is tuple:
            return "{" + ", ".join(operand(x) for x in o) + "}"
        if type(o) is model.Address:
            return f"[{operand(o.base)}{o.offset:+}]" if o.offset else f"[{operand(o.base)}]"
        return repr(o)

    for block in function.blocks:
        out.append(f"{block.name}:  ; from {', '.join(p.name for p in block.predecessors) or 'nowhere'}")
        for phi in block.phis:
            out.append(f"    {value(phi.result)} = phi {', '.join(operand(o) for o in phi.operands)}")
        for op in block.operations:
            results = ", ".join(value(r) for r in op.results)
            guard = f" if {operand(op.guard)}" if op.guard is not None else ""
            name = ".".join(op.op.opcode)
            detail = "".join(f" {k}={v}" for k, v in vars(op.op).items() if k in ("offset", "index", "to_width"))
            out.append(f"    {results + ' = ' if results else ''}{name}{detail} {', '.join(operand(o) for o in op.operands)}{guard}")
        t = block.terminator
        if isinstance(t, model.Jump):
            out.append(f"    jump {t.target}")
        elif isinstance(t, model.Branch):
            out.append(f"    branch{'.uni' if t.is_uniform else ''} {operand(t.condition)} ? {t.if_true} : {t.if_false}")
        elif isinstance(t, model.Switch):
            out.append(f"    switch {operand(t.index)} -> {', '.join(b.name for b in t.targets)}")
        else:
            out.append("    exit" if isinstance(t, model.Exit) else "    return")
    return "\n".join(out) + "\n"
