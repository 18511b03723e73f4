// cudaDeviceProp in its three layouts: what the driver's attributes say, member by member; a layout lacks some members.
#include <cstring>
#include <type_traits>

#include "cudart/device.h"

namespace anywarp::cudart {
namespace {

// `expression` is left out in layouts that have no such member.
#define IF_MEMBER(name, attribute) \
  if constexpr (requires { p.name; }) p.name = static_cast<std::remove_cvref_t<decltype(p.name)>>(get(CU_DEVICE_ATTRIBUTE_##attribute))

template <typename Properties>
cudaError_t fill(Properties* out, int device) {
  if (!out) return cudaErrorInvalidValue;
  CUDART_TRY(check_device(device));
  Properties& p = *out;
  std::memset(&p, 0, sizeof p);
  const auto get = [device](CUdevice_attribute attribute) { return attribute_of(device, attribute); };
  CUDART_TRY(cuDeviceGetName(p.name, sizeof p.name, device));
  CUDART_TRY(cuDeviceGetUuid_v2(&p.uuid, device));
  cuDeviceGetLuid(p.luid, &p.luidDeviceNodeMask, device);  // Windows only: stays zero elsewhere
  CUDART_TRY(cuDeviceTotalMem_v2(&p.totalGlobalMem, device));
  IF_MEMBER(sharedMemPerBlock, MAX_SHARED_MEMORY_PER_BLOCK);
  IF_MEMBER(regsPerBlock, MAX_REGISTERS_PER_BLOCK);
  IF_MEMBER(warpSize, WARP_SIZE);
  IF_MEMBER(memPitch, MAX_PITCH);
  IF_MEMBER(maxThreadsPerBlock, MAX_THREADS_PER_BLOCK);
  IF_MEMBER(maxThreadsDim[0], MAX_BLOCK_DIM_X);
  IF_MEMBER(maxThreadsDim[1], MAX_BLOCK_DIM_Y);
  IF_MEMBER(maxThreadsDim[2], MAX_BLOCK_DIM_Z);
  IF_MEMBER(maxGridSize[0], MAX_GRID_DIM_X);
  IF_MEMBER(maxGridSize[1], MAX_GRID_DIM_Y);
  IF_MEMBER(maxGridSize[2], MAX_GRID_DIM_Z);
  IF_MEMBER(clockRate, CLOCK_RATE);
  IF_MEMBER(totalConstMem, TOTAL_CONSTANT_MEMORY);
  IF_MEMBER(major, COMPUTE_CAPABILITY_MAJOR);
  IF_MEMBER(minor, COMPUTE_CAPABILITY_MINOR);
  IF_MEMBER(textureAlignment, TEXTURE_ALIGNMENT);
  IF_MEMBER(texturePitchAlignment, TEXTURE_PITCH_ALIGNMENT);
  IF_MEMBER(deviceOverlap, GPU_OVERLAP);
  IF_MEMBER(multiProcessorCount, MULTIPROCESSOR_COUNT);
  IF_MEMBER(kernelExecTimeoutEnabled, KERNEL_EXEC_TIMEOUT);
  IF_MEMBER(integrated, INTEGRATED);
  IF_MEMBER(canMapHostMemory, CAN_MAP_HOST_MEMORY);
  IF_MEMBER(computeMode, COMPUTE_MODE);
  IF_MEMBER(maxTexture1D, MAXIMUM_TEXTURE1D_WIDTH);
  IF_MEMBER(maxTexture1DMipmap, MAXIMUM_TEXTURE1D_MIPMAPPED_WIDTH);
  IF_MEMBER(maxTexture1DLinear, MAXIMUM_TEXTURE1D_LINEAR_WIDTH);
  IF_MEMBER(maxTexture2D[0], MAXIMUM_TEXTURE2D_WIDTH);
  IF_MEMBER(maxTexture2D[1], MAXIMUM_TEXTURE2D_HEIGHT);
  IF_MEMBER(maxTexture2DMipmap[0], MAXIMUM_TEXTURE2D_MIPMAPPED_WIDTH);
  IF_MEMBER(maxTexture2DMipmap[1], MAXIMUM_TEXTURE2D_MIPMAPPED_HEIGHT);
  IF_MEMBER(maxTexture2DLinear[0], MAXIMUM_TEXTURE2D_LINEAR_WIDTH);
  IF_MEMBER(maxTexture2DLinear[1], MAXIMUM_TEXTURE2D_LINEAR_HEIGHT);
  IF_MEMBER(maxTexture2DLinear[2], MAXIMUM_TEXTURE2D_LINEAR_PITCH);
  IF_MEMBER(maxTexture2DGather[0], MAXIMUM_TEXTURE2D_GATHER_WIDTH);
  IF_MEMBER(maxTexture2DGather[1], MAXIMUM_TEXTURE2D_GATHER_HEIGHT);
  IF_MEMBER(maxTexture3D[0], MAXIMUM_TEXTURE3D_WIDTH);
  IF_MEMBER(maxTexture3D[1], MAXIMUM_TEXTURE3D_HEIGHT);
  IF_MEMBER(maxTexture3D[2], MAXIMUM_TEXTURE3D_DEPTH);
  IF_MEMBER(maxTexture3DAlt[0], MAXIMUM_TEXTURE3D_WIDTH_ALTERNATE);
  IF_MEMBER(maxTexture3DAlt[1], MAXIMUM_TEXTURE3D_HEIGHT_ALTERNATE);
  IF_MEMBER(maxTexture3DAlt[2], MAXIMUM_TEXTURE3D_DEPTH_ALTERNATE);
  IF_MEMBER(maxTextureCubemap, MAXIMUM_TEXTURECUBEMAP_WIDTH);
  IF_MEMBER(maxTexture1DLayered[0], MAXIMUM_TEXTURE1D_LAYERED_WIDTH);
  IF_MEMBER(maxTexture1DLayered[1], MAXIMUM_TEXTURE1D_LAYERED_LAYERS);
  IF_MEMBER(maxTexture2DLayered[0], MAXIMUM_TEXTURE2D_LAYERED_WIDTH);
  IF_MEMBER(maxTexture2DLayered[1], MAXIMUM_TEXTURE2D_LAYERED_HEIGHT);
  IF_MEMBER(maxTexture2DLayered[2], MAXIMUM_TEXTURE2D_LAYERED_LAYERS);
  IF_MEMBER(maxTextureCubemapLayered[0], MAXIMUM_TEXTURECUBEMAP_LAYERED_WIDTH);
  IF_MEMBER(maxTextureCubemapLayered[1], MAXIMUM_TEXTURECUBEMAP_LAYERED_LAYERS);
  IF_MEMBER(maxSurface1D, MAXIMUM_SURFACE1D_WIDTH);
  IF_MEMBER(maxSurface2D[0], MAXIMUM_SURFACE2D_WIDTH);
  IF_MEMBER(maxSurface2D[1], MAXIMUM_SURFACE2D_HEIGHT);
  IF_MEMBER(maxSurface3D[0], MAXIMUM_SURFACE3D_WIDTH);
  IF_MEMBER(maxSurface3D[1], MAXIMUM_SURFACE3D_HEIGHT);
  IF_MEMBER(maxSurface3D[2], MAXIMUM_SURFACE3D_DEPTH);
  IF_MEMBER(maxSurface1DLayered[0], MAXIMUM_SURFACE1D_LAYERED_WIDTH);
  IF_MEMBER(maxSurface1DLayered[1], MAXIMUM_SURFACE1D_LAYERED_LAYERS);
  IF_MEMBER(maxSurface2DLayered[0], MAXIMUM_SURFACE2D_LAYERED_WIDTH);
  IF_MEMBER(maxSurface2DLayered[1], MAXIMUM_SURFACE2D_LAYERED_HEIGHT);
  IF_MEMBER(maxSurface2DLayered[2], MAXIMUM_SURFACE2D_LAYERED_LAYERS);
  IF_MEMBER(maxSurfaceCubemap, MAXIMUM_SURFACECUBEMAP_WIDTH);
  IF_MEMBER(maxSurfaceCubemapLayered[0], MAXIMUM_SURFACECUBEMAP_LAYERED_WIDTH);
  IF_MEMBER(maxSurfaceCubemapLayered[1], MAXIMUM_SURFACECUBEMAP_LAYERED_LAYERS);
  IF_MEMBER(surfaceAlignment, SURFACE_ALIGNMENT);
  IF_MEMBER(concurrentKernels, CONCURRENT_KERNELS);
  IF_MEMBER(ECCEnabled, ECC_ENABLED);
  IF_MEMBER(pciBusID, PCI_BUS_ID);
  IF_MEMBER(pciDeviceID, PCI_DEVICE_ID);
  IF_MEMBER(pciDomainID, PCI_DOMAIN_ID);
  IF_MEMBER(tccDriver, TCC_DRIVER);
  IF_MEMBER(asyncEngineCount, ASYNC_ENGINE_COUNT);
  IF_MEMBER(unifiedAddressing, UNIFIED_ADDRESSING);
  IF_MEMBER(memoryClockRate, MEMORY_CLOCK_RATE);
  IF_MEMBER(memoryBusWidth, GLOBAL_MEMORY_BUS_WIDTH);
  IF_MEMBER(l2CacheSize, L2_CACHE_SIZE);
  IF_MEMBER(persistingL2CacheMaxSize, MAX_PERSISTING_L2_CACHE_SIZE);
  IF_MEMBER(maxThreadsPerMultiProcessor, MAX_THREADS_PER_MULTIPROCESSOR);
  IF_MEMBER(streamPrioritiesSupported, STREAM_PRIORITIES_SUPPORTED);
  IF_MEMBER(globalL1CacheSupported, GLOBAL_L1_CACHE_SUPPORTED);
  IF_MEMBER(localL1CacheSupported, LOCAL_L1_CACHE_SUPPORTED);
  IF_MEMBER(sharedMemPerMultiprocessor, MAX_SHARED_MEMORY_PER_MULTIPROCESSOR);
  IF_MEMBER(regsPerMultiprocessor, MAX_REGISTERS_PER_MULTIPROCESSOR);
  IF_MEMBER(managedMemory, MANAGED_MEMORY);
  IF_MEMBER(isMultiGpuBoard, MULTI_GPU_BOARD);
  IF_MEMBER(multiGpuBoardGroupID, MULTI_GPU_BOARD_GROUP_ID);
  IF_MEMBER(hostNativeAtomicSupported, HOST_NATIVE_ATOMIC_SUPPORTED);
  IF_MEMBER(singleToDoublePrecisionPerfRatio, SINGLE_TO_DOUBLE_PRECISION_PERF_RATIO);
  IF_MEMBER(pageableMemoryAccess, PAGEABLE_MEMORY_ACCESS);
  IF_MEMBER(concurrentManagedAccess, CONCURRENT_MANAGED_ACCESS);
  IF_MEMBER(computePreemptionSupported, COMPUTE_PREEMPTION_SUPPORTED);
  IF_MEMBER(canUseHostPointerForRegisteredMem, CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM);
  IF_MEMBER(cooperativeLaunch, COOPERATIVE_LAUNCH);
  IF_MEMBER(cooperativeMultiDeviceLaunch, COOPERATIVE_MULTI_DEVICE_LAUNCH);
  IF_MEMBER(sharedMemPerBlockOptin, MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
  IF_MEMBER(pageableMemoryAccessUsesHostPageTables, PAGEABLE_MEMORY_ACCESS_USES_HOST_PAGE_TABLES);
  IF_MEMBER(directManagedMemAccessFromHost, DIRECT_MANAGED_MEM_ACCESS_FROM_HOST);
  IF_MEMBER(maxBlocksPerMultiProcessor, MAX_BLOCKS_PER_MULTIPROCESSOR);
  IF_MEMBER(accessPolicyMaxWindowSize, MAX_ACCESS_POLICY_WINDOW_SIZE);
  IF_MEMBER(reservedSharedMemPerBlock, RESERVED_SHARED_MEMORY_PER_BLOCK);
  IF_MEMBER(hostRegisterSupported, HOST_REGISTER_SUPPORTED);
  IF_MEMBER(sparseCudaArraySupported, SPARSE_CUDA_ARRAY_SUPPORTED);
  IF_MEMBER(hostRegisterReadOnlySupported, READ_ONLY_HOST_REGISTER_SUPPORTED);
  IF_MEMBER(timelineSemaphoreInteropSupported, TIMELINE_SEMAPHORE_INTEROP_SUPPORTED);
  IF_MEMBER(memoryPoolsSupported, MEMORY_POOLS_SUPPORTED);
  IF_MEMBER(gpuDirectRDMASupported, GPU_DIRECT_RDMA_SUPPORTED);
  IF_MEMBER(gpuDirectRDMAFlushWritesOptions, GPU_DIRECT_RDMA_FLUSH_WRITES_OPTIONS);
  IF_MEMBER(gpuDirectRDMAWritesOrdering, GPU_DIRECT_RDMA_WRITES_ORDERING);
  IF_MEMBER(memoryPoolSupportedHandleTypes, MEMPOOL_SUPPORTED_HANDLE_TYPES);
  IF_MEMBER(deferredMappingCudaArraySupported, DEFERRED_MAPPING_CUDA_ARRAY_SUPPORTED);
  IF_MEMBER(ipcEventSupported, IPC_EVENT_SUPPORTED);
  IF_MEMBER(clusterLaunch, CLUSTER_LAUNCH);
  IF_MEMBER(unifiedFunctionPointers, UNIFIED_FUNCTION_POINTERS);
  IF_MEMBER(deviceNumaConfig, NUMA_CONFIG);
  IF_MEMBER(deviceNumaId, NUMA_ID);
  IF_MEMBER(mpsEnabled, MPS_ENABLED);
  IF_MEMBER(hostNumaId, HOST_NUMA_ID);
  IF_MEMBER(gpuPciDeviceID, GPU_PCI_DEVICE_ID);
  IF_MEMBER(gpuPciSubsystemID, GPU_PCI_SUBSYSTEM_ID);
  IF_MEMBER(hostNumaMultinodeIpcSupported, HOST_NUMA_MULTINODE_IPC_SUPPORTED);
  return cudaSuccess;
}

#undef IF_MEMBER

// The device that meets most of what is asked for; the first of several. Zero members ask for nothing.
template <typename Properties>
cudaError_t choose(int* device, const Properties* wanted) {
  if (!device || !wanted) return cudaErrorInvalidValue;
  int count = 0, best = -1;
  CUDART_TRY(getDeviceCount(&count));
  for (int i = 0; i < count; ++i) {
    Properties p;
    CUDART_TRY(fill(&p, i));
    const int met = (wanted->major == 0 || p.major * 100 + p.minor >= wanted->major * 100 + wanted->minor) +
                    (p.totalGlobalMem >= wanted->totalGlobalMem) + (p.multiProcessorCount >= wanted->multiProcessorCount) +
                    (p.sharedMemPerBlock >= wanted->sharedMemPerBlock);
    if (met > best) best = met, *device = i;
  }
  return cudaSuccess;
}

}  // namespace

cudaError_t getDeviceProperties_v1(cudaDeviceProp_v11* properties, int device) { return fill(properties, device); }
cudaError_t getDeviceProperties_v1(cudaDeviceProp* properties, int device) { return fill(properties, device); }
cudaError_t getDeviceProperties_v2(cudaDeviceProp_v12* properties, int device) { return fill(properties, device); }
cudaError_t chooseDevice(int* device, const cudaDeviceProp_v11* wanted) { return choose(device, wanted); }
cudaError_t chooseDevice(int* device, const cudaDeviceProp_v12* wanted) { return choose(device, wanted); }
cudaError_t chooseDevice(int* device, const cudaDeviceProp* wanted) { return choose(device, wanted); }

}  // namespace anywarp::cudart
