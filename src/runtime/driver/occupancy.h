// Manual: occupancy. Computed from the device profile as the programming guide describes: an SM's threads, blocks, registers and shared memory.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult occupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction function, int block_size, size_t dynamic_shared);
CUresult occupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, CUfunction function, int block_size, size_t dynamic_shared, unsigned flags);
CUresult occupancyMaxPotentialBlockSize(int* min_grid, int* block_size, CUfunction function, CUoccupancyB2DSize shared_of_block, size_t dynamic_shared,
                                        int limit);
CUresult occupancyMaxPotentialBlockSizeWithFlags(int* min_grid, int* block_size, CUfunction function, CUoccupancyB2DSize shared_of_block,
                                                 size_t dynamic_shared, int limit, unsigned flags);
CUresult occupancyAvailableDynamicSMemPerBlock(size_t* dynamic_shared, CUfunction function, int blocks, int block_size);
CUresult occupancyMaxPotentialClusterSize(int* size, CUfunction function, const CUlaunchConfig* config);
CUresult occupancyMaxActiveClusters(int* clusters, CUfunction function, const CUlaunchConfig* config);

}  // namespace anywarp::driver
