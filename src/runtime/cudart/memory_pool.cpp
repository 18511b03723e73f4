#include "cudart/memory_pool.h"

namespace anywarp::cudart {

cudaError_t mallocAsync(void** pointer, size_t bytes, cudaStream_t stream) {
  if (!pointer) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  return error_of(cuMemAllocAsync(reinterpret_cast<CUdeviceptr*>(pointer), bytes, stream));
}

cudaError_t mallocFromPoolAsync(void** pointer, size_t bytes, cudaMemPool_t pool, cudaStream_t stream) {
  if (!pointer) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  return error_of(cuMemAllocFromPoolAsync(reinterpret_cast<CUdeviceptr*>(pointer), bytes, pool, stream));
}

cudaError_t freeAsync(void* pointer, cudaStream_t stream) {
  CUDART_TRY(use_context());
  if (!pointer) return cudaSuccess;
  return error_of(cuMemFreeAsync(address(pointer), stream));
}

cudaError_t memPoolTrimTo(cudaMemPool_t pool, size_t bytes) {
  CUDART_TRY(use_context());
  return error_of(cuMemPoolTrimTo(pool, bytes));
}

cudaError_t memPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  CUDART_TRY(use_context());
  return error_of(cuMemPoolSetAttribute(pool, static_cast<CUmemPool_attribute>(attribute), value));
}

cudaError_t memPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  CUDART_TRY(use_context());
  return error_of(cuMemPoolGetAttribute(pool, static_cast<CUmemPool_attribute>(attribute), value));
}

cudaError_t memPoolSetAccess(cudaMemPool_t pool, const cudaMemAccessDesc* descriptions, size_t count) {
  CUDART_TRY(use_context());
  return error_of(cuMemPoolSetAccess(pool, reinterpret_cast<const CUmemAccessDesc*>(descriptions), count));
}

cudaError_t memPoolGetAccess(cudaMemAccessFlags* flags, cudaMemPool_t pool, cudaMemLocation* location) {
  CUDART_TRY(use_context());
  return error_of(cuMemPoolGetAccess(reinterpret_cast<CUmemAccess_flags*>(flags), pool, reinterpret_cast<CUmemLocation*>(location)));
}

cudaError_t memPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
  CUDART_TRY(use_context());
  return error_of(cuMemPoolCreate(pool, reinterpret_cast<const CUmemPoolProps*>(properties)));
}

cudaError_t memPoolDestroy(cudaMemPool_t pool) {
  CUDART_TRY(use_context());
  return error_of(cuMemPoolDestroy(pool));
}

cudaError_t memGetDefaultMemPool(cudaMemPool_t* pool, cudaMemLocation* location, cudaMemAllocationType type) {
  CUDART_TRY(use_context());
  return error_of(cuMemGetDefaultMemPool(pool, reinterpret_cast<CUmemLocation*>(location), static_cast<CUmemAllocationType>(type)));
}

cudaError_t memGetMemPool(cudaMemPool_t* pool, cudaMemLocation* location, cudaMemAllocationType type) {
  CUDART_TRY(use_context());
  return error_of(cuMemGetMemPool(pool, reinterpret_cast<CUmemLocation*>(location), static_cast<CUmemAllocationType>(type)));
}

cudaError_t memSetMemPool(cudaMemLocation* location, cudaMemAllocationType type, cudaMemPool_t pool) {
  CUDART_TRY(use_context());
  return error_of(cuMemSetMemPool(reinterpret_cast<CUmemLocation*>(location), static_cast<CUmemAllocationType>(type), pool));
}

}  // namespace anywarp::cudart
