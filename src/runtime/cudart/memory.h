// Manual: memory management, allocation and information. Copies are in memory_copy.h, fills in memory_set.h.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t malloc(void** pointer, size_t bytes);
cudaError_t mallocManaged(void** pointer, size_t bytes, unsigned flags);
cudaError_t mallocHost(void** pointer, size_t bytes);
cudaError_t mallocPitch(void** pointer, size_t* pitch, size_t width, size_t height);
cudaError_t malloc3D(cudaPitchedPtr* pointer, cudaExtent extent);
cudaError_t freeHost(void* pointer);
cudaError_t hostAlloc(void** pointer, size_t bytes, unsigned flags);
cudaError_t getSymbolAddress(void** pointer, const void* symbol);
cudaError_t getSymbolSize(size_t* bytes, const void* symbol);

}  // namespace anywarp::cudart
