"""Turns inside compiled code: at most cuts the next warp of the CTA does what this one did, so it need not go through the runtime.

    cut:    save what lives, pc = N
            may the next warp have its turn?  ── yes ──►  the start of the function again, for the next warp
               │ no                                        or, behind the last warp, for the first one: a new round
            return the status

The runtime allows it (`Cta.turn_end`, `Cta.turn_rounds`) and reads from `Cta.turn` and `Cta.current_warp` what has happened meanwhile. All
warps of a round must have done the same: the first that does something else returns. By way of the runtime a
turn costs some 28 ns, a fifth of the time of kernels with a barrier every few dozen instructions.
"""

from __future__ import annotations

from typing import Any

from anywarp import abi
from anywarp.ir.builtin import Step
from anywarp.ir.model import Constant, Operation
from anywarp.isa.synchronisation import BarrierSync
from anywarp.lower.emit import V


def turn_of(op: Operation, is_full: bool) -> abi.Turn | None:
    """What a warp, or a part of it, does at a cut, where that is a reason for a turn."""
    if is_full and isinstance(op.op, BarrierSync) and len(op.operands) == 1:
        number = op.operands[0]
        return abi.Turn.BARRIER if isinstance(number, Constant) and number.value == 0 else None
    return abi.Turn.STEPPED if isinstance(op.op, Step) else None


def take_turns(w: Any, turn: abi.Turn) -> None:
    """Goes on with another warp where that is allowed; else falls through. The current warp's state must be in memory.

    `w`: the emitter of a stepped kernel (`lower.kernel.KernelEmitter`)."""
    w.debug = ""
    next_warp, last, leave = w.new_label("turn.next"), w.new_label("turn.last"), w.new_label("turn.leave")
    may, alike = w.new_label("turn.may"), w.new_label("turn.alike")
    end = w.cta_field("turn_end")
    w.branch(w.icmp("ne", end, w.const("i32", 0)), may, leave)
    w.label(may)
    before = w.cta_field("turn")
    fits = w.or_(w.icmp("eq", before, w.const("i32", int(abi.Turn.NONE))), w.icmp("eq", before, w.const("i32", int(turn))))
    w.branch(fits, alike, leave)
    w.label(alike)
    index = w.add(w.warp_index(), w.const("i32", 1))
    w.branch(w.icmp("ult", index, end), next_warp, last)
    w.label(next_warp)
    _enter(w, next_warp, w.offset(w.warp, abi.WARP_STATE.size), index, turn)
    w.label(last)
    if turn is abi.Turn.EXITED:  # all have: nobody is left for another round
        w.jump(leave)
    else:
        rounds, again = w.cta_field("turn_rounds"), w.new_label("turn.again")
        w.branch(w.icmp("ne", rounds, w.const("i32", 0)), again, leave)
        w.label(again)
        w.store(w.sub(rounds, w.const("i32", 1)), w.offset(w.cta, abi.CTA.offset("turn_rounds")), 4)
        _enter(w, again, w.cta_field("warps"), w.const("i32", 0), abi.Turn.NONE)
    w.label(leave)


def _enter(w: Any, label: str, warp: V, index: V, turn: abi.Turn) -> None:
    """Ends a block, `label`."""
    w.store(w.const("i32", int(turn)), w.offset(w.cta, abi.CTA.offset("turn")), 4)
    w.store(index, w.offset(w.cta, abi.CTA.offset("current_warp")), 4)
    w.entered.append((label, warp, index))
    w.jump("warp.turn")


def begin_turn(w: Any, first: V) -> None:
    """The block that warps start from, behind the function's entry and the turns that were taken: `%warp` and `%warpindex`. `first` is the
    warp that the runtime starts."""
    index = w.load("i32", 1, w.offset(first, abi.WARP_STATE.offset("index")), 4)
    w.jump("warp.turn.first")
    w.label("warp.turn.first")
    w.jump("warp.turn")
    w.label("warp.turn")
    incoming = [("warp.turn.first", first, index), *w.entered]
    w.line(f"%warp = phi ptr {', '.join(f'[ {warp.name}, %{label} ]' for label, warp, _ in incoming)}")
    w.line(f"%warpindex = phi i32 {', '.join(f'[ {index.name}, %{label} ]' for label, _, index in incoming)}")
