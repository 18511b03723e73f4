"""Atomic operations on memory (PTX ISA 9.7.13.1 to 9.7.13.4: atom, red), with every operation and type, vectors and packed types too.

Where the manual speaks of "current implementations" that flush denormals in `atom.add.f32` on global memory, the IEEE sum is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from anywarp.isa.atomics import operation
from anywarp.ptx import tree
from anywarp.reference.access import vector_count
from anywarp.reference.layout import type_bytes
from anywarp.reference.program import FunctionDecoder, Reader, Step
from anywarp.reference.semantics import meaning, state_space

if TYPE_CHECKING:
    from anywarp.reference.machine import Thread

_NAMES = ("add", "min", "max", "inc", "dec", "cas", "and", "or", "xor", "exch")


@meaning("atom", "red")
def _atomic(decoder: FunctionDecoder, instruction: tree.Instruction) -> Step | None:
    opcode, operands = instruction.opcode, list(instruction.operands)
    if "async" in opcode:
        return None
    type, count = opcode[-1], vector_count(opcode)
    name = next((part for part in opcode[1:] if part in _NAMES), "")
    size = type_bytes(type)
    writers = decoder.targets(operands.pop(0), type, count) if opcode[0] == "atom" else []
    address = decoder.address(operands.pop(0), state_space(opcode))
    readers = decoder.sources(operands.pop(0), type, count)
    if name == "cas":
        return _compare_and_swap(writers[0], address, readers[0], decoder.source(operands[0], type), size)
    try:
        compute = operation(name, type)
    except KeyError:
        raise decoder.fail(f"'{instruction.mnemonic}' does not exist") from None

    def atomic(t: Thread) -> None:
        memory = t.cta.machine.memory
        at = address(t)
        values = [read(t) for read in readers]
        old = memory.load(at, size * count)
        olds = [old >> 8 * size * i & ((1 << 8 * size) - 1) for i in range(count)]
        memory.store(at, size * count, sum(compute(a, b) << 8 * size * i for i, (a, b) in enumerate(zip(olds, values))))
        for write, value in zip(writers, olds):
            write(t, value)

    return atomic


def _compare_and_swap(write: Callable[[Thread, int], None], address: Reader, compared: Reader, new: Reader, size: int) -> Step:
    def step(t: Thread) -> None:
        memory = t.cta.machine.memory
        at, expected, value = address(t), compared(t), new(t)
        old = memory.load(at, size)
        memory.store(at, size, value if old == expected else old)
        write(t, old)

    return step
