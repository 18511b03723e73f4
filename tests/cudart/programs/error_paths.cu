// What wrong calls return, and how the last error is kept.
#include <cstring>
#include <thread>

#include "check.h"

__global__ void kernel(int* p) { *p = 1; }
__global__ void __launch_bounds__(64) bounded(int* p) { *p = 2; }
static int not_a_symbol;
static void not_a_kernel() {}

int main() {
  // Nothing has gone wrong yet.
  CHECK(cudaPeekAtLastError());
  int* p;
  CHECK(cudaMalloc(&p, 256));

  EXPECT_ERROR(cudaErrorInvalidDevice, cudaSetDevice(1000));
  EXPECT_ERROR(cudaErrorInvalidDevice, cudaPeekAtLastError());
  EXPECT_ERROR(cudaErrorInvalidDevice, cudaPeekAtLastError());
  EXPECT_ERROR(cudaErrorInvalidDevice, cudaGetLastError());
  EXPECT_ERROR(cudaSuccess, cudaGetLastError());
  // Success does not clear an error; another thread has its own.
  EXPECT_ERROR(cudaErrorInvalidValue, cudaMalloc(static_cast<void**>(nullptr), 16));
  std::thread([] { EXPECT_ERROR(cudaSuccess, cudaGetLastError()); }).join();
  CHECK(cudaDeviceSynchronize());
  EXPECT_ERROR(cudaErrorInvalidValue, cudaGetLastError());

  void* big = p;
  EXPECT_ERROR(cudaErrorMemoryAllocation, cudaMalloc(&big, size_t(1) << 60));
  CHECK(cudaMalloc(&big, 0));
  EXPECT(big == nullptr);
  CHECK(cudaFree(nullptr));
  EXPECT_ERROR(cudaErrorInvalidValue, cudaFree(reinterpret_cast<void*>(0x1234)));

  char host[256];
  EXPECT_ERROR(cudaErrorInvalidMemcpyDirection, cudaMemcpy(p, host, 16, static_cast<cudaMemcpyKind>(17)));
  EXPECT_ERROR(cudaErrorInvalidValue, cudaMemcpy(p, host, 257, cudaMemcpyHostToDevice));
  EXPECT_ERROR(cudaErrorInvalidValue, cudaMemcpy(nullptr, host, 16, cudaMemcpyHostToDevice));
  EXPECT_ERROR(cudaErrorInvalidPitchValue, cudaMemcpy2D(p, 8, host, 8, 16, 2, cudaMemcpyHostToDevice));
  EXPECT_ERROR(cudaErrorInvalidSymbol, cudaMemcpyToSymbol(&not_a_symbol, host, 4, 0, cudaMemcpyHostToDevice));

  kernel<<<1, 0>>>(p);
  EXPECT_ERROR(cudaErrorInvalidConfiguration, cudaGetLastError());
  kernel<<<1, 1025>>>(p);
  EXPECT_ERROR(cudaErrorInvalidConfiguration, cudaGetLastError());
  kernel<<<dim3(1, 70000), 1>>>(p);
  EXPECT_ERROR(cudaErrorInvalidConfiguration, cudaGetLastError());
  kernel<<<1, 1, 1 << 20>>>(p);
  EXPECT_ERROR(cudaErrorInvalidValue, cudaGetLastError());
  bounded<<<1, 64>>>(p);
  CHECK(cudaGetLastError());
  void* arguments[] = {&p};
  EXPECT_ERROR(cudaErrorInvalidDeviceFunction, cudaLaunchKernel(reinterpret_cast<const void*>(&not_a_kernel), dim3(1), dim3(1), arguments, 0, nullptr));
  CHECK(cudaLaunchKernel(reinterpret_cast<const void*>(&kernel), dim3(1), dim3(1), arguments, 0, nullptr));

  cudaFuncAttributes attributes;
  EXPECT_ERROR(cudaErrorInvalidDeviceFunction, cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(&not_a_kernel)));
  CHECK(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(&bounded)));
  EXPECT(attributes.maxThreadsPerBlock == 64);

  cudaEvent_t event;
  CHECK(cudaEventCreate(&event));
  float milliseconds;
  EXPECT_ERROR(cudaErrorInvalidResourceHandle, cudaEventElapsedTime(&milliseconds, event, event));
  EXPECT_ERROR(cudaErrorInvalidResourceHandle, cudaStreamSynchronize(reinterpret_cast<cudaStream_t>(&host)));

  EXPECT(!std::strcmp(cudaGetErrorName(cudaErrorInvalidConfiguration), "cudaErrorInvalidConfiguration"));
  EXPECT(!std::strcmp(cudaGetErrorString(static_cast<cudaError_t>(12345)), "unrecognized error code"));
  EXPECT(std::strlen(cudaGetErrorString(cudaErrorInvalidSymbol)) > 0);
  cudaGetLastError();
  return passed();
}
