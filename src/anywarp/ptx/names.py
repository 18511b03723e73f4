"""Words that PTX itself defines: special registers, types and their sizes, directives of functions."""

from __future__ import annotations

from typing import Final

# PTX ISA manual, chapter "Special Registers".
_VECTOR_SPECIALS: Final = (
    "tid",
    "ntid",
    "ctaid",
    "nctaid",
    "clusterid",
    "nclusterid",
    "cluster_ctaid",
    "cluster_nctaid",
)
_SCALAR_SPECIALS: Final = (
    "laneid",
    "warpid",
    "nwarpid",
    "smid",
    "nsmid",
    "gridid",
    "is_explicit_cluster",
    "cluster_ctarank",
    "cluster_nctarank",
    "lanemask_eq",
    "lanemask_le",
    "lanemask_lt",
    "lanemask_ge",
    "lanemask_gt",
    "clock",
    "clock_hi",
    "clock64",
    "globaltimer",
    "globaltimer_lo",
    "globaltimer_hi",
    "reserved_smem_offset_begin",
    "reserved_smem_offset_end",
    "reserved_smem_offset_cap",
    "total_smem_size",
    "aggr_smem_size",
    "dynamic_smem_size",
    "current_graph_exec",
)
_NUMBERED_SPECIALS: Final = (
    *(f"pm{i}" for i in range(8)),
    *(f"pm{i}_64" for i in range(8)),
    *(f"envreg{i}" for i in range(32)),
    *(f"reserved_smem_offset_{i}" for i in range(2)),
)
VECTOR_SPECIAL_REGISTERS: Final = frozenset("%" + name for name in _VECTOR_SPECIALS)
"""`%tid` and the others that have components `.x`, `.y`, `.z` (and `.w`, which is 0 or 1)."""
SPECIAL_REGISTERS: Final = (
    frozenset("%" + name for name in (*_SCALAR_SPECIALS, *_NUMBERED_SPECIALS))
    | VECTOR_SPECIAL_REGISTERS
    | frozenset(f"{name}.{component}" for name in VECTOR_SPECIAL_REGISTERS for component in "xyzw")
)
"""Every special register, as `tree.Register` names it."""

TYPE_BYTES: Final[dict[str, int]] = {
    **{f"{kind}{bits}": bits // 8 for kind in "bus" for bits in (8, 16, 32, 64)},
    "b128": 16,
    "f16": 2,
    "bf16": 2,
    "f16x2": 4,
    "bf16x2": 4,
    "tf32": 4,
    "f32": 4,
    "f64": 8,
    "texref": 8,
    "samplerref": 8,
    "surfref": 8,
}
"""Bytes of one element of each type of a variable; the opaque types as the handles that stand for them."""
REGISTER_TYPES: Final = frozenset(TYPE_BYTES) - {"texref", "samplerref", "surfref"} | {"pred"}

COMPONENTS: Final = {"x": 0, "y": 1, "z": 2, "w": 3, "r": 0, "g": 1, "b": 2, "a": 3}

# PTX ISA manual, "Performance-Tuning Directives", "Cluster Dimension Directives", "Kernel Entry Point and Function
# Directives": least and most number of integers that follow.
FUNCTION_DIRECTIVES: Final[dict[str, tuple[int, int]]] = {
    "maxntid": (1, 3),
    "reqntid": (1, 3),
    "minnctapersm": (1, 1),
    "maxnctapersm": (1, 1),
    "maxnreg": (1, 1),
    "noreturn": (0, 0),
    "explicitcluster": (0, 0),
    "reqnctapercluster": (1, 3),
    "maxclusterrank": (1, 1),
    "blocksareclusters": (0, 0),
    "abi_preserve": (1, 1),
    "abi_preserve_control": (1, 1),
}
