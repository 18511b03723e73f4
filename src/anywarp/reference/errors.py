"""What can go wrong while a kernel runs. Each names kernel, PTX line, CTA and thread where one is known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where a thread stands: `block` and `thread` are ctaid and tid."""

    kernel: str
    line: int
    block: tuple[int, int, int]
    thread: tuple[int, int, int]
    instruction: str = ""

    def __str__(self) -> str:
        return f"kernel {self.kernel}, line {self.line} ({self.instruction}), block {self.block}, thread {self.thread}"


class KernelError(Exception):
    """The launch failed; `place` is where, if one thread is to blame."""

    def __init__(self, message: str, place: Place | None = None) -> None:
        self.message, self.place = message, place
        super().__init__(f"{message}: {place}" if place else message)


class MemoryFault(KernelError):
    """A load, store or atomic outside of every region, across the end of one, misaligned, or a store to what is read only."""

    def __init__(self, message: str, address: int, size: int, place: Place | None = None) -> None:
        self.address, self.size = address, size
        super().__init__(f"{message} at address {address:#x} ({size} bytes)", place)
        self._reason = message

    def at(self, place: Place) -> MemoryFault:
        """The same fault with its place."""
        return MemoryFault(self._reason, self.address, self.size, place)


class KernelTrap(KernelError):
    """trap, brkpt or a failed assertion."""


class Deadlock(KernelError):
    """Every thread that is left waits for a barrier or for lanes that will not come."""


class OutOfFuel(KernelError):
    """The kernel executed more instructions than it was given."""


class Unsupported(KernelError):
    """An instruction, operand or feature that the interpreter has no meaning for; says so before the kernel starts."""


class Undefined(KernelError):
    """The program did what PTX leaves undefined and no result can be given for: a lane outside its own membermask, a branch index
    out of range."""
