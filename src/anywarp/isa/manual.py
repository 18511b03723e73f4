"""What the PTX manual knows besides the declarations: control flow, which the IR has itself, and what nothing compiles yet.

Tells a module that uses what this version lacks (an error when the kernel is compiled) from one that is no PTX (an error
when it is loaded).
"""

from __future__ import annotations

from collections.abc import Iterable

from anywarp.isa.base import mnemonics

CONTROL_FLOW = frozenset({"bra", "brx", "call", "ret", "exit"})  # 9.7.12
NOT_COMPILED = frozenset({"tcgen05", "sulea"})


def unknown(opcodes: Iterable[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """The opcodes whose mnemonic no version of the manual has."""
    known = CONTROL_FLOW | NOT_COMPILED | set(mnemonics())
    return {opcode for opcode in opcodes if opcode[0] not in known}
