// Manual: occupancy.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t occupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function, int block_size, size_t dynamic_shared);
cudaError_t occupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* function, int block_size, size_t dynamic_shared,
                                                               unsigned flags);
cudaError_t occupancyAvailableDynamicSMemPerBlock(size_t* dynamic_shared, const void* function, int blocks, int block_size);
cudaError_t occupancyMaxPotentialClusterSize(int* size, const void* function, const cudaLaunchConfig_t* config);
cudaError_t occupancyMaxActiveClusters(int* clusters, const void* function, const cudaLaunchConfig_t* config);

}  // namespace anywarp::cudart
