"""Control flow and miscellany (PTX ISA 9.7.12, 9.7.19).

Branches, calls and returns are the IR's own (`ir.build`); here is what has an effect besides.
"""

from __future__ import annotations

from typing import Any

from anywarp import abi
from anywarp.isa.base import Memory, instruction


@instruction
class Trap(Memory):
    """trap: aborts the grid"""

    syntax = "trap"
    results = ()
    section = "9.7.19.7"
    may_trap = True
    writes = True

    def lower(self, w: Any, op: Any) -> Any:
        w.service("trap", "void", w.launch, w.cta, w.active, w.trap_reason(abi.Trap.TRAP), w.const("i64", 0))


@instruction
class Breakpoint(Memory):
    """brkpt: stops in a debugger; without one it aborts the grid, as trap does"""

    syntax = "brkpt"
    results = ()
    section = "9.7.19.1"
    target = 11
    may_trap = True
    writes = True

    def lower(self, w: Any, op: Any) -> Any:
        w.service("trap", "void", w.launch, w.cta, w.active, w.trap_reason(abi.Trap.BREAKPOINT), w.const("i64", 0))


@instruction
class PerformanceEvent(Memory):
    """pmevent: triggers performance monitor events; nobody listens"""

    syntax = ("pmevent a", "pmevent.mask a")
    types = {"a": "u32"}
    results = ()
    section = "9.7.19.3"
    since = (1, 4)
    writes = True

    def lower(self, w: Any, op: Any) -> Any:
        return None


@instruction
class SetMaxRegisters(Memory):
    """setmaxnreg: asks for more or fewer registers a thread; there is no such limit here"""

    syntax = ("setmaxnreg.action.sync.aligned.u32 count",)
    modifiers = {"action": "inc dec"}
    types = {"count": "u32"}
    results = ()
    section = "9.7.19.5"
    since = (8, 0)
    target = 90
    writes = True

    def lower(self, w: Any, op: Any) -> Any:
        return None
