// Variables in constant and global memory: initial values, copies to and from them, their addresses and sizes.
#include "check.h"

struct Setup {
  int factor;
  float offset[3];
};
__constant__ Setup setup = {3, {1, 2, 3}};
__constant__ int powers[8] = {1, 2, 4, 8, 16, 32, 64, 128};
__device__ int counters[4] = {10, 20, 30, 40};
__device__ double total;
static __device__ int hidden = 5;

__global__ void use(float* out) {
  const int i = threadIdx.x;
  out[i] = setup.factor * powers[i] + setup.offset[i % 3] + hidden;
  atomicAdd(&counters[i % 4], i);
  if (i == 0) total = total + 0.5;
}

int main() {
  float *out, host[8];
  CHECK(cudaMalloc(&out, sizeof host));
  use<<<1, 8>>>(out);
  CHECK(cudaMemcpy(host, out, sizeof host, cudaMemcpyDeviceToHost));
  for (int i = 0; i < 8; ++i) EXPECT(host[i] == 3 * (1 << i) + (i % 3 + 1) + 5);

  const Setup changed = {7, {0.5f, 0.25f, 0}};
  const int five = 50;
  CHECK(cudaMemcpyToSymbol(setup, &changed, sizeof changed));
  CHECK(cudaMemcpyToSymbol(hidden, &five, sizeof five));
  const int two[2] = {100, 200};
  CHECK(cudaMemcpyToSymbol(counters, two, sizeof two, 2 * sizeof(int)));
  use<<<1, 8>>>(out);
  CHECK(cudaMemcpy(host, out, sizeof host, cudaMemcpyDeviceToHost));
  for (int i = 0; i < 8; ++i) EXPECT(host[i] == 7 * (1 << i) + changed.offset[i % 3] + 50);

  int counted[4];
  CHECK(cudaMemcpyFromSymbol(counted, counters, sizeof counted));
  EXPECT(counted[0] == 10 + 4 + 4 && counted[1] == 20 + 6 + 6 && counted[2] == 100 + 8 && counted[3] == 200 + 10);
  double sum;
  CHECK(cudaMemcpyFromSymbol(&sum, total, sizeof sum));
  EXPECT(sum == 1.0);
  void* address = nullptr;
  size_t size = 0;
  CHECK(cudaGetSymbolAddress(&address, counters));
  CHECK(cudaGetSymbolSize(&size, counters));
  EXPECT(size == sizeof counted);
  CHECK(cudaMemset(address, 0, size));
  CHECK(cudaMemcpyFromSymbol(counted, counters, sizeof counted));
  EXPECT(counted[3] == 0);
  EXPECT_ERROR(cudaErrorInvalidValue, cudaMemcpyToSymbol(counters, counted, sizeof counted, 4));
  cudaGetLastError();
  return passed();
}
