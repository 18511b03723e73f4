// Fetches of a whole warp from one texture in the forms that programs use most: one to three dimensions, one level, common formats, point and
// linear filters, all address modes. Bit for bit what texture.cpp computes lane by lane, which does everything else.
#pragma once

#include <cstdint>

#include "abi.h"

namespace anywarp {

struct WarpFetch {
  std::uint32_t lanes;
  int dimensions;
  bool has_float_coordinates;
  const std::uint32_t* operands;  // vectors of 32 words: coordinates from the first on, offsets from the twelfth on
  std::uint32_t* results;         // four vectors
};

// False where the form is none of these, or an index out of the ordinary: nothing has been written.
bool fetch_warp_anywhere(const abi::Texture& texture, const WarpFetch& fetch);
bool fetch_warp_avx2(const abi::Texture& texture, const WarpFetch& fetch);  // x86-64, if the processor has AVX2

inline bool fetch_warp(const abi::Texture& texture, const WarpFetch& fetch) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) return fetch_warp_avx2(texture, fetch);
#endif
  return fetch_warp_anywhere(texture, fetch);
}

}  // namespace anywarp
