"""A device function that stays a function: runs the lanes that its caller names, and returns when all have.

Its local memory is on the machine's stack, so that it may recurse. It cannot be left in the middle and entered again, so where it waits
(a barrier, a loop that polls) it calls the runtime, which switches stacks: the warps of such a kernel run on fibers. Lanes wait there as
one group: those of the warp that are elsewhere (in the caller, or at another barrier of the function) run when the group goes on.
"""

from __future__ import annotations

from anywarp.analysis.shapes import analyse
from anywarp.ir import model
from anywarp.ir.model import Block, Operation
from anywarp.lower.calls import symbol_of
from anywarp.lower.emit import WARP, V
from anywarp.lower.kernel import KernelEmitter


class FunctionEmitter(KernelEmitter):
    """Emits one callee into its kernel's module."""

    def __init__(self, kernel: KernelEmitter, name: str, function: model.Function) -> None:
        variant = kernel.layout + ".partial"
        super().__init__(kernel.module, function, analyse(function, variant), variant)
        self.is_probing = kernel.is_probing
        self.is_stepped = False  # lanes that leave the function have not exited
        self.symbol = symbol_of(kernel, name)
        self.callee_names = kernel.callee_names
        self.argument_base = V("ptr", 1, "%args")
        self.parameter_bytes = kernel.parameter_bytes
        self.kernel_local_bytes = WARP * kernel.local_bytes
        n = len(function.blocks)
        self.has_full, self.has_masked, self.checked = [False] * n, [True] * n, [True] * n

    def _cut(self, op: Operation, block: Block, is_full: bool) -> None:
        """Waits on the spot; nothing needs to be saved."""
        status = op.op.lower_cut(self, op)
        self.service("yield", "void", self.launch, self.cta, self.warp, status if isinstance(status, V) else self.const("i32", int(status)))
        results = self._as_list(op.op.lower_resumed(self, op)) if op.results else []
        for r, v in zip(op.results, results):
            self.define(r, v)
        self.terminator(block, is_full)

    def local_blocks(self) -> list[tuple[V, int]]:
        """Its own and the kernel's. That of a function in between is not known here."""
        blocks = super().local_blocks()
        if self.kernel_local_bytes:
            blocks.append((self.load("ptr", 1, self.warp_pointer("local"), 8), self.kernel_local_bytes))
        return blocks

    def emit_function(self) -> None:
        """Appends the function to the module."""
        self.emit_blocks()
        blocks, self.lines = self.lines, []
        self.label("entry")
        at = len(self.lines)
        shared = self.cta_field("shared")
        self.line(f"%shared = getelementptr i8, ptr {shared.name}, i64 0")
        self.line(f"%local = alloca [{max(64, WARP * self.local_bytes)} x i8], align {max(64, self.function.local.alignment)}")
        for axis in range(3):
            v = self.cta_field("ctaid", axis)
            self.line(f"%ctaid.{'xyz'[axis]} = add i32 {v.name}, 0")
        index = self.cta_field("current_warp")
        self.line(f"%warpindex = add i32 {index.name}, 0")
        start, self.lines = self.lines, []
        self.begin_stack()
        self.reset_masks()
        self.write_mask(self.function.blocks[0], V("i32", 1, "%lanes"))
        self.jump(self.check_label(0))
        begin, self.lines = self.lines, []
        self.label(self.exit_label)
        self.line("ret void")
        body = [*start[:at], *self.entry_lines, *start[at:], *self._prologue, *begin, *blocks, *self.lines]
        head = f"define internal void @{self.symbol}(ptr noalias %launch, ptr %cta, ptr noalias %warp, i32 %lanes, ptr noalias %args)"
        self._define(head, self.symbol, body)
