"""wgmma: a warp's 16 rows of a product of 64, tile by tile of 8 columns, with the code of `mma`. The meaning is in `isa.warpgroup`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anywarp.isa import matrix_layout as layout
from anywarp.lower import matrix_product
from anywarp.lower.copies import counted_loop
from anywarp.lower.emit import V
from anywarp.lower.matrix_product import Product

if TYPE_CHECKING:
    from anywarp.isa.warpgroup import _Product
    from anywarp.lower.memory import MemoryEmitter

_SIGNS = {16: 0x80008000, 32: 0x80000000, 8: 0x80808080}  # of all elements in a register, by their bits


class _Shared:
    """A matrix in shared memory, by its descriptor (an i64)."""

    def __init__(self, w: MemoryEmitter, descriptor: V, is_transposed: bool) -> None:
        self.w, self.is_transposed = w, is_transposed

        def field(at: int) -> V:
            return w.shl(w.and_(w.lshr(descriptor, c(at)), c(0x3FFF)), c(4))

        def c(value: int) -> V:
            return w.const("i64", value)

        self.start, self.leading, self.stride = field(0), field(16), field(32)
        self.mode = w.lshr(descriptor, c(62))
        self.is_plain = w.icmp("eq", self.mode, c(0))
        self.span_shift = w.select(self.is_plain, c(4), w.sub(c(8), self.mode))  # rows of 16, 128, 64, 32 bytes
        self.mask = w.select(self.is_plain, c(0), w.sub(w.shl(c(1), w.sub(c(4), self.mode)), c(1)))

    def tile(self, tile: V, part: int) -> V:
        """A register for 32 lanes: lane 4 * g + t has dword t of row g of tile `tile` (i64), the part of 16 bytes along K."""
        w = self.w
        along = w.const("i64", part)
        if self.is_transposed:
            chunks = w.sub(self.span_shift, w.const("i64", 4))
            outer = w.lshr(tile, chunks)
            inner = w.shl(w.sub(tile, w.shl(outer, chunks)), w.const("i64", 4))
            swizzled = w.add(w.add(w.mul(outer, self.leading), inner), w.mul(along, self.stride))
            plain = w.add(w.mul(tile, self.stride), w.mul(along, self.leading))
            begin = w.select(self.is_plain, plain, swizzled)
        else:
            if part < 2:  # within a row of every swizzle mode
                inside = w.const("i64", 16 * part)
            else:
                outer = w.lshr(along, w.sub(self.span_shift, w.const("i64", 4)))
                rest = w.sub(w.const("i64", 16 * part), w.shl(outer, self.span_shift))
                inside = w.add(w.mul(outer, self.leading), rest)
            begin = w.add(w.mul(tile, self.stride), w.select(self.is_plain, w.mul(along, self.leading), inside))
        begin = w.add(begin, self.start)
        rows = []
        for row in range(8):
            address = w.add(begin, w.shl(w.const("i64", row), self.span_shift))
            moved = w.shl(w.and_(w.lshr(address, w.const("i64", 7)), self.mask), w.const("i64", 4))
            rows.append(w.load("i32", 4, w.offset(w.shared_base, w.xor(address, moved)), 16))
        whole = w.concat(rows)
        if not self.is_transposed:
            return whole
        order = [(2 * (lane & 3) + half) * 8 + (lane >> 2) for lane in range(32) for half in range(2)]
        return w.reinterpret(w.shuffle(w.reinterpret(whole, "i16", 64), None, order), "i32", 32)


def _scalar(w: MemoryEmitter, operand: Any, elem: str) -> V:
    """An operand that is the same in all lanes."""
    held = w.get(operand)
    if held.shape.is_uniform:
        return w.cast(held.base, elem)
    v = w.vector(operand)
    return w.extract(w.cast(v, elem), w.first_lane(w.active))


def multiply(w: Any, op: _Product, given: dict[str, Any]) -> list[V]:
    """The registers of D."""
    d_type, a_type, b_type = op.element_types()
    bits = layout.ELEMENTS[a_type][0]
    sparse = op.sparse
    parts = 4 if sparse else 2  # of 16 bytes along K
    a_order = tuple(tuple(2 * part + tile for part in range(parts)) for tile in range(2))
    is_saturating, bit_op = "satfinite" in op.opcode, "and" if a_type == "b1" else ""
    product = Product(a_type, b_type, d_type, d_type, a_order, (tuple(range(parts)),), ((0,), (1,)), is_saturating, bit_op)

    def is_negative(name: str) -> bool:
        return name in given and getattr(given[name], "value", 1) not in (0, 1)

    if "a" in given:
        a = [w.cast(w.vector(o), "i32") for o in given["a"]]
    else:
        matrix = _Shared(w, _scalar(w, given["a_desc"], "i64"), bool(getattr(given.get("trans_a"), "value", 0)))
        first = w.zext(w.shl(w.and_(w.warp_index(), w.const("i32", 3)), w.const("i32", 1)), "i64")
        a = [matrix.tile(w.add(first, w.const("i64", i & 1)), i >> 1) for i in range(4)]
    if is_negative("scale_a") != is_negative("scale_b"):
        a = [w.xor(w.broadcast(v, 32), w.const("i32", _SIGNS[bits])) for v in a]
    if sparse:
        metadata, selector = w.cast(w.vector(given["meta"]), "i32"), _scalar(w, given["selector"], "i32")
        a = sparse.dense_registers(w, tuple(w.wide(v) for v in a), metadata, selector)
    b_matrix = _Shared(w, _scalar(w, given["b_desc"], "i64"), bool(getattr(given.get("trans_b"), "value", 0)))
    # In memory: A, then B's registers, then the scratch space of the product; D apart, tile by tile.
    place = w.shared_scratch("matrix", matrix_product.SCRATCH)
    registers = [w.vector(o) for o in given["d"]]
    elem = registers[0].elem
    per_tile = 2 if d_type == "f16" else 4
    before, after = (w.shared_scratch(f"wgmma {name}", 128 * 128) for name in ("before", "after"))
    keeps = _scalar(w, given["scale_d"], "i1")
    for i, v in enumerate(a):
        w.store(w.broadcast(v, 32), w.offset(place, 128 * i), 64)
    for i, v in enumerate(registers):
        w.store(w.select(keeps, v, w.const(elem, 0, 32)), w.offset(before, 128 * i), 64)
    b_place, units = w.offset(place, 128 * len(a)), w.offset(place, matrix_product.FRAGMENTS)
    w.module.helper(product.name, lambda: matrix_product._function(w, product, [128, 128, 128]))

    def column_tile(tile: V) -> None:
        for part in range(parts):
            w.store(b_matrix.tile(tile, part), w.offset(b_place, 128 * part), 64)
        at = w.mul(tile, w.const("i64", 128 * per_tile))
        pointers = (place, b_place, w.offset(before, at), w.offset(after, at), units)
        w.line(f"call void @{product.name}({', '.join(p.typed for p in pointers)})")

    counted_loop(w, w.const("i64", op.size[1] // 8), column_tile)
    return [w.load(elem, 32, w.offset(after, 128 * i), 64) for i in range(len(registers))]
