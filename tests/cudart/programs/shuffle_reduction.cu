// A sum by shuffles in warps, shared memory between them and an atomic between blocks.
#include <vector>

#include "check.h"

__device__ int warp_sum(int value) {
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_down_sync(0xffffffffu, value, offset);
  return value;
}

__global__ void reduce(const int* in, int n, int* out) {
  __shared__ int sums[32];
  int value = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) value += in[i];
  value = warp_sum(value);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = value;
  __syncthreads();
  if (threadIdx.x < 32) {
    value = threadIdx.x < blockDim.x / 32 ? sums[threadIdx.x] : 0;
    value = warp_sum(value);
    if (threadIdx.x == 0) atomicAdd(out, value);
  }
}

int main() {
  const int n = 123457;
  std::vector<int> in(n);
  int expected = 0;
  for (int i = 0; i < n; ++i) in[i] = i % 1000 - 300, expected += in[i];
  int *device_in, *device_out, out = 0;
  CHECK(cudaMalloc(&device_in, n * sizeof(int)));
  CHECK(cudaMalloc(&device_out, sizeof(int)));
  CHECK(cudaMemcpy(device_in, in.data(), n * sizeof(int), cudaMemcpyHostToDevice));
  for (int block : {32, 128, 1024}) {
    CHECK(cudaMemset(device_out, 0, sizeof(int)));
    reduce<<<20, block>>>(device_in, n, device_out);
    CHECK(cudaMemcpy(&out, device_out, sizeof(int), cudaMemcpyDeviceToHost));
    EXPECT(out == expected);
  }
  return passed();
}
