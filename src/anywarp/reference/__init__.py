"""The reference interpreter: whole kernels run from the instructions' plain meanings, slowly and simply.

It is the oracle of the differential tests, so it shares nothing with the compiler but the syntax tree and the `reference` methods of
the declarations in `anywarp.isa`: it imports neither `anywarp.lower` nor `anywarp.ir` nor llvmlite.

    from anywarp.reference import Memory, run
    memory = Memory()
    buffer = memory.allocate(4096)
    run(parse(text), "kernel", grid=(1, 1, 1), block=(64, 1, 1), arguments=[buffer], memory=memory)

Reading order: `memory` (regions of bytes), `layout` (sizes of variables, what a module's variables hold), `program` (a function's
statements to a list of steps), `semantics` (which meaning an opcode has), `machine` (threads, warps, CTAs, who runs next); then a file
for each chapter of the manual: `access`, `addresses`, `atomics`, `control`, `barriers`, `special`, `platform`.
"""

from anywarp.reference.errors import Deadlock, KernelError, KernelTrap, MemoryFault, OutOfFuel, Unsupported
from anywarp.reference.machine import Machine, Options, run
from anywarp.reference.memory import Memory, Region

__all__ = [
    "Deadlock", "KernelError", "KernelTrap", "Machine", "Memory", "MemoryFault", "Options", "OutOfFuel", "Region", "Unsupported", "run",
]  # fmt: skip
