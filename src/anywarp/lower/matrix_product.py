"""Matrix products of a warp in vector code: D = A * B + C with fragments as `mma` defines them.

Every dense `mma` but the one of sm_70 has the same layout: a register of A holds, over the 32 lanes, a tile of 8 rows;
lane `4 * g + t` has the part `t` of row g. A register of B holds 8 columns the same way (lane `4 * g + t`: part t of
column g). Two registers of C hold 8 x 8 elements: lane `4 * g + t` has columns 2t and 2t + 1 of row g.

One function for each kind of product, called with its fragments in memory (a kernel has many products of one kind; in line, each
would be 700 instructions). It

1. decodes A and B to *units*: f32 for the small float formats, pairs of i16 for integers (what `vpmaddwd` multiplies),
   the register itself for f64, bits, and bf16 where the machine has a dot-product instruction; B's tiles are transposed,
   so that a vector is a row of B;
2. for each 8 x 8 tile of D: eight accumulators, one a row. A step multiplies a row of B with one unit of A, broadcast
   from memory (broadcasting loads cost no shuffle), and adds.

Columns run in the order 0 2 4 6 1 3 5 7 inside: so a row of C is half of one register's vector beside half of the
other's, and the transposition of B is eight unpacks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from anywarp.isa import floating_point_rounding as rounding
from anywarp.lower import half
from anywarp.lower.emit import V
from anywarp.lower.warp import WarpEmitter

COLUMNS = (0, 2, 4, 6, 1, 3, 5, 7)  # the order inside
FRAGMENTS = 5120  # bytes of the scratch memory that hold the fragments; behind them lie the units
SCRATCH = FRAGMENTS + 6144
F8 = ("e4m3", "e5m2", "e3m2", "e2m3", "e2m1")
INTEGERS = ("s8", "u8", "s4", "u4")


@dataclass(frozen=True)
class Product:
    """What a product computes. `a`, `b`: element types; `c`, `d`: "f16", "f32", "f64", "s32"; `op`: "xor" or "and" of bits; `rnd` of
    f64. The registers: `a_order[m][k]` is the number of A's register that holds row tile m, column part k; `b_order[n][k]` and
    `c_order[m][n]` is the
    number of the tile of C and D, which is a pair of registers, or one of f16x2."""

    a: str
    b: str
    c: str
    d: str
    a_order: tuple[tuple[int, ...], ...]
    b_order: tuple[tuple[int, ...], ...]
    c_order: tuple[tuple[int, ...], ...]
    is_saturating: bool = False
    op: str = ""
    rnd: str = "rn"

    @property
    def name(self) -> str:
        """Of the function: products that compute the same share one (the orders follow from the sizes)."""
        size = f"m{8 * len(self.a_order)}n{8 * len(self.b_order)}p{len(self.a_order[0])}"
        rest = [self.op] * bool(self.op) + [self.rnd] * (self.a == "f64") + ["satfinite"] * self.is_saturating
        return ".".join(["anywarp", "mma", size, self.a, self.b, self.c, self.d, *rest])


def multiply_add(w: WarpEmitter, p: Product, a: Sequence[V], b: Sequence[V], c: Sequence[V]) -> tuple[V, ...]:
    """The registers of D."""
    place = w.shared_scratch("matrix", SCRATCH)
    where = [place]
    for registers in (a, b, c):
        at = where[-1]
        for x in registers:
            w.store(w.wide(x), at, 64)
            at = w.offset(at, 4 * x.bits)
        where.append(at)
    sizes = [4 * x[0].bits for x in (a, b, c)]
    w.module.helper(p.name, lambda: _function(w, p, sizes))
    w.line(f"call void @{p.name}({', '.join(x.typed for x in where)}, {w.offset(place, FRAGMENTS).typed})")
    elem, count = {"f16": ("i32", 1), "f32": ("float", 2), "f64": ("double", 2), "s32": ("i32", 2)}[p.d]
    tiles = sum(len(row) for row in p.c_order)
    size = 256 if p.d == "f64" else 128
    return tuple(w.load(elem, 32, w.offset(where[3], size * i), 64) for i in range(tiles * count))


# ------------------------------------------------------------------------------------------------------------- units


def decode(w: WarpEmitter, x: V, type: str, is_dot: bool) -> list[V]:
    """The units of one register (i32, or double; any lanes), each a value with as many lanes."""
    if type in ("f64", "b1") or is_dot:
        return [x]
    if type == "tf32":  # the low 13 bits do not count
        return [w.bitcast(w.and_(x, w.const("i32", 0xFFFFE000)), "float")]
    if type == "bf16":
        return [w.bitcast(w.shl(x, w.const("i32", 16)), "float"), w.bitcast(w.and_(x, w.const("i32", 0xFFFF0000)), "float")]
    if type == "f16":
        return [half.f16_to_f32(w, w.trunc(part, "i16")) for part in (x, w.lshr(x, w.const("i32", 16)))]
    if type == "fp4":
        nibbles = [w.trunc(w.lshr(x, w.const("i32", 4 * j)) if j else x, "i16") for j in range(8)]
        return [small_float(w, v, type) for v in nibbles]
    if type in F8:
        return [small_float(w, w.trunc(w.lshr(x, w.const("i32", 8 * j)) if j else x, "i16"), type) for j in range(4)]
    # integers: pairs of i16; which elements pair up does not matter, A and B do alike
    width = int(type[1:])
    pairs = w.reinterpret(x, "i16", 2 * x.n)
    out = []
    for j in range(16 // width):
        up = 16 - width * (j + 1)
        moved = w.shl(pairs, w.const("i16", up)) if up else pairs
        shift = w.const("i16", 16 - width)
        out.append(w.reinterpret(w.ashr(moved, shift) if type[0] == "s" else w.lshr(moved, shift), "i32", x.n))
    return out


def small_float(w: WarpEmitter, x: V, type: str) -> V:
    """The low byte of an i16, a float of 8 bits or fewer in an 8-bit container, to float: by way of f16, whose conversion
    is an instruction, and a power of two for the exponents' different bias. e2m1 lies in bits 2 to 5 of its byte, "fp4"
    (the same numbers without a container) and the others in the low ones."""

    def c(value: int) -> V:
        return w.const("i16", value)

    if type == "e5m2":
        return half.f16_to_f32(w, w.shl(x, c(8)))
    # the sign's place, how far to move the rest, its mask there, the scale
    sign, up, mask, scale = {
        "e4m3": (8, 7, 0x3F80, 8),
        "e3m2": (10, 8, 0x1F00, 12),
        "e2m3": (10, 7, 0x0F80, 14),
        "e2m1": (10, 7, 0x0E00, 14),
        "fp4": (12, 9, 0x0E00, 14),
    }[type]
    bits = w.or_(w.and_(w.shl(x, c(sign)), c(0x8000)), w.and_(w.shl(x, c(up)), c(mask)))
    value = w.fmul(half.f16_to_f32(w, bits), w.float_const("float", 2.0**scale))
    if type == "e4m3":
        is_nan = w.icmp("eq", w.and_(x, c(0x7F)), c(0x7F))
        value = w.select(is_nan, w.const("float", 0x7FFFFFFF), value)
    return value


def transpose(w: WarpEmitter, x: V) -> V:
    """32 lanes, `4 * n + t`, to `8 * t + COLUMNS.index(n)`."""
    per = 8 if x.bits == 32 else 4  # lanes of a vector register
    if per == 8:
        s = [w.shuffle(x, None, range(8 * i, 8 * i + 8)) for i in range(4)]
        low = [w.shuffle(s[i], s[i + 1], (0, 8, 1, 9, 4, 12, 5, 13)) for i in (0, 2)]
        high = [w.shuffle(s[i], s[i + 1], (2, 10, 3, 11, 6, 14, 7, 15)) for i in (0, 2)]
        rows = []
        for two in (low, high):
            rows += [w.shuffle(two[0], two[1], lanes) for lanes in ((0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15))]
        return w.concat(rows)
    columns = [w.shuffle(x, None, range(4 * n, 4 * n + 4)) for n in range(8)]
    rows = [w.undefined(x.elem, 4)] * 8
    for k, n in enumerate(((0, 2, 4, 6), (1, 3, 5, 7))):
        even = [w.shuffle(columns[n[i]], columns[n[i + 1]], (0, 4, 2, 6)) for i in (0, 2)]
        odd = [w.shuffle(columns[n[i]], columns[n[i + 1]], (1, 5, 3, 7)) for i in (0, 2)]
        for two, t in ((even, 0), (odd, 1)):
            rows[2 * t + k] = w.shuffle(two[0], two[1], (0, 1, 4, 5))
            rows[2 * (t + 2) + k] = w.shuffle(two[0], two[1], (2, 3, 6, 7))
    return w.concat(rows)


# ------------------------------------------------------------------------------------------------------------- the function


def _function(w: WarpEmitter, p: Product, sizes: list[int]) -> str:
    """The text of `void p.name(ptr a, ptr b, ptr c, ptr d, ptr units)`."""
    g = WarpEmitter(w.module, w.launch, w.cta, w.warp)
    features = w.module.features
    is_dot = p.a == p.b == "bf16" and {"avx512bf16", "avx512vl"} <= features
    raw = "double" if p.a == "f64" else "i32"
    names = ("a", "b", "c", "d", "units")
    a, b, c, d, units = (V("ptr", 1, f"%{n}") for n in names)
    parts = len(p.a_order[0])
    # A: [row tile][part][unit][32 lanes], or for f16 [row tile][part][row][2t + unit]: the order in which halves lie in a row
    is_interleaved = p.a == "f16"
    place, tile_bytes = units, 0
    for row in p.a_order:
        for number in row:
            x = g.load(raw, 32, g.offset(a, sizes[0] * number), 64)
            if is_interleaved:
                decoded = [half.f16_to_f32(g, g.reinterpret(x, "i16", 64))]
            else:
                decoded = decode(g, x, p.a, is_dot)
            for unit in decoded:
                g.store(unit, place, 64)
                place = g.offset(place, unit.n * unit.bits // 8)
            tile_bytes = sum(u.n * u.bits // 8 for u in decoded)
    # B: [column tile][part][unit][t][8 columns]
    rows_of_b = place
    count = 1
    for row in p.b_order:
        for number in row:
            x = transpose(g, g.load(raw, 32, g.offset(b, sizes[1] * number), 64))
            decoded = decode(g, x, p.b, is_dot)
            count = len(decoded)
            for unit in decoded:
                g.store(unit, place, 64)
                place = g.offset(place, 4 * unit.bits)
    element = decoded[0]
    step = _Step(g, p, features, is_dot)
    b_bytes = count * 4 * element.bits
    for m, row in enumerate(p.c_order):
        for n, number in enumerate(row):
            old = _rows_of_c(g, p, c, sizes[2], number)
            start = [g.const(old[0].elem, 0, 8)] * 8 if p.is_saturating else old
            sums = _loop(
                g,
                parts,
                start,
                g.offset(units, m * parts * tile_bytes),
                g.offset(rows_of_b, n * parts * b_bytes),
                (tile_bytes, b_bytes),
                lambda acc, at_a, at_b: _part(g, step, acc, at_a, at_b, element, count, is_interleaved),
            )
            if p.is_saturating:
                sums = [g.intrinsic("llvm.sadd.sat", s, o) for s, o in zip(sums, old)]
            _store_rows(g, p, d, number, sums)
    body = "\n".join(g.lines)
    pointers = ", ".join(f"ptr noalias align 64 %{n}" for n in names)
    return f"define internal void @{p.name}({pointers}) noinline nounwind {{\nentry:\n{body}\n  ret void\n}}"


class _Step:
    """acc + a * b for one unit, 8 columns."""

    def __init__(self, g: WarpEmitter, p: Product, features: frozenset[str], is_dot: bool) -> None:
        self.g, self.p, self.features, self.is_dot = g, p, features, is_dot
        # products of units are exact in f32 (11 bits each): without fma two instructions do the same
        self.has_fma = bool({"fma", "neon"} & features)

    def __call__(self, acc: V, a: V, b: V) -> V:
        g = self.g
        if self.is_dot:
            name = "llvm.x86.avx512bf16.dpbf16ps.256"
            return g.call("float", 8, name, [acc, g.reinterpret(a, "bfloat", 16), g.reinterpret(b, "bfloat", 16)])
        if acc.elem == "double":
            return rounding.fused_multiply_add(g, a, b, acc, self.p.rnd)
        if acc.elem == "float":
            return g.fma(a, b, acc) if self.has_fma else g.fadd(g.fmul(a, b), acc)
        if self.p.op:
            return g.add(acc, g.intrinsic("llvm.ctpop", g.binary(self.p.op, a, b)))
        if "avx2" in self.features:
            x, y = g.reinterpret(a, "i16", 16), g.reinterpret(b, "i16", 16)
            return g.add(acc, g.call("i32", 8, "llvm.x86.avx2.pmadd.wd", [x, y]))
        sixteen = g.const("i32", 16)
        low = g.mul(g.ashr(g.shl(a, sixteen), sixteen), g.ashr(g.shl(b, sixteen), sixteen))
        return g.add(g.add(acc, low), g.mul(g.ashr(a, sixteen), g.ashr(b, sixteen)))


def _part(g: WarpEmitter, step: _Step, acc: list[V], a: V, b: V, element: V, count: int, is_interleaved: bool) -> list[V]:
    """The steps of one register's units: count * 4 of them, 8 rows each."""
    size = element.bits // 8
    for u in range(count):
        for t in range(4):
            row = g.load(element.elem, 8, g.offset(b, 8 * size * (4 * u + t)), 32)
            for r in range(8):
                index = (4 * r + t) * count + u if is_interleaved else (8 * u + r) * 4 + t
                one = g.load(element.elem, 1, g.offset(a, size * index), size)
                acc[r] = step(acc[r], g.broadcast(one, 8), row)
    return acc


Body = Callable[[list[V], V, V], list[V]]


def _loop(g: WarpEmitter, times: int, start: list[V], a: V, b: V, strides: tuple[int, int], body: Body) -> list[V]:
    """Runs `body(accumulators, a, b)` with moving pointers."""
    if times == 1:
        return list(body(list(start), a, b))
    before, loop, after = g.new_label("before"), g.new_label("part"), g.new_label("done")
    g.jump(before)
    g.label(before)
    g.jump(loop)
    outer, g.lines = g.lines, []
    sums = [x._replace(name=g.name("sum")) for x in start]
    at_a, at_b, i = a._replace(name=g.name("a")), b._replace(name=g.name("b")), g.name("i")
    new = body(list(sums), at_a, at_b)
    next_a, next_b = g.offset(at_a, strides[0]), g.offset(at_b, strides[1])
    g.line(f"{i}.next = add i32 {i}, 1")
    g.line(f"{i}.more = icmp ult i32 {i}.next, {times}")
    g.line(f"br i1 {i}.more, label %{loop}, label %{after}")
    inner, g.lines = g.lines, outer
    g.label(loop)
    g.line(f"{i} = phi i32 [ 0, %{before} ], [ {i}.next, %{loop} ]")
    for phi, first, later in zip([at_a, at_b, *sums], [a, b, *start], [next_a, next_b, *new]):
        g.line(f"{phi.name} = phi {phi.type} [ {first.name}, %{before} ], [ {later.name}, %{loop} ]")
    g.lines += inner
    g.label(after)
    return list(new)


def _rows_of_c(g: WarpEmitter, p: Product, c: V, size: int, number: int) -> list[V]:
    """The 8 rows of a tile of C."""
    if p.c == "f16":
        x = g.load("i32", 32, g.offset(c, size * number), 64)
        first, second = decode(g, x, "f16", False)
    else:
        elem = {"f32": "float", "f64": "double", "s32": "i32"}[p.c]
        first, second = (g.load(elem, 32, g.offset(c, size * (2 * number + i)), 64) for i in range(2))
    rows = []
    for r in range(8):
        one, other = (g.shuffle(x, None, range(4 * r, 4 * r + 4)) for x in (first, second))
        rows.append(g.concat([one, other]))
    return rows


def _store_rows(g: WarpEmitter, p: Product, d: V, number: int, rows: list[V]) -> None:
    """The rows of a tile of D to its registers."""
    first, second = (g.concat([g.shuffle(r, None, range(4 * i, 4 * i + 4)) for r in rows]) for i in range(2))
    if p.d == "f16":
        low, high = (g.zext(half.f32_to_f16(g, x), "i32") for x in (first, second))
        packed = g.or_(low, g.shl(high, g.const("i32", 16)))
        g.store(packed, g.offset(d, 128 * number), 64)
        return
    for i, x in enumerate((first, second)):
        g.store(x, g.offset(d, 4 * x.bits * (2 * number + i)), 64)
