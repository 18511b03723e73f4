// SHA-256 (FIPS 180-4), with the machine's SHA instructions where there are any.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "bytes.h"

namespace anywarp {

using Digest = std::array<std::uint8_t, 32>;

class Sha256 {
 public:
  Sha256();
  Sha256& update(const void* data, std::size_t bytes);
  Sha256& u32(std::uint32_t value) { return update(&value, 4); }
  Sha256& u64(std::uint64_t value) { return update(&value, 8); }
  Sha256& str(std::string_view value) { return u32(static_cast<std::uint32_t>(value.size())).update(value.data(), value.size()); }
  Digest finish();

 private:
  std::uint32_t state_[8];
  std::uint64_t total_ = 0;
  std::uint8_t buffer_[64];
  std::size_t buffered_ = 0;
};

Digest sha256(ByteSpan data);
std::string hex(const Digest& digest);

}  // namespace anywarp
