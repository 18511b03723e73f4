"""Runs a kernel of a PTX text in this process, without the native runtime: LLVM's JIT for the code, Python for the scheduler.

Slow and simple: for tests of the compiler. Global memory is what the caller's buffers are (their addresses are the device's addresses).
"""

from __future__ import annotations

import ctypes
import itertools
import struct
from dataclasses import dataclass

from anywarp import abi, ptx
from anywarp.codegen import llvm as codegen
from anywarp.compiler.manifest import initial_data
from anywarp.ir.build import build, parameters
from anywarp.ir.flatten import variable_bytes
from anywarp.lower.kernel import Lowered, lower


class Stuck(Exception):
    """All warps wait and no barrier can complete."""


def variant_of(block: tuple[int, int, int]) -> str:
    """The variant that the runtime asks for, for a block's shape."""
    x, y, z = block
    threads = x * y * z
    layout = "line" if x % 32 == 0 or y * z == 1 else f"rows{x}" if x in (2, 4, 8, 16) else "any"
    return layout + (".partial" if threads % 32 else "")


def _aligned(size: int, alignment: int = 1024) -> tuple[int, object]:
    buffer = ctypes.create_string_buffer(size + alignment)
    return -(-ctypes.addressof(buffer) // alignment) * alignment, buffer


def _poke(address: int, structure: abi.Struct, **fields: object) -> None:
    for name, value in fields.items():
        field = next(f for f in structure.fields if f.name == name)
        kind = {"u32": "I", "u64": "Q", "ptr": "Q"}[field.type]
        values = value if isinstance(value, (tuple, list)) else (value,)
        raw = struct.pack(f"<{len(values)}{kind}", *values)
        ctypes.memmove(address + structure.offset(name), raw, len(raw))


def _peek(address: int, structure: abi.Struct, name: str) -> int:
    field = next(f for f in structure.fields if f.name == name)
    size = 4 if field.type == "u32" else 8
    return int.from_bytes(ctypes.string_at(address + structure.offset(name), size), "little")


@dataclass
class Compiled:
    lowered: Lowered
    address: int
    engine: object


class Program:
    """A PTX module; kernels are compiled when first run."""

    def __init__(self, text: str) -> None:
        self.module = ptx.parse(text)
        self._cache: dict[tuple[str, str], Compiled] = {}
        self.symbols: dict[str, int] = {}
        self._keep: list[object] = []

    def symbol(self, name: str) -> int:
        """The address of a module variable, with its initial bytes and relocations, or a number that stands for a function."""
        if name not in self.symbols:
            variable = self.module.variables.get(name)
            size = variable_bytes(variable) if variable else 16
            address, keep = _aligned(max(size, 8), 256)
            self._keep.append(keep)
            self.symbols[name] = address
            data, relocations = initial_data(variable) if variable else (b"", [])
            ctypes.memmove(address, data, len(data))
            for place, width, symbol, addend, mask in relocations:
                value = (self.symbol(symbol) + addend) & mask
                value >>= (mask & -mask).bit_length() - 1
                ctypes.memmove(address + place, (value & ((1 << 8 * width) - 1)).to_bytes(width, "little"), width)
        return self.symbols[name]

    def compile(self, entry: str, variant: str) -> Compiled:
        key = (entry, variant)
        if key not in self._cache:
            function = build(self.module, entry)
            lowered = lower(function, variant, codegen.feature_set())
            module = codegen.parse(lowered.text)
            codegen.optimise(module)
            engine = codegen.create_engine(module)
            self._cache[key] = Compiled(lowered, engine.get_function_address(lowered.function), engine)
            self._cache[key].function = function  # type: ignore[attr-defined]
        return self._cache[key]

    def run(
        self,
        entry: str,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: list[tuple[str, object]],
        dynamic_shared: int = 0,
    ) -> None:
        """Runs a grid to its end. `arguments`: (struct format, value) by parameter."""
        variant = variant_of(block)
        compiled = self.compile(entry, variant)
        lowered = compiled.lowered
        function = compiled.function  # type: ignore[attr-defined]
        places = parameters(self.module.functions[entry])
        params, _keep_params = _aligned(max((p.offset + p.bytes for p in places), default=0) + 16, 64)
        for place, (kind, value) in zip(places, arguments):
            raw = value if isinstance(value, bytes) else struct.pack("<" + kind, value)
            ctypes.memmove(params + place.offset, raw, len(raw))
        symbols = (ctypes.c_uint64 * max(1, len(function.symbols)))(*[self.symbol(n) for n in function.symbols])
        threads = block[0] * block[1] * block[2]
        warps = -(-threads // 32)
        static = lowered.static_shared_bytes
        total = -(-static // 16) * 16 + dynamic_shared
        launch, _keep_launch = _aligned(abi.LAUNCH.size, 64)
        _poke(launch, abi.LAUNCH, params=params, symbols=ctypes.addressof(symbols), services=0, grid=grid, block=block, threads=threads,
              warps=warps, cluster=(1, 1, 1), static_shared=static, dynamic_shared=dynamic_shared, total_shared=total, sm_count=1,
              grid_id=1)  # fmt: skip
        shared, _keep_shared = _aligned(total + 65536)
        cta, _keep_cta = _aligned(abi.CTA.size, 64)
        states, _keep_states = _aligned(abi.WARP_STATE.size * warps, 64)
        local, _keep_local = _aligned(32 * lowered.local_bytes * warps + 64, 4096)
        frames, _keep_frames = _aligned(lowered.frame_bytes * warps + 64, 64)
        cluster = (ctypes.c_uint64 * 1)(shared)
        _poke(cta, abi.CTA, shared=shared, warps=states, smid=0, cluster_rank=0, cluster=ctypes.addressof(cluster))
        warp_states = [states + w * abi.WARP_STATE.size for w in range(warps)]
        for w, state in enumerate(warp_states):
            exists = 0xFFFFFFFF if (w + 1) * 32 <= threads else (1 << threads % 32) - 1
            _poke(
                state,
                abi.WARP_STATE,
                index=w,
                exists=exists,
                frame=frames + w * lowered.frame_bytes,
                local=local + 32 * w * lowered.local_bytes,
            )
        if not lowered.is_stepped:
            straight = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64)(compiled.address)
            straight(launch, cta, 0, grid[0] * grid[1] * grid[2])
            return
        step = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(compiled.address)
        for z, y, x in itertools.product(range(grid[2]), range(grid[1]), range(grid[0])):
            _poke(cta, abi.CTA, ctaid=(x, y, z))
            for state in warp_states:
                _poke(state, abi.WARP_STATE, pc=0, completed=0, live=_peek(state, abi.WARP_STATE, "exists"))
            _run_cta(step, launch, cta, warp_states)


def _run_cta(step: object, launch: int, cta: int, warps: list[int]) -> None:
    waiting: dict[int, int] = {}  # warp -> barrier
    parked: dict[int, dict[int, abi.Reduction]] = {}  # barrier -> warps of which lanes wait at it, with what they want
    blocked: set[int] = set()  # warps whose lanes are all parked
    done: set[int] = set()
    arrived: dict[int, int] = {}  # barrier -> threads
    reduced: dict[int, list[int]] = {}
    needed: dict[int, int] = {}
    quiet = 0
    while len(done) < len(warps):
        moved = False
        for w, state in enumerate(warps):
            if w in done or w in waiting or w in blocked:
                continue
            _poke(cta, abi.CTA, current_warp=w)
            status = abi.Status(step(launch, cta, state))  # type: ignore[operator]
            moved = moved or status is not abi.Status.YIELD
            if status is abi.Status.EXITED:
                done.add(w)
                _poke(state, abi.WARP_STATE, live=0)
            elif status is abi.Status.PARKED_ALL:
                if not _peek(state, abi.WARP_STATE, "completed"):
                    blocked.add(w)
            elif status in (abi.Status.BARRIER, abi.Status.ARRIVED, abi.Status.PARKED):
                number = _peek(state, abi.WARP_STATE, "barrier_id")
                lanes = _peek(state, abi.WARP_STATE, "arrived")
                needed[number] = _peek(state, abi.WARP_STATE, "barrier_threads")
                is_whole = needed[number] and lanes == _peek(state, abi.WARP_STATE, "live")  # counts as 32 threads, however many it has
                arrived[number] = arrived.get(number, 0) + (abi.WARP if is_whole else bin(lanes).count("1"))
                reduced.setdefault(number, []).append((_peek(state, abi.WARP_STATE, "barrier_predicates"), lanes))  # type: ignore[arg-type]
                if status is abi.Status.BARRIER:
                    waiting[w] = number
                elif status is abi.Status.PARKED:
                    parked.setdefault(number, {})[w] = abi.Reduction(_peek(state, abi.WARP_STATE, "barrier_reduction"))
            for number in list(arrived):
                alive = sum(bin(_peek(s, abi.WARP_STATE, "live")).count("1") for i, s in enumerate(warps) if i not in done)
                if arrived[number] >= (needed[number] or alive):
                    pairs = reduced.pop(number)
                    ones, lanes_ = sum(bin(p).count("1") for p, _ in pairs), sum(bin(n).count("1") for _, n in pairs)  # type: ignore[misc]
                    results = {abi.Reduction.POPC: ones, abi.Reduction.AND: int(ones == lanes_), abi.Reduction.OR: int(ones > 0)}
                    for other, barrier in list(waiting.items()):
                        if barrier == number:
                            kind = abi.Reduction(_peek(warps[other], abi.WARP_STATE, "barrier_reduction"))
                            _poke(warps[other], abi.WARP_STATE, barrier_result=results.get(kind, 0))
                            del waiting[other]
                    for other, kind in parked.pop(number, {}).items():
                        completed = _peek(warps[other], abi.WARP_STATE, "completed") | 1 << number
                        _poke(warps[other], abi.WARP_STATE, completed=completed)
                        place = warps[other] + abi.WARP_STATE.offset("parked_results") + 4 * number
                        ctypes.memmove(place, struct.pack("<I", results.get(kind, 0)), 4)
                        blocked.discard(other)
                    del arrived[number]
        quiet = 0 if moved else quiet + 1
        if quiet > 100_000 or (len(waiting) + len(blocked) + len(done) == len(warps) and len(done) < len(warps)):
            raise Stuck(f"{len(waiting) + len(blocked)} warps wait at barriers, {len(done)} are done")
