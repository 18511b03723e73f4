// Which thread of a warp made a faulting access.
//
// A warp's accesses are few machine instructions, so a fault tells the warp and the PTX line, not the thread. Nothing is noted in advance,
// for that would cost every access. Instead the block is run once more, from its beginning, in a copy of the process (its memory is
// copy-on-write, so the program sees nothing of it), with a variant of the kernel that shows the runtime each lane's address before every
// access (`Services.probe`). The first access that cannot be made is the one, if it is at the same line of the same warp and near the same
// address. A block whose course hangs on what other blocks, or its own first run, have written may not come there again: then nobody
// can be named.
#pragma once

#include <cstdint>
#include <optional>

#include "abi.h"
#include "fault.h"

namespace anywarp {

class Grid;

struct Culprit {
  std::uint32_t lanes = 0;          // whose addresses cannot be accessed
  std::uint64_t addresses[32] = {};  // of these lanes
  std::uint32_t line = 0;            // of the PTX text
};

// `where`: the CTA as it was when the fault came; `line`: of the fault, 0 if it is not known. May take as long as compiling the kernel and
// running the block do, at most some seconds. Called with no lock held, while the grid's unit is claimed.
std::optional<Culprit> find_culprit(const Grid& grid, const abi::Cta& where, const Fault& fault, std::uint32_t line);

}  // namespace anywarp
