// Manual: stream-ordered memory allocator.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t mallocAsync(void** pointer, size_t bytes, cudaStream_t stream);
cudaError_t freeAsync(void* pointer, cudaStream_t stream);

}  // namespace anywarp::cudart
