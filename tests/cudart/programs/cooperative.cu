// A cooperative launch whose blocks wait for one another, by a barrier of atomics.
#include <vector>

#include "check.h"

__device__ void grid_barrier(unsigned* arrived, unsigned goal) {
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    atomicAdd(arrived, 1u);
    while (atomicAdd(arrived, 0u) < goal) {
    }
    __threadfence();
  }
  __syncthreads();
}

// Each round every element becomes the sum of its neighbours, from one buffer to the other.
__global__ void rounds(int* a, int* b, int n, int count, unsigned* arrived) {
  for (int r = 0; r < count; ++r) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) b[i] = a[(i + n - 1) % n] + a[(i + 1) % n];
    grid_barrier(arrived, gridDim.x * (r + 1));
    int* t = a;
    a = b, b = t;
  }
}

int main() {
  int supported = 0, per_sm = 0, sms = 0;
  CHECK(cudaDeviceGetAttribute(&supported, cudaDevAttrCooperativeLaunch, 0));
  EXPECT(supported == 1);
  const int block = 64;
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_sm, rounds, block, 0));
  CHECK(cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, 0));
  EXPECT(per_sm >= 1);
  int grid = per_sm * sms < 12 ? per_sm * sms : 12;

  int n = 1000, count = 6;
  std::vector<int> x(n), y(n);
  for (int i = 0; i < n; ++i) x[i] = i % 7;
  int *a, *b;
  unsigned* arrived;
  CHECK(cudaMalloc(&a, n * sizeof(int)));
  CHECK(cudaMalloc(&b, n * sizeof(int)));
  CHECK(cudaMalloc(&arrived, sizeof(unsigned)));
  CHECK(cudaMemset(arrived, 0, sizeof(unsigned)));
  CHECK(cudaMemcpy(a, x.data(), n * sizeof(int), cudaMemcpyHostToDevice));
  void* arguments[] = {&a, &b, &n, &count, &arrived};
  CHECK(cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(&rounds), dim3(grid), dim3(block), arguments, 0, nullptr));
  for (int r = 0; r < count; ++r) {
    for (int i = 0; i < n; ++i) y[i] = x[(i + n - 1) % n] + x[(i + 1) % n];
    x.swap(y);
  }
  CHECK(cudaMemcpy(y.data(), count % 2 ? b : a, n * sizeof(int), cudaMemcpyDeviceToHost));
  EXPECT(x == y);
  EXPECT_ERROR(cudaErrorCooperativeLaunchTooLarge,
               cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(&rounds), dim3(1000000), dim3(block), arguments, 0, nullptr));
  cudaGetLastError();
  return passed();
}
