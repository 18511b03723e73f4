"""Products of matrices by four warps together (PTX ISA 9.7.15: wgmma), dense and with a sparse A (.sp: half of A is stored, as `mma.sp` has
it, and the metadata of a warp's 16 rows lies in its lanes as there).

Each warp of the four computes 16 of the 64 rows of D, for which it needs its own rows of A and all of B: so a product is one of a
warp, tile by tile of 8 columns, by the code of `mma` (`lower.matrix_product`). It is computed at once, as PTX allows: the registers of
D may not be looked at before the wait, nor A and B in shared memory changed. Fences, commits and waits have nothing left to do.

A and B in shared memory come in tiles of 8 rows (of A, or columns of B) by 16 bytes of K. A descriptor says where: bits 0-13 the
start, 16-29 the leading and 32-45 the stride byte offset, all in units of 16 bytes, 62-63 the swizzle (none, 128, 64, 32 bytes).
`Descriptor.place` says which row lies where; transposed ones (16-bit types only) have K in the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from anywarp.isa import matrix_layout as layout
from anywarp.isa.base import Memory, OperandType, instruction, resolve
from anywarp.isa.ieee import FORMATS
from anywarp.isa.matrix_sparse import SparseProduct
from anywarp.isa.shape import VARYING, Shape

Lanes = dict[int, tuple[Any, ...]]
_SPANS = (16, 128, 64, 32)  # bytes of a row by swizzle mode


@dataclass(frozen=True)
class Descriptor:
    """A matrix descriptor, read; sizes in bytes."""

    start: int
    leading: int
    stride: int
    swizzle: int

    @classmethod
    def of(cls, bits: int) -> Descriptor:
        return cls((bits & 0x3FFF) << 4, (bits >> 16 & 0x3FFF) << 4, (bits >> 32 & 0x3FFF) << 4, bits >> 62)

    def place(self, tile: int, part: int, row: int, is_transposed: bool) -> int:
        """The shared address of 16 bytes: row `row` of 8 of a tile, number `part` along K. A row of a transposed tile is one of K."""
        span = _SPANS[self.swizzle]
        if is_transposed:
            if self.swizzle == 0:
                address = self.start + tile * self.stride + part * self.leading + row * 16
            else:
                outer, inner = divmod(tile, span // 16)
                address = self.start + outer * self.leading + inner * 16 + part * self.stride + row * span
        elif self.swizzle == 0:
            address = self.start + tile * self.stride + part * self.leading + row * 16
        else:
            outer, inner = divmod(part, span // 16)
            address = self.start + outer * self.leading + tile * self.stride + row * span + inner * 16
        return address ^ (address >> 7 & (0, 7, 3, 1)[self.swizzle]) << 4


class _Product(Memory):
    """What the products have in common; an instance knows its element types from the opcode."""

    results = ("d",)
    modifiers = {
        "shape_name": " ".join(f"m64n{n}k{k}" for k in (8, 16, 32, 64, 256) for n in range(8, 257, 8)),
        "dtype": "f16 f32",
        "byte_a": "s8 u8",
        "byte_b": "s8 u8",
        "f8_a": "e4m3 e5m2",
        "f8_b": "e4m3 e5m2",
    }
    section = "9.7.15.5.2"
    since = (8, 0)
    target = 90
    is_convergent = True
    reads_destination = True
    reads = True
    shape_name: str

    @property
    def size(self) -> tuple[int, int, int]:
        return layout.dimensions(self.shape_name)

    def element_types(self) -> tuple[str, str, str]:
        """Of D, A and B."""
        rest = [p for p in self.opcode[self.opcode.index(self.shape_name) + 1 :] if p not in ("satfinite", "and", "popc")]
        return rest[0], rest[1], rest[2]

    @property
    def sparse(self) -> SparseProduct | None:
        """The product of one warp whose A is stored like this one's, where A is sparse."""
        if "sp" not in self.opcode:
            return None
        _, a, b = self.element_types()
        c = "s32" if a in ("s8", "u8") else "f32"
        opcode = f"mma.sp::ordered_metadata.sync.aligned.m16n8k{self.size[2]}.row.col.{c}.{a}.{b}.{c}"
        (found,) = resolve(tuple(opcode.split(".")))
        assert isinstance(found, SparseProduct)
        return found

    def check(self) -> str | None:
        bits = layout.ELEMENTS[self.element_types()[1]][0]
        row = 512 if "sp" in self.opcode else 256
        return None if self.size[2] * bits == row else f"K is {row // bits} for this type"

    def operand_type(self, name: str) -> OperandType:
        d, _, _ = self.element_types()
        if name == "d":
            return layout.registers(d, 64 * self.size[1] // 4)
        if name == "a":
            return "b32", 4
        if name in ("meta", "selector"):
            return "b32"
        return {"scale_d": "pred", "a_desc": "b64", "b_desc": "b64"}.get(name, "s32")

    def shape(self, *operands: Shape) -> Shape:
        return VARYING

    def named(self, operands: Any) -> dict[str, Any]:
        *given, d = operands
        return {"d": d, **dict(zip((s.name for s in self.form.operands if not s.is_result), given))}

    # ------------------------------------------------------------------------------------------------ plain meaning

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        if len(lanes) < 32:
            return {}
        d_type, a_type, b_type = self.element_types()
        given = self.named(lanes[0])
        n, k = self.size[1:]
        bits = layout.ELEMENTS[a_type][0]

        def signed(type: str, value: int, scale: int) -> int:
            return value ^ 1 << bits - 1 if scale not in (0, 1) and layout.is_float(type) else value

        def from_memory(descriptor: int, first_tile: int, row: int, trans: int, count: int) -> list[int]:
            found = Descriptor.of(descriptor)
            out = []
            for i in range(count):
                if trans:
                    at = found.place(first_tile + row // 8, i // 8, i % 8, True) + row % 8 * 2
                    out.append(memory.load(memory.shared_address(at), 2))
                else:
                    byte, shift = divmod(i * bits, 8)
                    at = found.place(first_tile + row // 8, byte // 16, row % 8, False) + byte % 16
                    out.append(memory.load(memory.shared_address(at), max(1, bits // 8)) >> shift & ((1 << bits) - 1))
            return out

        sparse = self.sparse
        stored = k // 2 if sparse else k
        if "a" in given:
            elements = {
                layout.row_column("a", 16, a_type, lane, i): v
                for lane in lanes
                for i, v in enumerate(layout.elements(a_type, self.named(lanes[lane])["a"]))
            }
            rows = [[elements[row, i] for i in range(stored)] for row in range(16)]
        else:
            rows = [from_memory(given["a_desc"], 2 * (memory.warp_index % 4), row, given.get("trans_a", 0), stored) for row in range(16)]
        if sparse:
            whole = sparse.spread(rows, {lane: self.named(o)["meta"] for lane, o in lanes.items()}, given["selector"])
            rows = [[whole[row, i] for i in range(k)] for row in range(16)]
        rows = [[signed(a_type, v, given.get("scale_a", 1)) for v in row] for row in rows]
        columns = [from_memory(given["b_desc"], 0, column, given.get("trans_b", 0), k) for column in range(n)]
        columns = [[signed(b_type, v, given.get("scale_b", 1)) for v in column] for column in columns]
        out = {}
        for lane, operands in lanes.items():
            before = list(layout.elements(d_type, self.named(operands)["d"]))
            values = []
            for i, c in enumerate(before):
                row, column = (lane >> 2) + 8 * (i >> 1 & 1), 8 * (i >> 2) + 2 * (lane & 3) + (i & 1)
                values.append(self.element(rows[row], columns[column], c if given["scale_d"] else 0))
            out[lane] = layout.pack(d_type, values)
        return out

    def element(self, a: list[int], b: list[int], c: int) -> int:
        d_type, a_type, b_type = self.element_types()
        if a_type == "b1":
            return (c + sum(x & y for x, y in zip(a, b))) & 0xFFFFFFFF
        if d_type == "s32":
            return layout.integer_element((a_type, b_type, "s32", "s32"), a, b, c, "satfinite" in self.opcode)
        pairs = [(layout.number(a_type, x), layout.number(b_type, y)) for x, y in zip(a, b)]
        return layout.rounded(FORMATS[d_type], layout.sum_of_products(pairs, layout.number(d_type, c)))

    # ------------------------------------------------------------------------------------------------ vector code

    def lower(self, w: Any, op: Any) -> Any:
        from anywarp.lower.warpgroup import multiply

        return multiply(w, self, self.named(op.operands))


def _sparse(operands: str) -> str:
    return operands.replace("b_desc,", "b_desc, meta, selector,")


_HALF = ("d, a_desc, b_desc, scale_d, scale_a, scale_b, trans_a, trans_b", "d, a, b_desc, scale_d, scale_a, scale_b, trans_b")
_FLOAT = ("d, a_desc, b_desc, scale_d, scale_a, scale_b", "d, a, b_desc, scale_d, scale_a, scale_b")
_INTEGER = ("d, a_desc, b_desc, scale_d", "d, a, b_desc, scale_d")


@instruction
class WarpgroupProduct(_Product):
    """wgmma.mma_async: D = A * B + D, or A * B, of 64 rows"""

    syntax = (
        *(f"wgmma.mma_async.sync.aligned.shape_name.dtype.f16.f16 {operands}" for operands in _HALF),
        *(f"wgmma.mma_async.sync.aligned.shape_name.f32.bf16.bf16 {operands}" for operands in _HALF),
        *(f"wgmma.mma_async.sync.aligned.shape_name.f32.tf32.tf32 {operands}" for operands in _FLOAT),
        *(f"wgmma.mma_async.sync.aligned.shape_name.dtype.f8_a.f8_b {operands}" for operands in _FLOAT),
        *(f"wgmma.mma_async.sync.aligned.shape_name{{.satfinite}}.s32.byte_a.byte_b {operands}" for operands in _INTEGER),
        *(f"wgmma.mma_async.sync.aligned.shape_name.s32.b1.b1.and.popc {operands}" for operands in _INTEGER),
    )


@instruction
class WarpgroupSparseProduct(_Product):
    """wgmma.mma_async.sp: the same with an A of which half is zero and not stored"""

    syntax = (
        *(f"wgmma.mma_async.sp.sync.aligned.shape_name.dtype.f16.f16 {_sparse(operands)}" for operands in _HALF),
        *(f"wgmma.mma_async.sp.sync.aligned.shape_name.f32.bf16.bf16 {_sparse(operands)}" for operands in _HALF),
        *(f"wgmma.mma_async.sp.sync.aligned.shape_name.f32.tf32.tf32 {_sparse(operands)}" for operands in _FLOAT),
        *(f"wgmma.mma_async.sp.sync.aligned.shape_name.dtype.f8_a.f8_b {_sparse(operands)}" for operands in _FLOAT),
        *(f"wgmma.mma_async.sp.sync.aligned.shape_name{{.satfinite}}.s32.byte_a.byte_b {_sparse(operands)}" for operands in _INTEGER),
    )
    section = "9.7.15.6.3"
    since = (8, 2)


@instruction
class WarpgroupOrder(Memory):
    """wgmma.fence, wgmma.commit_group, wgmma.wait_group: all products have been computed already"""

    syntax = ("wgmma.fence.sync.aligned", "wgmma.commit_group.sync.aligned", "wgmma.wait_group.sync.aligned n")
    types = {"n": "u32"}
    results = ()
    section = "9.7.15.7"
    since = (8, 0)
    target = 90
    writes = True

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        return None


__all__ = ["Descriptor", "WarpgroupOrder", "WarpgroupProduct", "WarpgroupSparseProduct"]
