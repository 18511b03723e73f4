// Cooperative groups as nvcc compiles them: the grid's barrier, tiles of a warp, groups of the active threads.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>

#include <vector>

#include "check.h"

namespace groups = cooperative_groups;

// Each round every block adds what all blocks have written before the barrier.
__global__ void sum_over_grid(unsigned long long* partial, unsigned long long* totals, int rounds) {
  const groups::grid_group grid = groups::this_grid();
  const groups::thread_block block = groups::this_thread_block();
  const auto tile = groups::tiled_partition<32>(block);
  __shared__ unsigned long long warps[32];
  for (int round = 0; round < rounds; ++round) {
    const unsigned long long mine = grid.thread_rank() * (round + 1);
    const unsigned long long sum = groups::reduce(tile, mine, groups::plus<unsigned long long>());
    if (tile.thread_rank() == 0) warps[tile.meta_group_rank()] = sum;
    block.sync();
    if (block.thread_rank() == 0) {
      unsigned long long total = 0;
      for (unsigned i = 0; i < tile.meta_group_size(); ++i) total += warps[i];
      partial[blockIdx.x] = total;
    }
    grid.sync();
    if (grid.thread_rank() == 0) {
      unsigned long long total = 0;
      for (unsigned i = 0; i < gridDim.x; ++i) total += partial[i];
      totals[round] = total;
    }
    grid.sync();
  }
}

__global__ void count_odd(int* count) {
  if (threadIdx.x % 2) {
    const groups::coalesced_group active = groups::coalesced_threads();
    if (active.thread_rank() == 0) atomicAdd(count, static_cast<int>(active.size()));
  }
}

__global__ void is_grid_valid(int* valid) { *valid = groups::this_grid().is_valid(); }

int main() {
  const int grid = 7, block = 96;
  int rounds = 5;
  unsigned long long *partial, *totals;
  int* value;
  CHECK(cudaMalloc(&partial, grid * sizeof *partial));
  CHECK(cudaMalloc(&totals, rounds * sizeof *totals));
  CHECK(cudaMalloc(&value, sizeof *value));
  void* arguments[] = {&partial, &totals, &rounds};
  // Each launch has a barrier of its own.
  for (int i = 0; i < 2; ++i) {
    CHECK(cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(&sum_over_grid), dim3(grid), dim3(block), arguments, 0, nullptr));
  }
  std::vector<unsigned long long> sums(rounds);
  CHECK(cudaMemcpy(sums.data(), totals, rounds * sizeof *totals, cudaMemcpyDeviceToHost));
  const unsigned long long threads = grid * block;
  for (int round = 0; round < rounds; ++round) EXPECT(sums[round] == threads * (threads - 1) / 2 * (round + 1));

  CHECK(cudaMemset(value, 0, sizeof *value));
  count_odd<<<2, 64>>>(value);
  int result = 0;
  CHECK(cudaMemcpy(&result, value, sizeof result, cudaMemcpyDeviceToHost));
  EXPECT(result == 64);
  is_grid_valid<<<1, 1>>>(value);
  CHECK(cudaMemcpy(&result, value, sizeof result, cudaMemcpyDeviceToHost));
  EXPECT(result == 0);  // an ordinary launch cannot synchronise its grid
  return passed();
}
