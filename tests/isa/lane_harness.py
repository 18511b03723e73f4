"""Runs one instruction's cases: the compiled `lower` against `reference` and against the expected values, bit by bit.

For a `Lane` instruction one function is compiled for each way in which operands can arrive: all of 1, 2, 4 and 32 lanes, scalars mixed with
vectors both ways round, and each operand as a constant. The many-lane ones also see the cases in shuffled order, so that no lane can look
at its neighbour. For a `Warp` instruction: full warp (mask known), any mask, and uniform operands. All functions of a file are one
LLVM module, optimised and compiled as codegen/llvm.py does for kernels. The compiled code runs in a forked child, so that a trap in it is a
failed test and not the end of the test run.

What `lower` and `reference` receive: the source operands that the test's `instruction:` line names, in the order of the syntax (optional
ones that it leaves out are not passed), then the carry flag if `reads_carry`. What they return: one value, or a tuple of one value for
each result of the syntax (`p` of `d{|p}` too), then the carry if `writes_carry`.

Comparison is exact, but for: `ulp` (representable steps, rounded up), `nan_payload_unspecified` (any NaN
equals any NaN), and a method `accepts(self, got, want, *operands) -> bool` of a declaration, for bounds that are not in ulp.
"""

from __future__ import annotations

import ctypes
import faulthandler
import math
import mmap
import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import anywarp.isa  # noqa: F401  declares every instruction
from anywarp.codegen import llvm as codegen
from anywarp.isa import base, types
from anywarp.isa.base import OperandType
from anywarp.lower.emit import Emitter, Module, V, vector_type
from tests.isa import case_format, values
from tests.isa.case_format import ANY_NAN, ANY_VALUE, FormatError, Group

WARP = 32
EDGE_LIMIT = 1200  # edge tuples a group
SECONDS = 60  # for all compiled functions of a file
SEED = 20261124
FULL = 0xFFFFFFFF


class CaseFailure(Exception):
    """A wrong result; the message is the whole report."""


@dataclass
class Operand:
    """One source or result of the tested form: its type, and its registers' element types."""

    name: str
    type: OperandType
    is_present: bool = True

    @property
    def element(self) -> str:
        return self.type if isinstance(self.type, str) else self.type[0]

    @property
    def count(self) -> int:
        return 1 if isinstance(self.type, str) else self.type[1]

    @property
    def llvm(self) -> str:
        return types.llvm(self.element)

    @property
    def storage_bytes(self) -> int:
        return max(1, types.width(self.element) // 8)


@dataclass
class Subject:
    """A group with its instruction resolved: what it reads and writes."""

    group: Group
    instruction: base.Instruction
    sources: list[Operand]
    results: list[Operand]
    calls: list[Call] = field(default_factory=list)

    @property
    def is_warp(self) -> bool:
        return isinstance(self.instruction, base.Warp)


@dataclass
class Call:
    """One compiled function and the rows (one source tuple a lane) that it is to compute. `constant` is the operand that is a constant in
    the code; `lanes` gives each source's lanes; `mask` None means that the code knows the warp to be full."""

    function: str
    n: int
    lanes: list[int]
    rows: list[tuple[Any, ...]]
    constant: int | None = None
    masks: list[int] | None = None
    offset: int = 0  # of its results in the shared memory
    what: str = ""


def resolve(group: Group) -> Subject:
    """The instruction that a group means. Raises FormatError."""
    found = base.resolve(group.opcode)
    if not found:
        raise FormatError(f"line {group.line}: no declaration accepts '{group.mnemonic}'{_why_rejected(group.opcode)}")
    fitting = [i for i in found if set(group.names) <= {o.name for o in i.form.operands}] or [
        i for i in found if sum(not o.is_optional for o in i.form.operands) <= len(group.names) <= len(i.form.operands)
    ]
    if not fitting:
        raise FormatError(f"line {group.line}: the operands {group.names} fit none of {[i.form.text for i in found]}")
    instruction = fitting[0]
    specs = instruction.form.operands
    names = {s.name for s in specs}
    if set(group.names) <= names:
        present = set(group.names)
    else:
        left_out = len(specs) - len(group.names)
        optional = [s.name for s in specs if s.is_optional]
        present = names - set(optional[len(optional) - left_out :] if left_out else [])
    sources: list[Operand] = []
    results: list[Operand] = []
    for spec in specs:
        operand = Operand(spec.name, instruction.operand_type(spec.name), spec.name in present)
        (results if spec.is_result else sources).append(operand)
    if getattr(instruction, "reads_carry", False):
        sources.append(Operand("carry", "pred"))
    if getattr(instruction, "writes_carry", False):
        results.append(Operand("carry", "pred"))
    for operand in sources + results:
        if operand.element not in types.WIDTHS:
            raise FormatError(f"{group.mnemonic}: operand '{operand.name}' has the unknown type {operand.type!r}")
    return Subject(group, instruction, sources, results)


def _why_rejected(opcode: tuple[str, ...]) -> str:
    for cls in base._REGISTRY.get(opcode[0], ()):
        for form in cls.forms:
            matched = form.match(opcode[1:]) if form.mnemonic == opcode[0] else None
            if matched is not None:
                return f": {cls.__name__}.check says '{cls(opcode, form, matched).check()}'"
    return ""


# ---------------------------------------------------------------------------------------------------------- references


def as_results(subject: Subject, value: Any) -> tuple[Any, ...]:
    """What `reference` or `lower` gave, as one entry for each result of the form, named by the test or not."""
    if len(subject.results) == 1 or not isinstance(value, tuple) or isinstance(value, V):
        value = (value,)
    if len(value) != len(subject.results):
        raise CaseFailure(f"{subject.group.mnemonic} gave {len(value)} results where its form has {len(subject.results)}")
    return tuple(value)


def flat(subject: Subject, value: Any) -> tuple[int, ...]:
    """The present results' registers, one number each."""
    out: list[int] = []
    for result, item in zip(subject.results, as_results(subject, value)):
        if result.is_present:
            registers = (item,) if result.count == 1 and isinstance(result.type, str) else tuple(item)
            if len(registers) != result.count:
                raise CaseFailure(f"{subject.group.mnemonic}: '{result.name}' has {len(registers)} registers, its type says {result.type}")
            for register in registers:
                if not isinstance(register, int) or not 0 <= register < 1 << types.width(result.element):
                    raise CaseFailure(f"{subject.group.mnemonic}: reference gave {register!r} for '{result.name}' (.{result.element})")
                out.append(int(register))
    return tuple(out)


def arguments(subject: Subject, row: Sequence[Any]) -> tuple[Any, ...]:
    """The registers of a row grouped into operands."""
    out: list[Any] = []
    it = iter(row)
    for source in subject.sources:
        if not source.is_present:
            continue
        if isinstance(source.type, str):
            out.append(next(it))
        else:
            out.append(tuple(next(it) for _ in range(source.count)))
    return tuple(out)


def registers(operands: list[Operand]) -> list[tuple[Operand, str]]:
    """Every register of the present operands with its element type."""
    return [(o, o.element) for o in operands if o.is_present for _ in range(o.count)]


# ------------------------------------------------------------------------------------------------------------- code


class AskedFeatures(frozenset[str]):
    """The target's features, and whether a lowering asked for one (then its code without them is tested too)."""

    was_asked = False

    def __contains__(self, name: object) -> bool:
        self.was_asked = True
        return super().__contains__(name)

    def issuperset(self, other: Any) -> bool:
        self.was_asked = True
        return super().issuperset(other)

    def __ge__(self, other: Any) -> bool:
        self.was_asked = True
        return super().__ge__(other)

    def __and__(self, other: Any) -> frozenset[str]:
        self.was_asked = True
        return super().__and__(other)


class Code:
    """One LLVM module with a function for each call of a file's groups."""

    def __init__(self, features: AskedFeatures) -> None:
        self.module = Module(features)
        self._names: dict[tuple[Any, ...], str] = {}
        self._subjects: list[Subject] = []  # kept alive: names go by their ids

    def function(self, subject: Subject, lanes: list[int], n: int, constant: tuple[int, int] | None, any_mask: bool) -> str:
        """The name of the function that computes blocks of n lanes. Its arguments: an array of each source register, an array of each
        result register, the masks, the number of blocks. A source with fewer than n lanes reads that many of each block: the first of each
        group of lanes that share a number."""
        key = (id(subject), tuple(lanes), n, constant, any_mask)
        if key in self._names:
            return self._names[key]
        name = self._names[key] = f"case{len(self._names)}"
        self._subjects.append(subject)
        emitter: Any
        if subject.is_warp:
            from anywarp.lower.warp import WarpEmitter

            null = V("ptr", 1, "null")
            emitter = WarpEmitter(self.module, null, null, null)
        else:
            emitter = Emitter(self.module)
        source_registers, result_registers = registers(subject.sources), registers(subject.results)
        emitter.label("loop")
        emitter.line("%block = phi i64 [ 0, %entry ], [ %next, %latch ]")
        position = emitter.value("i64", 1, f"mul i64 %block, {n}")
        if any_mask:
            slot = emitter.value("ptr", 1, "getelementptr i32, ptr %masks, i64 %block")
            emitter.active = emitter.load("i32", 1, slot, 4)
        loaded: list[V] = []
        for i, (operand, _) in enumerate(source_registers):
            if constant is not None and constant[0] == i:
                loaded.append(emitter.const(operand.llvm, constant[1]))
            else:
                loaded.append(_load(emitter, operand, f"%s{i}", position, n, lanes[i]))
        outcome = subject.instruction.lower(emitter, *arguments(subject, loaded))  # type: ignore[attr-defined]
        stored: list[V] = []
        for result, item in zip(subject.results, as_results(subject, outcome)):
            if result.is_present:
                stored += [item] if isinstance(item, V) else list(item)
        if len(stored) != len(result_registers):
            raise CaseFailure(f"{subject.group.mnemonic}: lower gave {len(stored)} registers, the types say {len(result_registers)}")
        for i, ((operand, _), value) in enumerate(zip(result_registers, stored)):
            if value.elem != operand.llvm:
                raise CaseFailure(
                    f"{subject.group.mnemonic}: lower gave {value.elem} for '{operand.name}' (.{operand.element}), not {operand.llvm}"
                )
            _store(emitter, operand, emitter.broadcast(value, n), f"%d{i}", position)
        emitter.jump("latch")
        emitter.label("latch")
        emitter.line("%next = add i64 %block, 1")
        emitter.line("%more = icmp ult i64 %next, %blocks")
        emitter.line("br i1 %more, label %loop, label %done, !llvm.loop !9000")
        emitter.label("done")
        emitter.line("ret void")
        parameters = [f"ptr %s{i}" for i in range(len(source_registers))] + [f"ptr %d{i}" for i in range(len(result_registers))]
        head = f"define void @{name}({', '.join([*parameters, 'ptr %masks', 'i64 %blocks'])}) {{\nentry:\n"
        entry = getattr(emitter, "entry_lines", [])
        self.module.functions.append(head + "\n".join([*entry, "  br label %loop", *emitter.lines]) + "\n}")
        return name

    def compile(self) -> Any:
        text = self.module.text()
        text += '!9000 = distinct !{!9000, !9001}\n!9001 = !{!"llvm.loop.unroll.disable"}\n' + ("" if "!0 =" in text else "!0 = !{}\n")
        try:
            module = codegen.parse(text)
        except codegen.CodegenError as error:
            raise CaseFailure(f"LLVM refused what `lower` wrote: {error}\n{_excerpt(text, str(error))}") from error
        codegen.optimise(module)
        engine = codegen.create_engine(module)
        return engine


def _excerpt(text: str, error: str) -> str:
    """The lines of the module around the place that LLVM's message names."""
    match = re.search(r":(\d+):\d+:", error)
    if not match:
        return ""
    lines = text.splitlines()
    at = int(match[1]) - 1
    return "\n".join(f"{i + 1:5}: {lines[i]}" for i in range(max(0, at - 6), min(len(lines), at + 3)))


def _load(emitter: Emitter, operand: Operand, array: str, position: V, n: int, lanes: int) -> V:
    size = operand.storage_bytes
    elem = operand.llvm if operand.llvm != "i1" else "i8"
    pointer = emitter.value("ptr", 1, f"getelementptr {elem}, ptr {array}, {position.typed}")
    if lanes == n:
        value = emitter.value(elem, n, f"load {vector_type(elem, n)}, ptr {pointer.name}, align {size}")
    else:
        parts = []
        for row in range(lanes):
            at = emitter.offset(pointer, row * (n // lanes) * size)
            parts.append(emitter.value(elem, 1, f"load {elem}, ptr {at.name}, align {size}"))
        value = emitter.concat(parts)
    return emitter.trunc(value, "i1") if operand.llvm == "i1" else value


def _store(emitter: Emitter, operand: Operand, value: V, array: str, position: V) -> None:
    if value.elem == "i1":
        value = emitter.zext(value, "i8")
    pointer = emitter.value("ptr", 1, f"getelementptr {value.elem}, ptr {array}, {position.typed}")
    emitter.store(value, pointer, operand.storage_bytes)


def execute(code: Code, subjects: list[Subject]) -> mmap.mmap:
    """Runs every call in a child process; the results lie in the memory that is returned, at each call's `offset`."""
    engine = code.compile()
    total = 64
    for subject in subjects:
        size = sum(o.storage_bytes for o, _ in registers(subject.results))
        for call in subject.calls:
            call.offset = total
            total += size * len(call.rows) + 64
    memory = mmap.mmap(-1, total)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    progress = ctypes.c_uint64.from_address(start)
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        try:
            for number in (signal.SIGSEGV, signal.SIGFPE, signal.SIGILL, signal.SIGBUS, signal.SIGABRT, signal.SIGALRM):
                signal.signal(number, signal.SIG_DFL)
            faulthandler.disable()
            signal.alarm(SECONDS)
            done = 0
            for subject in subjects:
                for call in subject.calls:
                    progress.value = done
                    _run_call(engine, subject, call, start)
                    done += 1
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        calls = [(s, c) for s in subjects for c in s.calls]
        subject, call = calls[progress.value]
        name = signal.Signals(os.WTERMSIG(status)).name
        raise CaseFailure(f"the compiled code of {subject.group.mnemonic} ({call.what}) died of {name}")
    return memory


def _run_call(engine: Any, subject: Subject, call: Call, start: int) -> None:
    keep: list[Any] = []
    addresses: list[int] = []

    def array(data: bytes) -> int:
        buffer = ctypes.create_string_buffer(data, len(data) + 64)
        keep.append(buffer)
        return ctypes.addressof(buffer)

    for i, (operand, _) in enumerate(registers(subject.sources)):
        size = operand.storage_bytes
        addresses.append(array(b"".join(row[i].to_bytes(size, "little") for row in call.rows)))
    at = start + call.offset
    for operand, _ in registers(subject.results):
        addresses.append(at)
        at += operand.storage_bytes * len(call.rows)
    masks = call.masks or []
    addresses.append(array(b"".join(m.to_bytes(4, "little") for m in masks)))
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(addresses), ctypes.c_uint64)
    prototype(engine.get_function_address(call.function))(*addresses, len(call.rows) // call.n)


def results_of(memory: mmap.mmap, subject: Subject, call: Call) -> list[tuple[int, ...]]:
    """The results of a call, a tuple of registers for each row."""
    columns: list[list[int]] = []
    at = call.offset
    for operand, _ in registers(subject.results):
        size, count = operand.storage_bytes, len(call.rows)
        data = memory[at : at + size * count]
        at += size * count
        if size <= 8:
            code: Any = {1: "B", 2: "H", 4: "I", 8: "Q"}[size]
            columns.append(memoryview(data).cast(code).tolist())
        else:
            columns.append([int.from_bytes(data[i * size : (i + 1) * size], "little") for i in range(count)])
    return list(zip(*columns))


# ------------------------------------------------------------------------------------------------------------- cases


class Runner:
    """All groups of one test file; compiles and runs once, then answers for each group."""

    def __init__(self, text: str, path: str) -> None:
        self.path = path
        self.groups = case_format.parse(text)
        self._failures: dict[int, str] | None = None

    def check(self, group: Group) -> None:
        """Raises CaseFailure or FormatError where the group does not hold."""
        if self._failures is None:
            self._failures = {}
            features = AskedFeatures(codegen.feature_set())
            self._run(self.groups, features)
            if features.was_asked:
                self._run(self.groups, AskedFeatures())
        if group.line in self._failures:
            raise CaseFailure(self._failures[group.line])

    def _fail(self, group: Group, text: str) -> None:
        assert self._failures is not None
        again = f'run again: pytest "{self.path}"'
        self._failures.setdefault(group.line, f"{self.path}:{group.line}: {group.mnemonic}\n{text}\n{again}")

    def _run(self, groups: list[Group], features: AskedFeatures) -> None:
        """Runs groups as one module; each alone where that fails as a whole, so that the failure has a name."""
        code = Code(features)
        live = [plan for group in groups for plan in self._plans(group, code) if plan.subject.calls]
        if not live:
            return
        try:
            memory = execute(code, [p.subject for p in live])
        except CaseFailure as error:
            if len(groups) == 1:
                self._fail(groups[0], str(error))
            else:
                for group in groups:
                    self._run([group], features)
            return
        for plan in live:
            for call in plan.subject.calls:
                failure = plan.verdict(call, results_of(memory, plan.subject, call))
                if failure:
                    without = "" if features else "\n  (in the code for a machine without special features)"
                    self._fail(plan.subject.group, failure + without)
                    break

    def _plans(self, group: Group, code: Code) -> list[Any]:
        from tests.isa.plan import LanePlan, WarpPlan
        from tests.isa.shape_rules import ShapePlan

        plans: list[Any] = []
        try:
            if group.rejected is not None:
                if base.resolve(group.opcode):
                    self._fail(group, f"is accepted, but must not be: {group.rejected}")
                return []
            subject = resolve(group)
            if isinstance(subject.instruction, base.Memory):
                raise FormatError("an instruction on memory cannot be tested lane by lane: write a kernel")
            kinds: tuple[Any, ...] = (WarpPlan,) if subject.is_warp else (LanePlan, ShapePlan)
            for kind in kinds:
                plans.append(kind(subject, code))
                if plans[-1].failure:
                    self._fail(group, plans[-1].failure)
        except (CaseFailure, FormatError) as error:
            self._fail(group, str(error))
        except Exception:  # `lower` or `reference` raised: that is the group's failure
            self._fail(group, traceback.format_exc(limit=-8))
        return plans


def equal(subject: Subject, got: tuple[int, ...], want: tuple[int, ...], row: tuple[int, ...]) -> bool:
    """Whether the registers of two results agree as the declaration demands; `want` may hold ANY_VALUE and ANY_NAN."""
    if got == want:
        return True
    instruction = subject.instruction
    accepts = getattr(instruction, "accepts", None)
    for (_operand, element), g, w in zip(registers(subject.results), got, want):
        if g == w or w == ANY_VALUE:
            continue
        if w == ANY_NAN:
            if not values.is_nan(_float_type(element), g):
                return False
            continue
        if getattr(instruction, "nan_payload_unspecified", False) and _nans_agree(element, g, w):
            continue
        if accepts is not None:
            if not accepts(g, w, *arguments(subject, row)):
                return False
            continue
        if instruction.ulp is None or _steps(element, g, w) > max(1, math.ceil(instruction.ulp)):
            return False
    return True


def _float_type(element: str) -> str:
    return element if element in values.FLOAT_FORMATS else {16: "f16", 32: "f32", 64: "f64"}.get(types.width(element), "f32")


def _nans_agree(element: str, a: int, b: int) -> bool:
    parts = values.packed(element)
    if parts is None:
        return values.is_nan(element, a) and values.is_nan(element, b)
    bits = values.element_bits(element)
    mask = (1 << bits) - 1
    pairs = [(a >> bits * i & mask, b >> bits * i & mask) for i in range(parts[1])]
    return all(x == y or (values.is_nan(parts[0], x) and values.is_nan(parts[0], y)) for x, y in pairs)


def _steps(element: str, a: int, b: int) -> float:
    """How many representable values apart two floats are (packed: the worst element); infinite between NaN and a number."""
    parts = values.packed(element)
    if parts is not None:
        bits = values.element_bits(element)
        mask = (1 << bits) - 1
        return max(_steps(parts[0], a >> bits * i & mask, b >> bits * i & mask) for i in range(parts[1]))
    kind = _float_type(element)
    if a == b:
        return 0
    if values.is_nan(kind, a) or values.is_nan(kind, b):
        return math.inf
    top = 1 << (types.width(element) - 1)

    def line(x: int) -> int:
        return -(x - top) if x & top else x

    return abs(line(a) - line(b))
