"""Products of small matrices by a warp: mma (PTX ISA 9.7.14.5.14). The vector code is in `lower.matrix_product`, the layout of
fragments and the exact meaning in `matrix_layout`.

What the results promise:

- integers and bits are exact;
- f64 is a chain of fused multiply-adds over k in ascending order, beginning with C;
- of floats with fewer bits the manual leaves order, rounding and subnormals of the accumulation open. Here products are exact
  and accumulated in f32 to nearest, so that an element's error is at most `(K + 1) * 2^-23 * (|c| + sum |a * b|)`, and for an
  f16 result half a unit in its last place more. (Where the machine multiplies bf16 by its dot-product instruction,
  subnormal numbers count as zero.) The order is the same for all elements and calls: a product is repeatable.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from anywarp.isa import matrix_layout as layout
from anywarp.isa import types
from anywarp.isa.base import OperandType, Warp, instruction
from anywarp.isa.ieee import F64, FORMATS, Number
from anywarp.isa.shape import Shape

if TYPE_CHECKING:
    from anywarp.lower.emit import V
    from anywarp.lower.matrix_product import Product
    from anywarp.lower.warp import WarpEmitter

Lanes = dict[int, tuple[Any, ...]]
Order = tuple[tuple[int, ...], ...]
F8 = "e4m3 e5m2"
F8F6F4 = "e4m3 e5m2 e3m2 e2m3 e2m1"


class MatrixProduct(Warp):
    """D = A * B + C of one shape; subclasses say the element types and what an element of D is."""

    section = "9.7.14.5.14"

    @property
    def size(self) -> tuple[int, int, int]:
        """M, N, K."""
        return layout.dimensions(next(part for part in self.opcode if part[0] == "m" and part[1:2].isdigit()))

    def element_types(self) -> tuple[str, str, str, str]:
        """The types of the elements of A, B, C and D."""
        raise NotImplementedError

    def element(self, a: list[int], b: list[int], c: int) -> int:
        """An element of D from a row of A, a column of B and an element of C (bit patterns)."""
        raise NotImplementedError

    def operand_type(self, name: str) -> OperandType:
        m, n, k = self.size
        a, b, c, d = self.element_types()
        of = {"a": (a, m * k), "b": (b, k * n), "c": (c, m * n), "d": (d, m * n)}
        return layout.registers(*of[name])

    def shape(self, *operands: Shape) -> Shape:
        return Shape(32)

    def position(self, matrix: str, type: str, lane: int, i: int) -> tuple[int, int] | None:
        """Row and column of an element of a fragment of A, B or C and D ("a", "b", "c"); None for one that counts for nothing."""
        return layout.row_column(matrix, self.size[0], type, lane, i)

    def undefined(self, lanes: Lanes) -> set[int]:
        """All where lanes are missing: the warp executes a product as a whole."""
        return set() if len(lanes) == 32 else set(lanes)

    def matrices(self, lanes: Lanes) -> tuple[dict[tuple[int, int], int], ...]:
        """A, B and C by row and column, from the lanes' fragments."""
        return tuple(
            self.matrix(which, type, {lane: lanes[lane][i] for lane in lanes})
            for i, (which, type) in enumerate(zip("abc", self.element_types()))
        )

    def matrix(self, which: str, type: str, fragments: dict[int, tuple[int, ...]]) -> dict[tuple[int, int], int]:
        """The elements' bit patterns by row and column."""
        found = {}
        for lane, fragment in fragments.items():
            for i, value in enumerate(layout.elements(type, fragment)):
                at = self.position(which, type, lane, i)
                if at is not None:
                    found[at] = value
        return found

    def factors(self, a: dict[tuple[int, int], int], b: dict[tuple[int, int], int], at: tuple[int, int]) -> tuple[list[int], list[int]]:
        """The row of A and the column of B that make an element of D."""
        row, column = at
        k = self.size[2]
        return [a.get((row, i), 0) for i in range(k)], [b.get((i, column), 0) for i in range(k)]

    def reference(self, lanes: Lanes) -> dict[int, Any]:
        a, b, c = self.matrices(lanes)
        type = self.element_types()[3]
        given = self.operand_type("d")
        assert isinstance(given, tuple)
        count = given[1] * types.width(given[0]) // layout.ELEMENTS[type][0]
        result = {}
        for lane in lanes:
            values = []
            for i in range(count):
                at = self.position("c", type, lane, i)
                assert at is not None
                values.append(self.element(*self.factors(a, b, at), c.get(at, 0)))
            result[lane] = layout.pack(type, values)
        return result

    def product(self) -> Product:
        """What the vector code is to compute."""
        from anywarp.lower.matrix_product import Product

        a, b, c, d = self.element_types()
        return Product(a, b, c, d, *self.orders())

    def changed(self, **fields: Any) -> Product:
        """`product` with some of its fields set."""
        return replace(MatrixProduct.product(self), **fields)

    def orders(self) -> tuple[Order, Order, Order]:
        """Which register holds which tile of A and B, and which tile of C comes when: see `lower.matrix_product.Product`."""
        m, _, k = self.size
        parts = k // (4 * max(1, 32 // layout.ELEMENTS[self.element_types()[0]][0]))
        tiles = m // 8
        a = tuple(tuple(tiles * part + tile for part in range(parts)) for tile in range(tiles))
        return a, (tuple(range(parts)),), tuple((tile,) for tile in range(tiles))

    def lower(self, w: WarpEmitter, a: tuple[V, ...], b: tuple[V, ...], c: tuple[V, ...]) -> tuple[V, ...]:
        from anywarp.lower.matrix_product import multiply_add

        return multiply_add(w, self.product(), a, b, c)


class FloatProduct(MatrixProduct):
    """What products of floats with fewer bits than f32 have in common; see the module's docstring for their precision."""

    nan_payload_unspecified = True

    def element(self, a: list[Any], b: list[Any], c: int) -> int:
        return layout.rounded(FORMATS[self.element_types()[3]], self.exact(a, b, c))

    def exact(self, a: list[Any], b: list[Any], c: int) -> Number:
        """The element of D before it is rounded."""
        of_a, of_b, of_c, _ = self.element_types()
        return layout.sum_of_products([(self.number(of_a, x), self.number(of_b, y)) for x, y in zip(a, b)], layout.number(of_c, c))

    def number(self, type: str, factor: Any) -> Number:
        """The exact value of an element of A or B as `factors` gives it."""
        return layout.number(type, factor)


@instruction
class MmaFloat(FloatProduct):
    """mma of f16, bf16 and tf32 matrices"""

    syntax = (
        "mma.sync.aligned.half_shape.row.col.dtype.f16.f16.ctype d, a, b, c",
        "mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32 d, a, b, c",
        "mma.sync.aligned.m16n8k8.row.col.f32.atype.btype.f32 d, a, b, c",
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 d, a, b, c",
    )
    modifiers = {
        "half_shape": "m16n8k8 m16n8k16",
        "dtype": "f16 f32",
        "ctype": "f16 f32",
        "atype": "bf16 tf32",
        "btype": "bf16 tf32",
    }
    results = ("d",)
    since = (6, 5)
    target = 75
    dtype: Any
    ctype: Any
    atype: Any
    btype: Any

    def check(self) -> str | None:
        a, b, c, d = self.element_types()
        if c != d:
            return f"the shapes of 16 rows have the same type in C and D, not .{c} and .{d}"
        return None if a == b else f"A and B must have the same type, not .{a} and .{b}"

    def element_types(self) -> tuple[str, str, str, str]:
        d, a, b, c = self.opcode[-4:]
        return a, b, c, d


@instruction
class MmaSmallFloat(FloatProduct):
    """mma of matrices of 8-bit floats, or, with .kind::f8f6f4, of floats of 8, 6 and 4 bits, each in a byte of its own"""

    syntax = (
        "mma.sync.aligned.f8_shape.row.col.dtype.f8_a.f8_b.ctype d, a, b, c",
        "mma.sync.aligned.m16n8k32.row.col.kind::f8f6f4.dtype.atype.btype.ctype d, a, b, c",
        "mma.sync.aligned.kind::f8f6f4.m16n8k32.row.col.dtype.atype.btype.ctype d, a, b, c",
    )
    modifiers = {
        "f8_shape": "m16n8k16 m16n8k32",
        "dtype": "f16 f32",
        "ctype": "f16 f32",
        "f8_a": F8,
        "f8_b": F8,
        "atype": F8F6F4,
        "btype": F8F6F4,
    }
    results = ("d",)
    since = (8, 4)
    target = 89
    dtype: Any
    ctype: Any

    def check(self) -> str | None:
        return None if self.dtype == self.ctype else "C and D must have the same type"

    def element_types(self) -> tuple[str, str, str, str]:
        d, a, b, c = self.opcode[-4:]
        return a, b, c, d


@instruction
class MmaDouble(MatrixProduct):
    """mma of f64 matrices: a chain of fused multiply-adds"""

    syntax = "mma.sync.aligned.f64_shape.row.col{.rnd}.f64.f64.f64.f64 d, a, b, c"
    modifiers = {"f64_shape": "m8n8k4 m16n8k4 m16n8k8 m16n8k16", "rnd": "rn rz rm rp"}
    results = ("d",)
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
class MmaInteger(MatrixProduct):
    """mma of integers of 8 or 4 bits; the sum wraps, or with .satfinite is clamped"""

    syntax = (
        "mma.sync.aligned.byte_shape.row.col{.satfinite}.s32.byte_a.byte_b.s32 d, a, b, c",
        "mma.sync.aligned.nibble_shape.row.col{.satfinite}.s32.nibble_a.nibble_b.s32 d, a, b, c",
    )
    modifiers = {
        "byte_shape": "m8n8k16 m16n8k16 m16n8k32",
        "byte_a": "u8 s8",
        "byte_b": "u8 s8",
        "nibble_shape": "m8n8k32 m16n8k32 m16n8k64",
        "nibble_a": "u4 s4",
        "nibble_b": "u4 s4",
    }
    results = ("d",)
    since = (6, 5)
    target = 75
    satfinite: bool

    def element_types(self) -> tuple[str, str, str, str]:
        d, a, b, c = self.opcode[-4:]
        return a, b, c, d

    def element(self, a: list[int], b: list[int], c: int) -> int:
        return layout.integer_element(self.element_types(), a, b, c, self.satfinite)

    def product(self) -> Product:
        return self.changed(is_saturating=self.satfinite)


@instruction
class MmaBit(MatrixProduct):
    """mma of single bits: the number of bits set in the exclusive or, or the conjunction, of a row and a column"""

    syntax = "mma.sync.aligned.bit_shape.row.col.s32.b1.b1.s32.bitOp.popc d, a, b, c"
    modifiers = {"bit_shape": "m8n8k128 m16n8k128 m16n8k256", "bitOp": "xor and"}
    results = ("d",)
    since = (7, 0)
    target = 75
    bitOp: Any

    def element_types(self) -> tuple[str, str, str, str]:
        return "b1", "b1", "s32", "s32"

    def element(self, a: list[int], b: list[int], c: int) -> int:
        return (c + sum(x ^ y if self.bitOp == "xor" else x & y for x, y in zip(a, b))) & 0xFFFFFFFF

    def product(self) -> Product:
        return self.changed(op=self.bitOp)
