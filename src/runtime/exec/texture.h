// Texture and surface instructions: fetches, gathers, filtered samples, surface loads, stores and reductions, queries.
//
// Sampling follows the programming guide's appendix on texture fetching: linear filters weigh with fractions of 8 bits. Implicit levels of
// detail are level 0, as PTX says of `tex` without `.level` or `.grad`. The sides of a cube are filtered each by itself.
#pragma once

#include <cstdint>

#include "abi.h"

namespace anywarp {

// The service `texture` of abi.py; the operation word is explained in src/anywarp/isa/texture.py.
void service_texture(const abi::Launch* launch, abi::Cta* cta, std::uint32_t lanes, std::uint32_t operation, const std::uint64_t* handles,
                     const std::uint32_t* operands, std::uint32_t* results);

// Bytes of a channel by CUarray_format; 0 for formats that are not supported.
std::uint32_t texture_channel_bytes(std::uint32_t format);

}  // namespace anywarp
