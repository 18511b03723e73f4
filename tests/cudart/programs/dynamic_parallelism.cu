// Kernels that launch kernels: a recursive sum, streams, and a tail launch that sees what the others have done. Needs -rdc=true.
#include "check.h"

// Sums n numbers by halves, each by a launch of its own; the tail launch adds them.
__global__ void add(const int* left, const int* right, int* sum) { *sum = *left + *right; }
__global__ void sum_of(const int* numbers, int n, int* sum, int* scratch) {
  if (n == 1) {
    *sum = *numbers;
    return;
  }
  const int half = n / 2;
  sum_of<<<1, 1, 0, cudaStreamFireAndForget>>>(numbers, half, scratch, scratch + 2);
  sum_of<<<1, 1>>>(numbers + half, n - half, scratch + 1, scratch + 2 + 2 * half);
  add<<<1, 1, 0, cudaStreamTailLaunch>>>(scratch, scratch + 1, sum);
}

__global__ void scale(float* values, float factor) { values[blockIdx.x * blockDim.x + threadIdx.x] *= factor; }
__global__ void scale_rows(float* values, int width) {
  cudaStream_t stream;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  scale<<<width / 32, 32, 0, stream>>>(values + threadIdx.x * width, threadIdx.x + 1.0f);
  cudaStreamDestroy(stream);
  if (cudaGetLastError() != cudaSuccess) __trap();
}

int main() {
  constexpr int n = 64;
  int *numbers, *scratch, *sum;
  CHECK(cudaMallocManaged(&numbers, n * sizeof(int)));
  CHECK(cudaMallocManaged(&scratch, 8 * n * sizeof(int)));
  CHECK(cudaMallocManaged(&sum, sizeof(int)));
  for (int i = 0; i < n; ++i) numbers[i] = i * i;
  sum_of<<<1, 1>>>(numbers, n, sum, scratch);
  CHECK(cudaDeviceSynchronize());
  EXPECT(*sum == (n - 1) * n * (2 * n - 1) / 6);

  constexpr int rows = 8, width = 128;
  float* values;
  CHECK(cudaMallocManaged(&values, rows * width * sizeof(float)));
  for (int i = 0; i < rows * width; ++i) values[i] = i;
  scale_rows<<<1, rows>>>(values, width);
  CHECK(cudaDeviceSynchronize());
  for (int i = 0; i < rows * width; ++i) EXPECT(values[i] == i * (i / width + 1.0f));
  return passed();
}
