// Manual: memory management, fills.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t memset(void* pointer, int value, size_t bytes, cudaStream_t stream);
cudaError_t memset2D(void* pointer, size_t pitch, int value, size_t width, size_t height, cudaStream_t stream);
cudaError_t memset3D(cudaPitchedPtr pointer, int value, cudaExtent extent, cudaStream_t stream);
cudaError_t memsetAsync(void* pointer, int value, size_t bytes, cudaStream_t stream);
cudaError_t memset2DAsync(void* pointer, size_t pitch, int value, size_t width, size_t height, cudaStream_t stream);
cudaError_t memset3DAsync(cudaPitchedPtr pointer, int value, cudaExtent extent, cudaStream_t stream);

}  // namespace anywarp::cudart
