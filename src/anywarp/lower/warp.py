"""The emitter for code that concerns a whole warp: it knows the lanes that are active, and the runtime's structures."""

from __future__ import annotations

from anywarp import abi
from anywarp.lower.emit import WARP, Emitter, Module, V


class WarpEmitter(Emitter):
    """An `Emitter` at a place in a kernel, where some of the warp's lanes are active.

    `active` is their mask as an i32 (the constant -1 where the full warp is known to run: `is_full`). Values of lanes that are not active
    are arbitrary (never branch on one, never divide by one, never load from one).
    """

    def __init__(self, module: Module, launch: V, cta: V, warp: V) -> None:
        super().__init__(module)
        self.launch, self.cta, self.warp = launch, cta, warp
        self.active = self.const("i32", -1)
        self.entry_lines: list[str] = []  # what the function's entry block must begin with
        self._masks: dict[str, V] = {}  # masks by the name of the 32 x i1 made from them
        self._scratch: dict[tuple[str, int], list[str]] = {}
        self._scratch_taken: dict[tuple[str, int], int] = {}
        self._named_scratch: dict[str, V] = {}

    @property
    def is_full(self) -> bool:
        return self.active.name == "-1"

    def lanes_of(self, mask: V) -> V:
        """A 32-bit mask as 32 x i1.

        Where the machine has no mask registers, by comparing each lane's bit: LLVM takes a bitcast apart bit by bit there."""
        if mask.name == "-1":
            return self.const("i1", 1, WARP)
        if "avx512f" in self.module.features:
            lanes = self.reinterpret(mask, "i1", WARP)
        else:
            bits = self.lane_constants("i32", [1 << lane for lane in range(WARP)])
            lanes = self.icmp("ne", self.and_(self.broadcast(mask, WARP), bits), self.const("i32", 0, WARP))
        self._masks[lanes.name] = mask
        return lanes

    def mask_of(self, lanes: V) -> V:
        """32 x i1 as a 32-bit mask."""
        if lanes.n == 1:
            return self.sext(lanes, "i32")
        known = self._masks.get(lanes.name)  # lanes that were made from a mask
        if known is not None:
            return known
        return self.reinterpret(lanes, "i32", 1)

    def lane_ids(self, elem: str = "i32") -> V:
        return self.lane_constants(elem, range(WARP))

    def wide(self, a: V) -> V:
        """The value with one number a lane."""
        return self.broadcast(a, WARP)

    def first_lane(self, mask: V) -> V:
        """The number (i32) of the lowest set bit; poison where the mask is 0."""
        return self.flag_intrinsic("llvm.cttz", mask, True)

    # ------------------------------------------------------------------------------------------------ runtime

    def launch_field(self, name: str, index: int = 0) -> V:
        """A field of the Launch structure; the same through the whole kernel."""
        return self._field(abi.LAUNCH, self.launch, name, index, invariant=True)

    def cta_field(self, name: str, index: int = 0) -> V:
        """A field of the Cta structure."""
        return self._field(abi.CTA, self.cta, name, index, invariant=False)

    def _field(self, struct: abi.Struct, pointer: V, name: str, index: int, invariant: bool) -> V:
        field = next(f for f in struct.fields if f.name == name)
        elem = {"u32": "i32", "u64": "i64", "ptr": "ptr"}[field.type]
        size = 4 if elem == "i32" else 8
        return self.load(elem, 1, self.offset(pointer, struct.offset(name) + size * index), size, invariant=invariant)

    def warp_pointer(self, name: str) -> V:
        """The address of a field of the Warp structure."""
        return self.offset(self.warp, abi.WARP_STATE.offset(name))

    def service(self, name: str, result: str, *operands: V) -> V | None:
        """Calls a function of the runtime (abi.SERVICES); `result` is an LLVM type or "void"."""
        table = self.launch_field("services")
        function = self.load("ptr", 1, self.offset(table, abi.service_offset(name)), 8, invariant=True)
        text = f"call {result} {function.name}({', '.join(v.typed for v in operands)})"
        if result == "void":
            self.line(text)
            return None
        return self.value(result, 1, text)

    # ------------------------------------------------------------------------------------------------ lane by lane

    def scratch(self, elem: str, n: int = WARP) -> V:
        """Stack memory for n elements, 64-byte aligned, until the end of the instruction that is being emitted: instructions share it."""
        pool = self._scratch.setdefault((elem, n), [])
        taken = self._scratch_taken.get((elem, n), 0)
        self._scratch_taken[elem, n] = taken + 1
        if taken == len(pool):
            pool.append(self.name("scratch"))
            self.entry_lines.append(f"  {pool[taken]} = alloca [{n} x {elem}], align 64")
        return V("ptr", 1, pool[taken])

    def release_scratch(self) -> None:
        """An instruction has been emitted: its stack memory is free for the next."""
        self._scratch_taken.clear()

    def shared_scratch(self, name: str, size: int) -> V:
        """Stack memory of `size` bytes for short-lived use, one for all that ask for it by this name in this function."""
        if name not in self._named_scratch:
            pointer = self._named_scratch[name] = V("ptr", 1, self.name("scratch"))
            self.entry_lines.append(f"  {pointer.name} = alloca [{size} x i8], align 64")
        return self._named_scratch[name]
