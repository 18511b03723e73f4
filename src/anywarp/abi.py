"""The contract between compiled kernels and the native runtime: structures in memory, entry points, status codes.

This file is the one place for it. The compiler reads offsets from here (`Launch.offset("grid")`); the native build runs
`python abi.py` to write the C++ header, with a `static_assert` for every offset. Change anything and raise `VERSION`: it
is part of every cache key, so objects built for another layout are never loaded.

Entry points of compiled kernels (System V calling convention):

- `straight` (the kernel has no cut): `void f(const Launch*, Cta*, uint64_t first, uint64_t count)` runs the CTAs with linear
  index `first` to `first + count - 1` (x fastest) from begin to end, all their warps one after the other. It writes `Cta.ctaid` and
  `Cta.current_warp` as it goes, so that a fault can be attributed. `Cta.warps[0]` is a scratch warp whose `local` it uses.
- `stepped`: `uint32_t f(const Launch*, Cta*, Warp*)` runs one warp from `Warp.pc` (0: from the start) to its next cut, writes the
  new `pc`, and returns a `Status`. Values that live across the cut are in `Warp.frame`.
  At a barrier that all warps come to, and where warps run in step, it goes on with the next warp by itself (`Cta.turn_end`), and after
  the last one with the first again (`Cta.turn_rounds`); `Cta.current_warp` then tells to which warp the status belongs, and `Cta.turn`
  what those before it did.

Compiled code is free of locks and destructors at every point: the runtime may leave it by a long jump (fault, trap, cancel).
Addresses: device pointers are host addresses. A 32-bit `.shared` address is an offset from `Cta.shared`; generic addresses of shared and
local memory are host addresses too.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

VERSION = 5
WARP = 32  # lanes

_SIZES = {"u8": 1, "u32": 4, "u64": 8, "ptr": 8}
_C_TYPES = {"u8": "std::uint8_t", "u32": "std::uint32_t", "u64": "std::uint64_t"}


@dataclass(frozen=True)
class Field:
    type: str  # "u32", "u64", "u8", "ptr"
    name: str
    meaning: str
    count: int = 1
    c_type: str = ""  # pointee and all, for pointers: "const std::uint8_t*"


@dataclass(frozen=True)
class Struct:
    name: str
    meaning: str
    fields: tuple[Field, ...]

    def offset(self, field: str) -> int:
        """The byte offset of a field."""
        position = 0
        for f in self.fields:
            size = _SIZES[f.type]
            position = -(-position // size) * size
            if f.name == field:
                return position
            position += size * f.count
        raise KeyError(f"{self.name} has no field {field}")

    @property
    def size(self) -> int:
        last = self.fields[-1]
        end = self.offset(last.name) + _SIZES[last.type] * last.count
        return -(-end // 8) * 8


class Status(enum.IntEnum):
    """What a stepped kernel's entry returns."""

    EXITED = 0  # every lane has exited
    BARRIER = 1  # lanes `arrived` came to a CTA barrier: see the Warp fields `barrier_*`; blocks until it completes
    YIELD = 2  # the warp waits for somebody by polling: run others, then call again
    ARRIVED = 3  # as BARRIER, but does not block (barrier.arrive): count, then call again
    CLUSTER_ARRIVED = 4  # barrier.cluster.arrive of lanes `arrived`: count, then call again
    PARKED = 6  # as BARRIER, for a part of the warp's lanes: counts, notes that they wait, and calls again at once
    PARKED_ALL = 7  # every lane that has not exited is parked: blocks until a barrier completes at which some are (`Warp.completed`)
    CLUSTER_WAIT = 5  # barrier.cluster.wait: blocks until the cluster's current phase completes
    STEPPED = 8  # the warp waits for nobody: it lets the others of its CTA come as far as it has


class Turn(enum.IntEnum):
    """What the warps did that had their turn inside compiled code (`Cta.turn`)."""

    NONE = 0  # no warp has had one
    BARRIER = 1  # all 32 lanes came to barrier 0, as BARRIER with no count and no reduction
    STEPPED = 2  # as the Status
    EXITED = 3  # as the Status


class Reduction(enum.IntEnum):
    """`Warp.barrier_reduction`: barrier.red over the predicate bits `barrier_predicates` of arriving lanes."""

    NONE = 0
    POPC = 1
    AND = 2
    OR = 3


class Trap(enum.IntEnum):
    """Why compiled code calls `Services.trap`; it does not return."""

    TRAP = 0  # the trap instruction
    BREAKPOINT = 1  # brkpt with no debugger
    MISALIGNED = 2  # an address that is not a multiple of the access size; `detail` is the address
    BAD_ADDRESS = 3  # an address outside its window; `detail` is the address
    STACK_OVERFLOW = 4
    UNREACHABLE = 5  # control flow that PTX leaves undefined (return from a noreturn function, brx out of range)
    INVALID_BARRIER = 6  # `detail` is the barrier's number or its thread count


LAUNCH = Struct(
    "Launch",
    "One launch of one kernel; constant while it runs.",
    (
        Field("ptr", "params", "parameter buffer, laid out as the kernel's manifest says", c_type="const std::uint8_t*"),
        Field("ptr", "symbols", "addresses of the variables named by the kernel's manifest", c_type="const std::uint64_t*"),
        Field("ptr", "services", "functions that compiled code calls", c_type="const struct Services*"),
        Field("u32", "grid", "CTAs in x, y, z", 3),
        Field("u32", "block", "threads of a CTA in x, y, z", 3),
        Field("u32", "threads", "threads of a CTA"),
        Field("u32", "warps", "warps of a CTA, the last one perhaps partial"),
        Field("u32", "cluster", "CTAs of a cluster in x, y, z; 1, 1, 1 without clusters", 3),
        Field("u32", "static_shared", "bytes of statically declared shared memory"),
        Field("u32", "dynamic_shared", "bytes of dynamic shared memory, behind the static (16-byte aligned)"),
        Field("u32", "total_shared", "bytes of both"),
        Field("u32", "sm_count", "%nsmid"),
        Field("u64", "grid_id", "%gridid, unique in the process"),
        Field("u64", "grid_workspace", "%envreg1 and 2: address of a cooperative grid's size and barrier (two u32), else 0"),
        Field("ptr", "runtime", "the runtime's own record of the launch", c_type="void*"),
        Field("u64", "graph_exec", "%current_graph_exec: the executable graph, launchable by kernels, that this is part of; else 0"),
    ),
)

CTA = Struct(
    "Cta",
    "One CTA in flight on a worker thread.",
    (
        Field("u32", "ctaid", "index in x, y, z", 3),
        Field("u32", "current_warp", "index of the warp that runs now (for faults)"),
        Field("ptr", "shared", "base of the 32-bit shared window, 1024-byte aligned", c_type="std::uint8_t*"),
        Field("ptr", "warps", "Launch.warps warps (one scratch warp for straight kernels)", c_type="struct Warp*"),
        Field("ptr", "cluster", "table of the shared bases of the cluster's CTAs by rank", c_type="std::uint8_t**"),
        Field("u32", "smid", "%smid: number of the worker"),
        Field("u32", "cluster_rank", "%cluster_ctarank"),
        Field("u32", "turn_end", "warps from the one that is entered up to this one may have their turns inside compiled code"),
        Field("u32", "turn", "a Turn: what all warps from the one that was entered up to current_warp - 1 did"),
        Field("u32", "turn_rounds", "rounds over all warps that compiled code may still begin by itself"),
        Field("ptr", "runtime", "the runtime's own record of the CTA", c_type="void*"),
    ),
)

WARP_STATE = Struct(
    "Warp",
    "One warp's state between two steps.",
    (
        Field("u32", "pc", "resume point; 0 is the kernel's start"),
        Field("u32", "index", "%warpid in the CTA"),
        Field("u32", "exists", "mask of the lanes that exist (all ones but in a partial last warp)"),
        Field("u32", "live", "mask of the lanes that have not exited; compiled code keeps it right at every cut"),
        Field("ptr", "frame", "context of `frame_bytes` for values that live across cuts, 64-byte aligned", c_type="std::uint8_t*"),
        Field("ptr", "local", "local memory: 32 x `local_bytes`, lane after lane, 64-byte aligned", c_type="std::uint8_t*"),
        Field("u32", "arrived", "lanes that arrive at the barrier"),
        Field("u32", "barrier_id", "0 to 15"),
        Field("u32", "barrier_threads", "threads that complete the barrier; 0: all of the CTA that have not exited"),
        Field("u32", "barrier_reduction", "a Reduction"),
        Field("u32", "barrier_predicates", "predicate of each lane for the reduction"),
        Field("u32", "barrier_result", "written by the runtime before the warp goes on: the count, or 0 or 1"),
        Field("u32", "completed", "mask of barriers that completed while lanes were parked at them; compiled code clears what it has seen"),
        Field("u32", "parked_results", "of each barrier, as barrier_result, for parked lanes", 16),
        Field("ptr", "stack", "where a warp runs whose functions wait (a fiber), or null", c_type="std::uint8_t*"),
        Field("ptr", "runtime", "the runtime's own", c_type="void*"),
    ),
)

TENSOR_MAP = Struct(
    "TensorMap",
    "What a CUtensorMap (128 bytes, opaque to programs) holds here: written by cuTensorMapEncode* and tensormap.replace, read by tensor "
    "copies.",
    (
        Field("u64", "address", "of the first element"),
        Field("u64", "stride", "bytes from one element to the next in dimensions 1 to 4", 4),
        Field("u32", "size", "elements of each dimension, the innermost first; 0 stands for 2^32", 5),
        Field("u32", "box", "tiled: elements of the box. im2col: channels, pixels, then of each spatial dimension (width first) the lower "
              "corner in the low 16 bits and the upper corner in the high ones", 5),
        Field("u8", "step", "of each dimension: the box's elements lie so many apart", 5),
        Field("u8", "type", "a CUtensorMapDataType"),
        Field("u8", "rank", "1 to 5"),
        Field("u8", "is_im2col", "0 or 1"),
        Field("u8", "interleave", "a CUtensorMapInterleave"),
        Field("u8", "swizzle", "mode, and from bit 4 its units, as tensormap.replace numbers them"),
        Field("u8", "fill", "a CUtensorMapFloatOOBfill"),
    ),
)  # fmt: skip

TEXTURE = Struct(
    "Texture",
    "What a texture or surface handle points to.",
    (
        Field("u64", "magic", "TEXTURE_MAGIC while the object lives"),
        Field("u64", "level", "address of each mipmap level", 16),
        Field("u64", "pitch", "bytes of a row of the first level; of others, the width times the element"),
        Field("u32", "width", "elements; of linear memory all of them"),
        Field("u32", "height", "rows, 0 where there is one dimension"),
        Field("u32", "depth", "slices, or layers (of a cube map six a cube); 0 where there is neither"),
        Field("u32", "border", "bits of the border colour's four floats", 4),
        Field("u32", "bias", "of the mipmap level, bits of a float"),
        Field("u32", "least_level", "bits of a float"),
        Field("u32", "greatest_level", "bits of a float"),
        Field("u8", "format", "of a channel: its CUarray_format (8-, 16- and 32-bit numbers, half, float)"),
        Field("u8", "channels", "1, 2 or 4"),
        Field("u8", "is_linear", "linear memory: fetched by index only"),
        Field("u8", "is_layered", "depth counts layers"),
        Field("u8", "is_cube", "six layers are the sides of a cube"),
        Field("u8", "levels", "mipmap levels, at least 1"),
        Field("u8", "address_mode", "a CUaddress_mode by dimension", 3),
        Field("u8", "filter", "a CUfilter_mode"),
        Field("u8", "mipmap_filter", "a CUfilter_mode"),
        Field("u8", "reads_integers", "integers stay integers (CU_TRSF_READ_AS_INTEGER)"),
        Field("u8", "is_normalized", "coordinates go from 0 to 1"),
        Field("u8", "is_srgb", "8-bit colours are converted to linear"),
    ),
)
TEXTURE_MAGIC = 0x5445585455524531

SERVICES: tuple[tuple[str, str], ...] = (
    # name, C signature after the name. `lanes` is the mask of active lanes; vectors hold 32 elements.
    (
        "vprintf",
        "void(const Launch*, Cta*, std::uint32_t lanes, const std::uint64_t* formats, const std::uint64_t* arguments, "
        "std::uint32_t* results)",
    ),
    ("malloc", "void(const Launch*, Cta*, std::uint32_t lanes, const std::uint64_t* bytes, std::uint64_t* results)"),
    ("free", "void(const Launch*, Cta*, std::uint32_t lanes, const std::uint64_t* addresses)"),
    # message, file, line, function of the first failing lane of each; does not return
    (
        "assertfail",
        "void(const Launch*, Cta*, std::uint32_t lanes, const std::uint64_t* messages, const std::uint64_t* files, "
        "const std::uint32_t* lines, const std::uint64_t* functions)",
    ),
    # `reason`: a Trap, plus 256 times the line of the PTX text (0: not known). Does not return.
    ("trap", "void(const Launch*, Cta*, std::uint32_t lanes, std::uint32_t reason, std::uint64_t detail)"),
    ("globaltimer", "std::uint64_t()"),  # ns
    ("nanosleep", "void(std::uint32_t ns)"),
    # A tensor copy of one lane. `operation`: a TensorOperation, plus 256 for im2col. `coordinates`: one a dimension. `offsets`: of im2col,
    # one a spatial dimension. Gives the bytes of the box.
    (
        "tensor",
        "std::uint32_t(const Launch*, Cta*, std::uint32_t lanes, std::uint32_t operation, std::uint64_t map, std::uint64_t shared, "
        "const std::int32_t* coordinates, const std::uint16_t* offsets)",
    ),
    # Texture and surface instructions of all active lanes. `operation`: see isa/texture.py. `operands`: vectors of 32 words, one after the
    # other; `results`: four vectors of 32 words, or of stores the values.
    (
        "texture",
        "void(const Launch*, Cta*, std::uint32_t lanes, std::uint32_t operation, const std::uint64_t* handles, "
        "const std::uint32_t* operands, std::uint32_t* results)",
    ),
    # In a function that is called: the warp waits as if its entry had returned `status`; comes back when it is run again. Fibers only.
    ("yield", "void(const Launch*, Cta*, Warp*, std::uint32_t status)"),
    # Probing variants only: before an access of the instruction in line `line` of the PTX text, where each active lane's begins.
    ("probe", "void(const Launch*, Cta*, std::uint32_t lanes, const std::uint64_t* addresses, std::uint32_t line, std::uint32_t writes)"),
    # Functions of the device runtime (ptx/device_runtime.py): a DeviceFunction, and the address of its arguments, a lane.
    (
        "device",
        "void(const Launch*, Cta*, std::uint32_t lanes, const std::uint64_t* functions, const std::uint64_t* arguments, "
        "std::uint64_t* results)",
    ),
)


class DeviceFunction(enum.IntEnum):
    """What kernels ask of the service `device`. The result is a cudaError_t where nothing else is said."""

    PARAMETER_BUFFER = 0  # gives the address of a buffer for a launch's parameters, 0 for a launch that cannot be
    LAUNCH = 1
    PLAIN_PARAMETER_BUFFER = 2  # gives an address; the launch is described later
    PLAIN_LAUNCH = 3
    SYNCHRONIZE = 4  # gives 1 while something that the grid has launched is not complete
    STREAM_CREATE = 5
    STREAM_DESTROY = 6
    STREAM_WAIT_EVENT = 7
    EVENT_CREATE = 8
    EVENT_RECORD = 9
    EVENT_DESTROY = 10
    COPY = 11
    COPY_2D = 12
    COPY_3D = 13
    FILL = 14
    FILL_2D = 15
    FILL_3D = 16
    LAST_ERROR = 17
    PEEK_ERROR = 18
    ERROR_NAME = 19  # gives the address of a string
    ERROR_STRING = 20  # likewise
    DEVICE_COUNT = 21
    DEVICE = 22
    DEVICE_ATTRIBUTE = 23
    LIMIT = 24
    ZERO_OPTION = 25  # a preference that is never set: writes 0
    VERSION = 26
    FUNCTION_ATTRIBUTES = 27
    OCCUPANCY = 28
    GRAPH_LAUNCH = 29
    NODE_SET_PARAMETER = 30
    NODE_SET_ENABLED = 31
    NODE_SET_GRID = 32
    NODE_UPDATES = 33
    MALLOC = 34
    FREE = 35


class TensorOperation(enum.IntEnum):
    """What a tensor copy does with the elements in global memory; from ADD on it combines them with those in shared memory."""

    LOAD = 0
    STORE = 1
    ADD = 2
    MIN = 3
    MAX = 4
    INC = 5
    DEC = 6
    AND = 7
    OR = 8
    XOR = 9


def service_offset(name: str) -> int:
    """The byte offset of a function pointer in `Services`."""
    return 8 * [n for n, _ in SERVICES].index(name)


def header() -> str:
    """The C++ header that mirrors this file."""
    out = [
        "// Generated from src/anywarp/abi.py; the contract is explained there.",
        "#pragma once",
        "#include <cstddef>",
        "#include <cstdint>",
        "namespace anywarp::abi {",
        f"inline constexpr std::uint32_t kVersion = {VERSION};",
        f"inline constexpr std::uint32_t kWarp = {WARP};",
    ]
    enums: tuple[type[enum.IntEnum], ...] = (Status, Turn, Reduction, Trap, TensorOperation, DeviceFunction)
    for e in enums:
        out.append(f"enum class {e.__name__} : std::uint32_t {{")
        out += [f"  {member.name} = {member.value}," for member in e]
        out.append("};")
    out += ["struct Launch;", "struct Cta;", "struct Warp;", "struct Services {"]
    for name, signature in SERVICES:
        result, _, arguments = signature.partition("(")
        out.append(f"  {result} (*{name})({arguments};")
    out.append("};")
    out.append(f"inline constexpr std::uint64_t kTextureMagic = {TEXTURE_MAGIC:#x};")
    for s in (LAUNCH, CTA, WARP_STATE, TENSOR_MAP, TEXTURE):
        out += [f"// {s.meaning}", f"struct {s.name} {{"]
        for f in s.fields:
            array = f"[{f.count}]" if f.count > 1 else ""
            out.append(f"  {f.c_type or _C_TYPES[f.type]} {f.name}{array};  // {f.meaning}")
        out.append("};")
        out += [f"static_assert(offsetof({s.name}, {f.name}) == {s.offset(f.name)});" for f in s.fields]
        out.append(f"static_assert(sizeof({s.name}) == {s.size});")
    out += [
        "using StraightEntry = void (*)(const Launch*, Cta*, std::uint64_t first, std::uint64_t count);",
        "using SteppedEntry = std::uint32_t (*)(const Launch*, Cta*, Warp*);",
        "}  // namespace anywarp::abi",
        "",
    ]
    return "\n".join(out)


if __name__ == "__main__":
    print(header(), end="")
