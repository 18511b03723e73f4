// Little-endian encoding of the protocol's and the manifests' values: u32, u64, str, bytes and list (architecture, section 8).
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace anywarp {

using Bytes = std::vector<std::uint8_t>;
using ByteSpan = std::span<const std::uint8_t>;

// Reads from untrusted memory. After the first read past the end `ok()` is false and every value is empty.
class Reader {
 public:
  explicit Reader(ByteSpan data) : data_(data) {}

  std::uint32_t u32() { return number<std::uint32_t>(); }
  std::uint64_t u64() { return number<std::uint64_t>(); }
  ByteSpan bytes() {
    const std::uint32_t size = u32();
    if (size > data_.size() - position_) ok_ = false;
    if (!ok_) return {};
    const ByteSpan result = data_.subspan(position_, size);
    position_ += size;
    return result;
  }
  std::string str() {
    const ByteSpan b = bytes();
    return {reinterpret_cast<const char*>(b.data()), b.size()};
  }
  // The length of a list whose items take at least `item_bytes`: a length that the data cannot hold is refused.
  std::uint32_t list(std::size_t item_bytes) {
    const std::uint32_t count = u32();
    if (count > (data_.size() - position_) / item_bytes) ok_ = false;
    return ok_ ? count : 0;
  }
  bool ok() const { return ok_; }
  bool at_end() const { return ok_ && position_ == data_.size(); }
  void fail() { ok_ = false; }

 private:
  template <typename T>
  T number() {
    T value = 0;
    if (sizeof(T) > data_.size() - position_) ok_ = false;
    if (!ok_) return 0;
    std::memcpy(&value, data_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  ByteSpan data_;
  std::size_t position_ = 0;
  bool ok_ = true;
};

class Writer {
 public:
  void u32(std::uint32_t value) { raw(&value, sizeof value); }
  void u64(std::uint64_t value) { raw(&value, sizeof value); }
  void bytes(ByteSpan value) {
    u32(static_cast<std::uint32_t>(value.size()));
    raw(value.data(), value.size());
  }
  void str(std::string_view value) {
    u32(static_cast<std::uint32_t>(value.size()));
    raw(value.data(), value.size());
  }
  void raw(const void* data, std::size_t size) {
    const auto* first = static_cast<const std::uint8_t*>(data);
    data_.insert(data_.end(), first, first + size);
  }
  const Bytes& data() const { return data_; }

 private:
  Bytes data_;
};

}  // namespace anywarp
