"""The plain meaning of texture and surface instructions (PTX ISA 9.7.10, 9.7.11; the programming guide's appendix on texture fetching).

Weights of linear filters are whole 256ths, and a filtered value is the weighted sum in f32, the corners in ascending order, the first
dimension fastest. Floats are Python's, rounded to f32 after every operation.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from anywarp import abi
from anywarp.isa.integer import signed
from anywarp.reference.errors import KernelTrap
from anywarp.reference.layout import float_bits

if TYPE_CHECKING:
    from anywarp.reference.access import Access

GEOMETRIES = ("1d", "2d", "3d", "a1d", "a2d", "cube", "acube")
_BYTES = {1: 1, 2: 2, 3: 4, 8: 1, 9: 2, 10: 4, 16: 2, 32: 4}  # of a channel by CUarray_format
_CL_TYPES = {8: 0x10D7, 9: 0x10D8, 10: 0x10D9, 1: 0x10DA, 2: 0x10DB, 3: 0x10DC, 16: 0x10DD, 32: 0x10DE}
WRAP, _CLAMP, MIRROR, BORDER = range(4)


def _f32(value: float) -> float:
    """Rounded to f32."""
    number: float = struct.unpack("<f", struct.pack("<I", float_bits(value, 32)))[0]
    return number


def _float(bits: int) -> float:
    value: float = struct.unpack("<f", struct.pack("<I", bits))[0]
    return value


@dataclass
class Texture:
    """A descriptor, read. Raises KernelTrap for what is none."""

    memory: Access
    data: bytes

    @classmethod
    def at(cls, memory: Access, handle: int) -> Texture:
        texture = cls(memory, memory.read(handle, abi.TEXTURE.size) if handle else b"")
        if not handle or texture.get("magic") != abi.TEXTURE_MAGIC:
            raise KernelTrap(f"{handle:#x} is no texture or surface")
        return texture

    def get(self, name: str, index: int = 0) -> int:
        field = next(f for f in abi.TEXTURE.fields if f.name == name)
        size = {"u8": 1, "u32": 4, "u64": 8}[field.type]
        at = abi.TEXTURE.offset(name) + size * index
        return int.from_bytes(self.data[at : at + size], "little")

    @property
    def element_bytes(self) -> int:
        return _BYTES[self.get("format")] * self.get("channels")

    def sizes(self, level: int) -> tuple[int, int, int]:
        """Width, height and depth or layers of a level."""
        width, height, depth = self.get("width"), self.get("height"), self.get("depth")
        if not (self.get("is_layered") or self.get("is_cube")):
            depth >>= level
        return max(1, width >> level), max(1, height >> level), max(1, depth)

    def address(self, level: int, x: int, y: int, z: int) -> int:
        width, height, _ = self.sizes(level)
        pitch = self.get("pitch") if level == 0 else width * self.element_bytes
        return self.get("level", level) + x * self.element_bytes + (y + z * height) * pitch

    @property
    def is_float(self) -> bool:
        return self.get("format") in (16, 32) or (not self.get("reads_integers") and self.get("format") not in (3, 10))

    def texel(self, level: int, x: int, y: int, z: int) -> list[Any]:
        """Four channels: floats, or integers where they stay such."""
        at, form = self.address(level, x, y, z), self.get("format")
        size = _BYTES[form]
        out: list[Any] = []
        for channel in range(self.get("channels")):
            raw = self.memory.load(at + size * channel, size)
            if form == 32:
                value: Any = _float(raw)
            elif form == 16:
                value = struct.unpack("<e", struct.pack("<H", raw))[0]
            else:
                value = signed(raw, 8 * size) if form >= 8 else raw
                if self.is_float:
                    value = max(-1.0, _f32(value / ((1 << (8 * size - (form >= 8))) - 1)))
                    if self.get("is_srgb") and form == 1 and channel < 3:
                        value = _f32(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)
            out.append(value)
        one: Any = 1.0 if self.is_float else 1
        return [*out, *([0 * one] * (3 - len(out))), *([one] if len(out) < 4 else [])][:4]

    def border(self) -> list[Any]:
        bits = [self.get("border", i) for i in range(4)]
        return [_float(b) for b in bits] if self.is_float else bits

    def folded(self, index: int, size: int, dimension: int) -> int | None:
        """The index that the address mode makes of one; None: the border."""
        if 0 <= index < size:
            return index
        mode = _CLAMP if self.get("is_cube") else self.get("address_mode", dimension)
        if mode == BORDER:
            return None
        if mode == WRAP and self.get("is_normalized"):
            return index % size
        if mode == MIRROR and self.get("is_normalized"):
            folded = index % (2 * size)
            return min(folded, 2 * size - 1 - folded)
        return min(max(index, 0), size - 1)

    def fetch(self, level: int, index: Sequence[int], layer: int) -> list[Any]:
        """A texel by index, which may be outside."""
        inside = [self.folded(i, size, d) for d, (i, size) in enumerate(zip(index, self.sizes(level)))]
        if None in inside:
            return self.border()
        x, y, z = (*(i for i in inside if i is not None), 0, 0, 0)[:3]
        return self.texel(level, x, y, z if len(index) == 3 else layer)


@dataclass
class Place:
    """Where to sample: coordinates by dimension, as they stand in the operands."""

    values: list[float]
    is_float: bool
    layer: int
    offsets: list[int]


def _place(t: Texture, word: int, rows: dict[int, int]) -> Place:
    geometry = GEOMETRIES[word >> 4 & 15]
    dimensions = {"1d": 1, "2d": 2, "3d": 3, "a1d": 1, "a2d": 2, "cube": 3, "acube": 3}[geometry]
    is_array, is_cube = geometry[0] == "a", "cube" in geometry
    first = int(is_array)
    is_float = bool(word >> 8 & 1)
    values = [_float(rows[first + d]) if is_float else float(signed(rows[first + d], 32)) for d in range(dimensions)]
    layer = 0
    if is_array:
        layers = max(1, t.get("depth") // 6 if is_cube else t.get("depth"))
        layer = min(rows[0], layers - 1) * (6 if is_cube else 1)
    offsets = [signed(rows.get(11 + d, 0), 32) for d in range(dimensions)]
    if is_cube:
        side, u, v = _side(values)
        return Place([u, v], True, layer + side, [0, 0])
    return Place(values, is_float, layer, offsets)


def _side(v: list[float]) -> tuple[int, float, float]:
    """The side of a cube that a direction meets, and where on it, from 0 to 1."""
    x, y, z = v
    axis = max(range(3), key=lambda d: (abs(v[d]), -d))
    negative = math.copysign(1.0, v[axis]) < 0
    s, t = {
        (0, False): (-z, -y), (0, True): (z, -y), (1, False): (x, z), (1, True): (x, -z), (2, False): (x, -y), (2, True): (-x, -y),
    }[axis, negative]  # fmt: skip
    m = abs(v[axis])
    return 2 * axis + negative, (s / m + 1) / 2, (t / m + 1) / 2


def _in_elements(t: Texture, level: int, p: Place) -> list[float]:
    scaled = bool(t.get("is_cube")) or (bool(t.get("is_normalized")) and p.is_float)
    return [c * size + o if scaled else c + o for c, size, o in zip(p.values, t.sizes(level), p.offsets)]


def _sample_level(t: Texture, level: int, p: Place) -> list[Any]:
    at = _in_elements(t, level, p)
    nearest = [math.floor(c) for c in at]
    if not (t.get("filter") and p.is_float and t.is_float):
        return t.fetch(level, nearest, p.layer)
    lows = [math.floor(c - 0.5) for c in at]
    weights = [round((c - 0.5 - low) * 256) / 256 for c, low in zip(at, lows)]
    total = [0.0] * 4
    for corner in itertools.product((0, 1), repeat=len(at)):
        second = corner[::-1]
        weight = math.prod(w if s else 1 - w for w, s in zip(weights, second))
        if weight:
            one = t.fetch(level, [low + s for low, s in zip(lows, second)], p.layer)
            total = [_f32(a + _f32(weight * b)) for a, b in zip(total, one)]
    return total


def _level(t: Texture, word: int, rows: dict[int, int], p: Place) -> float:
    lod = _float(rows.get(4, 0)) if p.is_float else float(signed(rows.get(4, 0), 32))
    if word >> 10 & 3 == 3:
        sizes = t.sizes(0) if t.get("is_normalized") else (1, 1, 1)
        squares = [sum((_float(rows.get(first + d, 0)) * sizes[d]) ** 2 for d in range(len(p.values))) for first in (5, 8)]
        lod = 0.5 * math.log2(max(squares)) if max(squares) > 0 else -127.0
    lod += _float(t.get("bias"))
    least, greatest = _float(t.get("least_level")), _float(t.get("greatest_level"))
    return min(max(min(max(lod, least), max(least, greatest)), 0.0), float(t.get("levels") - 1))


def _words(t: Texture, word: int, rows: dict[int, int], values: list[Any]) -> list[int]:
    if word >> 13 & 1 and t.is_float:
        values = [1.0 if _float(rows[14]) <= v else 0.0 for v in values]
    if word >> 16 & 15 == 2:
        halves = [float_bits(float(v), 16) for v in values]
        return [halves[0] | halves[1] << 16, halves[2] | halves[3] << 16, 0, 0]
    return [float_bits(v, 32) if t.is_float else v & 0xFFFFFFFF for v in values]


def sample(memory: Access, handle: int, word: int, rows: dict[int, int]) -> list[int]:
    """The four words of a `tex`; operation word and operand rows as in `isa.texture`."""
    t = Texture.at(memory, handle)
    p = _place(t, word, rows)
    if t.get("is_linear"):
        index = math.floor(p.values[0])
        return _words(t, word, rows, t.texel(0, index, 0, 0)) if 0 <= index < t.get("width") else [0] * 4
    if t.get("levels") <= 1 or word >> 10 & 3 < 2:
        return _words(t, word, rows, _sample_level(t, 0, p))
    lod = _level(t, word, rows, p)
    if not t.get("mipmap_filter"):
        return _words(t, word, rows, _sample_level(t, round(lod), p))
    first = math.floor(lod)
    values = _sample_level(t, first, p)
    if lod > first and t.is_float:
        other = _sample_level(t, first + 1, p)
        values = [_f32(a + _f32((lod - first) * _f32(b - a))) for a, b in zip(values, other)]
    return _words(t, word, rows, values)


def gather(memory: Access, handle: int, word: int, rows: dict[int, int]) -> list[int]:
    """The four words of a `tld4`."""
    t = Texture.at(memory, handle)
    p = _place(t, word, rows)
    x, y = (math.floor(c - 0.5) for c in _in_elements(t, 0, p))
    texels = [t.fetch(0, [x + dx, y + dy], p.layer) for dx, dy in ((0, 1), (1, 1), (1, 0), (0, 0))]
    return _words(t, word, rows, [texel[word >> 14 & 3] for texel in texels])


def query(memory: Access, handle: int, name: str, level: int = 0) -> int:
    """An attribute as `txq` and `suq` give it."""
    t = Texture.at(memory, handle)
    width, height, depth = t.sizes(min(signed(level, 32), t.get("levels") - 1))
    layered = bool(t.get("is_layered"))
    table = {
        "width": width,
        "height": height if t.get("height") else 0,
        "depth": depth if t.get("depth") and not layered and not t.get("is_cube") else 0,
        "channel_data_type": _CL_TYPES[t.get("format")],
        "channel_order": {1: 0x10B0, 2: 0x10B2, 4: 0x10B5}[t.get("channels")],
        "normalized_coords": t.get("is_normalized"),
        "array_size": (t.get("depth") // (6 if t.get("is_cube") else 1)) if layered else 0,
        "num_mipmap_levels": t.get("levels"),
        "num_samples": 1,
        "force_unnormalized_coords": 1 - t.get("is_normalized"),
        "filter_mode": t.get("filter"),
        **{f"addr_mode_{d}": t.get("address_mode", d) for d in range(3)},
    }
    return table.get(name, 0)


# ------------------------------------------------------------------------------------------------------------- surfaces


def surface_address(memory: Access, handle: int, geometry: str, at: Sequence[int], size: int, clamp: str) -> int | None:
    """The address of `size` bytes of a surface, the first coordinate in bytes; None: outside, with .zero.

    Raises KernelTrap outside, with .trap."""
    t = Texture.at(memory, handle)
    first = 1 if geometry[0] == "a" else 0
    x = signed(at[first], 32)
    y = signed(at[first + 1], 32) if "1d" not in geometry else 0
    z = signed(at[0], 32) if first else signed(at[2], 32) if geometry == "3d" else 0
    limits = (t.get("width") * t.element_bytes - size, max(1, t.get("height")) - 1, max(1, t.get("depth")) - 1)
    place = [x, y, z]
    if any(not 0 <= c <= limit for c, limit in zip(place, limits)):
        if clamp == "trap":
            raise KernelTrap("surface access outside of the surface")
        if clamp == "zero":
            return None
        place = [min(max(c, 0), limit) for c, limit in zip(place, limits)]
    return t.get("level") + place[0] + (place[1] + place[2] * max(1, t.get("height"))) * t.get("pitch")


def has_signed_integers(memory: Access, handle: int) -> bool:
    """Whether a surface's channels are signed integers."""
    return Texture.at(memory, handle).get("format") in (8, 9, 10)


def store_formatted(memory: Access, handle: int, geometry: str, at: Sequence[int], values: Sequence[int], clamp: str) -> None:
    """`sust.p`: numbers are clamped to the channel's range; the first coordinate counts elements."""
    t = Texture.at(memory, handle)
    first = 1 if geometry[0] == "a" else 0
    moved = (*at[:first], at[first] * t.element_bytes & 0xFFFFFFFF, *at[first + 1 :])
    address = surface_address(memory, handle, geometry, moved, t.element_bytes, clamp)
    if address is None:
        return
    form = t.get("format")
    size = _BYTES[form]
    for i in range(t.get("channels")):
        raw = values[i] if i < len(values) else 0
        if form == 16:
            raw = float_bits(_float(raw), 16)
        elif form in (1, 2):
            raw = min(raw, (1 << 8 * size) - 1)
        elif form in (8, 9):
            top = (1 << (8 * size - 1)) - 1
            raw = min(max(signed(raw, 32), -top - 1), top) & ((1 << 8 * size) - 1)
        memory.store(address + size * i, size, raw)
