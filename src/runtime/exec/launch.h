// What a caller says about a launch, and the limits that it is checked against.
#pragma once

#include <cstddef>
#include <cstdint>

namespace anywarp {

struct LaunchShape {
  std::uint32_t grid[3] = {1, 1, 1};     // CTAs
  std::uint32_t block[3] = {1, 1, 1};    // threads
  std::uint32_t cluster[3] = {0, 0, 0};  // CTAs of a cluster; zeros: as the kernel declares
  std::uint32_t dynamic_shared = 0;      // bytes
  bool cooperative = false;              // all CTAs resident at once
  int shared_mode = 0;                   // CUsharedMemoryMode; 0: the function's
};

// Either `pointers` (kernelParams: one pointer for each parameter) or `buffer` (CU_LAUNCH_PARAM_BUFFER_POINTER and _SIZE).
struct Arguments {
  const void* const* pointers = nullptr;
  const void* buffer = nullptr;
  std::size_t buffer_bytes = 0;
};

// Limits of one CTA and of a launch, as device properties report them.
inline constexpr std::uint32_t kMaxThreads = 1024;          // a CTA
inline constexpr std::uint32_t kMaxBlock[3] = {1024, 1024, 64};
inline constexpr std::uint32_t kMaxGrid[3] = {0x7fffffff, 65535, 65535};
inline constexpr std::uint32_t kMaxShared = 227 * 1024;     // bytes of a CTA, static and dynamic
inline constexpr std::uint32_t kMaxCooperativeCtas = 4096;  // resident CTAs of a cooperative launch
inline constexpr std::uint32_t kMaxClusterCtas = 16;
inline constexpr std::size_t kMaxParameterBytes = std::size_t{32} << 10;  // of a kernel; PTX allows 32,764

}  // namespace anywarp
