"""A kernel's entry point: the loops over CTAs and warps, or the step function of one warp, around its blocks.

What `abi` calls a straight kernel runs a range of CTAs and all their warps in loops inside the compiled code (`lower.straight`); a kernel
with cuts is compiled to a function that runs one warp from its resume point to its next cut.
"""

from __future__ import annotations

from dataclasses import dataclass

from anywarp import abi
from anywarp.analysis import cfg
from anywarp.analysis.divergence import Effects
from anywarp.analysis.lone_loops import lone_loops
from anywarp.analysis.shapes import Shapes, analyse
from anywarp.analysis.thread_values import MAX_THREADS
from anywarp.ir import model
from anywarp.ir.builtin import Step
from anywarp.isa import synchronisation
from anywarp.isa.stack import STACK_BYTES
from anywarp.lower import atomics, calls
from anywarp.lower.emit import WARP, Module, V
from anywarp.lower.straight import StraightEmitter
from anywarp.lower.turns import begin_turn, take_turns
from anywarp.transform.drop_empty_sleeps import drop_empty_sleeps
from anywarp.transform.fold_known_numbers import fold_known_numbers
from anywarp.transform.merge_neighbouring_loads import merge_neighbouring_loads
from anywarp.transform.part_before_warp_instructions import part_before_warp_instructions
from anywarp.transform.step_in_strided_loops import step_in_strided_loops
from anywarp.transform.yield_in_polling_loops import yield_in_polling_loops

DO_NOT_POLL = (synchronisation.BarrierSync, synchronisation.BarrierReduce, synchronisation.BarrierArrive, Step)
PROBING = ".probing"  # a variant's last suffix: see MemoryEmitter.is_probing


@dataclass
class Lowered:
    """LLVM IR of one kernel in one variant, and what the runtime must know of it."""

    text: str
    function: str  # symbol
    is_stepped: bool
    frame_bytes: int
    local_bytes: int  # a thread
    static_shared_bytes: int
    waits_in_functions: bool  # in functions that are called: its warps need stacks of their own
    may_spin: bool  # polls memory that other CTAs or kernels write
    shapes: Shapes


def lower(function: model.Function, variant: str, features: frozenset[str] = frozenset()) -> Lowered:
    """Lowers a kernel for a variant (docs/architecture.md section 8). `features`: the target's, by LLVM's names."""
    variant, is_probing = variant.removesuffix(PROBING), variant.endswith(PROBING)
    probing = PROBING if is_probing else ""
    for each in (function, *function.callees.values()):
        drop_empty_sleeps(each)
    fold_known_numbers(function)
    polling = yield_in_polling_loops(function)
    for callee in function.callees.values():
        yield_in_polling_loops(callee)
    shapes = analyse(function, variant)
    if not _lanes_wait_for_lanes(function, polling, shapes) and not _barrier_in_divergence(function, shapes):
        if not is_probing:
            if not function.callees and not _has_local_memory(function) and step_in_strided_loops(function, shapes):
                shapes = analyse(function, variant)
            merge_neighbouring_loads(function, shapes)
        kernel = KernelEmitter(Module(features), function, shapes, variant + probing)
        if not is_probing:
            kernel.take_lone_loops(lone_loops(function, shapes, "avx512f" in features))
        return kernel.emit()
    from anywarp.lower.dispatch import DispatchEmitter

    part_before_warp_instructions(function)
    return DispatchEmitter(Module(features), function, analyse(function, "any", all_varying=True), "any.partial" + probing).emit()


def _has_local_memory(function: model.Function) -> bool:
    """Whether threads have memory of their own: the warps of a straight kernel share one piece of it."""
    return bool(function.local.bytes) or any(getattr(op.op, "uses_stack", False) for op in function.operations())


def _lanes_wait_for_lanes(function: model.Function, headers: list[model.Block], shapes: Shapes) -> bool:
    """Whether lanes poll while others of the warp, which have left the loop or never come to it, may have to write what they wait for."""
    polling = {header.index for header in headers}
    loops = [loop for loop in shapes.graph.loops.all if loop.header in polling]
    for branch, effects in shapes.divergent_branches.items():
        if effects.loops & polling:
            return True
        passed_by = (loop for loop in loops if loop.header in effects.region and branch not in loop.blocks)
        if any(_others_write(function, shapes, branch, effects, loop) for loop in passed_by):
            return True
    return False


def _others_write(function: model.Function, shapes: Shapes, branch: int, effects: Effects, loop: cfg.Loop) -> bool:
    """Whether lanes that part at a branch may write memory, before they meet the others again, where they do not come through a loop. (What
    lies in front of the loop has been run when it begins.)"""
    seen: set[int] = set()
    stack = list(shapes.graph.successors[branch])
    while stack:
        block = stack.pop()
        if block in effects.region and block not in loop.blocks and block not in seen:
            seen.add(block)
            if block > loop.header and any(op.op.writes for op in function.blocks[block].operations):
                return True
            stack += shapes.graph.successors[block]
    return False


def _barrier_in_divergence(function: model.Function, shapes: Shapes) -> bool:
    """Whether a barrier stands where a part of the warp may come to it while the rest neither waits for it nor has exited: between a
    divergent branch and the block at which its ways meet again."""
    for effects in shapes.divergent_branches.values():
        cuts = (function.blocks[b].cut for b in effects.region)
        has_barrier = any(cut is not None and isinstance(cut.op, synchronisation.Barrier) for cut in cuts)
        if has_barrier and not _rest_exits(function, shapes, effects):
            return True
    return False


def _rest_exits(function: model.Function, shapes: Shapes, effects: Effects) -> bool:
    """Whether the lanes that do not come to the region's barriers only go on to their end, without another barrier."""
    barriers = {b for b in effects.region if function.blocks[b].cut is not None}
    reaches = set(barriers)  # blocks from which a barrier of the region can be reached
    changed = True
    while changed:
        changed = False
        for b in effects.region - reaches:
            if any(s in reaches for s in shapes.graph.successors[b]):
                reaches.add(b)
                changed = True
    branch = next(b for b, e in shapes.divergent_branches.items() if e is effects)
    sides = [s in reaches for s in shapes.graph.successors[branch]]
    exits = shapes.graph.ipdom[branch] >= len(function.blocks) or isinstance(
        function.blocks[shapes.graph.ipdom[branch]].terminator, model.Exit
    )
    return exits and sum(sides) == 1


def emit_callees(kernel: KernelEmitter) -> None:
    """Emits the device functions that the kernel calls as functions, and those of its loops for few lanes."""
    from anywarp.lower.function import FunctionEmitter
    from anywarp.lower.lone_lanes import LoneLanesEmitter

    for name, callee in kernel.function.callees.items():
        FunctionEmitter(kernel, name, callee).emit_function()
    for lone in kernel.lone_loops.values():
        LoneLanesEmitter(kernel, lone).emit_function()


class KernelEmitter(StraightEmitter):
    def __init__(self, module: Module, function: model.Function, shapes: Shapes, variant: str) -> None:
        super().__init__(module, function, shapes, V("ptr", 1, "%launch"), V("ptr", 1, "%cta"), V("ptr", 1, "%warp"))
        self.layout, *suffixes = variant.split(".")
        self.is_partial = "partial" in suffixes
        self.is_probing = "probing" in suffixes
        self.exit_label = "warp.done"
        self.shared_base = V("ptr", 1, "%shared")
        self.local_base = V("ptr", 1, "%local")
        self.frame_base = V("ptr", 1, "%frame")
        self.argument_base = self.local_base  # of device functions
        self.safe_pointer = self.launch
        self.callee_names = list(function.callees)
        self.parameter_bytes = max((p.offset + p.bytes for p in function.parameters), default=0)
        self.local_bytes = -(-function.local.bytes // function.local.alignment) * function.local.alignment
        self.stack_at = -1  # offset of a lane's stack in its local memory, where the function has one
        if any(getattr(op.op, "uses_stack", False) for op in function.operations()):
            self.stack_at, self.local_bytes = self.local_bytes, self.local_bytes + STACK_BYTES
        self._threads: list[V] | None = None
        self._prologue: list[str] = []
        self._locations: dict[int, int] = {}
        self.waits_in_functions = any(op.op.is_cut for callee in function.callees.values() for op in callee.operations())
        self.is_stepped = self.waits_in_functions or any(op.op.is_cut and not isinstance(op.op, Step) for op in function.operations())
        self.steps_inside = not self.is_stepped and any(isinstance(op.op, Step) for op in function.operations())
        self.entered: list[tuple[str, V, V]] = []  # turns: label, warp and its number
        self.takes_turns = self.is_stepped and not self.waits_in_functions and not self.is_probing
        self.prepare(shapes, self.is_partial)

    atomic = atomics.atomic
    call_function = calls.call_function

    # ------------------------------------------------------------------------------------------------ indices

    def cta_index(self, axis: int) -> V:
        return V("i32", 1, f"%ctaid.{'xyz'[axis]}")

    def warp_index(self) -> V:
        return V("i32", 1, "%warpindex")

    def block_size(self, axis: int) -> V:
        if axis == 0 and self.layout.startswith("rows"):
            return self.const("i32", int(self.layout[4:]))
        return self.launch_field("block", axis)

    def cycles(self) -> V:
        self.module.declare("llvm.readcyclecounter", "declare i64 @llvm.readcyclecounter()")
        return self.value("i64", 1, "call i64 @llvm.readcyclecounter()")

    def thread_index(self, axis: int) -> V:
        """%tid on an axis, as bases of its shape in this layout; computed once at the start of a warp."""
        if self._threads is None:
            outer, self.lines, debug, self.debug = self.lines, self._prologue, self.debug, ""
            self._threads = self._compute_threads()
            self.lines, self.debug = outer, debug
        return self._threads[axis]

    def _compute_threads(self) -> list[V]:
        first = self.mul(self.warp_index(), self.const("i32", WARP))
        if self.layout == "line":
            width, height = self.launch_field("block", 0), self.launch_field("block", 1)
            is_line = self.icmp("eq", self.launch_field("threads"), width)
            line, plane, done = self.new_label("tid.line"), self.new_label("tid.plane"), self.new_label("tid.done")
            self.branch(is_line, line, plane)
            self.label(line)
            self.jump(done)
            self.label(plane)
            x, row = self.binary("urem", first, width), self.binary("udiv", first, width)
            y, z = self.binary("urem", row, height), self.binary("udiv", row, height)
            self.jump(done)
            self.label(done)
            x, y, z = (
                self.value("i32", 1, f"phi i32 [ {on_line}, %{line} ], [ {v.name}, %{plane} ]")
                for on_line, v in ((first.name, x), ("0", y), ("0", z))
            )
            return [self.and_(x, self.const("i32", MAX_THREADS - WARP)), y, z]  # whole warps, below 1,024: LLVM cannot know
        if self.layout.startswith("rows"):
            row_lanes = int(self.layout[4:])
            rows = WARP // row_lanes
            row = self.add(self.binary("udiv", first, self.const("i32", row_lanes)), self.lane_constants("i32", range(rows)))
            y, z = self._divide_small(row, self.launch_field("block", 1))
            return [self.const("i32", 0, rows), z, y]  # remainder is y, quotient z
        thread = self.add(first, self.lane_ids())
        rest, x = self._divide_small(thread, self.launch_field("block", 0))
        z, y = self._divide_small(rest, self.launch_field("block", 1))
        return [x, y, z]

    def _divide_small(self, a: V, b: V) -> tuple[V, V]:
        """(quotient, remainder) of numbers below 2^11 by a scalar, exact: (a + 0.5) / b in f32 is never a whole number."""
        fa = self.fadd(self.convert("uitofp", a, "float"), self.float_const("float", 0.5))
        quotient = self.convert("fptoui", self.fdiv(fa, self.convert("uitofp", b, "float")), "i32")
        return quotient, self.sub(a, self.mul(quotient, b))

    # ------------------------------------------------------------------------------------------------ debug information

    def location(self, line: int) -> str:
        """`!dbg` for a line of the PTX text."""
        number = self._locations.get(line)
        if number is None:
            number = self._locations[line] = self.module.next_metadata
            self.module.next_metadata += 1
        return f", !dbg !{number}"

    def _define(self, head: str, symbol: str, body: list[str]) -> None:
        """Adds the function to the module, with its lines' places in the PTX text."""
        scope = self.module.next_metadata
        nowhere = scope + 1
        self.module.next_metadata += 2
        calls_need_location = [f"{line}, !dbg !{nowhere}" if " call " in line and "!dbg" not in line else line for line in body]
        self.module.functions.append("\n".join([f"{head} #0 !dbg !{scope} {{", *calls_need_location, "}"]))
        self.module.metadata += [
            f'!{scope} = distinct !DISubprogram(name: "{symbol}", scope: !5, file: !5, line: 1, type: !7, '
            "spFlags: DISPFlagDefinition | DISPFlagOptimized, unit: !4)",
            f"!{nowhere} = !DILocation(line: 0, scope: !{scope})",
            *(f"!{n} = !DILocation(line: {line}, scope: !{scope})" for line, n in self._locations.items()),
        ]

    def _finish_module(self) -> None:
        self.module.functions.append('attributes #0 = { nounwind "frame-pointer"="none" }')
        self.module.metadata += [
            "!0 = !{}",
            '!1 = !{!"branch_weights", i32 2000, i32 1}',
            "!llvm.module.flags = !{!2, !3}",
            '!2 = !{i32 2, !"Debug Info Version", i32 3}',
            '!3 = !{i32 2, !"Dwarf Version", i32 5}',
            "!llvm.dbg.cu = !{!4}",
            '!4 = distinct !DICompileUnit(language: DW_LANG_C99, file: !5, producer: "anywarp", isOptimized: true, runtimeVersion: 0, '
            "emissionKind: LineTablesOnly)",
            '!5 = !DIFile(filename: "module.ptx", directory: "")',
            "!7 = !DISubroutineType(types: !0)",
        ]

    # ------------------------------------------------------------------------------------------------ the function

    def emit(self) -> Lowered:
        symbol = "kernel"
        body = self._body()
        if self.is_stepped:
            head = f"define i32 @{symbol}(ptr noalias %launch, ptr %cta, ptr noalias %first.warp)"
        else:
            head = f"define void @{symbol}(ptr noalias %launch, ptr %cta, i64 %first, i64 %ctas)"
        self._define(head, symbol, body)
        emit_callees(self)
        self._finish_module()
        return Lowered(
            text=self.module.text(),
            function=symbol,
            is_stepped=self.is_stepped,
            frame_bytes=-(-self.frame_bytes // 64) * 64,
            local_bytes=self.local_bytes,
            static_shared_bytes=self.function.shared.bytes,
            waits_in_functions=self.waits_in_functions,
            may_spin=any(
                op.op.is_cut and not isinstance(op.op, DO_NOT_POLL)
                for function in (self.function, *self.function.callees.values())
                for op in function.operations()
            ),
            shapes=self.shapes,
        )

    def _body(self) -> list[str]:
        """The function's text; the blocks come first, since they tell what the entry must prepare."""
        invariants = [] if self.is_stepped else self.emit_invariants()
        self.emit_blocks()
        blocks = self.lines
        self.lines = []
        if self.is_stepped:  # all turns are known then
            self._end_of_stepped()
        end = self.lines
        self.lines = []
        self.label("entry")
        entry_at = len(self.lines)
        shared = self.cta_field("shared")
        self.line(f"%shared = getelementptr i8, ptr {shared.name}, i64 0")
        if self.is_stepped:
            self._stepped_entry()
        else:
            self.straight_entry(invariants)
        start = self.lines
        self.lines = []
        self._start_of_warp()
        warp_start = self.lines
        if not self.is_stepped:
            self.lines = end
            self.label("warp.done")
            self.straight_loops()
        return [*start[:entry_at], *self.entry_lines, *start[entry_at:], *self._prologue, *warp_start, *blocks, *end]

    def _end_of_stepped(self) -> None:
        self.label("warp.done")
        if self.takes_turns:
            take_turns(self, abi.Turn.EXITED)
        self.line("ret i32 0")

    def _start_of_warp(self) -> None:
        """From the prologue to the first block: with a full warp to its full copy."""
        self.reset_masks()
        if self.cuts:
            resumes = " ".join(f"i32 {c.pc}, label %resume.{c.pc}" for c in self.cuts)
            pc = self.load("i32", 1, self.pc_pointer(), 4)
            self.line(f"switch i32 {pc.name}, label %warp.begin [ {resumes} ]")
            self.label("warp.begin")
        self.begin_warp()
        self.begin_stack()
        first = self.function.blocks[0]
        if not self.is_partial:
            if self.has_full[0]:
                self.jump(self.full_label(first))
            else:
                self.write_mask(first, self.const("i32", -1))
                self.jump(self.check_label(0))
            return
        if self.is_stepped:
            exists = self.load("i32", 1, self.warp_pointer("exists"), 4)
        else:
            rest = self.sub(self.launch_field("threads"), self.mul(self.warp_index(), self.const("i32", WARP)))
            short = self.icmp("ult", rest, self.const("i32", WARP))
            some = self.sub(self.shl(self.const("i32", 1), self.and_(rest, self.const("i32", 31))), self.const("i32", 1))
            exists = self.select(short, some, self.const("i32", -1))
        if self.has_full[0]:
            partial = self.new_label("partial.warp")
            self.branch(self.icmp("eq", exists, self.const("i32", -1)), self.full_label(first), partial)
            self.label(partial)
        self.write_mask(first, exists)
        self.jump(self.check_label(0))

    def begin_masked(self, block: model.Block) -> None:
        if block.index in self.lone_loops:
            from anywarp.lower.lone_lanes import run_lone_lanes

            run_lone_lanes(self, self.lone_loops[block.index])

    def begin_warp(self) -> None:
        """What a warp that starts needs besides empty masks."""

    def _stepped_entry(self) -> None:
        for axis in range(3):
            v = self.cta_field("ctaid", axis)
            self.line(f"%ctaid.{'xyz'[axis]} = add i32 {v.name}, 0")
        begin_turn(self, V("ptr", 1, "%first.warp"))
        for name, field in (("%frame", "frame"), ("%local", "local")):
            v = self.load("ptr", 1, self.warp_pointer(field), 8)
            self.line(f"{name} = getelementptr i8, ptr {v.name}, i64 0")
