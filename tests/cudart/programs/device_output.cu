// printf and memory allocation in kernels.
#include "check.h"

__global__ void speak(int times) {
  if (threadIdx.x < times) printf("thread %d of block %u: %.2f %s\n", int(threadIdx.x), blockIdx.x, threadIdx.x * 0.25, "said");
}

__global__ void make_lists(int** lists) {
  int* list = static_cast<int*>(malloc(4 * sizeof(int)));
  for (int i = 0; i < 4; ++i) list[i] = threadIdx.x * 10 + i;
  lists[threadIdx.x] = list;
}

__global__ void sum_lists(int** lists, int* sums) {
  int sum = 0;
  for (int i = 0; i < 4; ++i) sum += lists[threadIdx.x][i];
  sums[threadIdx.x] = sum;
  free(lists[threadIdx.x]);
}

int main() {
  speak<<<1, 32>>>(3);
  CHECK(cudaDeviceSynchronize());
  int** lists;
  int *sums, host[40];
  CHECK(cudaMalloc(&lists, 40 * sizeof(int*)));
  CHECK(cudaMalloc(&sums, sizeof host));
  make_lists<<<1, 40>>>(lists);
  sum_lists<<<1, 40>>>(lists, sums);
  CHECK(cudaMemcpy(host, sums, sizeof host, cudaMemcpyDeviceToHost));
  for (int i = 0; i < 40; ++i) EXPECT(host[i] == 40 * i + 6);
  return passed();
}
