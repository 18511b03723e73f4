#include "texture_warp.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "narrow_floats.h"

// This file is compiled twice on x86-64: for every processor, and for those with AVX2 (texture_warp_avx2.cpp).
#if !defined(ANYWARP_FETCH_WARP)
#define ANYWARP_FETCH_WARP fetch_warp_anywhere
#endif

namespace anywarp {
namespace {

using abi::Texture;
using Four = float __attribute__((vector_size(16)));
using Words = std::uint32_t __attribute__((vector_size(16)));

constexpr int kLanes = 32;
enum Format : std::uint32_t { kU8 = 1, kU16 = 2, kU32 = 3, kS32 = 10, kHalf = 16, kFloat = 32 };  // CUarray_format
enum Mode : std::uint32_t { kModeWrap, kModeClamp, kModeMirror, kModeBorder };                    // CUaddress_mode

// ---- Texels

template <typename Channel>
Channel channel(const std::uint8_t* at, int c) {
  Channel value;
  std::memcpy(&value, at + static_cast<std::size_t>(c) * sizeof value, sizeof value);
  return value;
}

// Colours of 8 bits as floats: from 0 to 1, and from sRGB to linear.
struct Colours {
  std::array<float, 256> plain{}, linear{};
  Colours() {
    for (int i = 0; i < 256; ++i) {
      const float c = plain[static_cast<std::size_t>(i)] = static_cast<float>(i) / 255.0f;
      linear[static_cast<std::size_t>(i)] = c <= 0.04045f ? c / 12.92f : std::pow((c + 0.055f) / 1.055f, 2.4f);
    }
  }
};
const Colours colours;

// Each reads the channels of a texel; those that are not there are 0, 0, 1.
template <int C>
struct ReadFloat {
  static constexpr std::size_t kBytes = 4 * C;
  static Four read(const std::uint8_t* at) {
    Four v{0, 0, 0, 1};
    if constexpr (C == 4) std::memcpy(&v, at, sizeof v);
    else
      for (int c = 0; c < C; ++c) v[c] = channel<float>(at, c);
    return v;
  }
};
template <int C>
struct ReadHalf {
  static constexpr std::size_t kBytes = 2 * C;
  static Four read(const std::uint8_t* at) {
    Four v{0, 0, 0, 1};
    for (int c = 0; c < C; ++c) v[c] = float_of_half(channel<std::uint16_t>(at, c));
    return v;
  }
};
template <int C>
struct ReadU8 {
  static constexpr std::size_t kBytes = C;
  static Four read(const std::uint8_t* at) {
    Four v{0, 0, 0, 1};
    for (int c = 0; c < C; ++c) v[c] = colours.plain[at[c]];
    return v;
  }
};
template <int C>
struct ReadSrgb {
  static constexpr std::size_t kBytes = C;
  static Four read(const std::uint8_t* at) {
    Four v{0, 0, 0, 1};
    for (int c = 0; c < C; ++c) v[c] = c < 3 ? colours.linear[at[c]] : colours.plain[at[c]];
    return v;
  }
};
template <int C>
struct ReadU16 {
  static constexpr std::size_t kBytes = 2 * C;
  static Four read(const std::uint8_t* at) {
    Four v{0, 0, 0, 1};
    for (int c = 0; c < C; ++c) v[c] = static_cast<float>(channel<std::uint16_t>(at, c)) / 65535.0f;
    return v;
  }
};
// Integers stay integers: their bits travel as floats.
template <typename Channel, int C>
struct ReadInteger {
  static constexpr std::size_t kBytes = sizeof(Channel) * C;
  static Four read(const std::uint8_t* at) {
    Words v{0, 0, 0, 1};
    for (int c = 0; c < C; ++c) v[c] = channel<Channel>(at, c);
    return std::bit_cast<Four>(v);
  }
};

// ---- Where the lanes sample

// One dimension: the index of each lane's texel, of the second one under a linear filter with its weight, and whether they are inside.
struct Axis {
  alignas(16) std::int32_t index[2][kLanes];
  alignas(16) std::int32_t inside[2][kLanes];  // all ones or zero
  alignas(16) float weight[kLanes];
};

// Indices that an address mode makes of those outside.
void address(std::int32_t* index, std::int32_t* inside, std::int32_t size, std::uint32_t mode, bool is_normalized) {
  if (is_normalized && (mode == kModeWrap || mode == kModeMirror)) {
    const std::int32_t period = mode == kModeWrap ? size : 2 * size;
    const double one_over = 1.0 / period;
    for (int l = 0; l < kLanes; ++l) {
      // The quotient may be one off.
      std::int32_t i = index[l] - static_cast<std::int32_t>(static_cast<double>(index[l]) * one_over) * period;
      i += i < 0 ? period : 0;
      i -= i >= period ? period : 0;
      index[l] = i < size ? i : period - 1 - i;
      inside[l] = -1;
    }
    return;
  }
  for (int l = 0; l < kLanes; ++l) {
    const std::int32_t i = std::clamp(index[l], 0, size - 1);
    inside[l] = mode == kModeBorder && i != index[l] ? 0 : -1;
    index[l] = i;
  }
}

// Positions in elements, and what the filter makes of them. False: some lane is far out, or not a number.
bool locate(const WarpFetch& f, int dimension, std::int32_t size, const Texture& t, bool linear, Axis* axis) {
  constexpr double kFar = 0x1p29;  // indices and sizes together stay below 2^31
  constexpr double kRound = 6755399441055744.0;  // adding it rounds to a whole number
  alignas(16) double at[kLanes];
  const std::uint32_t* words = f.operands + kLanes * dimension;
  const auto* offsets = reinterpret_cast<const std::int32_t*>(f.operands + kLanes * (11 + dimension));
  const double scale = t.is_normalized && f.has_float_coordinates ? size : 1;
  if (f.has_float_coordinates) {
    for (int l = 0; l < kLanes; ++l) at[l] = static_cast<double>(std::bit_cast<float>(words[l])) * scale + static_cast<double>(offsets[l]);
  } else {
    for (int l = 0; l < kLanes; ++l) at[l] = static_cast<double>(static_cast<std::int32_t>(words[l])) + static_cast<double>(offsets[l]);
  }
  if (f.lanes != ~0u) {
    for (int l = 0; l < kLanes; ++l) at[l] = (f.lanes >> l & 1) != 0 ? at[l] : 0.0;  // lanes that are off hold anything
  }
  int far = 0;
  for (int l = 0; l < kLanes; ++l) far += std::fabs(at[l]) < kFar ? 0 : 1;
  if (far != 0) return false;
  const double shift = linear ? 0.5 : 0.0;
  for (int l = 0; l < kLanes; ++l) {
    const double v = at[l] - shift;
    std::int32_t i = static_cast<std::int32_t>(v);
    i -= v < static_cast<double>(i) ? 1 : 0;
    axis->index[0][l] = i;
    axis->index[1][l] = i + 1;
    axis->weight[l] = static_cast<float>(((v - static_cast<double>(i)) * 256.0 + kRound) - kRound) / 256.0f;
  }
  const std::uint32_t mode = t.address_mode[dimension];
  address(axis->index[0], axis->inside[0], size, mode, t.is_normalized);
  if (linear) address(axis->index[1], axis->inside[1], size, mode, t.is_normalized);
  return true;
}

// ---- Fetching

struct Place {
  const std::uint8_t* base;
  std::size_t row, slice;  // bytes
  Axis axes[3];
  Four border;
  bool has_border;
};

// `which`: the second texel of a dimension where its bit is set.
template <typename Read, int D, bool kBorder>
Four corner(const Place& p, int lane, int which) {
  std::int32_t inside = -1;
  std::size_t offset = 0;
  for (int d = 0; d < D; ++d) {
    const int second = which >> d & 1;
    if constexpr (kBorder) inside &= p.axes[d].inside[second][lane];
    offset += static_cast<std::size_t>(static_cast<std::uint32_t>(p.axes[d].index[second][lane])) * (d == 0 ? Read::kBytes : d == 1 ? p.row : p.slice);
  }
  const Four texel = Read::read(p.base + offset);
  if constexpr (!kBorder) return texel;
  const auto chosen = static_cast<std::uint32_t>(inside);
  const Words mask{chosen, chosen, chosen, chosen};
  return std::bit_cast<Four>((std::bit_cast<Words>(texel) & mask) | (std::bit_cast<Words>(p.border) & ~mask));
}

template <int D>
float weight_of(const Place& p, int lane, int which) {
  float weight = 1.0f;
  for (int d = 0; d < D; ++d) weight *= which >> d & 1 ? p.axes[d].weight[lane] : 1.0f - p.axes[d].weight[lane];
  return weight;
}

// The weighed sum in which texels without weight do not count, whatever they are.
template <typename Read, int D, bool kBorder>
__attribute__((noinline)) Four sum_of_weighty(const Place& p, int lane) {
  Four v{0, 0, 0, 0};
  for (int which = 0; which < 1 << D; ++which)
    if (const float weight = weight_of<D>(p, lane, which); weight != 0.0f) v += weight * corner<Read, D, kBorder>(p, lane, which);
  return v;
}

template <typename Read, int D, bool kLinear, bool kBorder>
void fetch_lanes(const Place& p, const WarpFetch& f) {
  for (int l = 0; l < kLanes; ++l) {
    if ((f.lanes >> l & 1) == 0) continue;
    Four v;
    if constexpr (!kLinear) {
      v = corner<Read, D, kBorder>(p, l, 0);
    } else {
      v = Four{0, 0, 0, 0};
#pragma GCC unroll 8
      for (int which = 0; which < 1 << D; ++which) v += weight_of<D>(p, l, which) * corner<Read, D, kBorder>(p, l, which);
      // Only infinities and what is no number make a texel without weight count.
      const Four check = v - v;
      if (check[0] + check[1] + check[2] + check[3] != 0.0f) v = sum_of_weighty<Read, D, kBorder>(p, l);
    }
    const Words bits = std::bit_cast<Words>(v);
    for (int c = 0; c < 4; ++c) f.results[kLanes * c + l] = bits[c];
  }
}

template <typename Read, int D, bool kLinear>
void fetch(const Place& p, const WarpFetch& f) {
  p.has_border ? fetch_lanes<Read, D, kLinear, true>(p, f) : fetch_lanes<Read, D, kLinear, false>(p, f);
}

using Fetch = void (*)(const Place&, const WarpFetch&);

template <typename Read, bool kFilters>
Fetch choose(int dimensions, [[maybe_unused]] bool linear) {
  if constexpr (kFilters) {
    if (linear) return dimensions == 1 ? fetch<Read, 1, true> : dimensions == 2 ? fetch<Read, 2, true> : fetch<Read, 3, true>;
  }
  return dimensions == 1 ? fetch<Read, 1, false> : dimensions == 2 ? fetch<Read, 2, false> : fetch<Read, 3, false>;
}

template <int C>
Fetch choose(const Texture& t, int dimensions, bool linear) {
  switch (t.format) {
    case kFloat: return choose<ReadFloat<C>, true>(dimensions, linear);
    case kHalf: return choose<ReadHalf<C>, true>(dimensions, linear);
    case kU32: case kS32: return choose<ReadInteger<std::uint32_t, C>, false>(dimensions, false);
    case kU16: return t.reads_integers ? choose<ReadInteger<std::uint16_t, C>, false>(dimensions, false) : choose<ReadU16<C>, true>(dimensions, linear);
    case kU8:
      if (t.reads_integers) return choose<ReadInteger<std::uint8_t, C>, false>(dimensions, false);
      return t.is_srgb ? choose<ReadSrgb<C>, true>(dimensions, linear) : choose<ReadU8<C>, true>(dimensions, linear);
    default: return nullptr;
  }
}

Fetch choose(const Texture& t, int dimensions, bool linear) {
  return t.channels == 1 ? choose<1>(t, dimensions, linear) : t.channels == 2 ? choose<2>(t, dimensions, linear) : choose<4>(t, dimensions, linear);
}

// Linear memory: what is outside is zero.
bool fetch_by_index(const Texture& t, const WarpFetch& f, Place* p) {
  if (f.has_float_coordinates) return false;
  const Fetch run = choose(t, 1, false);
  if (run == nullptr) return false;
  for (int l = 0; l < kLanes; ++l) {
    const bool inside = f.operands[l] < t.width;
    p->axes[0].index[0][l] = inside ? static_cast<std::int32_t>(f.operands[l]) : 0;
    p->axes[0].inside[0][l] = inside ? -1 : 0;
  }
  p->border = Four{0, 0, 0, 0};
  p->has_border = true;
  run(*p, f);
  return true;
}

}  // namespace

bool ANYWARP_FETCH_WARP(const Texture& t, const WarpFetch& f) {
  Place p;
  p.base = reinterpret_cast<const std::uint8_t*>(t.level[0]);
  if (t.width > 0x7fffffffu) return false;
  if (t.is_linear) return fetch_by_index(t, f, &p);
  if (t.is_layered || t.is_cube) return false;
  const std::uint32_t sizes[3] = {std::max(1u, t.width), std::max(1u, t.height), std::max(1u, t.depth)};
  if (std::max({sizes[0], sizes[1], sizes[2]}) > 1u << 28) return false;
  // Integers are not filtered. Floats are none, though the runtime asks for every texture in element type to be read as integers.
  const bool is_integer = t.format != kFloat && t.format != kHalf && (t.reads_integers || t.format == kU32 || t.format == kS32);
  const bool linear = t.filter != 0 && f.has_float_coordinates && !is_integer;
  const Fetch run = choose(t, f.dimensions, linear);
  if (run == nullptr) return false;
  p.row = t.pitch;
  p.slice = t.pitch * sizes[1];
  p.has_border = false;
  for (int d = 0; d < f.dimensions; ++d) {
    if (!locate(f, d, static_cast<std::int32_t>(sizes[d]), t, linear, &p.axes[d])) return false;
    p.has_border |= t.address_mode[d] == kModeBorder;
  }
  std::memcpy(&p.border, t.border, sizeof p.border);
  run(p, f);
  return true;
}

}  // namespace anywarp
