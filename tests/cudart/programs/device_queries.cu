// What the runtime says about the device, and that its several ways to ask agree.
#include <cstring>
#include <thread>

#include "check.h"

__global__ void kernel(int* p) {
  __shared__ int space[100];
  space[threadIdx.x % 100] = *p;
  __syncthreads();
  *p = space[0];
}

int main() {
  int count = 0, device = -1, value = 0, runtime = 0, driver = 0;
  CHECK(cudaGetDeviceCount(&count));
  EXPECT(count >= 1);
  CHECK(cudaGetDevice(&device));
  EXPECT(device == 0);
  CHECK(cudaRuntimeGetVersion(&runtime));
  CHECK(cudaDriverGetVersion(&driver));
  EXPECT(runtime / 1000 == CUDART_VERSION / 1000 && driver >= runtime);

  cudaDeviceProp p;
  std::memset(&p, 0xee, sizeof p);
  CHECK(cudaGetDeviceProperties(&p, 0));
  EXPECT(std::strlen(p.name) > 0 && p.major >= 8 && p.warpSize == 32 && p.maxThreadsPerBlock == 1024 && p.totalGlobalMem > 0);
  EXPECT(p.maxGridSize[1] == 65535 && p.unifiedAddressing == 1 && p.managedMemory == 1 && p.cooperativeLaunch == 1);
  EXPECT(p.memoryPoolsSupported == 1 && p.maxBlocksPerMultiProcessor > 0 && p.sharedMemPerBlock == 49152);
  CHECK(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, 0));
  EXPECT(p.multiProcessorCount == value);
  CHECK(cudaDeviceGetAttribute(&value, cudaDevAttrClusterLaunch, 0));
  EXPECT(p.clusterLaunch == value);
  // Nothing is written behind what the program knows.
  struct {
    cudaDeviceProp properties;
    unsigned char behind[16];
  } guarded;
  std::memset(&guarded, 0x5a, sizeof guarded);
  CHECK(cudaGetDeviceProperties(&guarded.properties, 0));
  for (unsigned char byte : guarded.behind) EXPECT(byte == 0x5a);
  int chosen = -1;
  CHECK(cudaChooseDevice(&chosen, &p));
  EXPECT(chosen == 0);

  size_t free_bytes = 0, total = 0;
  CHECK(cudaMemGetInfo(&free_bytes, &total));
  EXPECT(total == p.totalGlobalMem && free_bytes <= total);
  cudaFuncAttributes attributes;
  CHECK(cudaFuncGetAttributes(&attributes, kernel));
  EXPECT(attributes.sharedSizeBytes == 400 && attributes.ptxVersion >= 80 && attributes.maxThreadsPerBlock == 1024);
  int grid = 0, block = 0;
  CHECK(cudaOccupancyMaxPotentialBlockSize(&grid, &block, kernel, 0, 0));
  EXPECT(grid >= 1 && block >= 32 && block <= 1024);
  size_t limit = 0;
  CHECK(cudaDeviceSetLimit(cudaLimitMallocHeapSize, 16 << 20));
  CHECK(cudaDeviceGetLimit(&limit, cudaLimitMallocHeapSize));
  EXPECT(limit >= (16 << 20));
  int least = 0, greatest = 0;
  CHECK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  EXPECT(greatest <= least);

  // A new thread begins with device 0 and works in the same primary context.
  int* data;
  CHECK(cudaMalloc(&data, 4));
  std::thread([&] {
    CHECK(cudaGetDevice(&device));
    CHECK(cudaMemset(data, 0, 4));
    kernel<<<1, 32>>>(data);
    CHECK(cudaDeviceSynchronize());
  }).join();
  EXPECT(device == 0);
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  CHECK(cudaGetDriverEntryPointByVersion("cuMemAlloc", &function, 12000, cudaEnableDefault, &found));
  EXPECT(function != nullptr && found == cudaDriverEntryPointSuccess);
  CHECK(cudaGetDriverEntryPointByVersion("cuNoSuchFunction", &function, 12000, cudaEnableDefault, &found));
  EXPECT(found == cudaDriverEntryPointSymbolNotFound);
  return passed();
}
