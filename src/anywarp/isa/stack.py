"""The dynamic part of a thread's stack (PTX ISA 9.7.17: stacksave, stackrestore, alloca).

A kernel that uses it has `STACK_BYTES` more local memory a thread, behind its variables: first the offset of the first free byte, then
the room. What does not fit traps.
"""

from __future__ import annotations

from typing import Any

from anywarp import abi
from anywarp.isa.base import Memory, OperandType, instruction

STACK_BYTES = 8192


class _Stack(Memory):
    modifiers = {"size": "u32 u64"}
    uses_stack = True
    section = "9.7.17"
    since = (7, 3)
    target = 52
    reads = True
    writes = True
    size: str

    def operand_type(self, name: str) -> OperandType:
        return "u32" if name == "alignment" else self.size


@instruction
class StackSave(_Stack):
    """stacksave: where the stack ends"""

    syntax = "stacksave.size d"
    writes = False

    def lower(self, w: Any, op: Any) -> Any:
        return w.resize(w.stack_ends(), f"i{self.size[1:]}", False)


@instruction
class StackRestore(_Stack):
    """stackrestore: gives up what was allocated since the matching stacksave"""

    syntax = "stackrestore.size a"
    results = ()

    def lower(self, w: Any, op: Any) -> Any:
        w.set_stack_ends(w.resize(w.cast(w.vector(op.operands[0]), f"i{self.size[1:]}"), "i32", False))


@instruction
class Allocate(_Stack):
    """alloca: memory on the stack, at a local address that is a multiple of `alignment` (8 without it)"""

    syntax = "alloca.size d, bytes{, alignment}"
    allowed_constants = {"alignment": tuple(1 << power for power in range(20))}

    def lower(self, w: Any, op: Any) -> Any:
        alignment = max(8, op.operands[1].value if len(op.operands) > 1 else 8)
        size = w.resize(w.cast(w.vector(op.operands[0]), f"i{self.size[1:]}"), "i32", False)
        start = w.and_(w.add(w.stack_ends(), w.const("i32", alignment - 1)), w.const("i32", -alignment))
        end = w.add(start, size)
        limit = w.const("i32", w.local_bytes)
        too_big = w.or_(w.icmp("ugt", end, limit), w.icmp("ugt", size, limit))
        bits = w.and_(w.mask_of(w.broadcast(too_big, 32)), w.active)
        w.trap_if(w.icmp("ne", bits, w.const("i32", 0)), abi.Trap.STACK_OVERFLOW, bits, lambda: w.local_base)
        w.set_stack_ends(end)
        return w.resize(start, f"i{self.size[1:]}", False)
