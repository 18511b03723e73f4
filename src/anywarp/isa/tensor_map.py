"""Tensor maps: 128 bytes that say how a tensor lies in global memory and which box of it a copy takes (`abi.TENSOR_MAP` is their layout),
and tensormap.replace, which changes a field of one (PTX ISA 9.7.9.28), and
tensormap.cp_fenceproxy, which publishes one (9.7.13.16).

`boxes` is the plain meaning of a tensor copy: which element in shared memory belongs to which in global memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from anywarp import abi
from anywarp.isa.base import Memory, OperandType, instruction
from anywarp.ptx.diagnostics import UnsupportedInstruction

Lanes = dict[int, tuple[Any, ...]]
ELEMENT_TYPES = ("u8", "u16", "u32", "s32", "u64", "s64", "f16", "f32", "f64", "bf16", "f32", "f32", "f32")  # by CUtensorMapDataType
_FROM_PTX = (0, 1, 2, 3, 4, 5, 6, 7, 10, 8, 9, 11, 12)  # tensormap.replace numbers the types in another order
_BYTES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}


def _read(data: bytes, name: str, index: int = 0) -> int:
    field = next(f for f in abi.TENSOR_MAP.fields if f.name == name)
    at = abi.TENSOR_MAP.offset(name) + _BYTES[field.type] * index
    return int.from_bytes(data[at : at + _BYTES[field.type]], "little")


@dataclass(frozen=True)
class TensorMap:
    """A map, read."""

    address: int
    strides: tuple[int, ...]  # bytes, dimension 0 too
    sizes: tuple[int, ...]
    box: tuple[int, ...]
    steps: tuple[int, ...]
    type: str
    swizzle: int
    fills_with_nan: bool

    @classmethod
    def of(cls, data: bytes) -> TensorMap:
        rank, kind = _read(data, "rank"), _read(data, "type")
        element = ELEMENT_TYPES[kind]
        return cls(
            _read(data, "address"),
            (int(element.lstrip("usbf")) // 8, *(_read(data, "stride", d) for d in range(rank - 1))),
            tuple(_read(data, "size", d) or 1 << 32 for d in range(rank)),
            tuple(_read(data, "box", d) for d in range(5)),
            tuple(_read(data, "step", d) for d in range(rank)),
            element,
            _read(data, "swizzle"),
            bool(_read(data, "fill")),
        )

    @property
    def element_bytes(self) -> int:
        return self.strides[0]

    @property
    def fill(self) -> int:
        """What elements outside of the tensor read as."""
        if not self.fills_with_nan:
            return 0
        return {"f16": 0x7FFF, "bf16": 0x7FFF, "f32": 0x7FFFFFFF, "f64": (1 << 63) - 1}.get(self.type, 0)

    def place(self, shared: int, number: int) -> int:
        """Where element `number` of a box at a shared address lies: units of 16, 32 or 64 bytes are swizzled by address bits 7 to 9."""
        address = shared + number * self.element_bytes
        mode, units = self.swizzle & 15, self.swizzle >> 4
        bits, shift = {1: (3, 5), 3: (1, 6)}[units] if mode == 3 and units else ({0: 0, 1: 1, 2: 3, 3: 7}[mode], 4)
        return address ^ (address >> 7 & bits) << shift

    def global_address(self, index: Sequence[int]) -> int | None:
        """An element's address, None outside of the tensor."""
        if any(not 0 <= i < size for i, size in zip(index, self.sizes)):
            return None
        return self.address + sum(i * stride for i, stride in zip(index, self.strides))

    def boxes(self, coordinates: Sequence[int], im2col: bool, offsets: Sequence[int]) -> Iterator[int | None]:
        """The global addresses of a box's elements, in the order in which they lie in shared memory."""
        if not im2col:
            ranges = [range(c, c + box, step) for c, box, step in zip(coordinates, self.box, self.steps)]
            for index in itertools.product(*reversed(ranges)):
                yield self.global_address(index[::-1])
            return
        spatial = len(self.sizes) - 2
        corners = [tuple((b >> shift & 0xFFFF ^ 0x8000) - 0x8000 for shift in (0, 16)) for b in self.box[2 : 2 + spatial]]
        channel, *pixel = coordinates
        for _ in range(self.box[1]):
            moved = [p + o for p, o in itertools.zip_longest(pixel, offsets[:spatial], fillvalue=0)]
            for c in range(self.box[0]):
                yield self.global_address([channel + c, *moved])
            for d, (lower, upper) in enumerate(corners):
                pixel[d] += self.steps[d + 1]
                if pixel[d] < self.sizes[d + 1] + upper:
                    break
                pixel[d] = lower
            else:
                pixel[spatial] += 1


_FIELDS = {
    "global_address": ("address", "b64"), "rank": ("rank", "b32"), "box_dim": ("box", "b32"), "global_dim": ("size", "b32"),
    "global_stride": ("stride", "b64"), "element_stride": ("step", "b32"), "elemtype": ("type", "b32"),
    "interleave_layout": ("interleave", "b32"), "swizzle_mode": ("swizzle", "b32"), "fill_mode": ("fill", "b32"),
}  # fmt: skip


_FLIP = "tensormap.replace.tile.swizzle_atomicity of 32 bytes with a flip of 8 is not supported (PTX ISA 9.7.9.28)"


_UNITS = (0, 1, 3)  # 16, 32 and 64 bytes; 2 is 32 with a flip


@instruction
class Replace(Memory):
    """tensormap.replace: changes one field of a tensor map"""

    syntax = (
        "tensormap.replace.tile.single{.ss}.b1024.width [a], value",
        "tensormap.replace.tile.each{.ss}.b1024.width [a], dimension, value",
        "tensormap.replace.tile.swizzle_atomicity{.ss}.b1024.b32 [a], value",
    )
    modifiers = {
        "single": "global_address rank elemtype interleave_layout swizzle_mode fill_mode",
        "each": "box_dim global_dim global_stride element_stride",
        "ss": "global shared shared::cta",
        "width": "b32 b64",
    }
    results = ()
    section = "9.7.9.28"
    since = (8, 3)
    target = 90
    writes = True
    single: str | None
    each: str | None
    ss: str | None
    width: str | None

    @property
    def field(self) -> abi.Field:
        name = _FIELDS[self.single or self.each or ""][0]
        return next(f for f in abi.TENSOR_MAP.fields if f.name == name)

    @property
    def is_atomicity(self) -> bool:
        return "swizzle_atomicity" in self.opcode

    @property
    def shares_a_byte(self) -> bool:
        """The swizzle mode has the lower four bits of the map's field, the size of its units the upper ones."""
        return self.is_atomicity or self.single == "swizzle_mode"

    def check(self) -> str | None:
        if self.single in ("elemtype", "interleave_layout", "swizzle_mode", "fill_mode", "rank") and self.width != "b32":
            return "this field has 32 bits"
        return None

    def operand_type(self, name: str) -> OperandType:
        return self.width or "b32" if name == "value" else "b32"

    def value(self, given: int) -> int:
        """What the field holds for an operand's value."""
        if self.single == "rank":
            given += 1
        elif self.single == "elemtype":
            given = _FROM_PTX[given] if given < len(_FROM_PTX) else given
        return given

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        if self.shares_a_byte:
            offset, shift = abi.TENSOR_MAP.offset("swizzle"), 4 * self.is_atomicity
            for address, value in lanes.values():
                if self.is_atomicity and value not in _UNITS:
                    raise UnsupportedInstruction(_FLIP)
                old = memory.load(address + offset, 1)
                memory.store(address + offset, 1, (old & 0xF0 >> shift) | value << shift)
            return {}
        size = _BYTES[self.field.type]
        for address, *operands in lanes.values():
            dimension = operands[0] if self.each else 0
            memory.store(address + abi.TENSOR_MAP.offset(self.field.name) + size * dimension, size, self.value(operands[-1]))
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        address, *operands = op.operands
        if self.shares_a_byte:
            self._lower_swizzle(w, op, address, operands[0])
            return
        size = _BYTES[self.field.type]
        offset = abi.TENSOR_MAP.offset(self.field.name)
        dimension = getattr(operands[0], "value", None) if self.each else 0
        if not isinstance(dimension, int):
            message = f"{self!r} with a dimension that is no constant is not supported (PTX ISA {self.section})"
            raise UnsupportedInstruction(message, op.line)
        elem = f"i{8 * size}"

        def stored() -> Any:
            v = w.cast(w.vector(operands[-1]), f"i{(self.width or 'b32')[1:]}")
            if self.single == "rank":
                v = w.add(v, w.const(v.elem, 1))
            elif self.single == "elemtype":
                table = w.const(v.elem, 0)
                for ptx, ours in enumerate(_FROM_PTX):
                    table = w.select(w.icmp("eq", v, w.const(v.elem, ptx)), w.const(v.elem, ours), table)
                v = table
            return w.resize(v, elem, False)

        moved = type(address)(address.base, address.offset + offset + size * dimension)
        w.store_lanes((self.ss or "").split("::")[0], moved, [stored], [None], elem, True)


    def _lower_swizzle(self, w: Any, op: Any, address: Any, operand: Any) -> None:
        if self.is_atomicity and getattr(operand, "value", None) not in _UNITS:
            raise UnsupportedInstruction(_FLIP, op.line)
        space = (self.ss or "").split("::")[0]
        moved = type(address)(address.base, address.offset + abi.TENSOR_MAP.offset("swizzle"))
        (old,) = w.load_lanes(space, moved, "i8", 1)
        given = w.resize(w.cast(w.vector(operand), "i32"), "i8", False)
        kept = w.and_(w.broadcast(old, given.n), w.const("i8", 0x0F if self.is_atomicity else 0xF0))
        new = w.or_(kept, w.shl(given, w.const("i8", 4)) if self.is_atomicity else given)
        w.store_lanes(space, moved, [lambda: new], [None], "i8", True)


@instruction
class CopyAndFence(Memory):
    """tensormap.cp_fenceproxy: copies a map from shared to global memory and lets tensor copies see it"""

    syntax = "tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.scope.sync.aligned [dst], [src], size"
    modifiers = {"scope": "cta cluster gpu sys"}
    types = {"dst": "b64", "src": "b64", "size": "b32"}
    results = ()
    section = "9.7.13.16"
    since = (8, 3)
    target = 90
    reads = True
    writes = True

    def address_space(self, name: str) -> str:
        return "global" if name == "dst" else "shared"

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        for to, source, size in lanes.values():
            memory.write(to, memory.read(source, size))
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        from anywarp.lower.copies import PerLane, copy_bytes

        per_lane = PerLane(w)
        to, source = (per_lane.pointer(w.place(self.address_space(n), o)) for n, o in zip(("dst", "src"), op.operands))
        size = per_lane.number(op.operands[2], "i32")
        w.each_lane(w.active, lambda lane: copy_bytes(w, to(lane), source(lane), w.zext(size(lane), "i64")))
        w.line("fence release")
