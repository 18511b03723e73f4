"""Which meaning an opcode has: a chapter's file (`@meaning`), else the declaration in `anywarp.isa` with its `reference`.

Declarations of lane instructions become one call of `reference` a thread. Declarations of warp instructions gather lanes first: those that
the operand `membermask` names; all of the warp for `.sync` instructions without one; for the rest (`activemask`, the votes of old) as
many as come to the same place. A `Memory` declaration may carry its own meaning too, if it has a method

    def reference(self, memory: Access, lanes: dict[int, tuple]) -> dict[int, results]

which is called for one lane, or, where the declaration `is_convergent`, for the gathered ones; addresses arrive as generic
addresses, and `memory` (access.Access) loads and stores bytes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import anywarp.isa  # noqa: F401  declares every instruction
from anywarp.isa import base, selection
from anywarp.ptx import tree
from anywarp.reference.program import FunctionDecoder, Reader, Step, Writer

if TYPE_CHECKING:
    from anywarp.reference.machine import Thread

Meaning = Callable[[FunctionDecoder, tree.Instruction], "Step | None"]
_MEANINGS: dict[str, Meaning] = {}
_CHAPTERS = ("access", "addresses", "atomics", "barriers", "control")
STATE_SPACES = ("global", "shared", "shared::cta", "shared::cluster", "local", "param", "param::entry", "param::func", "const")


def meaning(*mnemonics: str) -> Callable[[Meaning], Meaning]:
    """Registers what makes the steps of instructions by the first part of their opcode. It may return None: then the
    declaration decides."""

    def register(function: Meaning) -> Meaning:
        for mnemonic in mnemonics:
            _MEANINGS[mnemonic] = function
        return function

    return register


def _load_chapters() -> None:
    for name in _CHAPTERS:
        importlib.import_module(f"anywarp.reference.{name}")


def mnemonics() -> Iterable[str]:
    """The instructions whose meaning is in this package."""
    _load_chapters()
    return _MEANINGS.keys()


def state_space(opcode: tuple[str, ...]) -> str:
    """The state space that an opcode names, "" for generic."""
    return next((part for part in opcode if part in STATE_SPACES), "")


def step_of(decoder: FunctionDecoder, instruction: tree.Instruction) -> Step:
    """The step of one instruction, its guard aside. Raises Unsupported."""
    if not _MEANINGS:
        _load_chapters()
    own = _MEANINGS.get(instruction.opcode[0])
    step = own(decoder, instruction) if own else None
    if step is not None:
        return step
    instruction = selection.plain(instruction)
    declared = selection.choose(instruction.opcode, instruction.operands, decoder.is_predicate)
    if declared is None:
        raise decoder.fail(f"no meaning for '{instruction.mnemonic}' with {len(instruction.operands)} operands")
    return _declared(decoder, declared, instruction)


# ------------------------------------------------------------------------------------------------------- declarations


def _declared(decoder: FunctionDecoder, declared: base.Instruction, instruction: tree.Instruction) -> Step:
    if getattr(type(declared), "reference", None) in (None, base.Lane.reference, base.Warp.reference):
        raise decoder.fail(f"'{instruction.mnemonic}' has no plain meaning yet")
    reference: Callable[..., Any] = declared.reference  # type: ignore[attr-defined]
    read, write, mask = _operands(decoder, declared, instruction)
    if isinstance(declared, base.Lane):
        return _lane_step(reference, read, write)
    if isinstance(declared, base.Warp):
        return _warp_step(reference, read, write, mask, "sync" in instruction.opcode, instruction.mnemonic)
    from anywarp.reference.access import Access

    if declared.is_convergent:

        def together(lanes: dict[int, tuple[Any, ...]], t: Thread) -> Any:
            return reference(Access(t), lanes)

        return _warp_step(together, read, write, mask, "sync" in instruction.opcode, instruction.mnemonic, True)

    def alone(t: Thread) -> None:
        results = reference(Access(t), {t.lane: read(t)})
        if results:
            write(t, results[t.lane])

    return alone


def _operands(
    decoder: FunctionDecoder, declared: base.Instruction, instruction: tree.Instruction
) -> tuple[Callable[[Thread], tuple[Any, ...]], Callable[[Thread, Any], None], Reader | None]:
    """How to read all sources, how to write all results, how to read the membermask."""
    readers: list[Reader | list[Reader]] = []
    writers: list[Writer | list[Writer] | None] = []
    mask: Reader | None = None
    for spec, operand in selection.paired(declared, instruction.operands) or []:
        type = declared.operand_type(spec.name)
        if spec.is_result:
            if operand is None:
                writers.append(None)
            elif isinstance(type, tuple):
                writers.append(decoder.targets(operand, type[0], type[1]))
            else:
                writers.append(decoder.target(operand, type))
        elif operand is None:
            continue
        elif spec.is_address:
            readers.append(decoder.address(operand, _address_space(declared, spec.name, instruction.opcode)))
        elif isinstance(type, tuple):
            readers.append(decoder.sources(operand, type[0], type[1]))
        else:
            readers.append(decoder.source(operand, type))
            if spec.name == "membermask":
                mask = readers[-1]  # type: ignore[assignment]
    if declared.reads_destination:
        type = declared.operand_type(declared.form.operands[0].name)
        assert isinstance(type, tuple)
        readers.append(decoder.sources(instruction.operands[0], type[0], type[1]))
    if getattr(declared, "reads_carry", False):
        readers.append(lambda t: t.carry)
    if getattr(declared, "writes_carry", False):
        writers.append(_write_carry)
    return _reading(readers), _writing(writers), mask


def _address_space(declared: base.Instruction, name: str, opcode: tuple[str, ...]) -> str:
    """The state space of an address operand: what the declaration says where it has several, else the first that the opcode names."""
    space_of: Callable[[str], str] | None = getattr(declared, "address_space", None)
    return space_of(name) if space_of else state_space(opcode)


def _write_carry(t: Thread, value: int) -> None:
    t.carry = value


def _reading(readers: list[Reader | list[Reader]]) -> Callable[[Thread], tuple[Any, ...]]:
    plain: list[Any] = readers
    if not any(isinstance(r, list) for r in readers):
        if len(plain) == 1:
            a = plain[0]
            return lambda t: (a(t),)
        if len(plain) == 2:
            b, c = plain
            return lambda t: (b(t), c(t))
        return lambda t: tuple([r(t) for r in plain])
    return lambda t: tuple([tuple([x(t) for x in r]) if isinstance(r, list) else r(t) for r in plain])


def _writing(writers: list[Writer | list[Writer] | None]) -> Callable[[Thread, Any], None]:
    if len(writers) == 1:
        only = writers[0]
        if only is None:
            return lambda t, value: None
        if not isinstance(only, list):
            return only

    def write(t: Thread, value: Any) -> None:
        for writer, item in zip(writers, value if len(writers) > 1 else (value,), strict=True):
            if isinstance(writer, list):
                for each, register in zip(writer, item, strict=True):
                    each(t, register)
            elif writer is not None:
                writer(t, item)

    return write


def _lane_step(reference: Callable[..., Any], read: Callable[[Thread], tuple[Any, ...]], write: Callable[[Thread, Any], None]) -> Step:
    def step(t: Thread) -> None:
        write(t, reference(*read(t)))

    return step


def _warp_step(
    reference: Callable[..., Any],
    read: Callable[[Thread], tuple[Any, ...]],
    write: Callable[[Thread, Any], None],
    mask: Reader | None,
    is_synchronised: bool,
    mnemonic: str,
    takes_thread: bool = False,
) -> Step:
    def execute(threads: list[Thread]) -> None:
        lanes = {t.lane: t.gathered for t in threads}
        results = reference(lanes, threads[0]) if takes_thread else reference(lanes)
        for t in threads:
            if results:
                write(t, results[t.lane])

    def step(t: Thread) -> None:
        t.gathered = read(t)
        if mask is not None:
            members = mask(t)
            t.warp.gather(t, (mnemonic, members), members, execute)
        elif is_synchronised:
            t.warp.gather(t, (mnemonic,), 0xFFFFFFFF, execute)
        else:
            t.warp.gather(t, (t.code, t.pc), None, execute)

    return step
