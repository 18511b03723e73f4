#include "driver/execution_old.h"

#include <cstring>

#include "driver/execution.h"

namespace anywarp::driver {
namespace {

constexpr unsigned kMostParameterBytes = 32764;

CUresult set(CUfunction handle, int offset, const void* value, std::size_t bytes) {
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(use_function(handle, &function));
  if (!value || offset < 0 || static_cast<std::size_t>(offset) + bytes > kMostParameterBytes) return CUDA_ERROR_INVALID_VALUE;
  const std::size_t end = static_cast<std::size_t>(offset) + bytes;
  if (function->parameters.size() < end) function->parameters.resize(end);
  std::memcpy(function->parameters.data() + offset, value, bytes);
  return CUDA_SUCCESS;
}

}  // namespace

CUresult funcSetBlockShape(CUfunction handle, int x, int y, int z) {
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(use_function(handle, &function));
  if (x <= 0 || y <= 0 || z <= 0) return CUDA_ERROR_INVALID_VALUE;
  function->block[0] = static_cast<unsigned>(x), function->block[1] = static_cast<unsigned>(y), function->block[2] = static_cast<unsigned>(z);
  return CUDA_SUCCESS;
}

CUresult funcSetSharedSize(CUfunction handle, unsigned bytes) {
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(use_function(handle, &function));
  function->shared_bytes = bytes;
  return CUDA_SUCCESS;
}

CUresult funcSetSharedMemConfig(CUfunction handle, CUsharedconfig config) {
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(use_function(handle, &function));
  return config <= CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult paramSetSize(CUfunction handle, unsigned bytes) {
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(use_function(handle, &function));
  if (bytes > kMostParameterBytes) return CUDA_ERROR_INVALID_VALUE;
  function->parameters.resize(bytes);
  return CUDA_SUCCESS;
}

CUresult paramSeti(CUfunction function, int offset, unsigned value) { return set(function, offset, &value, sizeof value); }
CUresult paramSetf(CUfunction function, int offset, float value) { return set(function, offset, &value, sizeof value); }
CUresult paramSetv(CUfunction function, int offset, void* value, unsigned bytes) { return set(function, offset, value, bytes); }

CUresult launch(CUfunction function) { return launchGridAsync(function, 1, 1, nullptr); }
CUresult launchGrid(CUfunction function, int width, int height) { return launchGridAsync(function, width, height, nullptr); }

CUresult launchGridAsync(CUfunction handle, int width, int height, CUstream stream) {
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(use_function(handle, &function));
  if (width <= 0 || height <= 0) return CUDA_ERROR_INVALID_VALUE;
  // The kernel's declaration, not cuParamSetSize, says how long the buffer must be.
  std::size_t bytes = std::max<std::size_t>(function->parameters.size(), function->kernel->info().param_bytes);
  function->parameters.resize(bytes);
  void* extra[] = {reinterpret_cast<void*>(std::uintptr_t{CU_LAUNCH_PARAM_BUFFER_POINTER}), function->parameters.data(),
                   reinterpret_cast<void*>(std::uintptr_t{CU_LAUNCH_PARAM_BUFFER_SIZE}), &bytes,
                   reinterpret_cast<void*>(std::uintptr_t{CU_LAUNCH_PARAM_END})};
  return launchKernel(handle, static_cast<unsigned>(width), static_cast<unsigned>(height), 1, function->block[0], function->block[1],
                      function->block[2], function->shared_bytes, stream, nullptr, bytes ? extra : nullptr);
}

}  // namespace anywarp::driver
