// Managed memory: allocated, and as variables; advice and prefetch have no effect that can be seen.
#include "check.h"

__managed__ int shared_counter = 5;
__managed__ float table[100];

__global__ void fill(float* data, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) data[i] = i + shared_counter, table[i % 100] = i % 100;
  if (i == 0) shared_counter += 1;
}

int main() {
  EXPECT(shared_counter == 5);
  shared_counter = 10;
  const int n = 5000;
  float* data;
  CHECK(cudaMallocManaged(&data, n * sizeof(float)));
  for (int i = 0; i < n; ++i) data[i] = -1;
  fill<<<(n + 127) / 128, 128>>>(data, n);
  CHECK(cudaDeviceSynchronize());
  for (int i = 1; i < n; ++i) EXPECT(data[i] == i + 10 || data[i] == i + 11);
  EXPECT(shared_counter == 11 && table[99] == 99);

  cudaPointerAttributes attributes;
  CHECK(cudaPointerGetAttributes(&attributes, data));
  EXPECT(attributes.type == cudaMemoryTypeManaged && attributes.devicePointer == data && attributes.hostPointer == data);
  int* device;
  CHECK(cudaMalloc(&device, 64));
  CHECK(cudaPointerGetAttributes(&attributes, device + 4));
  EXPECT(attributes.type == cudaMemoryTypeDevice && attributes.device == 0 && attributes.devicePointer == device + 4);
  int local;
  CHECK(cudaPointerGetAttributes(&attributes, &local));
  EXPECT(attributes.type == cudaMemoryTypeUnregistered && attributes.devicePointer == nullptr);
  CHECK(cudaHostAlloc(&device, 64, cudaHostAllocMapped));
  CHECK(cudaPointerGetAttributes(&attributes, device));
  EXPECT(attributes.type == cudaMemoryTypeHost);
  void* seen;
  CHECK(cudaHostGetDevicePointer(&seen, device, 0));
  CHECK(cudaFreeHost(device));
  CHECK(cudaFree(data));
  return passed();
}
