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

// The same kernel on several devices. Barriers across them (multi-grid groups) went with CUDA 13; what is left is that no kernel begins before
// the streams of all are free, and that nothing behind one runs before all have ended, as the flags say.
CUresult launchCooperativeKernelMultiDevice(CUDA_LAUNCH_PARAMS* launches, unsigned count, unsigned flags) {
  constexpr unsigned kFlags = CUDA_COOPERATIVE_LAUNCH_MULTI_DEVICE_NO_PRE_LAUNCH_SYNC | CUDA_COOPERATIVE_LAUNCH_MULTI_DEVICE_NO_POST_LAUNCH_SYNC;
  if (!launches || count == 0 || (flags & ~kFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
  std::vector<StreamUse> uses(count);
  for (unsigned i = 0; i < count; ++i) {
    const CUDA_LAUNCH_PARAMS& p = launches[i];
    const CUDA_LAUNCH_PARAMS& first = launches[0];
    if (reinterpret_cast<std::uintptr_t>(p.hStream) <= 2) return CUDA_ERROR_INVALID_VALUE;  // no default streams
    ANYWARP_TRY(use_stream(p.hStream, &uses[i]));
    if (uses[i].capture()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    for (unsigned j = 0; j < i; ++j) {
      if (uses[j].context->device == uses[i].context->device) return CUDA_ERROR_INVALID_DEVICE;
    }
    if (p.gridDimX != first.gridDimX || p.gridDimY != first.gridDimY || p.gridDimZ != first.gridDimZ || p.blockDimX != first.blockDimX ||
        p.blockDimY != first.blockDimY || p.blockDimZ != first.blockDimZ || p.sharedMemBytes != first.sharedMemBytes) {
      return CUDA_ERROR_INVALID_VALUE;
    }
  }
  const auto join = [&]() -> CUresult {
    std::vector<Event> ends(count);
    for (unsigned i = 0; i < count; ++i) ANYWARP_TRY(api(ends[i].record(*uses[i].stream)));
    for (unsigned i = 0; i < count; ++i) {
      for (const Event& end : ends) ANYWARP_TRY(api(uses[i].stream->wait(end)));
    }
    return CUDA_SUCCESS;
  };
  if ((flags & CUDA_COOPERATIVE_LAUNCH_MULTI_DEVICE_NO_PRE_LAUNCH_SYNC) == 0) ANYWARP_TRY(join());
  for (unsigned i = 0; i < count; ++i) {
    const CUDA_LAUNCH_PARAMS& p = launches[i];
    ANYWARP_TRY(launchCooperativeKernel(p.function, p.gridDimX, p.gridDimY, p.gridDimZ, p.blockDimX, p.blockDimY, p.blockDimZ, p.sharedMemBytes, p.hStream,
                                        p.kernelParams));
  }
  return flags & CUDA_COOPERATIVE_LAUNCH_MULTI_DEVICE_NO_POST_LAUNCH_SYNC ? CUDA_SUCCESS : join();
}

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
