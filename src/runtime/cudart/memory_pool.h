// Manual: stream-ordered memory allocator.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t mallocAsync(void** pointer, size_t bytes, cudaStream_t stream);
cudaError_t mallocFromPoolAsync(void** pointer, size_t bytes, cudaMemPool_t pool, cudaStream_t stream);
cudaError_t freeAsync(void* pointer, cudaStream_t stream);
cudaError_t memPoolTrimTo(cudaMemPool_t pool, size_t bytes);
cudaError_t memPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value);
cudaError_t memPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value);
cudaError_t memPoolSetAccess(cudaMemPool_t pool, const cudaMemAccessDesc* descriptions, size_t count);
cudaError_t memPoolGetAccess(cudaMemAccessFlags* flags, cudaMemPool_t pool, cudaMemLocation* location);
cudaError_t memPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties);
cudaError_t memPoolDestroy(cudaMemPool_t pool);
cudaError_t memGetDefaultMemPool(cudaMemPool_t* pool, cudaMemLocation* location, cudaMemAllocationType type);
cudaError_t memGetMemPool(cudaMemPool_t* pool, cudaMemLocation* location, cudaMemAllocationType type);
cudaError_t memSetMemPool(cudaMemLocation* location, cudaMemAllocationType type, cudaMemPool_t pool);

}  // namespace anywarp::cudart
