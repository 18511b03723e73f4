#include "cudart/execution.h"

#include <cstddef>
#include <cstring>
#include <limits>
#include <vector>

#include "cudart/device.h"
#include "cudart/registration.h"

namespace anywarp::cudart {
namespace {

// Whether the device allows a grid and a block of this shape.
bool is_possible(dim3 grid, dim3 block) {
  CUdevice device = 0;
  if (cuCtxGetDevice(&device) != CUDA_SUCCESS) return true;
  const auto limit = [device](CUdevice_attribute attribute) { return static_cast<unsigned>(attribute_of(device, attribute)); };
  const auto within = [](unsigned value, unsigned most) { return value >= 1 && value <= most; };
  return within(grid.x, limit(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X)) && within(grid.y, limit(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y)) &&
         within(grid.z, limit(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z)) && within(block.x, limit(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X)) &&
         within(block.y, limit(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y)) && within(block.z, limit(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z)) &&
         std::uint64_t{block.x} * block.y * block.z <= limit(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
}

// The runtime has a code of its own for what the driver calls an invalid value.
cudaError_t launch_error(CUresult result, dim3 grid, dim3 block) {
  if (result == CUDA_ERROR_INVALID_VALUE && !is_possible(grid, block)) return cudaErrorInvalidConfiguration;
  return error_of(result);
}

}  // namespace

cudaError_t launch(CUfunction function, dim3 grid, dim3 block, void** arguments, size_t shared_bytes, cudaStream_t stream, bool cooperative) {
  if (shared_bytes > std::numeric_limits<int>::max()) return cudaErrorInvalidValue;
  const auto shared = static_cast<unsigned>(shared_bytes);
  const CUresult result =
      cooperative ? cuLaunchCooperativeKernel(function, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared, stream, arguments)
                  : cuLaunchKernel(function, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared, stream, arguments, nullptr);
  return result == CUDA_SUCCESS ? cudaSuccess : launch_error(result, grid, block);
}

cudaError_t launchKernel(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared_bytes, cudaStream_t stream) {
  CUfunction f = nullptr;
  CUDART_TRY(find_function(function, &f));
  return launch(f, grid, block, arguments, shared_bytes, stream, false);
}

cudaError_t launchCooperativeKernel(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared_bytes, cudaStream_t stream) {
  CUfunction f = nullptr;
  CUDART_TRY(find_function(function, &f));
  return launch(f, grid, block, arguments, shared_bytes, stream, true);
}

static_assert(sizeof(CUlaunchAttribute) == sizeof(cudaLaunchAttribute) && offsetof(CUlaunchAttribute, value) == offsetof(cudaLaunchAttribute,
    val));

cudaError_t convert(const cudaLaunchConfig_t& c, cudaStream_t default_stream, CUlaunchConfig* out) {
  if (c.dynamicSmemBytes > std::numeric_limits<int>::max()) return cudaErrorInvalidValue;
  *out = {c.gridDim.x, c.gridDim.y, c.gridDim.z, c.blockDim.x, c.blockDim.y, c.blockDim.z, static_cast<unsigned>(c.dynamicSmemBytes),
          c.stream ? c.stream : default_stream, reinterpret_cast<CUlaunchAttribute*>(c.attrs), c.numAttrs};
  return cudaSuccess;
}

cudaError_t launchKernelExC(const cudaLaunchConfig_t* config, const void* function, void** arguments, cudaStream_t default_stream) {
  if (!config) return cudaErrorInvalidValue;
  CUfunction f = nullptr;
  CUDART_TRY(find_function(function, &f));
  CUlaunchConfig c;
  CUDART_TRY(convert(*config, default_stream, &c));
  const CUresult result = cuLaunchKernelEx(&c, f, arguments, nullptr);
  return result == CUDA_SUCCESS ? cudaSuccess : launch_error(result, config->gridDim, config->blockDim);
}

cudaError_t launchCooperativeKernelMultiDevice(cudaLaunchParams* launches, unsigned count, unsigned flags) {
  if (!launches || count == 0) return cudaErrorInvalidValue;
  std::vector<CUDA_LAUNCH_PARAMS> converted;
  for (unsigned i = 0; i < count; ++i) {
    const cudaLaunchParams& p = launches[i];
    if (p.sharedMem > std::numeric_limits<unsigned>::max()) return cudaErrorInvalidValue;
    CUfunction f = nullptr;
    CUDART_TRY(find_function(p.func, &f));
    converted.push_back({f, p.gridDim.x, p.gridDim.y, p.gridDim.z, p.blockDim.x, p.blockDim.y, p.blockDim.z, static_cast<unsigned>(p.sharedMem), p.stream, p.args});
  }
  return error_of(cuLaunchCooperativeKernelMultiDevice(converted.data(), count, flags));
}

cudaError_t funcSetCacheConfig(const void* function, cudaFuncCache config) {
  CUfunction f = nullptr;
  CUDART_TRY(find_function(function, &f));
  return error_of(cuFuncSetCacheConfig(f, static_cast<CUfunc_cache>(config)));
}

// Banks of shared memory have one width on devices that this runtime supports.
cudaError_t funcSetSharedMemConfig(const void* function, cudaSharedMemConfig config) {
  if (config > cudaSharedMemBankSizeEightByte) return cudaErrorInvalidValue;
  CUfunction f = nullptr;
  return find_function(function, &f);
}

cudaError_t funcGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  if (!attributes) return cudaErrorInvalidValue;
  CUfunction f = nullptr;
  CUDART_TRY(find_function(function, &f));
  cudaError_t result = cudaSuccess;
  const auto get = [&](CUfunction_attribute attribute) {
    int value = 0;
    if (result == cudaSuccess) result = error_of(cuFuncGetAttribute(&value, attribute, f));
    return value;
  };
  cudaFuncAttributes a{};
  a.sharedSizeBytes = static_cast<size_t>(get(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES));
  a.constSizeBytes = static_cast<size_t>(get(CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES));
  a.localSizeBytes = static_cast<size_t>(get(CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES));
  a.maxThreadsPerBlock = get(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
  a.numRegs = get(CU_FUNC_ATTRIBUTE_NUM_REGS);
  a.ptxVersion = get(CU_FUNC_ATTRIBUTE_PTX_VERSION);
  a.binaryVersion = get(CU_FUNC_ATTRIBUTE_BINARY_VERSION);
  a.cacheModeCA = get(CU_FUNC_ATTRIBUTE_CACHE_MODE_CA);
  a.maxDynamicSharedSizeBytes = get(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
  a.preferredShmemCarveout = get(CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT);
  a.clusterDimMustBeSet = get(CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET);
  a.requiredClusterWidth = get(CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH);
  a.requiredClusterHeight = get(CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT);
  a.requiredClusterDepth = get(CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH);
  a.clusterSchedulingPolicyPreference = get(CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE);
  a.nonPortableClusterSizeAllowed = get(CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED);
  CUDART_TRY(result);
  // Programs built against CUDA 11.0 to 11.7 have a struct that ends before the clusters.
  std::memcpy(attributes, &a, kMajor == 11 ? offsetof(cudaFuncAttributes, clusterDimMustBeSet) : sizeof a);
  return cudaSuccess;
}

cudaError_t funcSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  CUfunction f = nullptr;
  CUDART_TRY(find_function(function, &f));
  // From here on the two APIs number attributes differently.
  const auto number = attribute == cudaFuncAttributeSharedMemoryMode ? CU_FUNC_ATTRIBUTE_SHARED_MEMORY_MODE : static_cast<CUfunction_attribute>(attribute);
  return error_of(cuFuncSetAttribute(f, number, value));
}

cudaError_t funcGetName(const char** name, const void* function) {
  CUfunction f = nullptr;
  CUDART_TRY(find_function(function, &f));
  return error_of(cuFuncGetName(name, f));
}

cudaError_t funcGetParamInfo(const void* function, size_t index, size_t* offset, size_t* bytes) {
  CUfunction f = nullptr;
  CUDART_TRY(find_function(function, &f));
  return error_of(cuFuncGetParamInfo(f, index, offset, bytes));
}

cudaError_t funcGetParamCount(const void* function, size_t* count) {
  CUfunction f = nullptr;
  CUDART_TRY(find_function(function, &f));
  return error_of(cuFuncGetParamCount(f, count));
}

// Devices without double precision are long gone: both do nothing, as documented.
cudaError_t setDoubleForDevice(double*) { return cudaSuccess; }
cudaError_t setDoubleForHost(double*) { return cudaSuccess; }

}  // namespace anywarp::cudart
