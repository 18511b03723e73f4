// A histogram: atomics in shared memory, then one atomic a bin.
#include <vector>

#include "check.h"

__global__ void histogram(const unsigned char* in, int n, unsigned* out) {
  __shared__ unsigned bins[256];
  for (int i = threadIdx.x; i < 256; i += blockDim.x) bins[i] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&bins[in[i]], 1u);
  __syncthreads();
  for (int i = threadIdx.x; i < 256; i += blockDim.x) atomicAdd(&out[i], bins[i]);
}

int main() {
  const int n = 200003;
  std::vector<unsigned char> in(n);
  std::vector<unsigned> expected(256), out(256);
  unsigned state = 1;
  for (int i = 0; i < n; ++i) {
    state = state * 1664525u + 1013904223u;
    in[i] = (state >> 24) & (state >> 16);
    ++expected[in[i]];
  }
  unsigned char* device_in;
  unsigned* device_out;
  CHECK(cudaMalloc(&device_in, n));
  CHECK(cudaMalloc(&device_out, 256 * sizeof(unsigned)));
  CHECK(cudaMemcpy(device_in, in.data(), n, cudaMemcpyHostToDevice));
  CHECK(cudaMemset(device_out, 0, 256 * sizeof(unsigned)));
  histogram<<<16, 192>>>(device_in, n, device_out);
  CHECK(cudaMemcpy(out.data(), device_out, 256 * sizeof(unsigned), cudaMemcpyDeviceToHost));
  EXPECT(out == expected);
  return passed();
}
