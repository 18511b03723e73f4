"""Runs a kernel: threads with registers and program counters, warps that gather lanes, CTAs, and who runs next.

Scheduling is fair: every thread that can run gets a slice of a few instructions in turn, on all resident CTAs, so whoever spins lets the
one that he waits for go on. With a seed, slices and order are drawn from it; the same seed gives the same run.

Lanes wait for one another at warp instructions (`Warp.gather`) and threads at barriers (barriers.py). When nobody can run and nobody is
about to be released, that is a Deadlock.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from anywarp.ptx import tree
from anywarp.reference import layout
from anywarp.reference.errors import Deadlock, KernelError, MemoryFault, OutOfFuel, Place, Undefined, Unsupported
from anywarp.reference.memory import Memory, Region
from anywarp.reference.program import Code, DynamicShared, Entity, FunctionDecoder, SharedVariable

if TYPE_CHECKING:
    from anywarp.reference.barriers import Barriers

Dim = tuple[int, int, int]
WARP = 32
RUNS, GATHERS, AT_BARRIER, AT_CLUSTER, EXITED = range(5)  # states of a thread
SLICE = 64  # instructions
PATIENCE = 8  # turns that lanes at an unsynchronised warp instruction wait for the others to come
CLUSTER_SHIFT = 24  # of the CTA's rank plus one in a shared::cluster address

# Windows of the generic address space, far above any host address.
CODE_BASE = 1 << 60
SHARED_BASE = 2 << 60
LOCAL_BASE = 3 << 60
PARAM_WINDOW = 1 << 30  # what 32-bit registers hold of the kernel parameters' addresses; no thread has as much local memory
PARAM_BASE = 4 << 60 | PARAM_WINDOW
SHARED_STRIDE = 1 << CLUSTER_SHIFT
LOCAL_STRIDE = 1 << 22


@dataclass
class Options:
    """`fuel`: instructions for the whole launch. `resident`: CTAs that run at once (None: all; needed where CTAs wait for one another).
    `externals`: functions that the module declares but does not define, called as `f(thread, arguments) -> int`."""

    fuel: int = 50_000_000
    seed: int = 0
    resident: int | None = 16
    local_bytes: int = 1 << 18  # largest stack of a thread
    symbols: dict[str, int] = field(default_factory=dict)  # addresses of module variables that the caller places
    externals: dict[str, Callable[[Thread, list[int]], int]] = field(default_factory=dict)
    sm_count: int = 1


class Thread:
    """One thread: frame of registers, program counter, stack of frames, and what it waits for."""

    __slots__ = (
        "carry", "code", "cta", "frame", "frames", "gathered", "lane", "local", "local_base", "local_region", "pc", "registers", "state",
        "tid", "top", "wait", "warp",
    )  # fmt: skip

    def __init__(self, warp: Warp, lane: int, tid: Dim, code: Code) -> None:
        self.warp: Warp = warp
        self.cta: Cta = warp.cta
        self.lane: int = lane
        self.tid = tid
        self.state, self.pc, self.carry = RUNS, 0, 0
        self.code, self.registers = code, [0] * code.registers
        self.frames: list[tuple[Any, ...]] = []
        self.frame, self.top = 0, code.frame_bytes  # start of the frame, end of all frames, in local memory
        self.local = bytearray()
        self.local_base = LOCAL_BASE + (self.cta.slot * 1024 + warp.index * WARP + lane) * LOCAL_STRIDE
        self.local_region: Region | None = None
        self.gathered: Any = None
        self.wait: Any = None
        self.reserve(code.frame_bytes)

    def reserve(self, end: int) -> None:
        """Makes the stack at least `end` bytes long."""
        if end <= len(self.local):
            return
        if end > self.cta.machine.options.local_bytes:
            raise KernelError("stack overflow", self.place())
        self.local.extend(bytes(end - len(self.local)))
        if self.local_region is None:
            self.local_region = self.cta.machine.memory.place(self.local_base, self.local, f"local memory of thread {self.tid}", "local")
        self.local_region.end = self.local_base + len(self.local)

    def local_address(self, offset: int) -> int:
        """The generic address of a `.local` address."""
        return self.local_base + offset

    @property
    def index(self) -> int:
        """The thread's number in its CTA."""
        return self.warp.index * WARP + self.lane

    def place(self) -> Place:
        at = min(max(self.pc - 1, 0), len(self.code.instructions) - 1)
        instruction = self.code.instructions[at]
        return Place(self.cta.machine.entry.name, instruction.line, self.cta.ctaid, self.tid, instruction.mnemonic)

    def exit(self) -> None:
        self.state = EXITED
        self.warp.recheck()
        self.cta.barriers.thread_exited()


@dataclass(slots=True)
class Gathering:
    """What a lane waits for: others with the same key. `members` None: whoever comes."""

    key: tuple[Any, ...]
    members: int | None
    execute: Callable[[list[Thread]], None]


class Warp:
    def __init__(self, cta: Cta, index: int) -> None:
        self.cta: Cta = cta
        self.index: int = index
        self.threads: list[Thread] = []
        self._waited = 0

    @property
    def live(self) -> int:
        """The mask of lanes that have not exited."""
        return sum(1 << t.lane for t in self.threads if t.state != EXITED)

    def gather(self, t: Thread, key: tuple[Any, ...], members: int | None, execute: Callable[[list[Thread]], None]) -> None:
        """The thread waits until all live lanes of `members` have come with the same key; then `execute` runs for them all."""
        if members is not None and not members >> t.lane & 1:
            raise Undefined(f"lane {t.lane} executes a warp instruction whose membermask {members:#010x} does not name it", t.place())
        t.state, t.wait = GATHERS, Gathering(key, members, execute)
        self._complete(t.wait)

    def _complete(self, wanted: Gathering) -> None:
        if wanted.members is None:
            return
        waiting = [t for t in self.threads if t.state == GATHERS and t.wait.key == wanted.key]
        present = sum(1 << t.lane for t in waiting)
        if self.live & wanted.members & ~present == 0:
            self._release(waiting)

    def _release(self, threads: list[Thread]) -> None:
        self._waited = 0
        threads[0].wait.execute(threads)
        for t in threads:
            t.state, t.wait = RUNS, None

    def recheck(self) -> None:
        """After a lane has exited: others may have waited for it alone."""
        for t in self.threads:
            if t.state == GATHERS and t.wait.members is not None:
                self._complete(t.wait)

    def turn(self) -> None:
        """Once a turn: releases lanes at an unsynchronised warp instruction when no lane of the warp can come any more, or for long none
        has."""
        soft = [t for t in self.threads if t.state == GATHERS and t.wait.members is None]
        if not soft:
            return
        self._waited += 1
        if self._waited > PATIENCE or all(t.state != RUNS for t in self.threads):
            first = min(soft, key=lambda t: t.pc)
            self._release([t for t in soft if t.wait.key == first.wait.key])


class Cta:
    def __init__(self, machine: Machine, ctaid: Dim, slot: int, code: Code, cluster: list[Cta], rank: int) -> None:
        from anywarp.reference.barriers import Barriers

        self.machine: Machine = machine
        self.ctaid = ctaid
        self.slot: int = slot
        self.cluster: list[Cta] = cluster
        self.rank: int = rank
        self.shared_base = SHARED_BASE + slot * SHARED_STRIDE
        self.shared = bytearray(machine.shared_bytes)
        self._shared_region = machine.memory.place(self.shared_base, self.shared, "shared memory", "shared") if self.shared else None
        self.barriers: Barriers = Barriers(self)
        self.cluster_phase = 0
        self.warps: list[Warp] = []
        self.threads: list[Thread] = []
        nx, ny, nz = machine.block
        for index in range(nx * ny * nz):
            if index % WARP == 0:
                self.warps.append(Warp(self, index // WARP))
            tid = (index % nx, index // nx % ny, index // (nx * ny))
            thread = Thread(self.warps[-1], index % WARP, tid, code)
            self.warps[-1].threads.append(thread)
            self.threads.append(thread)

    def shared_address(self, address: int) -> int:
        """The generic address of a `.shared` address: of this CTA's window, or, above 2^24, of another CTA of the cluster."""
        rank = address >> CLUSTER_SHIFT
        if rank == 0:
            return self.shared_base + address
        if rank > len(self.cluster):
            raise MemoryFault("access to shared memory of no CTA of the cluster", address, 1)
        return self.cluster[rank - 1].shared_base + (address & (SHARED_STRIDE - 1))

    @property
    def is_finished(self) -> bool:
        return all(t.state == EXITED for t in self.threads)

    def close(self) -> None:
        for thread in self.threads:
            if thread.local_region is not None:
                self.machine.memory.remove(thread.local_region)
        if self._shared_region is not None:
            self.machine.memory.remove(self._shared_region)


class Loaded:
    """A module in memory: its variables have addresses and contents, its functions are decoded when first called."""

    def __init__(self, module: tree.Module, memory: Memory, symbols: dict[str, int]) -> None:
        self.module, self.memory = module, memory
        self._shared: dict[int, SharedVariable | DynamicShared] = {}
        self._places = layout.Offsets()
        self._addresses: dict[str, int] = dict(symbols)
        self._body_addresses: dict[int, int] = {}
        self._codes: dict[str, Code] = {}
        self._function_names = list(module.functions)
        owned: list[tuple[tree.Variable, int]] = []
        for variable in module.variables.values():
            if variable.space == "shared":
                self._place_shared(variable)
            elif variable.name not in symbols and variable.linkage != "extern":
                self._addresses[variable.name] = self._reserve(variable)
                owned.append((variable, self._addresses[variable.name]))
        for function in module.functions.values():
            for variable in _variables(function.body or ()):
                if variable.space == "shared":
                    self._place_shared(variable)
                elif variable.space in ("global", "const", "tex"):
                    self._body_addresses[id(variable)] = self._reserve(variable)
                    owned.append((variable, self._body_addresses[id(variable)]))
        self.static_shared = self._places.bytes
        self.dynamic_shared_offset = -(-self.static_shared // 16) * 16
        for variable, address in owned:
            region = memory.find(address)
            assert region is not None
            data = layout.initial_bytes(variable, lambda symbol: self.address_of(symbol))
            region.data[: len(data)] = data

    def _reserve(self, variable: tree.Variable) -> int:
        size = max(1, layout.variable_bytes(variable))
        address = self.memory.allocate(size, variable.name, max(256, layout.variable_alignment(variable)))
        region = self.memory.find(address)
        assert region is not None
        region.space, region.writable = variable.space, variable.space != "const"
        return address

    def _place_shared(self, variable: tree.Variable) -> None:
        if layout.is_dynamic(variable):
            self._shared[id(variable)] = DynamicShared(layout.variable_alignment(variable))
        else:
            self._shared[id(variable)] = SharedVariable(self._places.place(variable))

    def address_of(self, symbol: tree.Symbol) -> int:
        found = self.entity(symbol.name, 0)
        if not isinstance(found, int):
            raise Unsupported(f"the address of '{symbol.name}' in an initialiser")
        return found + symbol.offset

    def shared_variable(self, variable: tree.Variable) -> Entity:
        return self._shared[id(variable)]

    def body_variable(self, variable: tree.Variable) -> Entity:
        return self._body_addresses[id(variable)]

    def entity(self, name: str, line: int) -> Entity:
        """What a name of the module means: a generic address, or a place in the shared window."""
        name = self.module.aliases.get(name, name)
        variable = self.module.variables.get(name)
        if variable is not None and variable.space == "shared":
            return self._shared[id(variable)]
        if name in self._addresses:
            return self._addresses[name]
        if name in self.module.functions:
            return CODE_BASE + 16 * (1 + self._function_names.index(name))
        raise Unsupported(f"line {line}: '{name}' is not defined in this module")

    def element_bytes(self, name: str, function: tree.Function) -> int:
        """The size of an element of an array, for `[name+register]`."""
        variable = self.module.variables.get(name) or next((v for v in _variables(function.body or ()) if v.name == name), None)
        if variable is None:
            raise Unsupported(f"'{name}' is no array")
        return layout.element_bytes(variable)

    def function(self, name: str) -> tree.Function | None:
        return self.module.functions.get(self.module.aliases.get(name, name))

    def code(self, name: str) -> Code:
        """A function's steps. Raises Unsupported where it has no body."""
        name = self.module.aliases.get(name, name)
        known = self._codes.get(name)
        if known is None:
            function = self.module.functions.get(name)
            if function is None or function.body is None:
                raise Unsupported(f"'{name}' is not defined in this module")
            known = FunctionDecoder(self, function).decode()
            self._codes[name] = known
        return known

    def function_at(self, address: int) -> str | None:
        """The name of the function with a code address."""
        index, rest = divmod(address - CODE_BASE, 16)
        return self._function_names[index - 1] if rest == 0 and 1 <= index <= len(self._function_names) else None


def _variables(statements: Sequence[tree.Statement]) -> Iterator[tree.Variable]:
    for statement in statements:
        if isinstance(statement, tree.Variable):
            yield statement
        elif isinstance(statement, tree.Block):
            yield from _variables(statement.statements)


class Machine:
    """A loaded module and the memory that its kernels run on; variables keep their contents from launch to launch."""

    def __init__(self, module: tree.Module, memory: Memory, options: Options | None = None) -> None:
        self.memory: Memory = memory
        self.options: Options = options or Options()
        self.loaded = Loaded(module, memory, self.options.symbols)
        self.output: list[str] = []  # what printf wrote
        self.executed: int = 0  # instructions
        self.grid_id: int = 0
        self.shared_bytes: int = 0  # of a CTA; this and what follows: of the launch that runs
        self.dynamic_shared: int = 0
        self.grid: Dim = (1, 1, 1)
        self.block: Dim = (1, 1, 1)
        self.cluster: Dim = (1, 1, 1)
        self.param_base: int = PARAM_BASE

    def launch(
        self,
        entry: str,
        grid: Dim,
        block: Dim,
        arguments: bytes | Sequence[int | bytes | float],
        dynamic_shared: int = 0,
        cluster: Dim = (1, 1, 1),
    ) -> None:
        """Runs a kernel to its end; its `.reqnctapercluster` counts where no cluster is given. Raises a KernelError."""
        function = self.loaded.function(entry)
        if function is None or function.kind != "entry":
            raise Unsupported(f"the module has no entry '{entry}'")
        asked = function.directives.get("reqnctapercluster")
        if asked and cluster == (1, 1, 1):
            x, y, z = (*(int(str(n)) for n in asked), 1, 1)[:3]
            cluster = x, y, z
        self.entry, self.grid, self.block, self.cluster, self.dynamic_shared = function, grid, block, cluster, dynamic_shared
        self.grid_id += 1
        self.shared_bytes = self.loaded.dynamic_shared_offset + dynamic_shared if dynamic_shared else self.loaded.static_shared
        self._random = random.Random(self.options.seed)
        code = self.loaded.code(entry)
        data = pack_arguments(function, arguments)
        parameters = self.memory.place(self.param_base, data.ljust(1, b"\0"), "parameters", "param", False)
        resident: list[Cta] = []
        try:
            self._run(code, resident)
        finally:
            for cta in resident:
                cta.close()
            self.memory.remove(parameters)

    def _clusters(self, code: Code) -> Iterator[list[Callable[[int], Cta]]]:
        (gx, gy, gz), (cx, cy, cz) = self.grid, self.cluster
        for oz in range(0, gz, cz):
            for oy in range(0, gy, cy):
                for ox in range(0, gx, cx):
                    peers: list[Cta] = []
                    places = [(ox + x, oy + y, oz + z) for z in range(cz) for y in range(cy) for x in range(cx)]
                    yield [_maker(self, place, code, peers, rank) for rank, place in enumerate(places)]

    def _run(self, code: Code, resident: list[Cta]) -> None:
        waiting = self._clusters(code)
        limit = self.options.resident or self.grid[0] * self.grid[1] * self.grid[2]
        slots: list[int] = []
        next_slot = 0
        more = True
        while True:
            while more and len(resident) < limit:
                makers = next(waiting, None)
                if makers is None:
                    more = False
                    break
                for make in makers:
                    if not slots:
                        slots.append(next_slot)
                        next_slot += 1
                    resident.append(make(slots.pop()))
            if not resident:
                return
            before = self.executed
            released = False
            for cta in resident:
                released |= self._turn(cta)
            for cta in [c for c in resident if all(p.is_finished for p in c.cluster)]:
                resident.remove(cta)
                cta.close()
                slots.append(cta.slot)
            if self.executed == before and not released and resident:
                stuck = next(t for c in resident for t in c.threads if t.state != EXITED)
                what = {GATHERS: "lanes of its warp", AT_BARRIER: "a barrier", AT_CLUSTER: "the cluster's barrier"}[stuck.state]
                raise Deadlock(f"every thread waits; the first for {what}", stuck.place())

    def _turn(self, cta: Cta) -> bool:
        """Every thread of a CTA that can run gets a slice; True where lanes were released."""
        threads, size = cta.threads, SLICE
        if self.options.seed:
            threads = self._random.sample(threads, len(threads))
        for t in threads:
            if t.state == RUNS:
                if self.options.seed:
                    size = self._random.randrange(1, 2 * SLICE)
                self._slice(t, size)
        released = False
        for warp in cta.warps:
            gathering = [t for t in warp.threads if t.state == GATHERS]
            if gathering:
                warp.turn()
                released |= any(t.state == RUNS for t in gathering)
        return released

    def _slice(self, t: Thread, size: int) -> None:
        left = size
        try:
            while left and t.state == RUNS:
                pc = t.pc
                t.pc = pc + 1
                t.code.steps[pc](t)
                left -= 1
        except KernelError as error:
            if error.place is not None:
                raise
            if isinstance(error, MemoryFault):
                raise error.at(t.place()) from None
            raise type(error)(error.message, t.place()) from None
        self.executed += size - left
        if self.executed > self.options.fuel:
            raise OutOfFuel(f"more than {self.options.fuel} instructions", t.place())


def _maker(machine: Machine, ctaid: Dim, code: Code, peers: list[Cta], rank: int) -> Callable[[int], Cta]:
    def make(slot: int) -> Cta:
        cta = Cta(machine, ctaid, slot, code, peers, rank)
        peers.append(cta)
        return cta

    return make


def pack_arguments(function: tree.Function, arguments: bytes | Sequence[int | bytes | float]) -> bytes:
    """The parameter buffer of a kernel: bytes as they are, else one number (or bytes) a parameter."""
    offsets = layout.Offsets()
    places = [(p, offsets.place(p)) for p in function.params]
    if isinstance(arguments, bytes | bytearray):
        if len(arguments) < offsets.bytes:
            raise ValueError(f"{function.name} takes {offsets.bytes} bytes of parameters, {len(arguments)} given")
        return bytes(arguments)
    if len(arguments) != len(places):
        raise ValueError(f"{function.name} takes {len(places)} parameters, {len(arguments)} given")
    data = bytearray(offsets.bytes)
    for (parameter, at), value in zip(places, arguments):
        size = layout.variable_bytes(parameter)
        if isinstance(value, float):
            value = layout.float_bits(value, 8 * size)
        if isinstance(value, int):
            value = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        data[at : at + len(value)] = value
    return bytes(data)


def run(
    module: tree.Module,
    entry: str,
    grid: Dim,
    block: Dim,
    arguments: bytes | Sequence[int | bytes | float],
    memory: Memory,
    dynamic_shared: int = 0,
    cluster: Dim = (1, 1, 1),
    options: Options | None = None,
) -> Machine:
    """Loads a module into `memory`, runs one kernel and gives the machine (for `output`, `executed`). Raises a KernelError."""
    machine = Machine(module, memory, options)
    machine.launch(entry, grid, block, arguments, dynamic_shared, cluster)
    return machine
