"""Operand values for instruction tests: the edges of every PTX type and seeded random patterns. All are bit patterns (unsigned)."""

from __future__ import annotations

import itertools
import random
import struct
from functools import cache

from anywarp.isa import types

# name: (exponent bits, mantissa bits, bias, has infinities)
FLOAT_FORMATS: dict[str, tuple[int, int, int, bool]] = {
    "f16": (5, 10, 15, True), "bf16": (8, 7, 127, True), "tf32": (8, 23, 127, True), "f32": (8, 23, 127, True), "f64": (11, 52, 1023, True),
    "e4m3": (4, 3, 7, False), "e5m2": (5, 2, 15, True), "e2m3": (2, 3, 1, False), "e3m2": (3, 2, 3, False), "e2m1": (2, 1, 1, False),
}  # fmt: skip


def packed(type: str) -> tuple[str, int] | None:
    """("f16", 2) for `f16x2`; None for a type that is not packed."""
    element, cross, count = type.rpartition("x")
    return (element, int(count)) if cross and count.isdigit() and element else None


def element_bits(type: str) -> int:
    """The width of an element inside a packed type (4 bits for e2m1, else the register's share)."""
    parts = packed(type)
    return types.width(type) // parts[1] if parts else types.width(type)


def is_nan(type: str, bits: int) -> bool:
    """True where `bits` is a NaN of the float type (false for other types)."""
    if type not in FLOAT_FORMATS:
        return False
    exponent, mantissa, _, has_infinity = FLOAT_FORMATS[type]
    if has_infinity:
        return bits >> mantissa & ((1 << exponent) - 1) == (1 << exponent) - 1 and bits & ((1 << mantissa) - 1) != 0
    return type == "e4m3" and bits & 0x7F == 0x7F


def canonical_nan(type: str) -> int:
    """PTX's NaN of a type: all ones below the sign for 16- and 32-bit floats, 0x7ff8... for f64."""
    return {"f16": 0x7FFF, "bf16": 0x7FFF, "f64": 0x7FF8 << 48, "e4m3": 0x7F, "e5m2": 0x7F}.get(type, 0x7FFFFFFF)


def _float_edges(type: str) -> list[int]:
    exponent, mantissa, bias, _ = FLOAT_FORMATS[type]
    width = 1 + exponent + mantissa
    if width <= 8:
        return list(range(1 << types.width(type)))[:256]
    top = ((1 << exponent) - 1) << mantissa
    one = bias << mantissa
    half_way = 1 << (mantissa - 1)
    positive = [
        0, 1, (1 << mantissa) - 1, 1 << mantissa, (1 << mantissa) + 1, half_way, one, one + 1, one - 1, one + half_way,
        one - (1 << mantissa),
        one + (1 << mantissa), one + (1 << mantissa) + half_way, top - 1, top, top | half_way, top | 1, top | (half_way << 1) - 1,
        top | (1 << mantissa) - 1,
        *(bias + e << mantissa for e in (mantissa, mantissa + 1, 31, 32, 63) if 0 < bias + e < (1 << exponent) - 1),
        *((bias + e << mantissa) - 1 for e in (31, 32, 63) if 0 < bias + e < (1 << exponent) - 1),
        *(bias + e << mantissa for e in (-mantissa, -bias // 2) if bias + e > 0),
    ]  # fmt: skip
    return [bits | sign << (width - 1) for bits in dict.fromkeys(positive) for sign in (0, 1)]


def _integer_edges(width: int) -> list[int]:
    top = 1 << (width - 1)
    mask = (1 << width) - 1
    small = [0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 127, 128, 255]
    values = [
        *small, mask, mask - 1, mask - 31, top, top - 1, top + 1, top >> 1, 0x5555555555555555 & mask, 0xAAAAAAAAAAAAAAAA & mask,
        (1 << width // 2) - 1, 1 << width // 2, 0x0123456789ABCDEF0123456789ABCDEF & mask,
    ]  # fmt: skip
    return list(dict.fromkeys(v & mask for v in values))


@cache
def edges(type: str) -> tuple[int, ...]:
    """The bit patterns where an operation on this type is most likely wrong."""
    if type == "pred":
        return (0, 1)
    parts = packed(type)
    if parts:
        element, count = parts
        bits = element_bits(type)
        singles = edges(element) if bits == types.width(element) else tuple(range(1 << bits))
        generator = random.Random(type)
        tuples = [tuple(generator.choice(singles) for _ in range(count)) for _ in range(24)] + [(s,) * count for s in singles[:40]]
        return tuple(dict.fromkeys(sum(v << bits * i for i, v in enumerate(t)) for t in tuples))
    if type in FLOAT_FORMATS:
        return tuple(_float_edges(type))
    width = types.width(type)
    out = _integer_edges(width)
    if type == "b32":
        out += _float_edges("f32")[::3]
    return tuple(dict.fromkeys(out))


def random_value(type: str, generator: random.Random) -> int:
    """A bit pattern: uniform bits, small numbers, near edges, floats of nearby magnitude, in equal measure."""
    width = types.width(type)
    kind = generator.randrange(4)
    parts = packed(type)
    if parts:
        bits = element_bits(type)
        element = parts[0]
        if bits < types.width(element):
            return generator.getrandbits(width)
        return sum(random_value(element, generator) << bits * i for i in range(parts[1]))
    if kind == 0 or type == "pred":
        return generator.getrandbits(width)
    if kind == 1:
        return (generator.choice(edges(type)) + generator.randrange(-2, 3)) & ((1 << width) - 1)
    if type in FLOAT_FORMATS:
        exponent, mantissa, bias, _ = FLOAT_FORMATS[type]
        e = max(0, min((1 << exponent) - 2, bias + generator.randrange(-4, 5) * (1 if kind == 2 else 4)))
        return generator.getrandbits(1) << (exponent + mantissa) | e << mantissa | generator.getrandbits(mantissa)
    small = generator.getrandbits(generator.randrange(1, width + 1))
    return small if kind == 2 else -small & ((1 << width) - 1)


def edge_tuples(operand_types: list[str], limit: int, generator: random.Random) -> list[tuple[int, ...]]:
    """All combinations of the types' edges where there are at most `limit`, else a seeded sample of that many that holds every
    edge of every operand."""
    sets = [edges(t) for t in operand_types]
    total = 1
    for s in sets:
        total *= len(s)
    if total <= limit:
        return list(itertools.product(*sets))
    rows = max(len(s) for s in sets)
    columns = [generator.sample(s * -(-rows // len(s)), rows) for s in sets]
    sample = list(zip(*columns))
    while len(sample) < limit:
        sample.append(tuple(generator.choice(s) for s in sets))
    return sample


def round_to_bf16(value: float) -> int:
    """The bf16 pattern nearest to a number, ties to even (through f32: literals in tests are short)."""
    bits: int = struct.unpack("<I", struct.pack("<f", value))[0]
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16


def float_bits(value: float, type: str) -> int:
    """The pattern of a float literal in a type; integer and bit types take the float type of their width."""
    bits: int
    parts = packed(type)
    if parts:
        raise ValueError(f"write a {type} value as {{a, b}} or as one bit pattern")
    if type == "bf16":
        return round_to_bf16(value)
    if type == "f16" or types.width(type) == 16:
        bits = struct.unpack("<H", struct.pack("<e", value))[0]
    elif types.width(type) == 64:
        bits = struct.unpack("<Q", struct.pack("<d", value))[0]
    elif types.width(type) == 32:
        bits = struct.unpack("<I", struct.pack("<f", value))[0]
    else:
        raise ValueError(f"a float literal has no meaning for .{type}")
    return bits


def to_float(type: str, bits: int) -> float:
    """The number that a bit pattern of a float type stands for."""
    code, fitting = {"f16": ("<e", "<H"), "f64": ("<d", "<Q")}.get(type, ("<f", "<I"))
    value: float = struct.unpack(code, struct.pack(fitting, bits << 16 if type == "bf16" else bits))[0]
    return value


def describe(type: str, bits: int) -> str:
    """A bit pattern in hex and, for floats, as a number."""
    width = types.width(type)
    if type == "pred":
        return str(bits)
    text = f"0x{bits:0{(width + 3) // 4}x}"
    if type in ("f32", "tf32") or type == "b32":
        return f"{text} ({struct.unpack('<f', struct.pack('<I', bits))[0]:.9g}f)"
    if type in ("f64",):
        return f"{text} ({struct.unpack('<d', struct.pack('<Q', bits))[0]!r})"
    if type == "f16":
        return f"{text} ({struct.unpack('<e', struct.pack('<H', bits))[0]!r})"
    if type == "bf16":
        return f"{text} ({struct.unpack('<f', struct.pack('<I', bits << 16))[0]!r})"
    if type == "f16x2":
        return f"{text} ({describe('f16', bits & 0xFFFF)}, {describe('f16', bits >> 16)})"
    if type[0] == "s" and type[1:].isdigit():
        return f"{text} ({bits - (1 << width) if bits >> (width - 1) else bits})"
    if type[0] == "u" and type[1:].isdigit():
        return f"{text} ({bits})"
    return text
