#include "driver/jit.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>

namespace anywarp::driver {
namespace {

constexpr std::uint32_t kFatbinWrapper = 0x466243B1;  // fatbinary_section.h
constexpr std::uint32_t kFatbin = 0xBA55ED50;

template <typename T>
T read_at(const void* base, std::size_t offset) {
  T value;
  std::memcpy(&value, static_cast<const char*>(base) + offset, sizeof value);
  return value;
}

// A 64-bit ELF file reaches as far as its tables and sections.
std::size_t elf_bytes(const void* image) {
  if (read_at<std::uint8_t>(image, 4) != 2) return 64;
  const auto program_headers = read_at<std::uint64_t>(image, 32), section_headers = read_at<std::uint64_t>(image, 40);
  const auto program_size = read_at<std::uint16_t>(image, 54), program_count = read_at<std::uint16_t>(image, 56);
  const auto section_size = read_at<std::uint16_t>(image, 58), section_count = read_at<std::uint16_t>(image, 60);
  std::uint64_t end = std::max<std::uint64_t>({64, program_headers + std::uint64_t{program_size} * program_count, section_headers + std::uint64_t{section_size} * section_count});
  constexpr std::uint32_t kNoBits = 8;
  for (std::uint16_t i = 0; i < section_count && section_size >= 64; ++i) {
    const std::uint64_t header = section_headers + std::uint64_t{i} * section_size;
    if (read_at<std::uint32_t>(image, header + 4) == kNoBits) continue;
    end = std::max(end, read_at<std::uint64_t>(image, header + 24) + read_at<std::uint64_t>(image, header + 32));
  }
  return end;
}

}  // namespace

CUresult JitOptions::read(unsigned count, CUjit_option* options, void** values) {
  start_ = std::chrono::steady_clock::now();
  if (count > 0 && (!options || !values)) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count; ++i) {
    switch (options[i]) {
      case CU_JIT_INFO_LOG_BUFFER: info_.text = static_cast<char*>(values[i]); break;
      case CU_JIT_ERROR_LOG_BUFFER: error_.text = static_cast<char*>(values[i]); break;
      case CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES:
        info_.size = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(values[i]));
        info_.given = &values[i];
        break;
      case CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES:
        error_.size = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(values[i]));
        error_.given = &values[i];
        break;
      case CU_JIT_WALL_TIME: wall_time_ = &values[i]; break;
      case CU_JIT_MAX_REGISTERS: most_registers_ = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(values[i])); break;
      default:
        if (options[i] >= CU_JIT_NUM_OPTIONS) return CUDA_ERROR_INVALID_VALUE;
        break;  // the others choose among kinds of machine code, or are hints
    }
  }
  return CUDA_SUCCESS;
}

void JitOptions::Log::write(const std::string& message) const {
  std::size_t written = 0;
  if (text && size > 0) {
    written = std::min(message.size(), size - 1);
    std::memcpy(text, message.data(), written);
    text[written] = 0;
  }
  // Only the size's 32 bits are the caller's.
  if (given) *given = reinterpret_cast<void*>(static_cast<std::uintptr_t>(written));
}

void JitOptions::finish(const std::string& log, bool failed) {
  static const std::string kNothing;
  error_.write(failed ? log : kNothing);
  info_.write(failed ? kNothing : log);
  if (wall_time_) {
    const float ms = std::chrono::duration<float, std::milli>(std::chrono::steady_clock::now() - start_).count();
    std::memcpy(wall_time_, &ms, sizeof ms);
  }
}

ByteSpan image_bytes(const void* image) {
  const auto* bytes = static_cast<const std::uint8_t*>(image);
  const std::size_t text = strnlen(static_cast<const char*>(image), 8);
  if (text >= 4 || (text > 0 && bytes[0] < 0x7f && bytes[0] >= 9)) {
    const auto magic = text >= 4 ? read_at<std::uint32_t>(image, 0) : 0;
    if (magic == kFatbinWrapper) {
      const auto* data = read_at<const void*>(image, 8);
      return data ? image_bytes(data) : ByteSpan{};
    }
    if (magic == kFatbin) return {bytes, read_at<std::uint16_t>(image, 6) + read_at<std::uint64_t>(image, 8)};
    if (std::memcmp(image, "\x7f" "ELF", 4) == 0) return {bytes, elf_bytes(image)};
    return {bytes, std::strlen(static_cast<const char*>(image))};
  }
  return {};
}

CUresult read_file(const char* path, Bytes* out) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return CUDA_ERROR_FILE_NOT_FOUND;
  out->assign(std::istreambuf_iterator<char>(file), {});
  return out->empty() ? CUDA_ERROR_INVALID_IMAGE : CUDA_SUCCESS;
}

}  // namespace anywarp::driver
