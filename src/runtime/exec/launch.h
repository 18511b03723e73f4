// One launch of a kernel: checked, with its parameters copied, ready to be run by any number of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "abi.h"
#include "module.h"
#include "result.h"

namespace anywarp {

class Context;
struct Grid;

struct LaunchShape {
  std::uint32_t grid[3] = {1, 1, 1};   // CTAs
  std::uint32_t block[3] = {1, 1, 1};  // threads
  std::uint32_t cluster[3] = {0, 0, 0};  // CTAs of a cluster; zeros: as the kernel declares
  std::uint32_t dynamic_shared = 0;
  bool cooperative = false;  // all CTAs resident at once
};

// Either `pointers` (kernelParams: one pointer for each parameter) or `buffer` (CU_LAUNCH_PARAM_BUFFER_POINTER and _SIZE).
struct Arguments {
  void* const* pointers = nullptr;
  const void* buffer = nullptr;
  std::size_t buffer_bytes = 0;
};

// Limits of one CTA and of a launch, as device properties report them.
inline constexpr std::uint32_t kMaxThreads = 1024;                // a CTA
inline constexpr std::uint32_t kMaxShared = 227 * 1024;           // bytes of a CTA, static and dynamic
inline constexpr std::uint32_t kMaxCooperativeCtas = 4096;        // resident CTAs of a cooperative launch
inline constexpr std::uint32_t kMaxClusterCtas = 16;

// Checks the shape against the kernel and the device's limits (invalid_value, launch_out_of_resources …), compiles the variant if
// need be and makes the grid. The context's sticky error is not looked at.
Result prepare(Context& context, Kernel& kernel, const LaunchShape& shape, const Arguments& arguments, std::unique_ptr<Grid>* out,
               std::string* log);

}  // namespace anywarp
