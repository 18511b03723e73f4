// Which source line an address belongs to, by DWARF line programs (`.debug_line`, versions 2 to 5).
#pragma once

#include <cstdint>
#include <optional>

#include "bytes.h"

namespace anywarp {

// `section`: a whole `.debug_line` with its relocations applied. Damaged input gives no line.
std::optional<std::uint32_t> find_line(ByteSpan section, std::uintptr_t pc);

}  // namespace anywarp
