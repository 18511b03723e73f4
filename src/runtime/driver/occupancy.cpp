#include "driver/occupancy.h"

#include <algorithm>

#include "driver/device.h"
#include "driver/execution.h"

namespace anywarp::driver {
namespace {

// What one block of a function takes of an SM.
struct Demand {
  const Device* device = nullptr;
  int threads_limit = 0;  // of a block
  int registers = 0;      // of a thread
  std::size_t static_shared = 0;

  int blocks(int threads, std::size_t dynamic_shared) const {
    if (threads > threads_limit) return 0;
    const int warp = device->attribute(CU_DEVICE_ATTRIBUTE_WARP_SIZE);
    const int warps = (threads + warp - 1) / warp;
    constexpr int kRegisterUnit = 256;  // registers are given out to warps in these units
    const int registers_of_warp = (registers * warp + kRegisterUnit - 1) / kRegisterUnit * kRegisterUnit;
    int most = device->attribute(CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR);
    most = std::min(most, device->attribute(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR) / warp / warps);
    most = std::min(most, device->attribute(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR) / registers_of_warp / warps);
    constexpr std::size_t kSharedUnit = 128;
    const std::size_t reserved = static_cast<std::size_t>(device->attribute(CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK));
    const std::size_t shared = (static_shared + dynamic_shared + reserved + kSharedUnit - 1) / kSharedUnit * kSharedUnit;
    const auto of_sm = static_cast<std::size_t>(device->attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR));
    return std::min(most, static_cast<int>(of_sm / shared));
  }
};

CUresult demand_of(CUfunction handle, Demand* out) {
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(use_function(handle, &function));
  const KernelCode* code = nullptr;
  ANYWARP_TRY(code_of(*function, &code));
  out->device = find_device(function->module->context->device);
  out->threads_limit = max_threads(*function, *code, *out->device);
  out->registers = static_cast<int>(std::clamp(code->manifest.registers, 16u, 255u));
  out->static_shared = code->manifest.static_shared_bytes;
  return CUDA_SUCCESS;
}

}  // namespace

CUresult occupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction function, int block_size, size_t dynamic_shared) {
  return occupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, block_size, dynamic_shared, CU_OCCUPANCY_DEFAULT);
}

CUresult occupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, CUfunction function, int block_size, size_t dynamic_shared, unsigned flags) {
  if (!blocks || block_size <= 0 || (flags & ~static_cast<unsigned>(CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE)) != 0) return CUDA_ERROR_INVALID_VALUE;
  Demand demand;
  ANYWARP_TRY(demand_of(function, &demand));
  *blocks = demand.blocks(block_size, dynamic_shared);
  return CUDA_SUCCESS;
}

CUresult occupancyMaxPotentialBlockSize(int* min_grid, int* block_size, CUfunction function, CUoccupancyB2DSize shared_of_block, size_t dynamic_shared,
                                        int limit) {
  return occupancyMaxPotentialBlockSizeWithFlags(min_grid, block_size, function, shared_of_block, dynamic_shared, limit, CU_OCCUPANCY_DEFAULT);
}

CUresult occupancyMaxPotentialBlockSizeWithFlags(int* min_grid, int* block_size, CUfunction function, CUoccupancyB2DSize shared_of_block,
                                                 size_t dynamic_shared, int limit, unsigned flags) {
  if (!min_grid || !block_size || limit < 0 || (flags & ~static_cast<unsigned>(CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE)) != 0) return CUDA_ERROR_INVALID_VALUE;
  Demand demand;
  ANYWARP_TRY(demand_of(function, &demand));
  const int warp = demand.device->attribute(CU_DEVICE_ATTRIBUTE_WARP_SIZE);
  const int most = limit ? std::min(limit, demand.threads_limit) : demand.threads_limit;
  int best_threads = 0, best_size = 0, best_blocks = 0;
  // From the largest size down by warps; among equals the largest block wins.
  for (int size = (most + warp - 1) / warp * warp; size > 0; size -= warp) {
    const int threads = std::min(size, most);
    const int blocks = demand.blocks(threads, shared_of_block ? shared_of_block(threads) : dynamic_shared);
    if (blocks * threads > best_threads) best_threads = blocks * threads, best_size = threads, best_blocks = blocks;
  }
  *block_size = best_size;
  *min_grid = best_blocks * demand.device->sm_count;
  return CUDA_SUCCESS;
}

CUresult occupancyAvailableDynamicSMemPerBlock(size_t* dynamic_shared, CUfunction function, int blocks, int block_size) {
  if (!dynamic_shared || blocks <= 0 || block_size <= 0) return CUDA_ERROR_INVALID_VALUE;
  Demand demand;
  ANYWARP_TRY(demand_of(function, &demand));
  if (demand.blocks(block_size, 0) < blocks) return CUDA_ERROR_INVALID_VALUE;
  const auto reserved = static_cast<std::size_t>(demand.device->attribute(CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK));
  const auto of_sm = static_cast<std::size_t>(demand.device->attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR));
  const auto of_block = static_cast<std::size_t>(demand.device->attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK));
  const std::size_t share = of_sm / static_cast<unsigned>(blocks) / 128 * 128;
  const std::size_t taken = reserved + demand.static_shared;
  *dynamic_shared = share > taken ? std::min(share - taken, of_block - std::min(of_block, demand.static_shared)) : 0;
  return CUDA_SUCCESS;
}

CUresult occupancyMaxPotentialClusterSize(int* size, CUfunction function, const CUlaunchConfig* config) {
  if (!size || !config) return CUDA_ERROR_INVALID_VALUE;
  Demand demand;
  ANYWARP_TRY(demand_of(function, &demand));
  CUfunc_st* f = nullptr;
  ANYWARP_TRY(use_function(function, &f));
  *size = f->attributes[CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED] ? static_cast<int>(kMaxClusterCtas) : 8;
  return CUDA_SUCCESS;
}

CUresult occupancyMaxActiveClusters(int* clusters, CUfunction function, const CUlaunchConfig* config) {
  if (!clusters || !config) return CUDA_ERROR_INVALID_VALUE;
  Demand demand;
  ANYWARP_TRY(demand_of(function, &demand));
  LaunchShape shape;
  shape.grid[0] = config->gridDimX, shape.grid[1] = config->gridDimY, shape.grid[2] = config->gridDimZ;
  ANYWARP_TRY(read_attributes(config->attrs, config->numAttrs, &shape));
  const unsigned ctas = std::max(shape.cluster[0], 1u) * std::max(shape.cluster[1], 1u) * std::max(shape.cluster[2], 1u);
  const int threads = static_cast<int>(config->blockDimX * config->blockDimY * config->blockDimZ);
  if (threads <= 0) return CUDA_ERROR_INVALID_VALUE;
  *clusters = demand.blocks(threads, config->sharedMemBytes) * demand.device->sm_count / static_cast<int>(ctas);
  return CUDA_SUCCESS;
}

}  // namespace anywarp::driver
