#include "driver/decompress.h"

#include <array>
#include <cstring>

#include "driver/logs.h"
#include "driver/memory.h"
#include "driver/stream_capture.h"

namespace anywarp::driver {
namespace {

// What is written, with a bound.
struct Output {
  std::uint8_t* const start;
  std::size_t const room;
  std::size_t used = 0;

  bool literals(const std::uint8_t* from, std::size_t bytes) {
    if (bytes > room - used) return false;
    std::memcpy(start + used, from, bytes);
    used += bytes;
    return true;
  }
  // Repeats `bytes` from `distance` back; they may overlap.
  bool repeat(std::size_t distance, std::size_t bytes) {
    if (distance == 0 || distance > used || bytes > room - used) return false;
    for (std::size_t i = 0; i < bytes; ++i, ++used) start[used] = start[used - distance];
    return true;
  }
};

// DEFLATE's bits: least significant first.
struct Bits {
  const std::uint8_t* at;
  const std::uint8_t* const end;
  std::uint64_t held = 0;
  unsigned count = 0;
  bool ok = true;

  std::uint32_t take(unsigned n) {
    while (count < n) {
      if (at == end) return ok = false, 0;
      held |= std::uint64_t{*at++} << count;
      count += 8;
    }
    const auto value = static_cast<std::uint32_t>(held & ((std::uint64_t{1} << n) - 1));
    held >>= n, count -= n;
    return value;
  }
};

// Canonical prefix codes: how many codes there are of each length, and the symbols in the order of their codes.
struct Codes {
  std::array<std::uint16_t, 16> counts{};
  std::array<std::uint16_t, 288> symbols{};

  Codes(const std::uint8_t* lengths, unsigned n) {
    for (unsigned i = 0; i < n; ++i) ++counts[lengths[i]];
    counts[0] = 0;
    std::array<std::uint16_t, 16> next{};
    for (unsigned l = 1; l < 15; ++l) next[l + 1] = static_cast<std::uint16_t>(next[l] + counts[l]);
    for (unsigned i = 0; i < n; ++i)
      if (lengths[i] != 0) symbols[next[lengths[i]]++] = static_cast<std::uint16_t>(i);
  }
  std::uint32_t read(Bits& bits) const {
    std::uint32_t code = 0, first = 0, index = 0;
    for (unsigned length = 1; length < 16 && bits.ok; ++length) {
      code |= bits.take(1);
      if (code - first < counts[length]) return symbols[index + code - first];
      index += counts[length];
      first = (first + counts[length]) << 1;
      code <<= 1;
    }
    bits.ok = false;
    return 0;
  }
};

bool inflate_block(Bits& bits, Output& out, const Codes& symbols, const Codes& distances) {
  constexpr std::uint16_t kLength[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27, 31, 35,
                                       43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
  constexpr std::uint8_t kLengthBits[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
  constexpr std::uint16_t kDistance[] = {1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
                                         193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
  for (;;) {
    const std::uint32_t symbol = symbols.read(bits);
    if (!bits.ok) return false;
    if (symbol == 256) return true;
    if (symbol < 256) {
      const auto byte = static_cast<std::uint8_t>(symbol);
      if (!out.literals(&byte, 1)) return false;
      continue;
    }
    if (symbol > 285) return false;
    const std::size_t length = kLength[symbol - 257] + bits.take(kLengthBits[symbol - 257]);
    const std::uint32_t code = distances.read(bits);
    if (!bits.ok || code > 29) return false;
    const std::size_t distance = kDistance[code] + bits.take(code < 2 ? 0 : code / 2 - 1);
    if (!bits.ok || !out.repeat(distance, length)) return false;
  }
}

bool inflate_dynamic(Bits& bits, Output& out) {
  constexpr std::uint8_t kOrder[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
  const unsigned literals = bits.take(5) + 257, distances = bits.take(5) + 1, codes = bits.take(4) + 4;
  std::array<std::uint8_t, 320> lengths{};
  for (unsigned i = 0; i < codes; ++i) lengths[kOrder[i]] = static_cast<std::uint8_t>(bits.take(3));
  if (!bits.ok || literals > 286) return false;
  const Codes of_lengths(lengths.data(), 19);
  lengths.fill(0);
  for (unsigned i = 0; i < literals + distances;) {
    const std::uint32_t symbol = of_lengths.read(bits);
    if (!bits.ok) return false;
    if (symbol < 16) {
      lengths[i++] = static_cast<std::uint8_t>(symbol);
      continue;
    }
    if (symbol == 16 && i == 0) return false;
    const std::uint8_t value = symbol == 16 ? lengths[i - 1] : std::uint8_t{0};
    unsigned times = symbol == 16 ? 3 + bits.take(2) : symbol == 17 ? 3 + bits.take(3) : 11 + bits.take(7);
    if (i + times > literals + distances) return false;
    for (; times > 0; --times) lengths[i++] = value;
  }
  return bits.ok && inflate_block(bits, out, Codes(lengths.data(), literals), Codes(lengths.data() + literals, distances));
}

bool inflate_fixed(Bits& bits, Output& out) {
  std::array<std::uint8_t, 288> lengths;
  for (unsigned i = 0; i < 288; ++i) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
  std::array<std::uint8_t, 30> distances;
  distances.fill(5);
  return inflate_block(bits, out, Codes(lengths.data(), 288), Codes(distances.data(), 30));
}

bool inflate_stored(Bits& bits, Output& out) {
  bits.take(bits.count % 8);
  const std::uint32_t bytes = bits.take(16), check = bits.take(16);
  if (!bits.ok || (bytes ^ check) != 0xffff) return false;
  for (std::uint32_t i = 0; i < bytes; ++i) {
    const auto byte = static_cast<std::uint8_t>(bits.take(8));
    if (!bits.ok || !out.literals(&byte, 1)) return false;
  }
  return true;
}

}  // namespace

std::size_t inflate(const std::uint8_t* source, std::size_t bytes, std::uint8_t* to, std::size_t room, bool* ok) {
  Output out{to, room};
  Bits bits{source, source + bytes};
  *ok = true;
  for (bool last = false; *ok && !last;) {
    last = bits.take(1) != 0;
    switch (bits.take(2)) {
      case 0: *ok = bits.ok && inflate_stored(bits, out); break;
      case 1: *ok = bits.ok && inflate_fixed(bits, out); break;
      case 2: *ok = bits.ok && inflate_dynamic(bits, out); break;
      default: *ok = false;
    }
  }
  return out.used;
}

std::size_t decode_snappy(const std::uint8_t* source, std::size_t bytes, std::uint8_t* to, std::size_t room, bool* ok) {
  Output out{to, room};
  const std::uint8_t *at = source, *const end = source + bytes;
  *ok = false;
  std::uint64_t size = 0;
  for (unsigned shift = 0;; shift += 7) {  // the size of the output, seven bits a byte
    if (at == end || shift > 28) return 0;
    size |= std::uint64_t{*at & 0x7fu} << shift;
    if (*at++ < 0x80) break;
  }
  const auto number = [&](unsigned n) {
    std::uint32_t value = 0;
    for (unsigned i = 0; i < n; ++i) value |= std::uint32_t{at[i]} << 8 * i;
    at += n;
    return value;
  };
  while (at != end) {
    const unsigned tag = *at++, kind = tag & 3;
    const auto left = static_cast<std::size_t>(end - at);
    if (kind == 0) {
      std::size_t length = tag >> 2;
      if (length >= 60) {
        const unsigned n = static_cast<unsigned>(length) - 59;
        if (left < n) return out.used;
        length = number(n);
      }
      ++length;
      if (length > static_cast<std::size_t>(end - at) || !out.literals(at, length)) return out.used;
      at += length;
      continue;
    }
    const unsigned n = kind == 1 ? 1 : kind == 2 ? 2 : 4;
    if (left < n) return out.used;
    const std::size_t length = kind == 1 ? 4 + (tag >> 2 & 7) : 1 + (tag >> 2);
    const std::size_t distance = number(n) | (kind == 1 ? (tag >> 5) << 8 : 0);
    if (!out.repeat(distance, length)) return out.used;
  }
  *ok = out.used == size;
  return out.used;
}

std::size_t decode_lz4(const std::uint8_t* source, std::size_t bytes, std::uint8_t* to, std::size_t room, bool* ok) {
  Output out{to, room};
  const std::uint8_t *at = source, *const end = source + bytes;
  *ok = false;
  const auto extend = [&](std::size_t* length) {
    if (*length != 15) return true;
    for (std::uint8_t more = 255; more == 255; *length += more) {
      if (at == end) return false;
      more = *at++;
    }
    return true;
  };
  while (at != end) {
    const unsigned token = *at++;
    std::size_t literals = token >> 4, match = token & 15;
    if (!extend(&literals) || literals > static_cast<std::size_t>(end - at) || !out.literals(at, literals)) return out.used;
    at += literals;
    if (at == end) return *ok = true, out.used;  // the last sequence has no match
    if (end - at < 2) return out.used;
    const std::size_t distance = at[0] | std::size_t{at[1]} << 8;
    at += 2;
    if (!extend(&match) || !out.repeat(distance, match + 4)) return out.used;
  }
  return out.used;
}

CUresult memBatchDecompressAsync(CUmemDecompressParams* operations, size_t count, unsigned flags, size_t* error_index, CUstream stream) {
  const auto refuse = [&](std::size_t index) {
    if (error_index) *error_index = index;
    return CUDA_ERROR_INVALID_VALUE;
  };
  if (!operations || count == 0 || flags != 0) return refuse(SIZE_MAX);
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  if (use.capture()) return invalidate(use, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  std::vector<CUmemDecompressParams> all(operations, operations + count);
  for (std::size_t i = 0; i < count; ++i) {
    const CUmemDecompressParams& o = all[i];
    const bool known = o.algo == CU_MEM_DECOMPRESS_ALGORITHM_DEFLATE || o.algo == CU_MEM_DECOMPRESS_ALGORITHM_SNAPPY || o.algo == CU_MEM_DECOMPRESS_ALGORITHM_LZ4;
    if (!known || !o.src || !o.dst || !o.dstActBytes || o.srcNumBytes == 0) return refuse(i);
    if (std::any_of(std::begin(o.padding), std::end(o.padding), [](unsigned char c) { return c != 0; })) return refuse(i);
    memory::Allocation from, to, size;
    if (!arena().lookup(o.src, &from) || !arena().lookup(o.dst, &to) || !arena().lookup(o.dstActBytes, &size)) return refuse(i);
    if (o.srcNumBytes > from.size - (reinterpret_cast<std::uintptr_t>(o.src) - from.base)) return refuse(i);
    // The size of the destination is a hint: what bounds it is its allocation.
    all[i].dstNumBytes = to.size - (reinterpret_cast<std::uintptr_t>(o.dst) - to.base);
  }
  return api(use.stream->task([all = std::move(all)](Result state) {
    if (state != Result::success) return;
    for (const CUmemDecompressParams& o : all) {
      const auto decode = o.algo == CU_MEM_DECOMPRESS_ALGORITHM_DEFLATE ? inflate : o.algo == CU_MEM_DECOMPRESS_ALGORITHM_SNAPPY ? decode_snappy : decode_lz4;
      bool ok = false;
      *o.dstActBytes = static_cast<cuuint32_t>(
          decode(static_cast<const std::uint8_t*>(o.src), o.srcNumBytes, static_cast<std::uint8_t*>(o.dst), o.dstNumBytes, &ok));
      if (!ok) log_error("anywarp: compressed data given to cuMemBatchDecompressAsync are broken, or their output does not fit");
    }
  }));
}

}  // namespace anywarp::driver
