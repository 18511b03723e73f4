"""Vector code for f32 and f64 arithmetic in every rounding mode, `.ftz` and `.sat`, from round-to-nearest arithmetic alone.

Rounding to nearest is one LLVM instruction. The directed modes compute the nearest result `r`, find where it lies on the wrong side of
the exact one, and move it there by one unit (`_step`). Which side that is:

- mul, div, sqrt: the sign of one fma, say of `r - a * b`. An fma rounds once, so its sign is exact even where all else of the difference
  underflows; the order of its terms is such that an exact difference is +0, so the sign bit alone says it (`_is_negative`). An overflow
  makes it infinite with the right sign, so that infinity steps back to the largest number by itself; an infinite operand makes it a NaN,
  which never steps;
- add: the classic error of a sum, `lo - (s - hi)`, exact with the operands ordered by magnitude; the same holds of infinities;
- fma: the fma of `c - r`, plus what is lost of that difference (`_fused_side`). Some lanes near overflow and underflow cannot be told
  like this: then the whole vector takes the general code, f32 in f64 and f64 in a scaled copy (`_fused_double`). Both stand in the module
  once, as functions. Where constants and `.sat` prove that `c - r` is exact (nvcc's expf), five instructions do (`_fused_near`).

Rounding down gives an exact zero of a sum the sign -, the others +: a sum is rounded down between negations.

x86 without FMA has the f32 operations in f64, where a product of two f32 is exact. Where the target has AVX-512, whole registers use its
arithmetic with the rounding mode in the instruction instead (`_embedded`).
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V

_INTEGER = {"float": "i32", "double": "i64"}
IN_PLACE = 32  # directed vector operations of a kernel that are emitted where they stand; further ones are calls


def magnitude(g: Emitter, a: V) -> V:
    """|a|: the sign bit cleared."""
    return g.intrinsic("llvm.fabs", a)


def sign_of(g: Emitter, a: V) -> V:
    """The sign bit alone, as an integer."""
    bits = g.bitcast(a, _INTEGER[a.elem])
    return g.and_(bits, g.const(bits.elem, 1 << (a.bits - 1), a.n))


def flip(g: Emitter, a: V, sign: V) -> V:
    """`a` with its sign bit inverted where `sign` (an integer of sign bits) is set."""
    return g.bitcast(g.xor(g.bitcast(a, sign.elem), sign), a.elem)


def flush(g: Emitter, a: V) -> V:
    """`.ftz` for an f32: a subnormal number becomes a zero with its sign."""
    if a.is_constant or a.name in g.flushed:
        if a.is_constant:
            return _flush_constant(g, a)
        return a
    bits = g.bitcast(a, "i32")
    is_small = g.icmp("eq", g.and_(bits, g.const("i32", 0x7F800000, a.n)), g.const("i32", 0, a.n))
    out = g.bitcast(g.select(is_small, sign_of(g, a), bits), "float")
    g.flushed.add(out.name)
    if a.name in g.saturated:
        g.saturated.add(out.name)
    return out


def _flush_constant(g: Emitter, a: V) -> V:
    bits = constant_bits(a)
    return a if bits is None or bits & 0x7F800000 else g.const("float", bits & 0x80000000, a.n)


def constant_bits(a: V) -> int | None:
    """The f32 or f64 bit pattern of a constant with the same number in every lane; None for any other value."""
    import struct

    text = a.name
    if text.startswith("splat ("):
        text = text[7:-1].partition(" ")[2]
    if not text.startswith("0x") or len(text) != 18:
        return None
    bits = int(text, 16)
    if a.elem == "double":
        return bits
    if bits >> 52 & 0x7FF == 0x7FF:  # infinity or NaN: the payload's upper bits
        return (bits >> 63) << 31 | 0x7F800000 | (bits >> 29 & 0x7FFFFF)
    number = struct.unpack("<d", struct.pack("<Q", bits))[0]
    return int(struct.unpack("<I", struct.pack("<f", number))[0])


def saturate(g: Emitter, a: V) -> V:
    """`.sat`: clamps to [0, 1]; NaN and -0 become +0. Two instructions (maxps and minps give their second operand in those cases)."""
    zero, one = g.float_const(a.elem, 0.0, a.n), g.float_const(a.elem, 1.0, a.n)
    positive = g.select(g.fcmp("ogt", a, zero), a, zero)
    out = g.select(g.fcmp("olt", positive, one), positive, one)
    g.saturated.add(out.name)
    if a.name in g.flushed:
        g.flushed.add(out.name)
    return out


# ---------------------------------------------------------------------------------------------------- directed rounding


def _step(g: Emitter, r: V, is_off: V, mode: str) -> V:
    """`r` moved to its neighbour above ("rp"), below ("rm") or nearer to zero ("rz") where `is_off`."""
    elem = _INTEGER[r.elem]
    bits = g.bitcast(r, elem)
    if mode == "rz":
        return g.bitcast(g.add(bits, g.sext(is_off, elem)), r.elem)  # a true i1 is -1: the previous pattern
    # upwards is the next pattern for positive numbers, the previous one for negative ones
    unit = g.or_(g.ashr(bits, g.const(elem, r.bits - 1, r.n)), g.const(elem, 1, r.n))
    moved = g.select(is_off, unit, g.zero_like(bits))
    return g.bitcast(g.add(bits, moved) if mode == "rp" else g.sub(bits, moved), r.elem)


def _is_negative(g: Emitter, a: V) -> V:
    """Whether the sign bit is set (-0 counts), false for a NaN: as an integer the largest of these is -infinity."""
    elem, infinity = ("i32", 0xFF800000) if a.elem == "float" else ("i64", 0xFFF0 << 48)
    return g.icmp("slt", g.bitcast(a, elem), g.const(elem, infinity + 1, a.n))


def _is_off(g: Emitter, r: V, missing: V, mode: str) -> V:
    """Whether `r` is on the wrong side for `mode`; `missing` has the sign of exact - r (0 or NaN: it is not)."""
    zero = g.zero_like(missing)
    if mode == "rz":
        bits = g.bitcast(r, _INTEGER[r.elem])
        missing = g.select(g.icmp("slt", bits, g.zero_like(bits)), g.fneg(missing), missing)
    return g.fcmp("ogt" if mode == "rp" else "olt", missing, zero)


def _by_magnitude(g: Emitter, a: V, b: V) -> tuple[V, V]:
    """The operand of larger magnitude, and the other."""
    a_is_larger = g.fcmp("oge", magnitude(g, a), magnitude(g, b))
    return g.select(a_is_larger, a, b), g.select(a_is_larger, b, a)


def _error_of_sum(g: Emitter, a: V, b: V, s: V) -> V:
    """`a + b - s` exactly, for s the nearest number to a + b."""
    hi, lo = _by_magnitude(g, a, b)
    return g.fsub(lo, g.fsub(s, hi))


def _lacks_fma(g: Emitter, a: V) -> bool:
    """x86 without FMA would call a library for each lane: f32 goes through f64 there."""
    return a.elem == "float" and "sse2" in g.module.features and "fma" not in g.module.features


def _embedded(g: Emitter, name: str, mode: str, *operands: V) -> V | None:
    """The operation by AVX-512 instructions with embedded rounding, 512 bits at a time; None without AVX-512 or with fewer lanes."""
    n, elem = operands[0].n, operands[0].elem
    width = 512 // operands[0].bits
    if n < width or "avx512f" not in g.module.features:
        return None
    immediate = g.const("i32", 8 | {"rm": 1, "rp": 2, "rz": 3}[mode])  # 8: without exceptions
    full_name = f"llvm.x86.avx512.{name}.{'ps' if elem == 'float' else 'pd'}.512"
    g.module.declare(full_name, f"declare <{width} x {elem}> @{full_name}({f'<{width} x {elem}>, ' * len(operands)}i32 immarg)")
    parts = []
    for start in range(0, n, width):
        some = [g.shuffle(x, None, range(start, start + width)) if n > width else x for x in operands]
        arguments = ", ".join(x.typed for x in [*some, immediate])
        parts.append(g.value(elem, width, f"call <{width} x {elem}> @{full_name}({arguments})"))
    return g.concat(parts)


def add(g: Emitter, a: V, b: V, mode: str) -> V:
    """a + b of f32 or f64, rounded by `mode` (rn, rz, rm, rp)."""
    if mode == "rn":
        return g.fadd(a, b)
    a, b = g.same_lanes(a, b)
    embedded = _embedded(g, "add", mode, a, b)
    if embedded:
        return embedded
    return _in_place_or_outlined(g, "add", _sum, mode, a, b)


def _sum(g: Emitter, a: V, b: V, mode: str) -> V:
    s = g.fneg(g.fsub(g.fneg(a), b)) if mode == "rm" else g.fadd(a, b)
    hi, lo = _by_magnitude(g, a, b)
    rest = g.fsub(s, hi)  # exact: what s holds of lo
    if mode == "rz":
        return _step(g, s, _is_off(g, s, g.fsub(lo, rest), mode), mode)
    return _step(g, s, g.fcmp("ogt" if mode == "rp" else "olt", lo, rest), mode)


def subtract(g: Emitter, a: V, b: V, mode: str) -> V:
    """a - b, rounded by `mode`."""
    if mode == "rn":
        return g.fsub(a, b)
    return add(g, a, g.fneg(b), mode)


def multiply(g: Emitter, a: V, b: V, mode: str) -> V:
    """a * b of f32 or f64, rounded by `mode`."""
    if mode == "rn":
        return g.fmul(a, b)
    a, b = g.same_lanes(a, b)
    embedded = _embedded(g, "mul", mode, a, b)
    if embedded:
        return embedded
    if _lacks_fma(g, a):
        product = g.fmul(_wide(g, a), _wide(g, b))
        r = g.convert("fptrunc", product, "float")
        return _step(g, r, _is_off(g, r, g.fsub(product, _wide(g, r)), mode), mode)
    return _in_place_or_outlined(g, "mul", _product, mode, a, b)


def _product(g: Emitter, a: V, b: V, mode: str) -> V:
    r = g.fmul(a, b)
    if mode == "rp":
        side = g.fma(g.fneg(a), b, r)
    elif mode == "rm":
        side = g.fma(a, b, g.fneg(r))
    else:
        side = g.fma(flip(g, a, sign_of(g, r)), b, g.fneg(magnitude(g, r)))
    return _step(g, r, _is_negative(g, side), mode)


def fma(g: Emitter, a: V, b: V, c: V) -> V:
    """a * b + c to nearest. In f64 where x86 lacks FMA: rounded to odd (the last bit says that something was cut off), which may be rounded
    again without error."""
    if not _lacks_fma(g, a):
        return g.fma(a, b, c)
    product, addend = g.fmul(*(_wide(g, x) for x in g.same_lanes(a, b))), _wide(g, c)
    product, addend = g.same_lanes(product, addend)
    s = g.fadd(product, addend)
    error = _error_of_sum(g, product, addend, s)
    bits = g.bitcast(s, "i64")
    zero, one = g.zero_like(bits), g.const("i64", 1, s.n)
    is_even = g.icmp("eq", g.and_(bits, one), zero)
    is_inexact = g.fcmp("one", error, g.zero_like(error))  # false for NaN: an operand was infinite or NaN
    outward = g.or_(g.ashr(g.xor(bits, g.bitcast(error, "i64")), g.const("i64", 63, s.n)), one)  # 1 where the signs are the same, else -1
    odd = g.add(bits, g.select(g.and_(is_even, is_inexact), outward, zero))
    return g.convert("fptrunc", g.bitcast(odd, "double"), "float")


def fused_multiply_add(g: Emitter, a: V, b: V, c: V, mode: str) -> V:
    """a * b + c of f32 or f64, rounded once by `mode`."""
    if mode == "rn":
        return fma(g, a, b, c)
    is_near = not _lacks_fma(g, a) and _stays_near(g, a, b, c)
    a, b, c = g.same_lanes(a, b, c)
    embedded = _embedded(g, "vfmadd", mode, a, b, c)
    if embedded:
        return embedded
    if is_near:
        return _fused_near(g, a, b, c, mode)
    if a.elem == "float" and (a.n == 1 or _lacks_fma(g, a)):
        return _fused_general(g, a, b, c, mode)
    return _outlined(g, "fma", _fused, mode, a, b, c)


def _stays_near(g: Emitter, a: V, b: V, c: V) -> bool:
    """Whether the operands are known to make a * b + c positive, a normal number, and at least c / 2 and at most 2 c."""
    from anywarp.isa import ieee

    f = ieee.F32 if a.elem == "float" else ieee.F64

    def limits(x: V) -> tuple[Fraction, Fraction] | None:
        if x.name in g.saturated:
            return Fraction(0), Fraction(1)
        bits = constant_bits(x)
        if bits is None or f.decode(bits).kind != "finite":
            return None
        number = f.decode(bits)
        value = (-1) ** number.sign * number.significand * Fraction(2) ** number.exponent
        return value, value

    x, y, z = limits(a), limits(b), limits(c)
    if x is None or y is None or z is None:
        return False
    products = [p * q for p in x for q in y]
    least = Fraction(2) ** (1 - f.bias)
    return all(w > least and w / 2 <= w + p <= w * 2 and w * 4 < Fraction(2) ** f.bias for p in products for w in z)


def _fused_near(g: Emitter, a: V, b: V, c: V, mode: str) -> V:
    """a * b + c for operands of which `_stays_near` holds: c - r is exact then."""
    elem = _INTEGER[a.elem]
    r = g.fma(a, b, c)
    side = g.fma(g.fneg(a), b, g.fsub(r, c)) if mode == "rp" else g.fma(a, b, g.fsub(c, r))
    bits = g.bitcast(side, elem)
    off = g.ashr(bits, g.const(elem, a.bits - 1, a.n))  # -1 or 0: no NaN is possible
    result = g.bitcast((g.sub if mode == "rp" else g.add)(g.bitcast(r, elem), off), a.elem)
    g.flushed.add(result.name)
    return result


def _fused(g: Emitter, a: V, b: V, c: V, mode: str) -> V:
    """a * b + c: a function's body, which leaves in the middle where `_fused_side` decides for all lanes."""
    if mode == "rm":
        a, c = g.fneg(a), g.fneg(c)
    nearest = g.fma(a, b, c)
    if mode == "rz":
        sign = sign_of(g, nearest)
        side, is_hard = _fused_side(g, flip(g, a, sign), b, flip(g, c, sign), magnitude(g, nearest))
    else:
        side, is_hard = _fused_side(g, g.fneg(a), b, g.fneg(c), g.fneg(nearest))
    result = _step(g, nearest, _is_negative(g, side), "rz" if mode == "rz" else "rp")
    some = is_hard if a.n == 1 else g.intrinsic("llvm.vector.reduce.or", is_hard, lanes=1)
    g.branch(some, "hard", "easy")
    g.label("easy")
    result = g.fneg(result) if mode == "rm" else result
    g.line(f"ret {result.typed}")
    g.label("hard")
    general = _outlined(g, "fma.general", _fused_general, "rz" if mode == "rz" else "rp", a, b, c)
    return g.fneg(general) if mode == "rm" else general


def _fused_side(g: Emitter, a: V, b: V, c: V, r: V) -> tuple[V, V]:
    """A number with the sign bit of a * b + c - r (clear for 0), for r the nearest number to a * b + c; and where that is not certain.

    t + u = c - r without error, then side = (a * b + t) + u. Each of these two sums rounds once, so where the second is not 0 its sign
    is right; where u is 0 the first one's is, of -0 too (u is subtracted as its negative, which then is +0, to keep it). It is not
    certain where u is not 0 but the sum is, and where the sum is a NaN: r or t overflowed, or an operand was not finite."""
    t = g.fsub(c, r)
    v = g.fsub(t, c)
    minus_u = g.fadd(g.fsub(g.fsub(t, v), c), g.fadd(r, v))
    side = g.fsub(g.fma(a, b, t), minus_u)
    zero = g.zero_like(a)
    return side, g.and_(g.fcmp("une", minus_u, zero), g.fcmp("ueq", side, zero))


def _fused_general(g: Emitter, a: V, b: V, c: V, mode: str) -> V:
    """a * b + c for any operands."""
    if mode == "rm":
        return g.fneg(_fused_general(g, g.fneg(a), b, g.fneg(c), "rp"))
    if a.elem == "double":
        return _fused_double(g, a, b, c, mode)
    product, addend = g.fmul(_wide(g, a), _wide(g, b)), _wide(g, c)
    s = g.fadd(product, addend)
    r = g.convert("fptrunc", s, "float")
    # s - r is exact and at least an f64 unit of s where it is not 0: the sum's error cannot turn its sign
    missing = g.fadd(g.fsub(s, _wide(g, r)), _error_of_sum(g, product, addend, s))
    return _step(g, r, _is_off(g, r, missing, mode), mode)


def divide(g: Emitter, a: V, b: V, mode: str) -> V:
    """a / b of f32 or f64, rounded by `mode`."""
    if mode == "rn":
        return g.fdiv(a, b)
    a, b = g.same_lanes(a, b)
    embedded = _embedded(g, "div", mode, a, b)
    if embedded:
        return embedded
    return _in_place_or_outlined(g, "div", _quotient, mode, a, b)


def _quotient(g: Emitter, a: V, b: V, mode: str) -> V:
    a, b = flip(g, a, sign_of(g, b)), magnitude(g, b)  # then a - q * b has the sign of what is missing
    q = g.fdiv(a, b)
    if _lacks_fma(g, a):
        return _step(g, q, _is_off(g, q, g.fsub(_wide(g, a), g.fmul(_wide(g, q), _wide(g, b))), mode), mode)
    if mode == "rp":
        side = g.fma(q, b, g.fneg(a))
    elif mode == "rm":
        side = g.fma(g.fneg(q), b, a)
    else:
        side = g.fma(g.fneg(magnitude(g, q)), b, magnitude(g, a))
    return _step(g, q, _is_negative(g, side), mode)


def square_root(g: Emitter, a: V, mode: str) -> V:
    """The square root of an f32 or f64, rounded by `mode`."""
    if mode == "rn":
        return g.intrinsic("llvm.sqrt", a)
    embedded = _embedded(g, "sqrt", mode, a)
    if embedded:
        return embedded
    if mode == "rm":
        mode = "rz"  # no root but -0 is negative, and that is exact
    s = g.intrinsic("llvm.sqrt", a)
    if _lacks_fma(g, a):
        wide = _wide(g, s)
        return _step(g, s, _is_off(g, s, g.fsub(_wide(g, a), g.fmul(wide, wide)), mode), mode)
    side = g.fma(s, s, g.fneg(a)) if mode == "rp" else g.fma(g.fneg(s), s, magnitude(g, a))  # not a: the root of -0 is exact
    return _step(g, s, _is_negative(g, side), mode)


def _wide(g: Emitter, a: V) -> V:
    return g.convert("fpext", a, "double")


# ------------------------------------------------------------------------------------------------- f64, out of harm's way


def _outlined(g: Emitter, name: str, compute: Callable[..., V], mode: str, *operands: V) -> V:
    """`compute(g, *operands, mode)` as a function of its own in the module: code that is long, or that branches."""
    from anywarp.lower.emit import Emitter, V

    elem, n = operands[0].elem, operands[0].n
    full_name = f"{'f32' if elem == 'float' else 'f64'}.{name}.{mode}.{n}"

    def text() -> str:
        body = Emitter(g.module)
        arguments = [V(elem, n, f"%a{i}") for i in range(len(operands))]
        result = compute(body, *arguments, mode)
        lines = "\n".join([*body.lines, f"  ret {result.typed}"])
        head = f"define internal {result.type} @{full_name}({', '.join(a.typed for a in arguments)})"
        return f"{head} noinline nounwind willreturn memory(none) {{\nentry:\n{lines}\n}}"

    g.module.helper(full_name, text)
    kind = operands[0].type
    return g.value(elem, n, f"call {kind} @{full_name}({', '.join(x.typed for x in operands)})")


def _in_place_or_outlined(g: Emitter, name: str, compute: Callable[..., V], mode: str, *operands: V) -> V:
    """`compute`, in a kernel with many directed operations by a call: 32 lanes of f64 are 60 to 140 machine instructions. (An interval
    Newton method with 300 of them in two copies took 12.4 s to compile.)"""
    if operands[0].n > 1:
        g.module.in_place += 1
        if g.module.in_place > IN_PLACE:
            return _outlined(g, name, compute, mode, *operands)
    return compute(g, *operands, mode)


def _power(g: Emitter, exponent: int, n: int) -> V:
    return g.const("double", exponent + 1023 << 52, n)


def _power_of(g: Emitter, exponent: V) -> V:
    """2^exponent for an i64 exponent from -1022 to 1023."""
    biased = g.add(exponent, g.const("i64", 1023, exponent.n))
    return g.bitcast(g.shl(biased, g.const("i64", 52, exponent.n)), "double")


def _take_apart(g: Emitter, a: V) -> tuple[V, V]:
    """(m, e) with a = m * 2^e and 1 <= |m| < 2 for a finite number; a zero keeps its sign and has an exponent far below all others."""
    n = a.n
    is_subnormal = g.fcmp("olt", magnitude(g, a), _power(g, -1022, n))
    normal = g.select(is_subnormal, g.fmul(a, _power(g, 64, n)), a)
    bits = g.bitcast(normal, "i64")
    biased = g.and_(g.lshr(bits, g.const("i64", 52, n)), g.const("i64", 0x7FF, n))
    exponent = g.sub(biased, g.select(is_subnormal, g.const("i64", 1023 + 64, n), g.const("i64", 1023, n)))
    mantissa = g.or_(g.and_(bits, g.const("i64", ~(0x7FF << 52), n)), g.const("i64", 1023 << 52, n))
    is_zero = g.fcmp("oeq", a, g.zero_like(a))
    return g.select(is_zero, a, g.bitcast(mantissa, "double")), g.select(is_zero, g.const("i64", -10000, n), exponent)


def _put_together(g: Emitter, m: V, e: V, mode: str) -> V:
    """m * 2^e rounded by `mode`, for |m| from 2^-200 to 8 (or 0) and any e."""
    # beyond these limits every result overflows or is smaller than the least number
    e = g.intrinsic("llvm.smin", g.intrinsic("llvm.smax", e, g.const("i64", -1500, e.n)), g.const("i64", 1500, e.n))
    first = g.ashr(e, g.const("i64", 1, e.n))
    second = g.sub(e, first)
    exact = g.fmul(m, _power_of(g, first))
    r = g.fmul(exact, _power_of(g, second))
    return _step(g, r, _is_off(g, r, g.fsub(exact, g.fmul(r, _power_of(g, g.neg(second)))), mode), mode)


def _all_finite(g: Emitter, *values: V) -> V:
    infinity = g.const("double", 0x7FF << 52, values[0].n)
    result = g.fcmp("olt", magnitude(g, values[0]), infinity)
    for value in values[1:]:
        result = g.and_(result, g.fcmp("olt", magnitude(g, value), infinity))
    return result


def _fused_double(g: Emitter, a: V, b: V, c: V, mode: str) -> V:
    """a * b + c by `mode` ("rz", "rp"). The product and the addend are scaled so that the larger has exponent 0; the smaller one's
    exponent is held at -300 or more, where only its sign matters. The three parts of what is missing follow Boldo and Muller
    (ErrFmaNearest)."""
    n = a.n
    (ma, ea), (mb, eb), (mc, ec) = (_take_apart(g, x) for x in (a, b, c))
    ep = g.add(ea, eb)
    top = g.intrinsic("llvm.smax", ep, ec)
    least = g.const("i64", -300, n)
    x = g.fmul(ma, _power_of(g, g.intrinsic("llvm.smax", g.sub(ep, top), least)))
    z = g.fmul(mc, _power_of(g, g.intrinsic("llvm.smax", g.sub(ec, top), least)))
    r = g.fma(x, mb, z)
    u1 = g.fmul(x, mb)
    u2 = g.fma(x, mb, g.fneg(u1))
    a1 = g.fadd(z, u2)
    a2 = _error_of_sum(g, z, u2, a1)
    b1 = g.fadd(u1, a1)
    b2 = _error_of_sum(g, u1, a1, b1)
    missing = g.fadd(g.fadd(g.fsub(b1, r), b2), a2)
    result = _put_together(g, _step(g, r, _is_off(g, r, missing, mode), mode), top, mode)
    return g.select(_all_finite(g, a, b, c), result, g.fma(a, b, c))
