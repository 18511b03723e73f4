"""The PTX types by name: width in bits, signedness, kind. The suffix of an opcode is the name: `s32`, `f16x2`, `pred`."""

from __future__ import annotations

from typing import Final

WIDTHS: Final[dict[str, int]] = {
    "pred": 1,
    **{f"{kind}{width}": width for kind in "bus" for width in (8, 16, 32, 64, 128)},
    **{f"f{width}": width for width in (16, 32, 64)},
    "bf16": 16, "tf32": 32, "f16x2": 32, "bf16x2": 32, "f32x2": 64, "u16x2": 32, "s16x2": 32, "u8x4": 32, "s8x4": 32,
    "e4m3": 8, "e5m2": 8, "e2m3": 8, "e3m2": 8, "e2m1": 8, "ue8m0": 8, "ue4m3": 8,
    "e4m3x2": 16, "e5m2x2": 16, "e2m3x2": 16, "e3m2x2": 16, "e2m1x2": 8, "ue8m0x2": 16,
    "e4m3x4": 32, "e5m2x4": 32, "e2m3x4": 32, "e3m2x4": 32, "e2m1x4": 16,
}  # fmt: skip


def width(type: str) -> int:
    """The width in bits of a register that holds a value of this type."""
    return WIDTHS[type]


def is_signed(type: str) -> bool:
    """True for the signed integers `s8` to `s64` (packed ones are not scalars)."""
    return type in ("s8", "s16", "s32", "s64", "s128")


def is_float(type: str) -> bool:
    """True for the scalar formats that LLVM has arithmetic for here: f32 and f64 (f16 and bf16 travel as raw bits)."""
    return type in ("f32", "f64")


def llvm(type: str) -> str:
    """The LLVM element type in which `lower` receives an operand: float and double for f32 and f64, i1 for predicates,
    raw integers of the register's width for everything else (f16, bf16 and packed types too)."""
    if type == "f32":
        return "float"
    if type == "f64":
        return "double"
    return f"i{width(type)}"
