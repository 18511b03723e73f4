// Manual: memory management, allocation and information. Copies are in memory_copy.h, fills in memory_set.h.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t malloc(void** pointer, size_t bytes);
cudaError_t mallocManaged(void** pointer, size_t bytes, unsigned flags);
cudaError_t mallocHost(void** pointer, size_t bytes);
cudaError_t mallocPitch(void** pointer, size_t* pitch, size_t width, size_t height);
cudaError_t malloc3D(cudaPitchedPtr* pointer, cudaExtent extent);
cudaError_t free(void* pointer);
cudaError_t freeHost(void* pointer);
cudaError_t hostAlloc(void** pointer, size_t bytes, unsigned flags);
cudaError_t hostRegister(void* pointer, size_t bytes, unsigned flags);
cudaError_t hostUnregister(void* pointer);
cudaError_t hostGetDevicePointer(void** device_pointer, void* pointer, unsigned flags);
cudaError_t hostGetFlags(unsigned* flags, void* pointer);
cudaError_t memGetInfo(size_t* free_bytes, size_t* total);
cudaError_t getSymbolAddress(void** pointer, const void* symbol);
cudaError_t getSymbolSize(size_t* bytes, const void* symbol);
cudaError_t memPrefetchAsync_v1(const void* pointer, size_t bytes, int device, cudaStream_t stream);
cudaError_t memPrefetchAsync_v2(const void* pointer, size_t bytes, cudaMemLocation location, unsigned flags, cudaStream_t stream);
cudaError_t memAdvise_v1(const void* pointer, size_t bytes, cudaMemoryAdvise advice, int device);
cudaError_t memAdvise_v2(const void* pointer, size_t bytes, cudaMemoryAdvise advice, cudaMemLocation location);
cudaError_t memRangeGetAttribute(void* data, size_t data_bytes, cudaMemRangeAttribute attribute, const void* pointer, size_t bytes);
cudaError_t memRangeGetAttributes(void** data, size_t* data_bytes, cudaMemRangeAttribute* attributes, size_t count, const void* pointer,
                                  size_t bytes);

}  // namespace anywarp::cudart
