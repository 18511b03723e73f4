"""Surface instructions (PTX ISA 9.7.11: suld, sust, sured). A handle is the address of an `abi.TEXTURE` descriptor; the runtime's service
`texture` does the work (see `texture`)."""

from __future__ import annotations

from typing import Any

from anywarp import abi
from anywarp.isa import types
from anywarp.isa.atomics import operation
from anywarp.isa.base import Memory, OperandType, instruction
from anywarp.isa.shape import VARYING, Shape
from anywarp.isa.texture import COORDINATES, GEOMETRIES, call

Lanes = dict[int, tuple[Any, ...]]
_CLAMPS = ("trap", "clamp", "zero")


class _Surface(Memory):
    """What surface instructions have in common."""

    modifiers = {
        "geom": "1d 2d 3d a1d a2d",
        "cop": "ca cg cs cv wb wt",
        "vec": "v2 v4",
        "type": "b8 b16 b32 b64",
        "ctype": "b32 u32 s32 f32",
        "clamp": " ".join(_CLAMPS),
        "op": "add min max and or",
        "rtype": "u32 u64 s32 b32 s64",
    }
    since = (2, 0)
    target = 20
    geom: str
    clamp: str | None
    vec: str | None

    def shape(self, *operands: Shape) -> Shape:
        return VARYING

    def address_space(self, name: str) -> str:
        return "global"

    @property
    def count(self) -> int:
        return int(self.vec[1]) if self.vec else 1

    def coordinates(self, name: str) -> OperandType:
        return "b32", COORDINATES[self.geom]

    def encoded(self, kind: int, bytes_: int = 4) -> int:
        geometry = GEOMETRIES.index(self.geom) << 4
        size = (bytes_.bit_length() - 1) << 16 | (self.count.bit_length() - 1) << 20
        return kind | geometry | size | _CLAMPS.index(self.clamp or "trap") << 22


@instruction
class SurfaceLoad(_Surface):
    """suld.b: raw bytes of a surface; the first coordinate counts bytes"""

    syntax = "suld.b.geom{.cop}{.vec}.type{.clamp} d, [a, b]"
    section = "9.7.11.1"
    reads = True

    def check(self) -> str | None:
        return "128 bits at most" if self.count * types.width(self.type) > 128 else None

    def operand_type(self, name: str) -> OperandType:
        if name == "b":
            return self.coordinates(name)
        return self.type, self.count

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        from anywarp.reference.texture import surface_address

        size = types.width(self.type) // 8
        out: dict[int, Any] = {}
        for lane, (handle, at) in lanes.items():
            address = surface_address(memory, handle, self.geom, at, size * self.count, self.clamp or "trap")
            values = tuple(0 if address is None else memory.load(address + size * i, size) for i in range(self.count))
            out[lane] = values
        return out

    def lower(self, w: Any, op: Any) -> Any:
        size = types.width(self.type) // 8
        words = call(w, self.encoded(2, size), op.operands[0], dict(enumerate(op.operands[1])), max(1, size // 4) * self.count)
        if size == 8:
            low, high = words[::2], words[1::2]
            return [w.or_(w.zext(a, "i64"), w.shl(w.zext(b, "i64"), w.const("i64", 32))) for a, b in zip(low, high)]
        return [w.trunc(v, f"i{8 * size}") for v in words]


@instruction
class SurfaceStore(_Surface):
    """sust: raw bytes (.b), or numbers converted to the surface's format (.p)"""

    syntax = (
        "sust.b.geom{.cop}{.vec}.type{.clamp} [a, b], c",
        "sust.p.geom{.cop}{.vec}.ctype{.clamp} [a, b], c",
    )
    section = "9.7.11.2"
    results = ()
    writes = True
    ctype: str | None

    @property
    def element(self) -> str:
        return self.ctype if "p" in self.opcode[1:2] and self.ctype else self.type

    def check(self) -> str | None:
        return "128 bits at most" if self.count * types.width(self.element) > 128 else None

    def operand_type(self, name: str) -> OperandType:
        if name == "b":
            return self.coordinates(name)
        return self.element, self.count

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        from anywarp.reference.texture import store_formatted, surface_address

        size = types.width(self.element) // 8
        for handle, at, data in lanes.values():
            values = data if isinstance(data, tuple) else (data,)
            if self.opcode[1] == "p":
                store_formatted(memory, handle, self.geom, at, values, self.clamp or "trap")
                continue
            address = surface_address(memory, handle, self.geom, at, size * self.count, self.clamp or "trap")
            for i, value in enumerate(values):
                if address is not None:
                    memory.store(address + size * i, size, value)
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        size = types.width(self.element) // 8
        data = op.operands[2] if type(op.operands[2]) is tuple else (op.operands[2],)
        words: list[Any] = []
        for operand in data:
            v = w.vector(operand)
            v = w.cast(v, f"i{v.bits}")
            if v.bits == 64:
                words += [w.trunc(v, "i32"), w.trunc(w.lshr(v, w.const("i64", 32)), "i32")]
            else:
                words.append(w.zext(v, "i32"))
        while self.opcode[1] == "p" and len(words) < 4:
            words.append(w.const("i32", 0, 32))
        call(w, self.encoded(4 if self.opcode[1] == "p" else 3, size), op.operands[0], dict(enumerate(op.operands[1])), 0, words)


@instruction
class SurfaceReduce(_Surface):
    """sured: a reduction of one element of a surface; .b counts bytes in the first coordinate, .p elements, whose sign is the surface's"""

    syntax = "sured.unit.op.geom.rtype{.clamp} [a, b], c"
    modifiers = {**_Surface.modifiers, "unit": "b p", "rtype": f"{_Surface.modifiers['rtype']} b64"}
    section = "9.7.11.3"
    results = ()
    reads = True
    writes = True
    vec = None
    unit: str
    op: str
    rtype: str

    def check(self) -> str | None:
        if self.rtype == "b64" and (self.unit == "b" or self.op not in ("min", "max")):
            return ".b64 is for sured.p.min and sured.p.max"
        return None

    def operand_type(self, name: str) -> OperandType:
        return self.coordinates(name) if name == "b" else (self.rtype, 1)

    @property
    def size(self) -> int:
        return types.width(self.rtype) // 8

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        from anywarp.reference.texture import has_signed_integers, surface_address

        for handle, at, (value,) in lanes.values():
            is_signed = self.unit == "p" and has_signed_integers(memory, handle)
            compute = operation(self.op, f"s{self.rtype[1:]}" if is_signed else self.rtype.replace("b64", "u64"))
            if self.unit == "p":
                first = 1 if self.geom[0] == "a" else 0
                at = (*at[:first], at[first] * self.size & 0xFFFFFFFF, *at[first + 1 :])
            address = surface_address(memory, handle, self.geom, at, self.size, self.clamp or "trap")
            if address is not None:
                memory.store(address, self.size, compute(memory.load(address, self.size), value))
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        word = self.encoded(5, self.size) | int(abi.TensorOperation[self.op.upper()]) << 24 | (self.rtype[0] == "s") << 28
        v = w.vector(op.operands[2][0])
        v = w.cast(v, f"i{v.bits}")
        words = [w.trunc(v, "i32"), w.trunc(w.lshr(v, w.const("i64", 32)), "i32")] if v.bits == 64 else [v]
        if self.unit == "p":
            word |= 1 << 29
        call(w, word, op.operands[0], dict(enumerate(op.operands[1])), 0, words)
