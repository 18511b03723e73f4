"""Dot products of small integers and carry-less products (PTX ISA 9.7.1.23, 9.7.1.24; clmad: 9.7.1.5 of PTX 9.3): dp4a, dp2a, clmad."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anywarp.isa import types
from anywarp.isa.base import Lane, OperandType, instruction
from anywarp.isa.integer import number

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V


class _DotProduct(Lane):
    modifiers = {"atype": "u32 s32", "btype": "u32 s32", "mode": "lo hi"}
    since = (5, 0)
    target = 61
    atype: str
    btype: str

    def operand_type(self, name: str) -> OperandType:
        if name in ("a", "b"):
            return self.atype if name == "a" else self.btype
        return "s32" if "s32" in (self.atype, self.btype) else "u32"


@instruction
class DotProduct4(_DotProduct):
    """dp4a: four products of bytes, summed onto c"""

    syntax = "dp4a.atype.btype d, a, b, c"
    section = "9.7.1.23"

    def reference(self, a: int, b: int, c: int) -> int:
        kind_a, kind_b = f"{self.atype[0]}8", f"{self.btype[0]}8"
        return c + sum(number(a >> s, kind_a) * number(b >> s, kind_b) for s in (0, 8, 16, 24)) & 0xFFFFFFFF

    def lower(self, g: Emitter, a: V, b: V, c: V) -> V:
        """Even and odd bytes as 16-bit numbers, multiplied and summed in pairs (vpmaddwd)."""
        a, b = g.same_lanes(a, b)
        x, y = (g.reinterpret(v, "i16", 2 * v.n) for v in (a, b))
        signs = types.is_signed(self.atype), types.is_signed(self.btype)
        even = pair_products(g, *(_even_bytes(g, v, s) for v, s in zip((x, y), signs)))
        odd = pair_products(g, *(_odd_bytes(g, v, s) for v, s in zip((x, y), signs)))
        return g.add(g.add(even, odd), c)


@instruction
class DotProduct2(_DotProduct):
    """dp2a: two products of a's 16-bit numbers and b's lower (`.lo`) or upper (`.hi`) bytes, summed onto c"""

    syntax = "dp2a.mode.atype.btype d, a, b, c"
    section = "9.7.1.24"
    mode: str

    def reference(self, a: int, b: int, c: int) -> int:
        kind_a, kind_b = f"{self.atype[0]}16", f"{self.btype[0]}8"
        b >>= 16 if self.mode == "hi" else 0
        return c + sum(number(a >> 16 * i, kind_a) * number(b >> 8 * i, kind_b) for i in (0, 1)) & 0xFFFFFFFF

    def lower(self, g: Emitter, a: V, b: V, c: V) -> V:
        is_signed_a, is_signed_b = types.is_signed(self.atype), types.is_signed(self.btype)
        if self.mode == "hi":
            b = g.lshr(b, g.const("i32", 16))
        # byte 0 and byte 1 of b as the two 16-bit halves of a register
        spread = g.or_(g.and_(b, g.const("i32", 0xFF)), g.shl(g.and_(b, g.const("i32", 0xFF00)), g.const("i32", 8)))
        a, spread = g.same_lanes(a, spread)
        x, y = g.reinterpret(a, "i16", 2 * a.n), g.reinterpret(spread, "i16", 2 * a.n)
        if is_signed_b:
            y = _even_bytes(g, y, True)
        if is_signed_a:
            return g.add(pair_products(g, x, y), c)
        # unsigned 16-bit numbers are 2^16 more than signed ones where their top bit is set: times b, that is b << 16
        top = g.ashr(x, g.const("i16", 15))
        correction = g.reinterpret(g.and_(top, y), "i32", a.n)
        halves = g.add(correction, g.lshr(correction, g.const("i32", 16)))
        return g.add(g.add(pair_products(g, x, y), g.shl(halves, g.const("i32", 16))), c)


def _even_bytes(g: Emitter, a: V, is_signed: bool) -> V:
    if is_signed:
        return g.ashr(g.shl(a, g.const("i16", 8)), g.const("i16", 8))
    return g.and_(a, g.const("i16", 0xFF))


def _odd_bytes(g: Emitter, a: V, is_signed: bool) -> V:
    return g.binary("ashr" if is_signed else "lshr", a, g.const("i16", 8))


def pair_products(g: Emitter, a: V, b: V) -> V:
    """For vectors of 2n signed 16-bit numbers: n sums of two products, in 32 bits. The form is the one in which LLVM sees vpmaddwd."""
    products = g.mul(g.sext(a, "i32"), g.sext(b, "i32"))
    n = a.n // 2
    if n == 1:
        return g.add(g.extract(products, 0), g.extract(products, 1))
    return g.add(g.shuffle(products, None, range(0, 2 * n, 2)), g.shuffle(products, None, range(1, 2 * n, 2)))


def _clmul_pairs(g: Emitter, a: V, b: V, half: int) -> V:
    """The lower (0) or upper (1) halves of carry-less products by x86's pclmulqdq, which multiplies one lane of a pair."""
    name = "llvm.x86.pclmulqdq"
    g.module.declare(name, f"declare <2 x i64> @{name}(<2 x i64>, <2 x i64>, i8 immarg)")
    pairs = []
    for i in range(0, a.n, 2):
        x, y = g.shuffle(a, None, (i, i + 1)), g.shuffle(b, None, (i, i + 1))
        first, second = (g.value("i64", 2, f"call <2 x i64> @{name}({x.typed}, {y.typed}, i8 {lane})") for lane in (0, 0x11))
        pairs.append(g.shuffle(first, second, (half, 2 + half)))
    return g.concat(pairs)


@instruction
class CarrylessMad(Lane):
    """clmad: the lower or upper half of a product of polynomials over GF(2), plus (xor) a third"""

    syntax = "clmad.mode.type d, a, b, c"
    modifiers = {"mode": "lo hi", "type": "u64"}
    section = "9.7.1.5"
    since = (9, 3)
    target = 80
    mode: str

    def reference(self, a: int, b: int, c: int) -> int:
        product = 0
        for i in range(64):
            if a >> i & 1:
                product ^= b << i
        return (product >> (64 if self.mode == "hi" else 0) ^ c) & 0xFFFFFFFFFFFFFFFF

    def lower(self, g: Emitter, a: V, b: V, c: V) -> V:
        """The machine's instruction for two lanes at a time, else bit by bit of a in a loop, in a function of its own."""
        a, b = g.same_lanes(a, b)
        if a.n > 1 and "pclmul" in g.module.features:
            return g.xor(_clmul_pairs(g, a, b, 1 if self.mode == "hi" else 0), c)
        name = f"aw.clmul.{self.mode}.v{a.n}i64"
        g.module.helper(name, lambda: self._function(g, name, a.n))
        product = g.value("i64", a.n, f"call {a.type} @{name}({a.typed}, {b.typed})")
        return g.xor(product, c)

    def _function(self, g: Emitter, name: str, n: int) -> str:
        from anywarp.lower.emit import Emitter, V  # here, so that the reference interpreter does without the lowering

        f = Emitter(g.module)
        type = "i64" if n == 1 else f"<{n} x i64>"
        a, b, product = V("i64", n, "%a"), V("i64", n, "%b"), V("i64", n, "%product")
        f.line("br label %loop")
        f.label("loop")
        f.line("%i = phi i64 [ 0, %entry ], [ %next, %loop ]")
        zero = f.const("i64", 0, n).name
        f.line(f"%product = phi {type} [ {zero}, %entry ], [ %sum, %loop ]")
        i = V("i64", 1, "%i")
        chosen = f.neg(f.and_(f.lshr(a, i), f.const("i64", 1)))
        if self.mode == "lo":
            moved = f.shl(b, i)
        else:  # b << i >> 64, in two steps so that neither amount is 64
            moved = f.lshr(f.lshr(b, f.const("i64", 1)), f.sub(f.const("i64", 63), i))
        total = f.xor(product, f.and_(moved, chosen))
        f.line(f"%sum = or {type} {total.name}, {zero}")
        f.line("%next = add i64 %i, 1")
        f.line("%done = icmp eq i64 %next, 64")
        f.line("br i1 %done, label %end, label %loop")
        f.label("end")
        f.line(f"ret {type} %sum")
        body = "\n".join(f.lines)
        return f"define internal {type} @{name}({type} %a, {type} %b) noinline nounwind willreturn memory(none) {{\nentry:\n{body}\n}}\n"
