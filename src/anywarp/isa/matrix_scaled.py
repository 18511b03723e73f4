"""mma and mma.sp with block scaling: every so many elements of a row of A, and of a column of B, have a scale (PTX ISA 9.7.14.3).

The K columns are cut into 1, 2 or 4 chunks (`.scale_vec::1X` to `4X`). A's scales of row g are in lane `4 * g + 2 *
thread_id`, those of row g + 8 in the next lane; B's of column n are in lane `4 * n + thread_id`. A lane's word holds the
chunks' scales in ascending order, one byte each, from byte `byte_id` on. The selectors are a pair `{byte_id, thread_id}`.

A chunk's sum of products is computed by the code of `mma` in f32; what is left, `C + sum(sum_of_chunk * scale_a *
scale_b)`, in f64: no scale overflows there, and the products are exact.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from anywarp.isa import matrix_layout as layout
from anywarp.isa.base import OperandType, instruction
from anywarp.isa.ieee import FORMATS, Number
from anywarp.isa.matrix import F8F6F4, FloatProduct
from anywarp.isa.matrix_sparse import SparseProduct

if TYPE_CHECKING:
    from anywarp.lower.emit import V
    from anywarp.lower.matrix_product import Product
    from anywarp.lower.warp import WarpEmitter

Lanes = dict[int, tuple[Any, ...]]
Scaled = tuple[int, int]  # an element and its scale


def scale_number(type: str, bits: int) -> Number:
    """The value of a scale: ue8m0 is a power of two, 0xff its NaN; ue4m3 is e4m3 without sign."""
    if type == "ue8m0":
        return Number("nan", 0) if bits == 0xFF else Number("finite", 0, 1, bits - 127)
    return FORMATS["e4m3"].decode(bits & 0x7F)


@lru_cache(maxsize=1 << 16)
def scaled_number(type: str, element: int, scale_type: str, scale: int) -> Number:
    """The value of an element times its scale."""
    x, s = layout.number(type, element), scale_number(scale_type, scale)
    if x.is_nan or s.is_nan or (x.is_infinite and s.is_zero):
        return Number("nan", 0)
    if x.is_infinite:
        return x
    return Number("finite", x.sign, x.significand * s.significand, x.exponent + s.exponent)


class ScaledProduct(FloatProduct):
    """D = (A * scale_a) * (B * scale_b) + C"""

    results = ("d",)
    since = (8, 7)
    target = 120
    is_sparse: ClassVar[bool] = False
    kind: Any
    scale_vec: Any
    stype: Any

    def check(self) -> str | None:
        valid = {
            "kind::mxf8f6f4": {(1, "ue8m0")},
            "kind::mxf4": {(2, "ue8m0")},
            "kind::mxf4nvf4": {(2, "ue8m0"), (4, "ue8m0"), (4, "ue4m3")},
        }[self.kind]
        if self.kind == "kind::mxf4nvf4" and self.scale_vec is None:
            return ".kind::mxf4nvf4 needs .scale_vec::2X or .scale_vec::4X"
        if (self.chunks, self.opcode[-1]) not in valid:
            return f".{self.kind} has no .scale_vec::{self.chunks}X with .{self.opcode[-1]}"
        return None

    @property
    def chunks(self) -> int:
        """How many scales a row of A has."""
        if self.scale_vec is not None:
            return int(self.scale_vec[-2])
        return 1 if self.kind == "kind::mxf8f6f4" else 2

    def element_types(self) -> tuple[str, str, str, str]:
        d, a, b, c, _ = self.opcode[-5:]
        if self.kind != "kind::mxf8f6f4":
            a, b = "fp4", "fp4"
        return a, b, c, d

    def operand_type(self, name: str) -> OperandType:
        if name.startswith("select"):
            return "u16", 2
        return "b32" if name.startswith("scale") else super().operand_type(name)

    # ------------------------------------------------------------------------------------------- plain meaning

    def matrices(self, lanes: Lanes) -> tuple[dict[tuple[int, int], Any], ...]:
        """A and B with elements (bits, scale's bits), and C."""
        a, b, c = super().matrices(lanes)
        first = 5 if self.is_sparse else 3
        width = self.size[2] // self.chunks

        def scale(lane: int, operand: int, chunk: int) -> int:
            byte = 0 if self.chunks == 4 else lanes[lane][operand + 1][0]
            return int(lanes[lane][operand]) >> 8 * (byte + chunk & 3) & 0xFF if lane in lanes else 0

        if not lanes:
            return {}, {}, {}
        some = next(iter(lanes.values()))
        thread_a, thread_b = some[first + 1][1] & 1, some[first + 3][1] & 3
        return (
            {(i, k): (x, scale(4 * (i % 8) + 2 * thread_a + i // 8, first, k // width)) for (i, k), x in a.items()},
            {(k, j): (x, scale(4 * j + thread_b, first + 2, k // width)) for (k, j), x in b.items()},
            c,
        )

    def number(self, type: str, factor: Scaled | int) -> Number:
        element, scale = factor if isinstance(factor, tuple) else (factor, 0)
        return scaled_number(type, element, self.opcode[-1], scale)

    # ------------------------------------------------------------------------------------------- vector code

    def lower(self, w: WarpEmitter, *operands: Any) -> tuple[V, ...]:
        from anywarp.lower.matrix_product import multiply_add

        a, b, c, *rest = operands
        if self.is_sparse:
            assert isinstance(self, SparseProduct)
            a = self.dense_registers(w, a, rest[0], rest[1])
            rest = rest[2:]
        scale_a, select_a, scale_b, select_b = rest
        parts = len(b)
        zero = [w.const("float", 0, 32)] * 4
        sums = [w.convert("fpext", w.wide(x), "double") for x in c]
        for chunk in range(self.chunks):
            if parts >= self.chunks:
                of = range(chunk * parts // self.chunks, (chunk + 1) * parts // self.chunks)
                rows = [x for part in of for x in a[2 * part : 2 * part + 2]]
            else:  # half a register's columns: the others' elements of A count as zero
                of = range(chunk * parts // self.chunks, chunk * parts // self.chunks + 1)
                mine = w.lane_constants("i32", [-(lane % 4 // 2 == chunk % 2) for lane in range(32)])
                rows = [w.and_(w.wide(x), mine) for part in of for x in a[2 * part : 2 * part + 2]]
            products = multiply_add(w, self._chunk_product(len(of)), rows, [b[part] for part in of], zero)
            factors_a = [self._scale(w, scale_a, select_a, chunk, [4 * (lane >> 2) + h for lane in range(32)], 2) for h in range(2)]
            factors_b = [self._scale(w, scale_b, select_b, chunk, [4 * (2 * (lane & 3) + j) for lane in range(32)], 1) for j in range(2)]
            for i, x in enumerate(products):
                scaled = w.fmul(w.fmul(w.convert("fpext", x, "double"), factors_a[i >> 1]), factors_b[i & 1])
                sums[i] = w.fadd(sums[i], scaled)
        return tuple(w.convert("fptrunc", x, "float") for x in sums)

    def _chunk_product(self, parts: int) -> Product:
        a = tuple(tuple(2 * part + tile for part in range(parts)) for tile in range(2))
        return self.changed(a_order=a, b_order=(tuple(range(parts)),))

    def _scale(self, w: WarpEmitter, words: V, select: tuple[V, V], chunk: int, lanes: list[int], step: int) -> V:
        """The scales of a chunk in f64: in lane l that of lane `lanes[l] + step * thread_id`, byte `byte_id + chunk`."""
        from anywarp.isa.shuffle import constant
        from anywarp.lower.matrix_product import small_float

        byte, thread = select
        count = 2 if step == 2 else 4
        known = constant(thread)
        if words.n == 1:
            word = w.wide(words)
        elif known is not None:
            word = w.shuffle(words, None, [lane + step * (known % count) for lane in lanes])
        else:
            word = w.shuffle(words, None, lanes)
            for other in range(1, count):
                moved = w.shuffle(words, None, [lane + step * other for lane in lanes])
                word = w.select(w.icmp("eq", thread, w.const("i16", other)), moved, word)
        first = w.const("i32", 0) if self.chunks == 4 else w.shl(w.zext(w.and_(byte, w.const("i16", 3)), "i32"), w.const("i32", 3))
        shift = w.and_(w.add(first, w.const("i32", 8 * chunk)), w.const("i32", 24))
        bits = w.and_(w.lshr(word, shift), w.const("i32", 0xFF))
        if self.opcode[-1] == "ue4m3":
            number = small_float(w, w.trunc(w.and_(bits, w.const("i32", 0x7F)), "i16"), "e4m3")
            return w.convert("fpext", number, "double")
        power = w.bitcast(w.shl(w.zext(w.add(bits, w.const("i32", 1023 - 127)), "i64"), w.const("i64", 52)), "double")
        return w.select(w.icmp("eq", bits, w.const("i32", 0xFF)), w.const("double", 0x7FF8 << 48), power)


_OPERANDS = "d, a, b, c, scale_a, select_a, scale_b, select_b"
_MODIFIERS = {
    "kind": "kind::mxf4 kind::mxf4nvf4",
    "scale_vec": "scale_vec::2X scale_vec::4X",
    "stype": "ue8m0 ue4m3",
}


@instruction
class MmaScaledFp4(ScaledProduct):
    """mma of e2m1 matrices with block scaling"""

    syntax = (
        f"mma.sync.aligned.m16n8k64.row.col.kind.block_scale{{.scale_vec}}.f32.e2m1.e2m1.f32.stype {_OPERANDS}",
        f"mma.sync.aligned.kind.block_scale{{.scale_vec}}.m16n8k64.row.col.f32.e2m1.e2m1.f32.stype {_OPERANDS}",
    )
    modifiers = _MODIFIERS


@instruction
class MmaScaledSmallFloat(ScaledProduct):
    """mma of matrices of floats of 8, 6 and 4 bits in a byte of their own, with block scaling"""

    syntax = (
        f"mma.sync.aligned.m16n8k32.row.col.kind.block_scale{{.scale_vec}}.f32.atype.btype.f32.ue8m0 {_OPERANDS}",
        f"mma.sync.aligned.kind.block_scale{{.scale_vec}}.m16n8k32.row.col.f32.atype.btype.f32.ue8m0 {_OPERANDS}",
    )
    modifiers = {"kind": "kind::mxf8f6f4", "scale_vec": "scale_vec::1X", "atype": F8F6F4, "btype": F8F6F4}


_SPARSE = "d, a, b, c, e, f, scale_a, select_a, scale_b, select_b"


class SparseScaledProduct(ScaledProduct, SparseProduct):
    section = "9.7.14.6.3"
    is_sparse = True


@instruction
class MmaSparseScaledFp4(SparseScaledProduct):
    """mma.sp of e2m1 matrices with block scaling"""

    syntax = (
        f"mma.sp::ordered_metadata.sync.aligned.m16n8k128.row.col.kind.block_scale{{.scale_vec}}.f32.e2m1.e2m1.f32.stype {_SPARSE}",
        f"mma.sp::ordered_metadata.sync.aligned.kind.block_scale{{.scale_vec}}.m16n8k128.row.col.f32.e2m1.e2m1.f32.stype {_SPARSE}",
    )
    modifiers = _MODIFIERS


@instruction
class MmaSparseScaledSmallFloat(SparseScaledProduct):
    """mma.sp of matrices of floats of 8, 6 and 4 bits in a byte of their own, with block scaling"""

    syntax = (
        f"mma.sp::ordered_metadata.sync.aligned.m16n8k64.row.col.kind.block_scale{{.scale_vec}}.f32.atype.btype.f32.ue8m0 {_SPARSE}",
        f"mma.sp::ordered_metadata.sync.aligned.kind.block_scale{{.scale_vec}}.m16n8k64.row.col.f32.atype.btype.f32.ue8m0 {_SPARSE}",
    )
    modifiers = {"kind": "kind::mxf8f6f4", "scale_vec": "scale_vec::1X", "atype": F8F6F4, "btype": F8F6F4}
