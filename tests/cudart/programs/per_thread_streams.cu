// Built with --default-stream per-thread: each thread's default stream is its own, and does not wait for the others'.
#include <thread>
#include <vector>

#include "check.h"

__global__ void add(int* p, int n, int value) {
  for (int i = threadIdx.x; i < n; i += blockDim.x) p[i] += value;
}
__global__ void wait_for(volatile int* flag) {
  while (*flag == 0) {
  }
}

int main() {
  int* flag;
  CHECK(cudaMallocManaged(&flag, sizeof(int)));
  *flag = 0;
  std::thread waiter([&] {
    wait_for<<<1, 1>>>(flag);
    CHECK(cudaStreamSynchronize(nullptr));
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      const int n = 1000;
      int *p, host[n];
      CHECK(cudaMalloc(&p, sizeof host));
      CHECK(cudaMemset(p, 0, sizeof host));
      for (int i = 0; i < 50; ++i) add<<<1, 128>>>(p, n, t);
      CHECK(cudaMemcpy(host, p, sizeof host, cudaMemcpyDeviceToHost));
      for (int value : host) EXPECT(value == 50 * t);
    });
  }
  for (std::thread& t : threads) t.join();
  *static_cast<volatile int*>(flag) = 1;
  waiter.join();
  return passed();
}
