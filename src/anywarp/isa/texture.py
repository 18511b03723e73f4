"""Texture instructions (PTX ISA 9.7.10: tex, tld4, txq, istypep). Surfaces are in `surface`.

A handle is the address of an `abi.TEXTURE` descriptor, which cuTexObjectCreate makes. The work is the runtime's service `texture`: one call
for all active lanes, told by an operation word:

    bits 0-3    0 sample, 1 gather, 2 surface load, 3 store, 4 formatted store, 5 reduction, 6 query
    bits 4-7    geometry: 1d 2d 3d a1d a2d cube acube
    bit  8      coordinates are f32 (else s32)
    bits 10-11  level: 0 implicit, 1 base, 2 given, 3 by gradients
    bit  13     depth is compared
    bits 14-15  component of a gather
    bits 16-19  result: 0 integer, 1 f32, 2 f16x2; of a surface the logarithm of an element's bytes; of a query its number (8 bits)
    bits 20-21  logarithm of the number of elements, bits 22-23 clamp mode: trap clamp zero
    bits 24-27  reduction, an abi.TensorOperation, bit 28 of signed numbers, bit 29: the coordinate counts elements

Operands lie in 15 rows of 32 words: 0-3 coordinates, 4 level, 5-7 and 8-10 gradients, 11-13 offsets, 14 depth.
"""

from __future__ import annotations

from typing import Any

from anywarp.isa.base import Memory, OperandType, instruction
from anywarp.isa.shape import VARYING, Shape

Lanes = dict[int, tuple[Any, ...]]
GEOMETRIES = ("1d", "2d", "3d", "a1d", "a2d", "cube", "acube")
COORDINATES = {"1d": 1, "2d": 2, "3d": 4, "a1d": 2, "a2d": 4, "cube": 4, "acube": 4, "2dms": 4, "a2dms": 4}  # registers
OFFSETS = {"1d": 1, "2d": 2, "3d": 4, "a1d": 1, "a2d": 2, "cube": 4, "acube": 4, "2dms": 2, "a2dms": 2}
_ROWS = 15


def call(w: Any, word: int, handle: Any, rows: dict[int, Any], results: int, given: list[Any] | None = None) -> list[Any]:
    """Calls the service. `rows`: operands (32-bit) by row; `given`: words of a store. Gives `results` words of 32 lanes."""
    operands = w.shared_scratch("texture operands", 128 * _ROWS)
    handles, words = w.shared_scratch("texture handles", 256), w.shared_scratch("texture words", 128 * 4)
    address = w.vector(handle.base)
    address = w.cast(address, f"i{address.bits}")
    w.store(w.zext(address, "i64") if address.bits < 64 else address, handles, 64)
    for row in range(_ROWS):
        if row in rows:
            w.store(w.cast(w.vector(rows[row]), "i32"), w.offset(operands, 128 * row), 64)
        elif row in (4, 11, 12, 13):  # read without being asked for
            w.store(w.const("i32", 0, 32), w.offset(operands, 128 * row), 64)
    for i, v in enumerate(given or []):
        w.store(v, w.offset(words, 128 * i), 64)
    w.service("texture", "void", w.launch, w.cta, w.active, w.const("i32", word), handles, operands, words)
    return [w.load("i32", 32, w.offset(words, 128 * i), 64) for i in range(results)]


class _Texture(Memory):
    """What texture instructions have in common."""

    section = "9.7.10.3"
    since = (2, 0)
    target = 20
    reads = True
    geom: str

    def shape(self, *operands: Shape) -> Shape:
        return VARYING

    def address_space(self, name: str) -> str:
        return "global"

    def named(self, operands: Any) -> dict[str, Any]:
        sources = [s.name for s in self.form.operands if not s.is_result]
        return dict(zip(sources, operands))

    def rows(self, given: dict[str, Any]) -> dict[int, Any]:
        """Operands by row of the service's table."""
        found = dict(enumerate(given["c"]))
        if "lod" in given:
            found[4] = given["lod"]
        for first, name in ((5, "dx"), (8, "dy"), (11, "e")):
            if name in given:
                found.update({first + i: v for i, v in enumerate(given[name][:3])})
        if "f" in given:
            found[14] = given["f"]
        return found


def _forms(head: str, tails: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{head}, [a, {sampler}c]{tail}" for tail in tails for sampler in ("", "s, "))


_TAILS = ("", ", e", ", f", ", e, f")


@instruction
class Texture(_Texture):
    """tex: a texture fetched at integer coordinates, or sampled"""

    syntax = (
        *_forms("tex{.base}.geom.vec.dtype.ctype d{|p}", _TAILS),
        *_forms("tex.level.geom.vec.dtype.ctype d{|p}", tuple(f", lod{t}" for t in _TAILS)),
        *_forms("tex.grad.geom.vec.dtype.ctype d{|p}", tuple(f", dx, dy{t}" for t in _TAILS)),
    )
    modifiers = {
        "geom": f"{' '.join(GEOMETRIES)} 2dms a2dms",
        "vec": "v4 v2",
        "dtype": "u32 s32 f16 f32 f16x2",
        "ctype": "s32 f32",
    }
    results = ("d", "p")
    vec: str
    dtype: str
    ctype: str

    @property
    def is_multisample(self) -> bool:
        return self.geom.endswith("ms")

    def rows(self, given: dict[str, Any]) -> dict[int, Any]:
        """As `_Texture.rows`. No API makes textures of several samples, so a sample's number says nothing: it is left out."""
        if self.is_multisample:
            first = int(self.geom[0] == "a")
            given = {**given, "c": (*given["c"][:first], *given["c"][first + 1 :])}
        return super().rows(given)

    def check(self) -> str | None:
        names = {s.name for s in self.form.operands}
        if (self.vec == "v2") != (self.dtype == "f16x2"):
            return "a result is four registers, or two of .f16x2"
        if self.is_multisample and (self.ctype != "s32" or "level" in self.opcode or "grad" in self.opcode or "f" in names):
            return "samples have integer coordinates, one level and no depth"
        if self.ctype == "s32" and "cube" in self.geom:
            return "the coordinates of a cube are .f32"
        if "f" in names and self.geom in ("1d", "3d", "a1d"):
            return "depth is compared in two dimensions"
        return None

    def operand_type(self, name: str) -> OperandType:
        if name == "d":
            return self.dtype, int(self.vec[1])
        sized = {"c": COORDINATES[self.geom], "e": OFFSETS[self.geom], "dx": OFFSETS[self.geom], "dy": OFFSETS[self.geom]}
        if name in sized:
            return "b32", sized[name]
        return {"p": "pred", "lod": "b32", "f": "b32"}.get(name, "b64")

    @property
    def word(self) -> int:
        level = next((i for i, name in enumerate(("base", "level", "grad"), 1) if name in self.opcode), 0)
        type_ = {"f32": 1, "f16x2": 2, "f16": 2}.get(self.dtype, 0)
        has_depth = any(s.name == "f" for s in self.form.operands)
        geometry = GEOMETRIES.index(self.geom.removesuffix("ms"))
        return geometry << 4 | (self.ctype == "f32") << 8 | level << 10 | has_depth << 13 | type_ << 16

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        from anywarp.reference.texture import sample

        out: dict[int, Any] = {}
        for lane, operands in lanes.items():
            given = self.named(operands)
            words = sample(memory, given["a"], self.word, self.rows(given))
            if self.dtype == "f16":
                words = [words[i // 2] >> 16 * (i % 2) & 0xFFFF for i in range(4)]
            out[lane] = (tuple(words[: int(self.vec[1])]), 1)
        return out if any(s.name == "p" for s in self.form.operands) else {lane: v[0] for lane, v in out.items()}

    def lower(self, w: Any, op: Any) -> Any:
        given = self.named(op.operands)
        words = call(w, self.word, given["a"], self.rows(given), int(self.vec[1]))
        if self.dtype == "f16":
            words = [w.trunc(w.lshr(words[i // 2], w.const("i32", 16 * (i % 2))), "i16") for i in range(4)]
        return words + [w.const("i1", 1)] * (len(op.results) - len(words))


@instruction
class TextureGather(_Texture):
    """tld4: one component of the four texels around a place"""

    syntax = _forms("tld4.component.geom.v4.dtype.f32 d{|p}", _TAILS)
    modifiers = {"component": "r g b a", "geom": "2d a2d cube acube", "dtype": "u32 s32 f32"}
    section = "9.7.10.4"
    results = ("d", "p")
    component: str
    dtype: str

    def operand_type(self, name: str) -> OperandType:
        if name == "d":
            return self.dtype, 4
        sized = {"c": COORDINATES[self.geom], "e": OFFSETS[self.geom]}
        if name in sized:
            return "b32", sized[name]
        return {"p": "pred", "f": "b32"}.get(name, "b64")

    @property
    def word(self) -> int:
        has_depth = any(s.name == "f" for s in self.form.operands)
        component = "rgba".index(self.component) << 14
        return 1 | GEOMETRIES.index(self.geom) << 4 | 1 << 8 | has_depth << 13 | component | (self.dtype == "f32") << 16

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        from anywarp.reference.texture import gather

        out: dict[int, Any] = {}
        for lane, operands in lanes.items():
            given = self.named(operands)
            out[lane] = (tuple(gather(memory, given["a"], self.word, self.rows(given))), 1)
        return out if any(s.name == "p" for s in self.form.operands) else {lane: v[0] for lane, v in out.items()}

    def lower(self, w: Any, op: Any) -> Any:
        given = self.named(op.operands)
        words = call(w, self.word, given["a"], self.rows(given), 4)
        return words + [w.const("i1", 1)] * (len(op.results) - 4)


QUERIES = (
    "width", "height", "depth", "channel_data_type", "channel_order", "normalized_coords", "array_size", "num_mipmap_levels", "num_samples",
    "force_unnormalized_coords", "filter_mode", "addr_mode_0", "addr_mode_1", "addr_mode_2", "memory_layout",
)  # fmt: skip


@instruction
class TextureQuery(_Texture):
    """txq, suq: an attribute of a texture, a sampler or a surface"""

    syntax = ("txq.query.b32 d, [a]", "txq.level.size.b32 d, [a], lod", "suq.query.b32 d, [a]")
    modifiers = {"query": " ".join(QUERIES), "size": "width height depth"}
    section = "9.7.10.5"
    query: str | None
    size: str | None

    def operand_type(self, name: str) -> OperandType:
        return "b32"

    @property
    def word(self) -> int:
        return 6 | QUERIES.index(self.query or self.size or "") << 16

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        from anywarp.reference.texture import query

        return {lane: query(memory, handle, self.query or self.size or "", *level) for lane, (handle, *level) in lanes.items()}

    def lower(self, w: Any, op: Any) -> Any:
        return call(w, self.word, op.operands[0], {4: op.operands[1]} if len(op.operands) > 1 else {}, 1)


@instruction
class IsOpaque(Memory):
    """istypep: whether a number is a handle of a kind. Handles here are descriptors' addresses, which serve all kinds"""

    syntax = "istypep.kind p, a"
    modifiers = {"kind": "texref samplerref surfref"}
    types = {"p": "pred", "a": "b64"}
    section = "9.7.10.6"
    since = (4, 0)
    target = 30
    reads = True

    def shape(self, *operands: Shape) -> Shape:
        return Shape(1) if operands[0].is_uniform else VARYING

    def reference(self, memory: Any, lanes: Lanes) -> dict[int, Any]:
        return {lane: int(address != 0) for lane, (address,) in lanes.items()}

    def lower(self, w: Any, op: Any) -> Any:
        held = w.get(op.operands[0])
        v = w.cast(held.base if held.shape.is_uniform else w.vector(op.operands[0]), "i64")
        return w.icmp("ne", v, w.const("i64", 0))
