"""wmma.mma: products of matrices in fragments whose layout PTX leaves open (PTX ISA 9.7.14.4.5), and the layout that is ours.

A fragment is made of the 8-row tiles of `mma` (see `lower.matrix_product`), in the order in which `mma` of 16 rows has
them: the code of `mma` does the work, and a 16 x 16 fragment is what programs find on a GPU of sm_80. A's registers come
by blocks of 16 rows, then parts of K, then the two halves of the block; B's by 8 columns, then parts of K; the tiles of C
by blocks of 16 rows, then 8 columns, then the two halves. f16 fragments of A and B have 8 registers in every shape; those
that the matrix does not fill are copies of the first.

`element_position` is what `wmma.load` and `wmma.store` need; row- or column-major is a matter of theirs only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anywarp.isa import matrix_layout as layout
from anywarp.isa.base import OperandType, instruction
from anywarp.isa.ieee import F64
from anywarp.isa.matrix import FloatProduct, MatrixProduct, Order

if TYPE_CHECKING:
    from anywarp.lower.matrix_product import Product

F16_REGISTERS = 8  # of a fragment of A or B


def parts_of_k(type: str, k: int) -> int:
    """How many registers side by side hold a row of A: each has four lanes' elements of it."""
    return k // (4 * max(1, 32 // layout.ELEMENTS[type][0]))


def orders(m: int, n: int, k: int, type: str) -> tuple[Order, Order, Order]:
    """The numbers of A's registers by row tile and part, of B's by column tile and part, of the tiles of C by row and column tile."""
    parts, rows, columns = parts_of_k(type, k), m // 8, n // 8
    half = min(rows, 2)  # row tiles of a block
    a = tuple(tuple((tile // half * parts + part) * half + tile % half for part in range(parts)) for tile in range(rows))
    b = tuple(tuple(tile * parts + part for part in range(parts)) for tile in range(columns))
    c = tuple(tuple((tile // half * columns + column) * half + tile % half for column in range(columns)) for tile in range(rows))
    return a, b, c


def element_position(matrix: str, shape: str, type: str, lane: int, i: int) -> tuple[int, int]:
    """Row and column of element i of a lane's fragment of A, B or C and D ("a", "b", "c")."""
    m, n, k = layout.dimensions(shape)
    group, thread = lane >> 2, lane & 3
    if matrix == "c":
        half, columns = min(m // 8, 2), n // 8
        tile, j = divmod(i, 2)
        block, rest = divmod(tile, half * columns)
        return 8 * (block * half + rest % half) + group, 8 * (rest // half) + 2 * thread + j
    per = max(1, 32 // layout.ELEMENTS[type][0])
    register, j = divmod(i, per)
    parts = parts_of_k(type, k)
    if matrix == "b":
        tile, part = divmod(register % (n // 8 * parts), parts)
        return 4 * per * part + thread * per + j, 8 * tile + group
    half = min(m // 8, 2)
    block, rest = divmod(register % (m // 8 * parts), half * parts)
    return 8 * (block * half + rest % half) + group, 4 * per * (rest // half) + thread * per + j


class WmmaProduct(MatrixProduct):
    """What the types of wmma.mma have in common."""

    section = "9.7.14.4.5"
    results = ("d",)
    since = (6, 0)
    target = 70

    def operand_type(self, name: str) -> OperandType:
        if name in "ab" and self.element_types()[0] == "f16":
            return "f16x2", F16_REGISTERS
        return super().operand_type(name)

    def position(self, matrix: str, type: str, lane: int, i: int) -> tuple[int, int] | None:
        m, n, k = self.size
        if matrix != "c" and i >= (m if matrix == "a" else n) * k // 32:
            return None  # a copy
        return element_position(matrix, self.shape_name, type, lane, i)

    @property
    def shape_name(self) -> str:
        return next(part for part in self.opcode if part[0] == "m" and part[1:2].isdigit())

    def orders(self) -> tuple[Order, Order, Order]:
        return orders(*self.size, self.element_types()[0])


@instruction
class WmmaFloat(WmmaProduct, FloatProduct):
    """wmma.mma of f16, bf16 and tf32 matrices"""

    syntax = (
        "wmma.mma.sync.aligned.alayout.blayout.wide_shape.dtype.ctype d, a, b, c",
        "wmma.mma.sync.aligned.alayout.blayout.wide_shape.f32.bf16.bf16.f32 d, a, b, c",
        "wmma.mma.sync.aligned.alayout.blayout.m16n16k8.f32.tf32.tf32.f32 d, a, b, c",
    )
    modifiers = {
        "alayout": "row col",
        "blayout": "row col",
        "wide_shape": "m16n16k16 m8n32k16 m32n8k16",
        "dtype": "f16 f32",
        "ctype": "f16 f32",
    }
    dtype: Any

    def element_types(self) -> tuple[str, str, str, str]:
        if self.dtype is None:
            d, a, b, c = self.opcode[-4:]
            return a, b, c, d
        d, c = self.opcode[-2:]
        return "f16", "f16", c, d


@instruction
class WmmaDouble(WmmaProduct):
    """wmma.mma of f64 matrices: a chain of fused multiply-adds"""

    # nvcc writes the rounding mode at the end, the manual before the types.
    syntax = (
        "wmma.mma.sync.aligned.alayout.blayout.m8n8k4{.rnd}.f64.f64.f64.f64 d, a, b, c",
        "wmma.mma.sync.aligned.alayout.blayout.m8n8k4.f64.f64.f64.f64.rnd d, a, b, c",
    )
    modifiers = {"alayout": "row col", "blayout": "row col", "rnd": "rn rz rm rp"}
    since = (7, 0)
    target = 80
    nan_payload_unspecified = True
    rnd: Any

    def element_types(self) -> tuple[str, str, str, str]:
        return "f64", "f64", "f64", "f64"

    def element(self, a: list[int], b: list[int], c: int) -> int:
        for x, y in zip(a, b):
            c = F64.fused_multiply_add(x, y, c, self.rnd or "rn")
        return c

    def product(self) -> Product:
        return self.changed(rnd=self.rnd or "rn")


@instruction
class WmmaInteger(WmmaProduct):
    """wmma.mma of integers of 8 or 4 bits"""

    syntax = (
        "wmma.mma.sync.aligned.alayout.blayout.wide_shape.s32.byte_a.byte_b.s32{.satfinite} d, a, b, c",
        "wmma.mma.sync.aligned.row.col.m8n8k32.s32.nibble_a.nibble_b.s32{.satfinite} d, a, b, c",
    )
    modifiers = {
        "alayout": "row col",
        "blayout": "row col",
        "wide_shape": "m16n16k16 m8n32k16 m32n8k16",
        "byte_a": "s8 u8",
        "byte_b": "s8 u8",
        "nibble_a": "s4 u4",
        "nibble_b": "s4 u4",
    }
    since = (6, 3)
    target = 72
    satfinite: bool

    def check(self) -> str | None:
        a, b, *_ = self.element_types()
        return None if a == b else "A and B must have the same type"

    def element_types(self) -> tuple[str, str, str, str]:
        d, a, b, c = [part for part in self.opcode if part != "satfinite"][-4:]
        return a, b, c, d

    def element(self, a: list[int], b: list[int], c: int) -> int:
        return layout.integer_element(self.element_types(), a, b, c, self.satfinite)

    def product(self) -> Product:
        return self.changed(is_saturating=self.satfinite)


@instruction
class WmmaBit(WmmaProduct):
    """wmma.mma of single bits: the number of bits set in the exclusive or, or the conjunction, of a row and a column"""

    syntax = "wmma.mma.op.popc.sync.aligned.row.col.m8n8k128.s32.b1.b1.s32 d, a, b, c"
    modifiers = {"op": "xor and"}
    since = (6, 3)
    target = 75
    op: Any

    def element_types(self) -> tuple[str, str, str, str]:
        return "b1", "b1", "s32", "s32"

    def element(self, a: list[int], b: list[int], c: int) -> int:
        return (c + sum(x ^ y if self.op == "xor" else x & y for x, y in zip(a, b))) & 0xFFFFFFFF

    def product(self) -> Product:
        return self.changed(op=self.op)
