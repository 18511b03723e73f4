"""Vector code for f32 and f64 arithmetic in every rounding mode, `.ftz` and `.sat`, from round-to-nearest arithmetic alone.

Rounding to nearest is one LLVM instruction. The directed modes compute the nearest result `r` and the sign of what is missing,
`exact - r`, without error, then move `r` by one unit where it lies on the wrong side (`_step`). Where the missing part comes from:

- add: the classic error of a sum, `lo - (s - hi)`, exact with the operands ordered by magnitude; an overflow makes it infinite with
  the right sign, so that infinity steps back to the largest number by itself, and an infinite operand makes it a NaN, which never steps;
- f32 mul, fma, div, sqrt: the residual in f64, where a product of two f32 is exact;
- f64 mul, fma, div: in a scaled copy where nothing can overflow or underflow, rounded once there and, in the same direction, once more
  when it is scaled back (directed roundings compose, rounding to nearest does not).

Only `.rz` and `.rp` exist as code: rounding down is rounding up between negations, which also gives an exact zero its sign (-0 only
when rounding down).

Where the target has AVX-512, whole registers use its arithmetic with the rounding mode in the instruction instead (`_embedded`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anywarp.lower.emit import Emitter, V

_INTEGER = {"float": "i32", "double": "i64"}


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
    return g.select(g.fcmp("olt", positive, one), positive, one)


# ---------------------------------------------------------------------------------------------------- directed rounding


def _step(g: Emitter, r: V, missing: V, mode: str) -> V:
    """`r`, the nearest number, moved to its neighbour where `mode` ("rp", "rz") asks for it; `missing` has the sign of exact - r
    (0 or NaN: r stays) and may be of another type than r."""
    elem = _INTEGER[r.elem]
    bits = g.bitcast(r, elem)
    zero = g.zero_like(missing)
    if mode == "rp":
        # one unit up: the next pattern for positive numbers, the previous one for negative ones
        unit = g.or_(g.ashr(bits, g.const(elem, r.bits - 1, r.n)), g.const(elem, 1, r.n))
        moved = g.select(g.fcmp("ogt", missing, zero), unit, g.const(elem, 0, r.n))
        return g.bitcast(g.add(bits, moved), r.elem)
    # towards zero: where the missing part has the other sign; adding a true i1, which is -1, is the previous pattern
    outward = g.select(g.icmp("slt", bits, g.const(elem, 0, r.n)), g.fneg(missing), missing)
    return g.bitcast(g.add(bits, g.sext(g.fcmp("olt", outward, zero), elem)), r.elem)


def _error_of_sum(g: Emitter, a: V, b: V, s: V) -> V:
    """`a + b - s` exactly, for s the nearest number to a + b."""
    a_is_larger = g.fcmp("oge", magnitude(g, a), magnitude(g, b))
    hi, lo = g.select(a_is_larger, a, b), g.select(a_is_larger, b, a)
    return g.fsub(lo, g.fsub(s, hi))


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
    if mode == "rm":
        return g.fneg(add(g, g.fneg(a), g.fneg(b), "rp"))
    s = g.fadd(a, b)
    return _step(g, s, _error_of_sum(g, a, b, s), mode)


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
    if mode == "rm":
        return g.fneg(multiply(g, g.fneg(a), b, "rp"))
    if a.elem == "double":
        return _outlined(g, "fma", _fused_double, mode, a, b, g.const("double", 1 << 63, a.n))  # adding -0 changes nothing
    product = g.fmul(_wide(g, a), _wide(g, b))
    r = g.convert("fptrunc", product, "float")
    return _step(g, r, g.fsub(product, _wide(g, r)), mode)


def fma(g: Emitter, a: V, b: V, c: V) -> V:
    """a * b + c to nearest. x86 without FMA would call a library for each lane: f32 goes through f64 there, rounded to odd (the last bit
    says that something was cut off), which may be rounded again without error."""
    if a.elem == "double" or "sse2" not in g.module.features or "fma" in g.module.features:
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
    a, b, c = g.same_lanes(a, b, c)
    embedded = _embedded(g, "vfmadd", mode, a, b, c)
    if embedded:
        return embedded
    if mode == "rm":
        return g.fneg(fused_multiply_add(g, g.fneg(a), b, g.fneg(c), "rp"))
    if a.elem == "double":
        return _outlined(g, "fma", _fused_double, mode, a, b, c)
    product, addend = g.fmul(_wide(g, a), _wide(g, b)), _wide(g, c)
    s = g.fadd(product, addend)
    r = g.convert("fptrunc", s, "float")
    # s - r is exact and at least an f64 unit of s where it is not 0: the sum's error cannot turn its sign
    missing = g.fadd(g.fsub(s, _wide(g, r)), _error_of_sum(g, product, addend, s))
    return _step(g, r, missing, mode)


def divide(g: Emitter, a: V, b: V, mode: str) -> V:
    """a / b of f32 or f64, rounded by `mode`."""
    if mode == "rn":
        return g.fdiv(a, b)
    a, b = g.same_lanes(a, b)
    embedded = _embedded(g, "div", mode, a, b)
    if embedded:
        return embedded
    if mode == "rm":
        return g.fneg(divide(g, g.fneg(a), b, "rp"))
    a, b = flip(g, a, sign_of(g, b)), magnitude(g, b)  # then the residual has the sign of what is missing
    if a.elem == "double":
        return _outlined(g, "div", _divide_double, mode, a, b)
    q = g.fdiv(a, b)
    return _step(g, q, g.fsub(_wide(g, a), g.fmul(_wide(g, q), _wide(g, b))), mode)


def square_root(g: Emitter, a: V, mode: str) -> V:
    """The square root of an f32 or f64, rounded by `mode`."""
    if mode == "rn":
        return g.intrinsic("llvm.sqrt", a)
    embedded = _embedded(g, "sqrt", mode, a)
    if embedded:
        return embedded
    if mode == "rm":
        mode = "rz"  # no root but -0 is negative, and that is exact
    if a.elem == "float":
        s = g.intrinsic("llvm.sqrt", a)
        wide = _wide(g, s)
        return _step(g, s, g.fsub(_wide(g, a), g.fmul(wide, wide)), mode)
    # the residual of a small number would underflow; its root does not
    is_small = g.fcmp("olt", a, _power(g, -500, a.n))
    scaled = g.select(is_small, g.fmul(a, _power(g, 600, a.n)), a)
    s = g.intrinsic("llvm.sqrt", scaled)
    s = _step(g, s, g.fma(g.fneg(s), s, scaled), mode)
    return g.select(is_small, g.fmul(s, _power(g, -300, a.n)), s)


def _wide(g: Emitter, a: V) -> V:
    return g.convert("fpext", a, "double")


# ------------------------------------------------------------------------------------------------- f64, out of harm's way


def _outlined(g: Emitter, name: str, compute: Callable[..., V], mode: str, *operands: V) -> V:
    """`compute(g, *operands, mode)` as a function of its own in the module: some hundreds of instructions that stand there once."""
    from anywarp.lower.emit import Emitter, V

    n = operands[0].n
    full_name = f"f64.{name}.{mode}.{n}"

    def text() -> str:
        body = Emitter(g.module)
        arguments = [V("double", n, f"%a{i}") for i in range(len(operands))]
        result = compute(body, *arguments, mode)
        lines = "\n".join([*body.lines, f"  ret {result.typed}"])
        return f"define internal {result.type} @{full_name}({', '.join(a.typed for a in arguments)}) noinline {{\n{lines}\n}}"

    g.module.helper(full_name, text)
    kind = operands[0].type
    return g.value("double", n, f"call {kind} @{full_name}({', '.join(x.typed for x in operands)})")


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
    return _step(g, r, g.fsub(exact, g.fmul(r, _power_of(g, g.neg(second)))), mode)


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
    result = _put_together(g, _step(g, r, missing, mode), top, mode)
    return g.select(_all_finite(g, a, b, c), result, g.fma(a, b, c))


def _divide_double(g: Emitter, a: V, b: V, mode: str) -> V:
    """a / b for b >= 0 by `mode` ("rz", "rp")."""
    zero = g.zero_like(a)
    (ma, ea), (mb, eb) = _take_apart(g, a), _take_apart(g, b)
    q = g.fdiv(ma, mb)
    q = _step(g, q, g.fma(g.fneg(q), mb, ma), mode)
    result = _put_together(g, q, g.sub(ea, eb), mode)
    is_ordinary = g.and_(_all_finite(g, a, b), g.fcmp("ogt", b, zero))
    return g.select(is_ordinary, result, g.fdiv(a, b))
