// Built with -rdc=true: the kernel calls a function and uses a variable of another file.
#include "../check.h"

extern __device__ int other_variable;
__device__ int other_function(int x);

__global__ void kernel(int* out) { out[threadIdx.x] = other_function(threadIdx.x) + other_variable; }

int main() {
  int *out, host[32];
  CHECK(cudaMalloc(&out, sizeof host));
  kernel<<<1, 32>>>(out);
  CHECK(cudaMemcpy(host, out, sizeof host, cudaMemcpyDeviceToHost));
  for (int i = 0; i < 32; ++i) EXPECT(host[i] == i * i + 1000);
  return passed();
}
