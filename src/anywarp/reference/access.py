"""Loads and stores (PTX ISA 9.7.9: ld, ldu, st, prefetch and hints), fences, and the memory that declarations with their own meaning see.

Memory order is simple here: one instruction of one thread after the other, so every access is as strong as any `.sem` asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anywarp.ptx import tree
from anywarp.reference.layout import type_bytes
from anywarp.reference.program import FunctionDecoder, Step
from anywarp.reference.semantics import meaning, state_space

if TYPE_CHECKING:
    from anywarp.reference.machine import Thread


class Access:
    """What a `Memory` declaration's `reference` may do: generic addresses of the thread's launch, every access checked."""

    def __init__(self, t: Thread) -> None:
        self._thread, self._memory = t, t.cta.machine.memory

    def load(self, address: int, size: int) -> int:
        """A number of `size` bytes; the address must be a multiple of the size."""
        return self._memory.load(address, size)

    def store(self, address: int, size: int, value: int) -> None:
        self._memory.store(address, size, value)

    def read(self, address: int, size: int) -> bytes:
        """Bytes at any alignment."""
        return self._memory.read(address, size)

    def write(self, address: int, data: bytes) -> None:
        self._memory.write(address, data)

    def shared_address(self, address: int) -> int:
        """The generic address of a `.shared` address."""
        return self._thread.cta.shared_address(address)

    @property
    def warp_index(self) -> int:
        """The warp's number in its CTA."""
        return self._thread.warp.index

    @property
    def cluster_size(self) -> int:
        """CTAs in the cluster."""
        return len(self._thread.cta.cluster)

    def peer_address(self, address: int, rank: int | None) -> int:
        """The generic address of the same place in the shared memory of the cluster's CTA `rank`; the address itself for None."""
        if rank is None:
            return address
        return address + self._thread.cta.cluster[rank].shared_base - self._thread.cta.shared_base


def vector_count(opcode: tuple[str, ...]) -> int:
    """Registers that a load or store moves: 2 for `.v2`."""
    return next((int(part[1]) for part in opcode if part in ("v2", "v4", "v8")), 1)


@meaning("ld", "ldu")
def _load(decoder: FunctionDecoder, instruction: tree.Instruction) -> Step:
    opcode, (destination, source, *_) = instruction.opcode, instruction.operands
    type, count = opcode[-1], vector_count(opcode)
    size = type_bytes(type)
    address = decoder.address(source, state_space(opcode))
    if count == 1:
        (write,) = decoder.targets(destination, type, 1)

        def load(t: Thread) -> None:
            write(t, t.cta.machine.memory.load(address(t), size))

        return load
    writers = decoder.targets(destination, type, count)
    mask = (1 << 8 * size) - 1

    def load_vector(t: Thread) -> None:
        value = t.cta.machine.memory.load(address(t), size * count)
        for i, each in enumerate(writers):
            each(t, value >> 8 * size * i & mask)

    return load_vector


@meaning("st")
def _store(decoder: FunctionDecoder, instruction: tree.Instruction) -> Step | None:
    opcode = instruction.opcode
    if "async" in opcode or "bulk" in opcode:
        return None
    destination, source, *_ = instruction.operands
    type, count = opcode[-1], vector_count(opcode)
    size = type_bytes(type)
    address = decoder.address(destination, state_space(opcode))
    readers = decoder.sources(source, type, count)
    if count == 1:
        (read,) = readers

        def store(t: Thread) -> None:
            t.cta.machine.memory.store(address(t), size, read(t))

        return store

    def store_vector(t: Thread) -> None:
        value = sum(read(t) << 8 * size * i for i, read in enumerate(readers))
        t.cta.machine.memory.store(address(t), size * count, value)

    return store_vector


@meaning("prefetch", "prefetchu", "applypriority", "fence", "membar", "pmevent", "nanosleep", "setmaxnreg", "griddepcontrol")
def _nothing(decoder: FunctionDecoder, instruction: tree.Instruction) -> Step:
    """Hints, and orders that hold anyway."""
    return lambda t: None


@meaning("discard")
def _discard(decoder: FunctionDecoder, instruction: tree.Instruction) -> Step:
    """The 128 bytes may hold anything afterwards; here they keep their value. The address is checked."""
    address = decoder.address(instruction.operands[0], state_space(instruction.opcode))
    return lambda t: _ignore(t.cta.machine.memory.read(address(t), 128))


def _ignore(data: bytes) -> None:
    """Read for the check alone."""


@meaning("createpolicy")
def _policy(decoder: FunctionDecoder, instruction: tree.Instruction) -> Step:
    write = decoder.target(instruction.operands[0], "b64")
    return lambda t: write(t, 0)
