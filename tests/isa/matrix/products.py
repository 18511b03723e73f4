"""Random matrices for the matrix products, and whether a result is within the bound that `anywarp.isa.matrix` states."""

from __future__ import annotations

import math
import random
import struct
from typing import Any

from anywarp.isa import matrix_layout, types
from anywarp.isa.ieee import FORMATS, Number
from anywarp.isa.matrix import FloatProduct
from anywarp.isa.matrix_scaled import ScaledProduct
from anywarp.isa.matrix_sparse import SparseProduct
from tests.isa.warp_harness import WARP, operands

KINDS = 4  # of random elements


def random_element(type: str, generator: random.Random, kind: int) -> int:
    """kind 0: small whole numbers, 1: numbers of similar size, 2: any bits, 3: edges."""
    bits = matrix_layout.ELEMENTS[type][0]
    if type == "e2m1" and bits == 8:
        return generator.getrandbits(8)
    if not matrix_layout.is_float(type) or kind == 2:
        if not matrix_layout.is_float(type) and kind == 3:
            return generator.choice([0, 1, (1 << bits) - 1, 1 << (bits - 1), (1 << (bits - 1)) - 1])
        return generator.getrandbits(bits)
    if type == "fp4":
        return generator.getrandbits(4)
    format = FORMATS["f32" if type == "tf32" else type]
    if kind == 3:
        edges = [0, format.sign_bit, 1, format.one, format.largest, format.nan or 1, format.infinity if format.specials == "ieee" else 2]
        return generator.choice(edges)
    value = float(generator.randrange(-4, 5)) if kind == 0 else generator.uniform(-2, 2)
    number = FORMATS["f64"].decode(struct.unpack("<Q", struct.pack("<d", value))[0])
    return format.round(number.sign, number.significand, number.exponent, "rn")


def value(number: Number) -> float:
    """The magnitude as a double: its 53 bits are enough to judge errors of f32."""
    return math.ldexp(float(number.significand), number.exponent)


def bound(subject: Any, a: list[int], b: list[int], c: int) -> float:
    """The largest error of an element that `anywarp.isa.matrix` allows."""
    of_a, of_b, of_c, of_d = subject.element_types()
    size = value(matrix_layout.number(of_c, c))
    for x, y in zip(a, b):
        size += value(subject.number(of_a, x)) * value(subject.number(of_b, y))
    error = (len(a) + 1) * size / 2**23 + 2.0**-120
    if of_a == "bf16":  # the dot-product instruction takes subnormals for zeros
        error += 2.0**-126 * sum(value(subject.number(of_a, x)) + value(subject.number(of_b, y)) for x, y in zip(a, b))
    return error + (size / 2**11 + 2.0**-24 if of_d == "f16" else 0)


def agrees(subject: Any, got: int, a: list[int], b: list[int], c: int) -> bool:
    if not isinstance(subject, FloatProduct):
        format = FORMATS["f64"]
        want = subject.element(a, b, c)
        return got == want or (subject.element_types()[3] == "f64" and format.is_nan(got) and format.is_nan(want))
    format = FORMATS[subject.element_types()[3]]
    exact, found = subject.exact(a, b, c), format.decode(got)
    if exact.is_nan:
        return found.is_nan
    allowed = bound(subject, a, b, c)
    largest = value(format.decode(format.largest))
    may_overflow = value(exact) + allowed >= largest or allowed * 2**20 >= largest  # of a partial sum
    if exact.is_infinite:
        return may_overflow or (found.is_infinite and found.sign == exact.sign)
    if found.is_infinite or found.is_nan:
        return may_overflow
    signed = value(found) * (-1 if found.sign else 1) - value(exact) * (-1 if exact.sign else 1)
    return abs(signed) <= allowed


def sparse_metadata(subject: Any, generator: random.Random) -> int:
    """Eight chunks' places of their stored elements, in ascending order."""
    valid = [0b0100, 0b1110] if subject.element_types()[0] == "tf32" else [0b0100, 0b1000, 0b1001, 0b1100, 0b1101, 0b1110]
    return sum(generator.choice(valid) << 4 * i for i in range(8))


def random_scale(type: str, generator: random.Random, kind: int) -> int:
    if kind == 3:
        return generator.choice([0, 1, 0x7F, 0xFF, 0x38])
    return generator.getrandbits(7) if type == "ue4m3" else generator.randrange(120, 135) if kind < 2 else generator.getrandbits(8)


def fragments(subject: Any, generator: random.Random, kind: int) -> list[tuple[Any, ...]]:
    rows = []
    selector = 0
    if isinstance(subject, SparseProduct):
        selector = generator.randrange(subject.selectors)
    scale_selectors = []
    if isinstance(subject, ScaledProduct):
        bytes_ = {1: range(4), 2: (0, 2), 4: (0,)}[subject.chunks]
        scale_selectors = [(generator.choice(bytes_), generator.randrange(threads)) for threads in (2, 4)]
    for _ in range(WARP):
        row: list[Any] = []
        for name, _, count in operands(subject)[0]:
            if name in "abc":
                type = subject.element_types()["abc".index(name)]
                bits, register = matrix_layout.ELEMENTS[type]
                number = count * types.width(register) // bits
                row.append(matrix_layout.pack(type, [random_element(type, generator, kind) for _ in range(number)]))
            elif name == "e":
                row.append(sparse_metadata(subject, generator))
            elif name == "f":
                row.append(selector)
            elif name.startswith("scale"):
                row.append(sum(random_scale(subject.opcode[-1], generator, kind) << 8 * i for i in range(4)))
            elif name.startswith("select"):
                row.append(scale_selectors[name == "select_b"])
        rows.append(tuple(row))
    return rows


def check(subject: Any, rows: list[tuple[Any, ...]], got: list[tuple[Any, ...]]) -> None:
    """Compares element by element."""
    lanes = dict(enumerate(rows))
    a, b, c = subject.matrices(lanes)
    type = subject.element_types()[3]
    d = subject.matrix("c", type, {lane: got[lane][0] for lane in range(WARP)})
    assert len(d) == len(list(matrix_layout.elements(type, got[0][0]))) * WARP
    for at, element in d.items():
        row, column = subject.factors(a, b, at)
        assert agrees(subject, element, row, column, c[at]), (
            f"{subject} D{at} = {element:#x}, not {subject.element(row, column, c[at]):#x}: {row} {column} {c[at]:#x}"
        )
