#include "texture.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "fault.h"
#include "narrow_floats.h"
#include "texture_warp.h"

namespace anywarp {
namespace {

using abi::Texture;

enum Kind : std::uint32_t { kSample, kGather, kLoad, kStore, kStoreFormatted, kReduce, kQuery };
enum Geometry : std::uint32_t { k1d, k2d, k3d, kArray1d, kArray2d, kCube, kCubeArray };
enum Clamp : std::uint32_t { kTrap, kClamp, kZero };
enum Level : std::uint32_t { kImplicit, kBase, kExplicit, kGradients };
enum Format : std::uint32_t { kU8 = 1, kU16 = 2, kU32 = 3, kS8 = 8, kS16 = 9, kS32 = 10, kHalf = 16, kFloat = 32 };  // CUarray_format
enum Mode : std::uint32_t { kModeWrap, kModeClamp, kModeMirror, kModeBorder };                                       // CUaddress_mode

struct Word {  // the operation, taken apart
  std::uint32_t bits;
  std::uint32_t kind() const { return bits & 15; }
  std::uint32_t geometry() const { return bits >> 4 & 15; }
  bool has_float_coordinates() const { return bits >> 8 & 1; }
  std::uint32_t level() const { return bits >> 10 & 3; }
  bool compares_depth() const { return bits >> 13 & 1; }
  std::uint32_t component() const { return bits >> 14 & 3; }
  std::uint32_t type() const { return bits >> 16 & 15; }  // of a sample: 0 integer, 1 f32, 2 f16x2; of a surface access: log2 of the bytes
  std::uint32_t count() const { return 1u << (bits >> 20 & 3); }
  std::uint32_t clamp() const { return bits >> 22 & 3; }
  std::uint32_t reduction() const { return bits >> 24 & 15; }  // an abi::TensorOperation
  bool is_signed() const { return bits >> 28 & 1; }
  bool counts_elements() const { return bits >> 29 & 1; }  // the first coordinate of a reduction
  std::uint32_t query() const { return bits >> 16 & 255; }
};

constexpr int kSlots = 15;  // 0-3 coordinates, 4 level, 5-7 and 8-10 gradients, 11-13 offsets, 14 depth

struct Lane {  // the operands of one lane
  const std::uint32_t* words;
  std::uint32_t word(int slot) const { return words[32 * slot]; }
  std::int32_t integer(int slot) const { return static_cast<std::int32_t>(word(slot)); }
  float number(int slot) const { return std::bit_cast<float>(word(slot)); }
};

struct Texel {
  float f[4];          // where `is_float`
  std::uint32_t i[4];  // else
  bool is_float;
};

// A level's size in elements.
struct Size {
  std::int64_t width, height, depth;
  std::uint64_t pitch;
};

Size size_of(const Texture& t, int level) {
  const std::uint32_t element = texture_channel_bytes(t.format) * t.channels;
  const auto halved = [level](std::uint32_t n) { return static_cast<std::int64_t>(std::max(1u, n >> level)); };
  Size s{halved(t.width), halved(t.height), t.is_layered || t.is_cube ? std::max(1u, t.depth) : halved(t.depth), t.pitch};
  if (level > 0) s.pitch = static_cast<std::uint64_t>(s.width) * element;
  return s;
}

float linear_of_srgb(float c) { return c <= 0.04045f ? c / 12.92f : std::pow((c + 0.055f) / 1.055f, 2.4f); }

Texel read_texel(const Texture& t, int level, const Size& s, std::int64_t x, std::int64_t y, std::int64_t z) {
  Texel out{};
  const std::uint32_t bytes = texture_channel_bytes(t.format);
  const auto* at = reinterpret_cast<const std::uint8_t*>(t.level[level] + static_cast<std::uint64_t>(x) * bytes * t.channels +
                                                         static_cast<std::uint64_t>(y + z * s.height) * s.pitch);
  const bool is_small_integer = t.format == kU8 || t.format == kS8 || t.format == kU16 || t.format == kS16;
  out.is_float = t.format == kHalf || t.format == kFloat || (is_small_integer && !t.reads_integers);
  out.f[3] = 1.0f;
  out.i[3] = 1;
  for (int c = 0; c < t.channels; ++c, at += bytes) {
    std::uint32_t raw = 0;
    std::memcpy(&raw, at, bytes);
    switch (t.format) {
      case kU8: out.i[c] = raw, out.f[c] = static_cast<float>(raw) / 255.0f; break;
      case kU16: out.i[c] = raw, out.f[c] = static_cast<float>(raw) / 65535.0f; break;
      case kS8: {
        const auto value = static_cast<std::int8_t>(raw);
        out.i[c] = static_cast<std::uint32_t>(std::int32_t{value}), out.f[c] = std::max(static_cast<float>(value) / 127.0f, -1.0f);
        break;
      }
      case kS16: {
        const auto value = static_cast<std::int16_t>(raw);
        out.i[c] = static_cast<std::uint32_t>(std::int32_t{value}), out.f[c] = std::max(static_cast<float>(value) / 32767.0f, -1.0f);
        break;
      }
      case kHalf: out.f[c] = float_of_half(static_cast<std::uint16_t>(raw)); break;
      case kFloat: out.f[c] = std::bit_cast<float>(raw); break;
      default: out.i[c] = raw;
    }
    if (t.is_srgb && t.format == kU8 && out.is_float && c < 3) out.f[c] = linear_of_srgb(out.f[c]);
  }
  return out;
}

Texel border_of(const Texture& t) {
  Texel out = {};
  out.is_float = t.format == kHalf || t.format == kFloat || (!t.reads_integers && t.format != kU32 && t.format != kS32);
  for (int c = 0; c < 4; ++c) out.i[c] = t.border[c], out.f[c] = std::bit_cast<float>(t.border[c]);
  return out;
}

// The index that an address mode makes of one outside; false: the border.
bool address(std::int64_t* index, std::int64_t size, std::uint32_t mode, bool is_normalized) {
  const std::int64_t i = *index;
  if (i >= 0 && i < size) return true;
  if (mode == kModeBorder) return false;
  if (mode == kModeWrap && is_normalized) {
    *index = (i % size + size) % size;
  } else if (mode == kModeMirror && is_normalized) {
    const std::int64_t in_two = (i % (2 * size) + 2 * size) % (2 * size);
    *index = in_two < size ? in_two : 2 * size - 1 - in_two;
  } else {
    *index = std::clamp<std::int64_t>(i, 0, size - 1);
  }
  return true;
}

struct Point {  // where a sample is taken: coordinates in elements of the level
  double at[3];
  int dimensions;
  std::int64_t layer;
};

std::int64_t floor_of(double v) {
  if (!(v > -1e15)) return static_cast<std::int64_t>(-1e15);
  return static_cast<std::int64_t>(std::floor(std::min(v, 1e15)));
}

Texel texel_at(const Texture& t, int level, const Size& s, const Point& p, std::int64_t x, std::int64_t y, std::int64_t z) {
  const std::uint32_t mode_of[3] = {t.address_mode[0], t.address_mode[1], t.address_mode[2]};
  bool inside = address(&x, s.width, t.is_cube ? kModeClamp : mode_of[0], t.is_normalized);
  if (p.dimensions > 1) inside = address(&y, s.height, t.is_cube ? kModeClamp : mode_of[1], t.is_normalized) && inside;
  if (p.dimensions > 2) inside = address(&z, s.depth, mode_of[2], t.is_normalized) && inside;
  if (!inside) return border_of(t);
  return read_texel(t, level, s, x, p.dimensions > 1 ? y : 0, p.dimensions > 2 ? z : p.layer);
}

// The index of the first of two neighbours and the weight of the second, in 256ths.
std::pair<std::int64_t, float> neighbours(double v) {
  const double shifted = v - 0.5;
  std::int64_t i = floor_of(shifted);
  const auto part = static_cast<int>(std::lrint((shifted - std::floor(shifted)) * 256.0));
  return {i, static_cast<float>(std::isfinite(shifted) ? part : 0) / 256.0f};
}

Texel filtered(const Texture& t, int level, const Size& s, const Point& p, bool linear) {
  if (!linear) return texel_at(t, level, s, p, floor_of(p.at[0]), floor_of(p.at[1]), floor_of(p.at[2]));
  std::pair<std::int64_t, float> n[3] = {};
  for (int d = 0; d < p.dimensions; ++d) n[d] = neighbours(p.at[d]);
  Texel sum{};
  for (int corner = 0; corner < 1 << p.dimensions; ++corner) {
    float weight = 1.0f;
    std::int64_t index[3] = {};
    for (int d = 0; d < p.dimensions; ++d) {
      const bool second = corner >> d & 1;
      weight *= second ? n[d].second : 1.0f - n[d].second;
      index[d] = n[d].first + second;
    }
    const Texel one = texel_at(t, level, s, p, index[0], index[1], index[2]);
    if (!one.is_float) return texel_at(t, level, s, p, floor_of(p.at[0]), floor_of(p.at[1]), floor_of(p.at[2]));
    sum.is_float = true;
    if (weight != 0.0f)
      for (int c = 0; c < 4; ++c) sum.f[c] += weight * one.f[c];
  }
  return sum;
}

// The side of a cube that a direction meets, and where: coordinates from 0 to 1.
int cube_side(const float v[3], double* s, double* t) {
  const float ax = std::fabs(v[0]), ay = std::fabs(v[1]), az = std::fabs(v[2]);
  double m = 0, sc = 0, tc = 0;
  int side = 0;
  if (ax >= ay && ax >= az) {
    side = std::signbit(v[0]) ? 1 : 0, m = ax, sc = side == 0 ? -v[2] : v[2], tc = -v[1];
  } else if (ay >= az) {
    side = std::signbit(v[1]) ? 3 : 2, m = ay, sc = v[0], tc = side == 2 ? v[2] : -v[2];
  } else {
    side = std::signbit(v[2]) ? 5 : 4, m = az, sc = side == 4 ? v[0] : -v[0], tc = -v[1];
  }
  *s = (sc / m + 1) / 2, *t = (tc / m + 1) / 2;
  return side;
}

struct Coordinates {
  float f[3];
  std::int64_t i[3];
  int dimensions = 1;
  std::int64_t layer = 0;
  bool is_cube = false;
};

Coordinates coordinates_of(const Texture& t, Word op, const Lane& lane) {
  static constexpr int kDimensions[] = {1, 2, 3, 1, 2, 3, 3};
  Coordinates out{};
  const bool is_array = op.geometry() == kArray1d || op.geometry() == kArray2d || op.geometry() == kCubeArray;
  out.is_cube = op.geometry() == kCube || op.geometry() == kCubeArray;
  out.dimensions = kDimensions[op.geometry()];
  for (int d = 0; d < out.dimensions; ++d) {
    const int slot = d + (is_array ? 1 : 0);
    out.f[d] = op.has_float_coordinates() ? lane.number(slot) : static_cast<float>(lane.integer(slot));
    out.i[d] = lane.integer(slot);
  }
  if (is_array) {
    const std::int64_t layers = std::max<std::int64_t>(1, out.is_cube ? t.depth / 6 : t.depth);
    out.layer = std::min<std::int64_t>(lane.word(0), layers - 1) * (out.is_cube ? 6 : 1);
  }
  return out;
}

Texel sample_level(const Texture& t, Word op, const Lane& lane, const Coordinates& c, int level, bool linear) {
  const Size s = size_of(t, level);
  const std::int64_t sizes[3] = {s.width, s.height, s.depth};
  Point p{{0, 0, 0}, c.dimensions, c.layer};
  if (c.is_cube) {
    p.dimensions = 2;
    double u = 0, v = 0;
    p.layer += cube_side(c.f, &u, &v);
    p.at[0] = u * static_cast<double>(s.width), p.at[1] = v * static_cast<double>(s.height);
  } else {
    for (int d = 0; d < c.dimensions; ++d) {
      p.at[d] = op.has_float_coordinates() ? static_cast<double>(c.f[d]) : static_cast<double>(c.i[d]);
      if (t.is_normalized && op.has_float_coordinates()) p.at[d] *= static_cast<double>(sizes[d]);
      p.at[d] += lane.integer(11 + d);
    }
  }
  return filtered(t, level, s, p, linear && op.has_float_coordinates());
}

float level_of(const Texture& t, Word op, const Lane& lane, const Coordinates& c) {
  float lod = 0.0f;
  if (op.level() == kExplicit) lod = op.has_float_coordinates() ? lane.number(4) : static_cast<float>(lane.integer(4));
  if (op.level() == kGradients) {
    const float sizes[3] = {static_cast<float>(t.width), static_cast<float>(t.height), static_cast<float>(t.depth)};
    float longest = 0.0f;
    for (int g = 0; g < 2; ++g) {
      float square = 0.0f;
      for (int d = 0; d < c.dimensions; ++d) {
        const float step = lane.number(5 + 3 * g + d) * (t.is_normalized ? sizes[d] : 1.0f);
        square += step * step;
      }
      longest = std::max(longest, square);
    }
    lod = longest > 0.0f ? 0.5f * std::log2(longest) : -127.0f;
  }
  lod += std::bit_cast<float>(t.bias);
  lod = std::clamp(lod, std::bit_cast<float>(t.least_level), std::max(std::bit_cast<float>(t.least_level), std::bit_cast<float>(t.greatest_level)));
  return std::clamp(lod, 0.0f, static_cast<float>(t.levels - 1));
}

Texel sample(const Texture& t, Word op, const Lane& lane) {
  const Coordinates c = coordinates_of(t, op, lane);
  if (t.is_linear) {
    const std::int64_t index = op.has_float_coordinates() ? floor_of(c.f[0]) : c.i[0];
    if (index < 0 || index >= t.width) {
      Texel zero = border_of(t);
      for (int i = 0; i < 4; ++i) zero.f[i] = 0.0f, zero.i[i] = 0;
      return zero;
    }
    return read_texel(t, 0, {t.width, 1, 1, 0}, index, 0, 0);
  }
  if (t.levels <= 1 || op.level() == kImplicit || op.level() == kBase) return sample_level(t, op, lane, c, 0, t.filter != 0);
  const float lod = level_of(t, op, lane, c);
  if (t.mipmap_filter == 0) return sample_level(t, op, lane, c, static_cast<int>(std::lrint(lod)), t.filter != 0);
  const auto first = static_cast<int>(lod);
  const float weight = lod - static_cast<float>(first);
  Texel a = sample_level(t, op, lane, c, first, t.filter != 0);
  if (weight == 0.0f || first + 1 >= t.levels || !a.is_float) return a;
  const Texel b = sample_level(t, op, lane, c, first + 1, t.filter != 0);
  for (int i = 0; i < 4; ++i) a.f[i] += weight * (b.f[i] - a.f[i]);
  return a;
}

// The component of the four texels that a linear filter would weigh, anticlockwise from the lower left.
Texel gather(const Texture& t, Word op, const Lane& lane) {
  const Coordinates c = coordinates_of(t, op, lane);
  const Size s = size_of(t, 0);
  Point p{{0, 0, 0}, 2, c.layer};
  if (c.is_cube) {
    p.layer += cube_side(c.f, &p.at[0], &p.at[1]);
    p.at[0] *= static_cast<double>(s.width), p.at[1] *= static_cast<double>(s.height);
  } else {
    for (int d = 0; d < 2; ++d) {
      p.at[d] = static_cast<double>(c.f[d]) * (t.is_normalized ? static_cast<double>(d == 0 ? s.width : s.height) : 1.0);
      p.at[d] += lane.integer(11 + d);
    }
  }
  const std::int64_t x = neighbours(p.at[0]).first, y = neighbours(p.at[1]).first;
  constexpr int kOrder[4][2] = {{0, 1}, {1, 1}, {1, 0}, {0, 0}};
  Texel out{};
  for (int i = 0; i < 4; ++i) {
    const Texel one = texel_at(t, 0, s, p, x + kOrder[i][0], y + kOrder[i][1], 0);
    out.is_float = one.is_float;
    out.f[i] = one.f[op.component()], out.i[i] = one.i[op.component()];
  }
  return out;
}

void write_texel(Word op, const Lane& lane, Texel v, std::uint32_t* results) {
  if (op.compares_depth() && v.is_float)
    for (float& f : v.f) f = lane.number(14) <= f ? 1.0f : 0.0f;
  if (op.type() == 2) {
    for (int i = 0; i < 2; ++i) results[32 * i] = half_of(v.f[2 * i]) | static_cast<std::uint32_t>(half_of(v.f[2 * i + 1])) << 16;
    return;
  }
  for (int i = 0; i < 4; ++i) results[32 * i] = v.is_float ? std::bit_cast<std::uint32_t>(v.f[i]) : v.i[i];
}

// ------------------------------------------------------------------------------------------------ surfaces

// The address that a surface access of `bytes` means, or null where it is outside; the first coordinate counts bytes, or elements.
std::uint8_t* surface_place(const Texture& t, Word op, const Lane& lane, std::uint32_t bytes, bool by_elements) {
  const bool is_array = op.geometry() == kArray1d || op.geometry() == kArray2d;
  const int first = is_array ? 1 : 0;
  const std::int64_t element = texture_channel_bytes(t.format) * t.channels;
  std::int64_t x = lane.integer(first) * (by_elements ? element : 1);
  std::int64_t y = op.geometry() == k1d || op.geometry() == kArray1d ? 0 : lane.integer(first + 1);
  std::int64_t z = is_array ? lane.integer(0) : op.geometry() == k3d ? lane.integer(2) : 0;
  const std::int64_t row = t.width * element, rows = std::max(1u, t.height), slices = std::max(1u, t.depth);
  if (op.clamp() == kClamp) {
    x = std::clamp<std::int64_t>(x, 0, row - bytes), y = std::clamp<std::int64_t>(y, 0, rows - 1), z = std::clamp<std::int64_t>(z, 0, slices - 1);
  } else if (x < 0 || x + bytes > row || y < 0 || y >= rows || z < 0 || z >= slices) {
    return nullptr;
  }
  return reinterpret_cast<std::uint8_t*>(t.level[0] + static_cast<std::uint64_t>(x) + static_cast<std::uint64_t>(y + z * rows) * t.pitch);
}

template <typename T>
void reduce_at(std::uint8_t* place, std::uint64_t bits, std::uint32_t operation) {
  using Operation = abi::TensorOperation;
  std::atomic_ref<T> cell(*reinterpret_cast<T*>(place));
  const T b = static_cast<T>(bits);
  T old = cell.load(std::memory_order_relaxed), fresh;
  do {
    switch (static_cast<Operation>(operation)) {
      case Operation::ADD: fresh = static_cast<T>(static_cast<std::make_unsigned_t<T>>(old) + static_cast<std::make_unsigned_t<T>>(b)); break;
      case Operation::MIN: fresh = std::min(old, b); break;
      case Operation::MAX: fresh = std::max(old, b); break;
      case Operation::AND: fresh = old & b; break;
      default: fresh = old | b;
    }
  } while (!cell.compare_exchange_weak(old, fresh, std::memory_order_relaxed));
}

// One element from four words, converted to the surface's format.
void store_formatted(const Texture& t, std::uint8_t* place, const std::uint32_t* words) {
  const std::uint32_t bytes = texture_channel_bytes(t.format);
  for (int c = 0; c < t.channels; ++c) {
    std::uint32_t raw = words[32 * c];
    if (t.format == kHalf) raw = half_of(std::bit_cast<float>(raw));
    if (t.format == kU8 || t.format == kU16) raw = std::min(raw, (1u << 8 * bytes) - 1);
    if (t.format == kS8 || t.format == kS16) {
      const std::int32_t top = (1 << (8 * bytes - 1)) - 1;
      raw = static_cast<std::uint32_t>(std::clamp(static_cast<std::int32_t>(raw), -top - 1, top));
    }
    std::memcpy(place + c * bytes, &raw, bytes);
  }
}

bool surface(const Texture& t, Word op, const Lane& lane, std::uint32_t* values) {
  if (op.kind() == kStoreFormatted) {
    std::uint8_t* place = surface_place(t, op, lane, texture_channel_bytes(t.format) * t.channels, true);
    if (place != nullptr) store_formatted(t, place, values);
    return place != nullptr || op.clamp() != kTrap;
  }
  const std::uint32_t bytes = 1u << op.type(), count = op.count();
  std::uint8_t* place = surface_place(t, op, lane, bytes * count, op.counts_elements());
  if (place == nullptr) {
    if (op.kind() == kLoad)
      for (std::uint32_t i = 0; i < std::max(1u, bytes / 4) * count; ++i) values[32 * i] = 0;
    return op.clamp() != kTrap;
  }
  if (op.kind() == kReduce) {
    const std::uint64_t bits = values[0] | static_cast<std::uint64_t>(bytes == 8 ? values[32] : 0) << 32;
    const bool of_signed_surface = op.counts_elements() && (t.format == kS8 || t.format == kS16 || t.format == kS32);
    const bool is_signed = op.is_signed() || of_signed_surface;
    if (bytes == 8)
      is_signed ? reduce_at<std::int64_t>(place, bits, op.reduction()) : reduce_at<std::uint64_t>(place, bits, op.reduction());
    else
      is_signed ? reduce_at<std::int32_t>(place, bits, op.reduction()) : reduce_at<std::uint32_t>(place, bits, op.reduction());
    return true;
  }
  const std::uint32_t unit = std::min(bytes, 4u), words = std::max(1u, bytes / 4) * count;
  for (std::uint32_t i = 0; i < words; ++i, place += unit) {
    if (op.kind() == kLoad) {
      values[32 * i] = 0;
      std::memcpy(&values[32 * i], place, unit);
    } else {
      std::memcpy(place, &values[32 * i], unit);
    }
  }
  return true;
}

// ------------------------------------------------------------------------------------------------ queries

// OpenCL's numbers, as PTX has them.
std::uint32_t channel_data_type(std::uint32_t format) {
  switch (format) {
    case kS8: return 0x10d7;
    case kS16: return 0x10d8;
    case kS32: return 0x10d9;
    case kU8: return 0x10da;
    case kU16: return 0x10db;
    case kU32: return 0x10dc;
    case kHalf: return 0x10dd;
    default: return 0x10de;
  }
}

std::uint32_t query(const Texture& t, Word op, const Lane& lane) {
  const int level = std::clamp(lane.integer(4), 0, t.levels - 1);
  const Size s = size_of(t, level);
  switch (op.query()) {
    case 0: return static_cast<std::uint32_t>(s.width);
    case 1: return t.height == 0 ? 0 : static_cast<std::uint32_t>(s.height);
    case 2: return t.depth == 0 || t.is_layered || t.is_cube ? 0 : static_cast<std::uint32_t>(s.depth);
    case 3: return channel_data_type(t.format);
    case 4: return t.channels == 1 ? 0x10b0 : t.channels == 2 ? 0x10b2 : 0x10b5;
    case 5: return t.is_normalized;
    case 6: return t.is_layered ? (t.is_cube ? t.depth / 6 : t.depth) : 0;
    case 7: return t.levels;
    case 8: return 1;  // samples
    case 9: return !t.is_normalized;
    case 10: return t.filter;
    case 11: case 12: case 13: return t.address_mode[op.query() - 11];
    default: return 0;  // memory layout
  }
}

// Fewer are done one by one.
constexpr int kFewLanes = 3;

// All lanes from one texture, in one of the forms of texture_warp.h.
template <typename TextureOf>
bool fetch_together(Word op, std::uint32_t lanes, const std::uint64_t* handles, const std::uint32_t* operands, std::uint32_t* results,
                    const TextureOf& texture_of) {
  if (op.kind() != kSample || op.geometry() > k3d || op.type() == 2 || op.compares_depth()) return false;
  const auto first = static_cast<std::uint32_t>(std::countr_zero(lanes));
  for (std::uint32_t rest = lanes; rest != 0; rest &= rest - 1)
    if (handles[std::countr_zero(rest)] != handles[first]) return false;
  const Texture& t = texture_of(first);
  if (t.levels > 1 && op.level() != kImplicit && op.level() != kBase) return false;
  return fetch_warp(t, {lanes, static_cast<int>(op.geometry()) + 1, op.has_float_coordinates(), operands, results});
}

[[noreturn]] void fail(std::uintptr_t pc, std::uint32_t lane, std::uint64_t detail) {
  Fault fault;
  fault.cause = Fault::Cause::trap;
  fault.trap = abi::Trap::BAD_ADDRESS;
  fault.detail = detail;
  fault.pc = pc;
  fault.lanes = 1u << lane;
  Guard::leave(std::move(fault));
}

}  // namespace

std::uint32_t texture_channel_bytes(std::uint32_t format) {
  switch (format) {
    case kU8: case kS8: return 1;
    case kU16: case kS16: case kHalf: return 2;
    case kU32: case kS32: case kFloat: return 4;
    default: return 0;
  }
}

void service_texture(const abi::Launch*, abi::Cta*, std::uint32_t lanes, std::uint32_t operation, const std::uint64_t* handles,
                     const std::uint32_t* operands, std::uint32_t* results) {
  static_assert(kSlots * 32 * 4 == 1920);
  const auto pc = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)) - 1;
  const Word op{operation};
  const auto texture_of = [&](std::uint32_t number) -> const Texture& {
    const auto* object = reinterpret_cast<const Texture*>(handles[number]);
    // A texture reference: a module's variable that holds the handle, 0 while it is bound to nothing.
    if (object != nullptr && handles[number] % 8 == 0 && object->magic != abi::kTextureMagic) object = reinterpret_cast<const Texture*>(object->magic);
    if (object == nullptr || reinterpret_cast<std::uintptr_t>(object) % 8 != 0 || object->magic != abi::kTextureMagic) fail(pc, number, handles[number]);
    return *object;
  };
  if (std::popcount(lanes) >= kFewLanes && fetch_together(op, lanes, handles, operands, results, texture_of)) return;
  for (; lanes != 0; lanes &= lanes - 1) {
    const auto number = static_cast<std::uint32_t>(std::countr_zero(lanes));
    const Texture& t = texture_of(number);
    const Lane lane{operands + number};
    switch (op.kind()) {
      case kSample: write_texel(op, lane, sample(t, op, lane), results + number); break;
      case kGather: write_texel(op, lane, gather(t, op, lane), results + number); break;
      case kQuery: results[number] = query(t, op, lane); break;
      default:
        if (!surface(t, op, lane, results + number)) fail(pc, number, t.level[0]);
    }
  }
}

}  // namespace anywarp
