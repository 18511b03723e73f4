#include "redirect/jump.h"

#include <cstring>

namespace anywarp::redirect {

#if defined(__x86_64__)

std::size_t landing_bytes(const std::uint8_t* code, std::size_t bytes) {
  static constexpr std::uint8_t kEndbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
  return bytes >= 4 && std::memcmp(code, kEndbr64, 4) == 0 ? 4 : 0;
}

// One instruction of filler: int3, nop, xchg %ax,%ax with prefixes, or the long nop 0f 1f with its operand.
static std::size_t filler_length(const std::uint8_t* code, std::size_t bytes) {
  if (bytes == 0) return 0;
  if (code[0] == 0xcc) return 1;
  std::size_t at = 0;
  while (at < bytes && (code[at] == 0x66 || code[at] == 0x2e)) ++at;
  if (at < bytes && code[at] == 0x90) return at + 1;
  if (at + 2 >= bytes || code[at] != 0x0f || code[at + 1] != 0x1f) return 0;
  const unsigned modrm = code[at + 2], mode = modrm >> 6, base = modrm & 7;
  const std::size_t length = at + 3 + (mode != 3 && base == 4 ? 1 : 0) + (mode == 1 ? 1 : mode == 2 ? 4 : 0);
  return length <= bytes ? length : 0;
}

std::size_t write_jump(std::uint8_t* out, const void* target) {
  static constexpr std::uint8_t kCode[] = {0xff, 0x25, 0, 0, 0, 0};
  std::memcpy(out, kCode, sizeof kCode);
  std::memcpy(out + sizeof kCode, &target, sizeof target);
  return kJumpBytes;
}

std::size_t write_near_jump(std::uint8_t* out, const void* place, const void* target) {
  const std::int64_t distance = static_cast<const std::uint8_t*>(target) - (static_cast<const std::uint8_t*>(place) + kNearJumpBytes);
  const auto near = static_cast<std::int32_t>(distance);
  if (near != distance) return 0;
  out[0] = 0xe9;
  std::memcpy(out + 1, &near, sizeof near);
  return kNearJumpBytes;
}

bool is_jump(const std::uint8_t* code) {
  code += landing_bytes(code, 4);
  return code[0] == 0xe9 || (code[0] == 0xff && code[1] == 0x25 && code[2] == 0 && code[3] == 0 && code[4] == 0 && code[5] == 0);
}

#elif defined(__aarch64__)

static std::uint32_t word(const std::uint8_t* code) {
  std::uint32_t value;
  std::memcpy(&value, code, sizeof value);
  return value;
}

std::size_t landing_bytes(const std::uint8_t* code, std::size_t bytes) {
  return bytes >= 4 && (word(code) & ~0xc0u) == 0xd503241f ? 4 : 0;  // bti, bti c, bti j, bti jc
}

static std::size_t filler_length(const std::uint8_t* code, std::size_t bytes) {
  return bytes >= 4 && (word(code) == 0xd503201f || word(code) == 0) ? 4 : 0;  // nop, udf
}

std::size_t write_jump(std::uint8_t* out, const void* target) {
  static constexpr std::uint32_t kCode[] = {0x58000050, 0xd61f0200};
  std::memcpy(out, kCode, sizeof kCode);
  std::memcpy(out + sizeof kCode, &target, sizeof target);
  return kJumpBytes;
}

std::size_t write_near_jump(std::uint8_t* out, const void* place, const void* target) {
  const std::int64_t distance = static_cast<const std::uint8_t*>(target) - static_cast<const std::uint8_t*>(place);
  if (distance < -(std::int64_t{1} << 27) || distance >= (std::int64_t{1} << 27)) return 0;
  const std::uint32_t code = 0x14000000u | (static_cast<std::uint32_t>(distance >> 2) & 0x03ffffffu);
  std::memcpy(out, &code, sizeof code);
  return kNearJumpBytes;
}

bool is_jump(const std::uint8_t* code) {
  code += landing_bytes(code, 4);
  return word(code) == 0x58000050 || (word(code) & 0xfc000000u) == 0x14000000u;
}

#endif

std::size_t filler_bytes(const std::uint8_t* code, std::size_t bytes) {
  std::size_t at = 0;
  while (const std::size_t length = filler_length(code + at, bytes - at)) at += length;
  return at;
}

}  // namespace anywarp::redirect
