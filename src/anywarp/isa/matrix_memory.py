"""Matrices between memory and fragments.

ldmatrix, stmatrix (PTX ISA 9.7.14.5.15, 9.7.14.5.16) and wmma.load, wmma.store (9.7.14.4.3, 9.7.14.4.4).

All are built of tiles of 8 rows: a row of ldmatrix is 16 bytes at the address that one lane gives, and dword l of the eight rows is what
lane l gets. So a tile is eight loads and, transposed, one shuffle. Matrices of bytes have 16 columns, and 16 rows where transposed.
Fragments of wmma are in the layout of `matrix_wmma.element_position`, whose registers are tiles too: 8 groups of lanes by 4 lanes with
`per` elements each.

Lanes that are off (a warp that the block does not fill) read at a safe place and write into scratch memory.
"""

from __future__ import annotations

from typing import Any

from anywarp.isa import matrix_layout as layout
from anywarp.isa import types
from anywarp.isa.base import Memory, OperandType, instruction
from anywarp.isa.matrix_wmma import F16_REGISTERS, element_position
from anywarp.isa.shape import VARYING, Shape

Lanes = dict[int, tuple[Any, ...]]
_SPACES = "shared shared::cta"


def _row_pointers(w: Any, space: str, address: Any, size: int, is_store: bool) -> Any:
    """The lanes' pointers to rows of `size` bytes."""
    place = w.place(space, address)
    w.check_alignment(place, size)
    pointers = place.lanes()
    if w.is_full:
        return pointers
    elsewhere = w.shared_scratch("rows of no lane", 64) if is_store else w.safe_pointer
    return w.select(w.lanes_of(w.active), pointers, w.broadcast(elsewhere, 32))


class _EightRows(Memory):
    """What ldmatrix and stmatrix have in common."""

    modifiers = {"num": "x1 x2 x4", "ss": _SPACES}
    is_convergent = True
    num: str
    trans: bool
    ss: str | None

    @property
    def count(self) -> int:
        return int(self.num[1])

    def operand_type(self, name: str) -> OperandType:
        return "b32", self.count

    def half_places(self) -> list[int]:
        """For element k of a tile read row by row, the place of that element in the lanes' order: 64 halves."""
        if not self.trans:
            return list(range(64))
        return [(2 * (lane & 3) + half) * 8 + (lane >> 2) for lane in range(32) for half in range(2)]


@instruction
class LoadMatrix(_EightRows):
    """ldmatrix: loads 8x8 matrices of 16-bit elements; lanes 8i to 8i+7 give the addresses of matrix i's rows"""

    syntax = "ldmatrix.sync.aligned.m8n8.num{.trans}{.ss}.b16 r, [p]"
    section = "9.7.14.5.15"
    since = (6, 5)
    target = 75
    reads = True

    def shape(self, *operands: Shape) -> Shape:
        return VARYING

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        out: dict[int, list[int]] = {lane: [] for lane in lanes}
        for i in range(self.count):
            rows = [memory.load(lanes[8 * i + r][0], 16) for r in range(8)]
            for lane in lanes:
                a, b = lane >> 2, 2 * (lane & 3)
                places = ((b, a), (b + 1, a)) if self.trans else ((a, b), (a, b + 1))
                low, high = (rows[row] >> 16 * column & 0xFFFF for row, column in places)
                out[lane].append(low | high << 16)
        return {lane: tuple(v) for lane, v in out.items()}

    def lower(self, w: Any, op: Any) -> Any:
        pointers = _row_pointers(w, "shared" if self.ss else "", op.operands[0], 16, False)
        results = []
        for i in range(self.count):
            tile = w.concat([w.load("i32", 4, w.extract(pointers, 8 * i + r), 16 if w.is_full else 4) for r in range(8)])
            if self.trans:
                tile = w.reinterpret(w.shuffle(w.reinterpret(tile, "i16", 64), None, self.half_places()), "i32", 32)
            results.append(tile)
        return results


@instruction
class StoreMatrix(_EightRows):
    """stmatrix: stores 8x8 matrices of 16-bit elements; lanes 8i to 8i+7 give the addresses of matrix i's rows"""

    syntax = "stmatrix.sync.aligned.m8n8.num{.trans}{.ss}.b16 [p], r"
    section = "9.7.14.5.16"
    since = (7, 8)
    target = 90
    results = ()
    writes = True

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        for i in range(self.count):
            for row in range(8):
                value = 0
                for column in range(8):
                    group, along = (column, row) if self.trans else (row, column)
                    register = lanes[4 * group + (along >> 1)][1][i]
                    value |= (register >> 16 * (along & 1) & 0xFFFF) << 16 * column
                memory.store(lanes[8 * i + row][0], 16, value)
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        pointers = _row_pointers(w, "shared" if self.ss else "", op.operands[0], 16, True)
        data = op.operands[1] if type(op.operands[1]) is tuple else (op.operands[1],)
        inverse = [0] * 64
        for lane_half, place in enumerate(self.half_places()):
            inverse[place] = lane_half
        for i, operand in enumerate(data):
            tile = w.cast(w.vector(operand), "i32")
            if self.trans:
                tile = w.reinterpret(w.shuffle(w.reinterpret(tile, "i16", 64), None, inverse), "i32", 32)
            for row in range(8):
                w.store(w.shuffle(tile, None, range(4 * row, 4 * row + 4)), w.extract(pointers, 8 * i + row), 16)


class _Bytes(Memory):
    """What loads and stores of matrices of bytes have in common. Lane `4 * column + quad` holds bytes of rows `4 * quad` and on."""

    modifiers = {"num": "x1 x2", "any_num": "x1 x2 x4", "ss": _SPACES, "packed": "b6x16_p32 b4x16_p64"}
    section = "9.7.14.5.15"
    since = (8, 6)
    target = 100
    is_convergent = True
    num: str | None = None
    any_num: str | None = None
    packed: str | None = None
    ss: str | None

    @property
    def count(self) -> int:
        return int((self.num or self.any_num or "x1")[1])

    def shape(self, *operands: Shape) -> Shape:
        return VARYING

    def row(self, memory: Any, address: int) -> bytes:
        """A row's 16 elements: 4-bit ones in the middle of their bytes, 6-bit ones in the low bits."""
        data = memory.load(address, 16)
        if self.packed is None:
            return bytes(data >> 8 * i & 0xFF for i in range(16))
        if self.packed == "b4x16_p64":
            return bytes((data >> 4 * i & 15) << 2 for i in range(16))
        return bytes(data >> 6 * i & 63 for i in range(16))

    def lower_row(self, w: Any, pointer: Any) -> Any:
        """The same as 16 x i8."""
        data = w.reinterpret(w.load("i32", 4, pointer, 16 if w.is_full else 4), "i8", 16)
        if self.packed is None:
            return data
        if self.packed == "b4x16_p64":
            half = w.shuffle(data, None, range(8))
            low = w.shl(w.and_(half, w.const("i8", 15)), w.const("i8", 2))
            high = w.and_(w.lshr(half, w.const("i8", 2)), w.const("i8", 60))
            return w.shuffle(low, high, [8 * (i & 1) + (i >> 1) for i in range(16)])
        threes = w.reinterpret(w.shuffle(data, None, [3 * g + i if i < 3 else 15 for g in range(4) for i in range(4)]), "i32", 4)
        bytes_ = None
        for i in range(4):
            one = w.shl(w.and_(w.lshr(threes, w.const("i32", 6 * i)), w.const("i32", 63)), w.const("i32", 8 * i))
            bytes_ = one if bytes_ is None else w.or_(bytes_, one)
        return w.reinterpret(bytes_, "i8", 16)


@instruction
class LoadBytes(_Bytes):
    """ldmatrix of 16 by 16 elements of 8 bits, or of 6 or 4 that become 8, transposed; lanes 16i to 16i+15 give the rows' addresses"""

    syntax = (
        "ldmatrix.sync.aligned.m16n16.num.trans{.ss}.b8 r, [p]",
        "ldmatrix.sync.aligned.m16n16.num.trans{.ss}.b8x16.packed r, [p]",
    )
    reads = True

    def operand_type(self, name: str) -> OperandType:
        return "b32", 2 * self.count

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        out: dict[int, list[int]] = {lane: [] for lane in lanes}
        for i in range(self.count):
            rows = [self.row(memory, lanes[16 * i + r][0]) for r in range(16)]
            for lane in lanes:
                for column in (lane >> 2, (lane >> 2) + 8):
                    out[lane].append(int.from_bytes(bytes(rows[4 * (lane & 3) + k][column] for k in range(4)), "little"))
        return {lane: tuple(v) for lane, v in out.items()}

    def lower(self, w: Any, op: Any) -> Any:
        pointers = _row_pointers(w, "shared" if self.ss else "", op.operands[0], 16, False)

        def zipped(a: Any, b: Any, elem: str) -> Any:
            return w.reinterpret(w.shuffle(a, b, [16 * (i & 1) + (i >> 1) for i in range(32)]), elem, 16)

        results = []
        for i in range(self.count):
            rows = [self.lower_row(w, w.extract(pointers, 16 * i + r)) for r in range(16)]
            pairs = [zipped(rows[r], rows[r + 1], "i16") for r in range(0, 16, 2)]
            whole = w.concat([zipped(pairs[q], pairs[q + 1], "i32") for q in range(0, 8, 2)])
            results += [w.shuffle(whole, None, [16 * (lane & 3) + (lane >> 2) + 8 * r for lane in range(32)]) for r in range(2)]
        return results


@instruction
class LoadPacked(_Bytes):
    """ldmatrix of 8 by 16 elements of 6 or 4 bits that become 8; lanes 8i to 8i+7 give the rows' addresses"""

    syntax = "ldmatrix.sync.aligned.m8n16.any_num{.ss}.b8x16.packed r, [p]"
    reads = True

    def operand_type(self, name: str) -> OperandType:
        return "b32", self.count

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        out: dict[int, list[int]] = {lane: [] for lane in lanes}
        for i in range(self.count):
            rows = [self.row(memory, lanes[8 * i + r][0]) for r in range(8)]
            for lane in lanes:
                at = 4 * (lane & 3)
                out[lane].append(int.from_bytes(rows[lane >> 2][at : at + 4], "little"))
        return {lane: tuple(v) for lane, v in out.items()}

    def lower(self, w: Any, op: Any) -> Any:
        pointers = _row_pointers(w, "shared" if self.ss else "", op.operands[0], 16, False)
        return [
            w.reinterpret(w.concat([self.lower_row(w, w.extract(pointers, 8 * i + r)) for r in range(8)]), "i32", 32)
            for i in range(self.count)
        ]


@instruction
class StoreBytes(_Bytes):
    """stmatrix of 16 by 8 elements of 8 bits, transposed: 8 rows of 16 bytes; lanes 8i to 8i+7 give the rows' addresses"""

    syntax = "stmatrix.sync.aligned.m16n8.any_num.trans{.ss}.b8 [p], r"
    section = "9.7.14.5.16"
    results = ()
    writes = True

    def operand_type(self, name: str) -> OperandType:
        return "b32", self.count

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        for i in range(self.count):
            for row in range(8):
                value = 0
                for at in range(16):
                    register = lanes[4 * (at & 7) + (row >> 1)][1][i]
                    value |= (register >> 8 * ((row & 1) + 2 * (at >> 3)) & 0xFF) << 8 * at
                memory.store(lanes[8 * i + row][0], 16, value)
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        pointers = _row_pointers(w, "shared" if self.ss else "", op.operands[0], 16, True)
        data = op.operands[1] if type(op.operands[1]) is tuple else (op.operands[1],)
        for i, operand in enumerate(data):
            fragment = w.cast(w.vector(operand), "i32")
            for row in range(8):
                columns = w.reinterpret(w.shuffle(fragment, None, [4 * c + (row >> 1) for c in range(8)]), "i8", 32)
                line = w.shuffle(columns, None, [4 * (at & 7) + (row & 1) + 2 * (at >> 3) for at in range(16)])
                w.store(line, w.extract(pointers, 8 * i + row), 16)


# ------------------------------------------------------------------------------------------------------------------- wmma

_TYPES_OF = {  # shape: types of A and B, types of C and D
    **dict.fromkeys(("m16n16k16", "m8n32k16", "m32n8k16"), ("f16 bf16 s8 u8", "f16 f32 s32")),
    "m16n16k8": ("tf32", "f32"), "m8n8k4": ("f64", "f64"), "m8n8k32": ("s4 u4", "s32"), "m8n8k128": ("b1", "s32"),
}  # fmt: skip


class _Fragment(Memory):
    """What wmma.load and wmma.store have in common: where the elements of a fragment lie."""

    modifiers = {
        "which": "a b c",
        "layout": "row col",
        "matrix_shape": " ".join(_TYPES_OF),
        "ss": "global shared shared::cta",
        "type": "f16 bf16 tf32 f32 f64 s8 u8 s4 u4 b1 s32",
    }
    is_convergent = True
    layout: str
    matrix_shape: str
    ss: str | None

    @property
    def matrix(self) -> str:
        """ "a", "b", or "c" for C and D."""
        return getattr(self, "which", None) or "c"

    def check(self) -> str | None:
        allowed = _TYPES_OF[self.matrix_shape][self.matrix == "c"]
        if self.type not in allowed.split():
            return f"this fragment of .{self.matrix_shape} has elements of {allowed}"
        if self.type in ("s4", "u4", "b1") and self.layout != ("row" if self.matrix == "a" else "col"):
            return "elements of less than a byte come in A by rows and in B by columns"
        return None

    @property
    def sizes(self) -> tuple[int, int]:
        """Rows and columns."""
        m, n, k = layout.dimensions(self.matrix_shape)
        return {"a": (m, k), "b": (k, n), "c": (m, n)}[self.matrix]

    def operand_type(self, name: str) -> OperandType:
        if name == "stride":
            return "u32"
        if self.type == "f16" and self.matrix != "c":
            return "f16x2", F16_REGISTERS
        rows, columns = self.sizes
        return layout.registers(self.type, rows * columns)

    @property
    def element_bits(self) -> int:
        return layout.ELEMENTS[self.type][0]

    def default_stride(self) -> int:
        rows, columns = self.sizes
        return columns if self.layout == "row" else rows

    def positions(self, lane: int) -> list[tuple[int, int]]:
        """Row and column of each element of a lane's fragment."""
        given = self.operand_type("r")
        assert isinstance(given, tuple)
        count = given[1] * types.width(given[0]) // self.element_bits
        return [element_position(self.matrix, self.matrix_shape, self.type, lane, i) for i in range(count)]

    def bit_offset(self, position: tuple[int, int], stride: int) -> int:
        row, column = position
        return (row * stride + column if self.layout == "row" else column * stride + row) * self.element_bits

    # What follows is how the vector code sees a fragment.

    @property
    def unit(self) -> tuple[str, int]:
        """The LLVM type of what is loaded at a time, and how many elements it is (8 of 4 bits are an i32)."""
        bits = self.element_bits
        return (f"i{bits}", 1) if bits >= 8 else ("i32", 32 // bits)

    def tiles(self) -> list[tuple[int, int]]:
        """The first place of each tile in units: along the groups of four lanes, and along the four lanes."""
        per = self.per
        found = []
        positions = self.positions(0)
        for i in range(0, len(positions), per * self.unit[1]):
            row, column = positions[i]
            found.append((column, row // self.unit[1]) if self.matrix == "b" else (row, column // self.unit[1]))
        return found

    @property
    def per(self) -> int:
        """Units of one lane in a tile."""
        return 2 if self.matrix == "c" else max(1, 32 // self.element_bits) if self.element_bits >= 8 else 1

    @property
    def is_straight(self) -> bool:
        """Whether the elements of neighbouring lanes follow one another in memory."""
        return (self.layout == "row") == (self.matrix != "b")

    def row_pointers(self, w: Any, op: Any, tile: tuple[int, int]) -> list[Any]:
        """Where the rows of a tile begin in memory: 8 rows of 4 * per units, or 4 * per rows of 8."""
        base, stride = self.base(w, op)
        group, thread = tile
        lines = [(group + g, thread) for g in range(8)] if self.is_straight else [(thread + t, group) for t in range(4 * self.per)]
        size = int(self.unit[0][1:]) // 8
        return [w.offset(w.offset(base, w.mul(stride, w.const("i64", line))), first * size) for line, first in lines]

    def base(self, w: Any, op: Any) -> tuple[Any, Any]:
        """The matrix's address and the distance of its rows or columns in bytes, the same for all lanes."""
        space = (self.ss or "").split("::")[0]
        place = w.place(space, op.operands[0])
        pointer = place.pointer if place.shape.is_uniform else w.extract(place.lanes(), w.first_lane(w.active))
        operand = op.operands[-1] if len(op.operands) > (1 if op.results else 2) else None
        if operand is None:
            return pointer, w.const("i64", self.default_stride() * self.element_bits // 8)
        held = w.get(operand)
        stride = w.cast(held.base, "i32") if held.shape.is_uniform else w.extract(w.cast(w.vector(operand), "i32"), w.first_lane(w.active))
        bits = w.mul(w.zext(stride, "i64"), w.const("i64", self.element_bits))
        return pointer, w.lshr(bits, w.const("i64", 3))

    def order(self) -> list[int]:
        """Which unit of a tile, in the order of memory, is unit j of lane l, at place l * per + j."""
        if self.is_straight:
            return list(range(32 * self.per))
        return [((lane & 3) * self.per + j) * 8 + (lane >> 2) for lane in range(32) for j in range(self.per)]


@instruction
class WmmaLoad(_Fragment):
    """wmma.load: a fragment of A, B or C from memory; the rows or columns are `stride` elements apart"""

    syntax = "wmma.load.which.sync.aligned.layout.matrix_shape{.ss}.type r, [p]{, stride}"
    section = "9.7.14.4.3"
    since = (6, 0)
    target = 70
    reads = True

    def shape(self, *operands: Shape) -> Shape:
        return VARYING

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        out = {}
        for lane, (address, *given) in lanes.items():
            values = []
            for position in self.positions(lane):
                bit = self.bit_offset(position, given[0] if given else self.default_stride())
                size = max(1, self.element_bits // 8)
                values.append(memory.load(address + bit // 8, size) >> bit % 8 & ((1 << self.element_bits) - 1))
            out[lane] = layout.pack(self.type, values)
        return out

    def lower(self, w: Any, op: Any) -> Any:
        elem, _ = self.unit
        register = op.results[0].width
        done: dict[tuple[int, int], list[Any]] = {}
        results: list[Any] = []
        for tile in self.tiles():
            if tile not in done:
                rows = [
                    w.load(elem, 4 * self.per if self.is_straight else 8, p, int(elem[1:]) // 8) for p in self.row_pointers(w, op, tile)
                ]
                whole = w.concat(rows)
                order = self.order()
                if int(elem[1:]) * self.per == register:
                    if not self.is_straight:
                        whole = w.shuffle(whole, None, order)
                    done[tile] = [w.reinterpret(whole, f"i{register}", 32)]
                else:  # one unit a register
                    done[tile] = [w.shuffle(whole, None, order[j :: self.per]) for j in range(self.per)]
            results += done[tile]
        return results


@instruction
class WmmaStore(_Fragment):
    """wmma.store: the fragment of D to memory"""

    syntax = "wmma.store.d.sync.aligned.layout.matrix_shape{.ss}.type [p], r{, stride}"
    section = "9.7.14.4.4"
    since = (6, 0)
    target = 70
    results = ()
    writes = True

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        for lane, (address, fragment, *given) in lanes.items():
            for position, value in zip(self.positions(lane), layout.elements(self.type, fragment)):
                bit = self.bit_offset(position, given[0] if given else self.default_stride())
                memory.store(address + bit // 8, self.element_bits // 8, value)
        return {}

    def lower(self, w: Any, op: Any) -> Any:
        elem, _ = self.unit
        fragment = [w.vector(o) for o in op.operands[1]]
        fragment = [w.cast(v, f"i{v.bits}") for v in fragment]
        per_tile = max(1, self.per * int(elem[1:]) // fragment[0].bits)
        inverse = [0] * (32 * self.per)
        for at, place in enumerate(self.order()):
            inverse[place] = at
        for number, tile in enumerate(self.tiles()):
            parts = fragment[per_tile * number : per_tile * (number + 1)]
            if per_tile == 1:
                whole = w.reinterpret(parts[0], elem, 32 * self.per)
                places = inverse
            else:  # register j of lane l is at 32 * j + l
                whole = w.concat(parts)
                places = [at % self.per * 32 + at // self.per for at in inverse]
            width = 4 * self.per if self.is_straight else 8
            for i, pointer in enumerate(self.row_pointers(w, op, tile)):
                w.store(w.shuffle(whole, None, places[width * i : width * (i + 1)]), pointer, int(elem[1:]) // 8)
