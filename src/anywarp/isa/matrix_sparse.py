"""mma.sp: products whose A has, of four elements side by side, two that are zero and not stored (PTX ISA 9.7.14.6).

The stored half of A lies like a dense A of half the columns; lane `4 * g + t` of a register holds what is left of columns
`2 * e * t` to `2 * e * t + 2 * e - 1` of its row (e elements to a register). Which columns those are says the metadata:
4 bits for a chunk, the places of the first and the second stored element. A chunk is four elements of 16 or 8 bits, eight
of 4 bits (which come in pairs), or two of tf32 (their halves are counted: 0b0100 is the first, 0b1110 the second). The
code puts zeros where none are stored, with variable shifts, and hands the dense A to `mma`.

Where a chunk's 4 bits are, for row g or g + 8 (`h`), group of 8 e columns (`q`) and thread t of the quad, lanes 4g to
4g + 3, with the selector f:

- elements of 16 bits and tf32: one chunk a register, in lane `2 * f + q` (`f` where there is one group), bits `16 * h + 4 * t`;
- elements of 8 bits and less: two chunks, in lane `2 * q + h` (`2 * f + h` where there is one group), bits `8 * t` and
  `8 * t + 4`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anywarp.isa import matrix_layout as layout
from anywarp.isa.base import OperandType, instruction
from anywarp.isa.matrix import F8, F8F6F4, FloatProduct, MatrixProduct

if TYPE_CHECKING:
    from anywarp.lower.emit import V
    from anywarp.lower.matrix_product import Product
    from anywarp.lower.warp import WarpEmitter

Lanes = dict[int, tuple[Any, ...]]


class SparseProduct(MatrixProduct):
    """D = A * B + C with a sparse A; `e` is the metadata, `f` (a constant) says which lanes' counts."""

    section = "9.7.14.6.3"
    results = ("d",)
    since = (7, 1)
    target = 80

    def operand_type(self, name: str) -> OperandType:
        if name in "ef":
            return "b32"
        m, _, k = self.size
        return layout.registers(self.element_types()[0], m * k // 2) if name == "a" else super().operand_type(name)

    @property
    def groups(self) -> int:
        """How many registers of the stored A lie side by side in a row: 1 or 2."""
        return layout.registers(self.element_types()[0], self.size[0] * self.size[2] // 2)[1] // 2

    @property
    def is_small(self) -> bool:
        """Elements of 8 bits or less: two chunks in a register."""
        return layout.ELEMENTS[self.element_types()[0]][0] <= 8

    @property
    def selectors(self) -> int:
        """How many values of f there are: as many as sets of lanes that can hold all the metadata."""
        return (2 if self.is_small else 4) // self.groups

    def metadata_lane(self, h: int, q: int, f: int) -> int:
        """The lane of the quad that has the metadata of row half h and group q."""
        if self.is_small:
            return (2 * q if self.groups == 2 else 2 * (f & 1)) + h
        return 2 * (f & 1) + q if self.groups == 2 else f & 3

    # ------------------------------------------------------------------------------------------- plain meaning

    def matrices(self, lanes: Lanes) -> tuple[dict[tuple[int, int], int], ...]:
        a, b, c, _ = self.element_types()
        return (
            self._dense(lanes, a),
            self.matrix("b", b, {lane: operands[1] for lane, operands in lanes.items()}),
            self.matrix("c", c, {lane: operands[2] for lane, operands in lanes.items()}),
        )

    def _dense(self, lanes: Lanes, type: str) -> dict[tuple[int, int], int]:
        """A by row and column, zeros and all, from the registers of the lanes."""
        m, _, k = self.size
        elements = {lane: list(layout.elements(type, operands[0])) for lane, operands in lanes.items()}
        stored = []
        for row in range(m):
            places = [self._stored_at(row, column, type) for column in range(k // 2)]
            stored.append([elements[lane][i] if lane in lanes else 0 for lane, i in places])
        return self.spread(stored, {lane: operands[3] for lane, operands in lanes.items()}, next(iter(lanes.values()))[4])

    def spread(self, stored: list[list[int]], metadata: dict[int, int], selector: int) -> dict[tuple[int, int], int]:
        """A by row and column, zeros and all, from the stored rows and the lanes' metadata: chunk by chunk of each row."""
        m, _, k = self.size
        type = self.element_types()[0]
        width = {"tf32": 2, "u4": 8, "s4": 8, "fp4": 8}.get(type, 4)  # columns of a chunk
        per_group = 8 if self.is_small else 4  # chunks
        dense: dict[tuple[int, int], int] = {(row, column): 0 for row in range(m) for column in range(k)}
        for row in range(m):
            h, g = divmod(row, 8)
            for chunk in range(k // width):
                values = stored[row][chunk * width // 2 : (chunk + 1) * width // 2]
                q, within = divmod(chunk, per_group)
                lane = 4 * g + self.metadata_lane(h, q, selector)
                word = metadata.get(lane, 0)
                index = word >> (4 * within if self.is_small else 16 * h + 4 * within) & 15
                if type == "tf32":
                    dense[row, chunk * width + (index == 0b1110)] = values[0]
                    continue
                together = width // 4  # elements that move as one
                for j, place in enumerate((index & 3, index >> 2)):
                    for x in range(together):
                        dense[row, chunk * width + place * together + x] |= values[j * together + x]
        return dense

    @staticmethod
    def _stored_at(row: int, column: int, type: str) -> tuple[int, int]:
        """The lane and the number of an element of the stored A."""
        per = max(1, 32 // layout.ELEMENTS[type][0])
        part, rest = divmod(column, 4 * per)
        return 4 * (row % 8) + rest // per, (2 * part + row // 8) * per + rest % per

    # ------------------------------------------------------------------------------------------- vector code

    def lower(self, w: WarpEmitter, *operands: Any) -> tuple[V, ...]:
        from anywarp.lower.matrix_product import multiply_add

        a, b, c, e, f = operands
        return multiply_add(w, self.product(), self.dense_registers(w, a, e, f), b, c)

    def dense_registers(self, w: WarpEmitter, a: tuple[V, ...], e: V, f: V) -> list[V]:
        """A with its zeros, as `mma` has it."""
        from anywarp.isa.shuffle import constant

        selector = constant(f)
        dense: list[V] = [a[0]] * (2 * len(a))
        for r, x in enumerate(a):
            q, h = divmod(r, 2)
            words = self._metadata(w, e, h, q, f if selector is None else selector)
            low, high = self._expand(w, w.wide(x), words, h)
            # blocks of e columns: thread t has 2t and 2t + 1; a dense register holds four, one a thread
            for part, threads in enumerate(((0, 1), (2, 3))):
                lanes = [4 * g + t + 32 * x for g in range(8) for t in threads for x in (0, 1)]
                dense[2 * (2 * q + part) + h] = w.shuffle(low, high, lanes)
        return dense

    def _metadata(self, w: WarpEmitter, e: V, h: int, q: int, f: int | V) -> V:
        """Each lane's metadata word, from the lane of its quad that has it."""
        if e.n == 1:
            return w.wide(e)

        def of(selector: int) -> V:
            return w.shuffle(e, None, [lane // 4 * 4 + self.metadata_lane(h, q, selector) for lane in range(32)])

        if isinstance(f, int):
            return of(f)
        result = of(0)  # a selector that is no constant: PTX forbids it, but it costs little to be right
        for selector in range(1, 4):
            result = w.select(w.icmp("eq", w.wide(f), w.const("i32", selector)), of(selector), result)
        return result

    def _expand(self, w: WarpEmitter, x: V, words: V, h: int) -> tuple[V, V]:
        """The two registers of dense elements that a stored register stands for."""
        thread = [lane & 3 for lane in range(32)]
        if self.is_small:
            nibbles = w.lshr(words, w.lane_constants("i32", [8 * t for t in thread]))
            return self._chunk(w, x, nibbles, 0), self._chunk(w, x, nibbles, 1)
        nibble = w.lshr(words, w.lane_constants("i32", [16 * h + 4 * t for t in thread]))
        three = w.const("i32", 3)
        four = w.const("i64", 4)
        places = [w.shl(w.zext(w.and_(n, three), "i64"), four) for n in (nibble, w.lshr(nibble, w.const("i32", 2)))]
        values = [w.zext(v, "i64") for v in (w.and_(x, w.const("i32", 0xFFFF)), w.lshr(x, w.const("i32", 16)))]
        both = w.or_(w.shl(values[0], places[0]), w.shl(values[1], places[1]))
        return w.trunc(both, "i32"), w.trunc(w.lshr(both, w.const("i64", 32)), "i32")

    @staticmethod
    def _chunk(w: WarpEmitter, x: V, nibbles: V, j: int) -> V:
        """Chunk j of a register: two bytes to their places."""
        result = None
        for i in range(2):
            shift = 4 * j + 2 * i
            up = 3 - shift  # from the two bits' place to that of a number of bytes in bits
            moved_bits = w.shl(nibbles, w.const("i32", up)) if up > 0 else w.lshr(nibbles, w.const("i32", -up))
            place = w.and_(moved_bits, w.const("i32", 24))
            byte = w.and_(w.lshr(x, w.const("i32", 8 * (2 * j + i))), w.const("i32", 0xFF))
            moved = w.shl(byte, place)
            result = moved if result is None else w.or_(result, moved)
        assert result is not None
        return result


class SparseFloat(SparseProduct, FloatProduct):
    def element_types(self) -> tuple[str, str, str, str]:
        d, a, b, c = self.opcode[-4:]
        return a, b, c, d

    def check(self) -> str | None:
        _, _, c, d = self.element_types()
        return None if c == d else "C and D must have the same type"


@instruction
class MmaSparseFloat(SparseFloat):
    """mma.sp of f16, bf16 and tf32 matrices"""

    syntax = (
        "mma.variant.sync.aligned.half_shape.row.col.dtype.f16.f16.ctype d, a, b, c, e, f",
        "mma.variant.sync.aligned.half_shape.row.col.f32.bf16.bf16.f32 d, a, b, c, e, f",
        "mma.variant.sync.aligned.tf32_shape.row.col.f32.tf32.tf32.f32 d, a, b, c, e, f",
    )
    modifiers = {
        "variant": "sp sp::ordered_metadata",
        "half_shape": "m16n8k16 m16n8k32",
        "tf32_shape": "m16n8k8 m16n8k16",
        "dtype": "f16 f32",
        "ctype": "f16 f32",
    }


@instruction
class MmaSparseSmallFloat(SparseFloat):
    """mma.sp of 8-bit floats, or, with .kind::f8f6f4, of floats of 8, 6 and 4 bits in a byte of their own"""

    syntax = (
        "mma.variant.sync.aligned.m16n8k64.row.col.dtype.f8_a.f8_b.ctype d, a, b, c, e, f",
        "mma.sp::ordered_metadata.sync.aligned.m16n8k64.row.col.kind::f8f6f4.dtype.atype.btype.ctype d, a, b, c, e, f",
        "mma.sp::ordered_metadata.sync.aligned.kind::f8f6f4.m16n8k64.row.col.dtype.atype.btype.ctype d, a, b, c, e, f",
    )
    modifiers = {
        "variant": "sp sp::ordered_metadata",
        "dtype": "f16 f32",
        "ctype": "f16 f32",
        "f8_a": F8,
        "f8_b": F8,
        "atype": F8F6F4,
        "btype": F8F6F4,
    }
    since = (8, 4)
    target = 89

    def check(self) -> str | None:
        if self.opcode[-1] == "f16" and "sp" in self.opcode:
            return "f16 sums need .sp::ordered_metadata"
        return super().check()


@instruction
class MmaSparseInteger(SparseProduct):
    """mma.sp of integers of 8 or 4 bits; the sum wraps, or with .satfinite is clamped"""

    syntax = (
        "mma.variant.sync.aligned.byte_shape.row.col{.satfinite}.s32.byte_a.byte_b.s32 d, a, b, c, e, f",
        "mma.variant.sync.aligned.nibble_shape.row.col{.satfinite}.s32.nibble_a.nibble_b.s32 d, a, b, c, e, f",
    )
    modifiers = {
        "variant": "sp sp::ordered_metadata",
        "byte_shape": "m16n8k32 m16n8k64",
        "byte_a": "u8 s8",
        "byte_b": "u8 s8",
        "nibble_shape": "m16n8k64 m16n8k128",
        "nibble_a": "u4 s4",
        "nibble_b": "u4 s4",
    }
    satfinite: bool

    def element_types(self) -> tuple[str, str, str, str]:
        d, a, b, c = self.opcode[-4:]
        return a, b, c, d

    def element(self, a: list[int], b: list[int], c: int) -> int:
        return layout.integer_element(self.element_types(), a, b, c, self.satfinite)

    def product(self) -> Product:
        return self.changed(is_saturating=self.satfinite)
