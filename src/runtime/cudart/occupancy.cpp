#include "cudart/occupancy.h"

#include "cudart/execution.h"
#include "cudart/registration.h"

namespace anywarp::cudart {

cudaError_t occupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function, int block_size, size_t dynamic_shared) {
  return occupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, block_size, dynamic_shared, cudaOccupancyDefault);
}

cudaError_t occupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* function, int block_size, size_t dynamic_shared,
                                                               unsigned flags) {
  CUfunction f = nullptr;
  CUDART_TRY(find_function(function, &f));
  return error_of(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, f, block_size, dynamic_shared, flags));
}

cudaError_t occupancyAvailableDynamicSMemPerBlock(size_t* dynamic_shared, const void* function, int blocks, int block_size) {
  CUfunction f = nullptr;
  CUDART_TRY(find_function(function, &f));
  return error_of(cuOccupancyAvailableDynamicSMemPerBlock(dynamic_shared, f, blocks, block_size));
}

cudaError_t occupancyMaxPotentialClusterSize(int* size, const void* function, const cudaLaunchConfig_t* config) {
  if (!config) return cudaErrorInvalidValue;
  CUfunction f = nullptr;
  CUDART_TRY(find_function(function, &f));
  CUlaunchConfig c;
  CUDART_TRY(convert(*config, nullptr, &c));
  return error_of(cuOccupancyMaxPotentialClusterSize(size, f, &c));
}

cudaError_t occupancyMaxActiveClusters(int* clusters, const void* function, const cudaLaunchConfig_t* config) {
  if (!config) return cudaErrorInvalidValue;
  CUfunction f = nullptr;
  CUDART_TRY(find_function(function, &f));
  CUlaunchConfig c;
  CUDART_TRY(convert(*config, nullptr, &c));
  return error_of(cuOccupancyMaxActiveClusters(clusters, f, &c));
}

}  // namespace anywarp::cudart
