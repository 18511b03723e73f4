#include "cudart/memory_pool.h"

namespace anywarp::cudart {

cudaError_t mallocAsync(void** pointer, size_t bytes, cudaStream_t stream) {
  if (!pointer) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  return error_of(cuMemAllocAsync(reinterpret_cast<CUdeviceptr*>(pointer), bytes, stream));
}

cudaError_t freeAsync(void* pointer, cudaStream_t stream) {
  CUDART_TRY(use_context());
  if (!pointer) return cudaSuccess;
  return error_of(cuMemFreeAsync(address(pointer), stream));
}

}  // namespace anywarp::cudart
