// Launches by configuration struct and by kernel handle; dynamic shared memory beyond 48 KiB; several devices' code in one binary.
#include "check.h"

__global__ void sum(const int* in, int n, int* out) {
  extern __shared__ int buffer[];
  for (int i = threadIdx.x; i < n; i += blockDim.x) buffer[i] = in[i];
  __syncthreads();
  if (threadIdx.x == 0) {
    int total = 0;
    for (int i = 0; i < n; ++i) total += buffer[i];
    *out = total;
  }
}

int main() {
  int n = 15000, *in, *out, host = 0, expected = 0;
  CHECK(cudaMallocManaged(&in, n * sizeof(int)));
  CHECK(cudaMalloc(&out, sizeof(int)));
  for (int i = 0; i < n; ++i) in[i] = i % 11, expected += in[i];
  const size_t shared = n * sizeof(int);
  sum<<<1, 256, shared>>>(in, n, out);
  EXPECT_ERROR(cudaErrorInvalidValue, cudaGetLastError());
  CHECK(cudaFuncSetAttribute(sum, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared)));
  sum<<<1, 256, shared>>>(in, n, out);
  CHECK(cudaMemcpy(&host, out, sizeof host, cudaMemcpyDeviceToHost));
  EXPECT(host == expected);

  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(1), config.blockDim = dim3(128), config.dynamicSmemBytes = shared, config.stream = stream;
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeCooperative;
  attribute.val.cooperative = 1;
  config.attrs = &attribute, config.numAttrs = 1;
  CHECK(cudaMemsetAsync(out, 0, sizeof(int), stream));
  CHECK(cudaLaunchKernelEx(&config, sum, static_cast<const int*>(in), n, out));
  CHECK(cudaMemcpyAsync(&host, out, sizeof host, cudaMemcpyDeviceToHost, stream));
  CHECK(cudaStreamSynchronize(stream));
  EXPECT(host == expected);

  cudaFunction_t function;
  CHECK(cudaGetFuncBySymbol(&function, reinterpret_cast<const void*>(&sum)));
  EXPECT(function != nullptr);
#if CUDART_VERSION >= 12000
  cudaKernel_t kernel;
  CHECK(cudaGetKernel(&kernel, reinterpret_cast<const void*>(&sum)));
  void* arguments[] = {&in, &n, &out};
  CHECK(cudaMemset(out, 0, sizeof(int)));
  CHECK(cudaLaunchKernel(reinterpret_cast<const void*>(kernel), dim3(1), dim3(64), arguments, shared, nullptr));
  CHECK(cudaMemcpy(&host, out, sizeof host, cudaMemcpyDeviceToHost));
  EXPECT(host == expected);
#endif
  return passed();
}
