"""Instructions on addresses: cvta, isspacep, mapa, getctarank, and the stack (PTX ISA 9.7.9.19 to 9.7.9.24, 9.7.17)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anywarp.ptx import tree
from anywarp.reference.machine import CLUSTER_SHIFT, PARAM_BASE, SHARED_STRIDE
from anywarp.reference.program import FunctionDecoder, Reader, Step
from anywarp.reference.semantics import meaning, state_space

if TYPE_CHECKING:
    from anywarp.reference.machine import Thread


@meaning("cvta")
def _convert(decoder: FunctionDecoder, instruction: tree.Instruction) -> Step:
    opcode = instruction.opcode
    type, space = opcode[-1], state_space(opcode)
    write = decoder.target(instruction.operands[0], type)
    operand = instruction.operands[1]
    if isinstance(operand, tree.Address):  # `cvta.global.u64 d, [x+4]` does not exist, but `x+4` parses as a symbol
        raise decoder.fail("cvta takes an address without brackets")
    read = decoder.source(operand, type)
    mask = (1 << int(type[1:])) - 1
    to_window = "to" in opcode

    def convert(t: Thread) -> None:
        write(t, (_to_window(t, read(t), space) if to_window else _to_generic(t, read(t), space)) & mask)

    return convert


def _to_generic(t: Thread, address: int, space: str) -> int:
    if space.startswith("shared"):
        return t.cta.shared_address(address & 0xFFFFFFFF)
    if space == "local" or (space.startswith("param") and address < PARAM_BASE):
        return t.local_address(address)
    return address


def _to_window(t: Thread, address: int, space: str) -> int:
    if space.startswith("shared"):
        for rank, peer in enumerate(t.cta.cluster):
            if 0 <= address - peer.shared_base < SHARED_STRIDE:
                offset = address - peer.shared_base
                return offset if peer is t.cta else (rank + 1) << CLUSTER_SHIFT | offset
        return address - t.cta.shared_base
    if space == "local" or (space.startswith("param") and address < PARAM_BASE):
        return address - t.local_base
    return address


@meaning("isspacep")
def _is_in_space(decoder: FunctionDecoder, instruction: tree.Instruction) -> Step:
    space = state_space(instruction.opcode)
    write = decoder.target(instruction.operands[0], "pred")
    read = decoder.source(instruction.operands[1], "b64" if decoder.loaded.module.address_size == 64 else "b32")

    def step(t: Thread) -> None:
        address = read(t)
        if space in ("shared", "shared::cta"):
            inside = 0 <= address - t.cta.shared_base < SHARED_STRIDE
        elif space == "shared::cluster":
            inside = any(0 <= address - peer.shared_base < SHARED_STRIDE for peer in t.cta.cluster)
        else:
            region = t.cta.machine.memory.find(address)
            found = region.space if region else "global"
            inside = found == space.partition("::")[0]
        write(t, int(inside))

    return step


@meaning("mapa")
def _map_to_peer(decoder: FunctionDecoder, instruction: tree.Instruction) -> Step:
    opcode = instruction.opcode
    type = opcode[-1]
    write = decoder.target(instruction.operands[0], type)
    read, rank = decoder.source(instruction.operands[1], type), decoder.source(instruction.operands[2], "u32")
    is_window = bool(state_space(opcode))

    def step(t: Thread) -> None:
        address, peer = read(t), rank(t)
        offset = address & (SHARED_STRIDE - 1) if is_window else address - t.cta.shared_base
        write(t, (peer + 1) << CLUSTER_SHIFT | offset if is_window else t.cta.cluster[peer].shared_base + offset)

    return step


@meaning("getctarank")
def _rank_of(decoder: FunctionDecoder, instruction: tree.Instruction) -> Step:
    opcode = instruction.opcode
    write = decoder.target(instruction.operands[0], "u32")
    read = decoder.source(instruction.operands[1], opcode[-1])
    is_window = bool(state_space(opcode))

    def step(t: Thread) -> None:
        address = read(t)
        if is_window:
            write(t, (address >> CLUSTER_SHIFT) - 1 if address >> CLUSTER_SHIFT else t.cta.rank)
        else:
            write(t, next((i for i, peer in enumerate(t.cta.cluster) if 0 <= address - peer.shared_base < SHARED_STRIDE), 0))

    return step


# -------------------------------------------------------------------------------------------------------------- stack
# The dynamic part of a frame lies behind its fixed part; stacksave and stackrestore give and take its end.


@meaning("alloca")
def _allocate(decoder: FunctionDecoder, instruction: tree.Instruction) -> Step:
    type = instruction.opcode[-1]
    write, size = decoder.target(instruction.operands[0], type), decoder.source(instruction.operands[1], type)
    alignment: Reader = decoder.source(instruction.operands[2], "u32") if len(instruction.operands) > 2 else lambda t: 8

    def step(t: Thread) -> None:
        unit = max(8, alignment(t))
        start = -(-t.top // unit) * unit
        t.top = start + size(t)
        t.reserve(t.top)
        write(t, start)

    return step


@meaning("stacksave")
def _save(decoder: FunctionDecoder, instruction: tree.Instruction) -> Step:
    write = decoder.target(instruction.operands[0], instruction.opcode[-1])
    return lambda t: write(t, t.top)


@meaning("stackrestore")
def _restore(decoder: FunctionDecoder, instruction: tree.Instruction) -> Step:
    read = decoder.source(instruction.operands[0], instruction.opcode[-1])

    def step(t: Thread) -> None:
        t.top = read(t)

    return step
