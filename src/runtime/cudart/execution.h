// Manual: execution control.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t launchKernel(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared_bytes, cudaStream_t stream);
cudaError_t launchKernelExC(const cudaLaunchConfig_t* config, const void* function, void** arguments, cudaStream_t default_stream);
cudaError_t launchCooperativeKernel(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared_bytes, cudaStream_t stream);
cudaError_t launchCooperativeKernelMultiDevice(cudaLaunchParams* launches, unsigned count, unsigned flags);
cudaError_t funcSetCacheConfig(const void* function, cudaFuncCache config);
cudaError_t funcSetSharedMemConfig(const void* function, cudaSharedMemConfig config);
cudaError_t funcGetAttributes(cudaFuncAttributes* attributes, const void* function);
cudaError_t funcSetAttribute(const void* function, cudaFuncAttribute attribute, int value);
cudaError_t funcGetName(const char** name, const void* function);
cudaError_t funcGetParamInfo(const void* function, size_t index, size_t* offset, size_t* bytes);
cudaError_t funcGetParamCount(const void* function, size_t* count);
cudaError_t setDoubleForDevice(double* value);
cudaError_t setDoubleForHost(double* value);

// A launch whose context is current and whose kernel is known.
cudaError_t launch(CUfunction function, dim3 grid, dim3 block, void** arguments, size_t shared_bytes, cudaStream_t stream, bool cooperative);
// A launch configuration as the driver takes it; attributes are the same objects.
cudaError_t convert(const cudaLaunchConfig_t& config, cudaStream_t default_stream, CUlaunchConfig* out);

}  // namespace anywarp::cudart
