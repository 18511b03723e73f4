// Manual: memory management, arrays, and copies to and from them.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t mallocArray(cudaArray_t* array, const cudaChannelFormatDesc* description, size_t width, size_t height, unsigned flags);
cudaError_t malloc3DArray(cudaArray_t* array, const cudaChannelFormatDesc* description, cudaExtent extent, unsigned flags);
cudaError_t mallocMipmappedArray(cudaMipmappedArray_t* array, const cudaChannelFormatDesc* description, cudaExtent extent, unsigned levels,
                                 unsigned flags);
cudaError_t freeArray(cudaArray_t array);
cudaError_t freeMipmappedArray(cudaMipmappedArray_t array);
cudaError_t arrayGetInfo(cudaChannelFormatDesc* description, cudaExtent* extent, unsigned* flags, cudaArray_t array);
cudaError_t getChannelDesc(cudaChannelFormatDesc* description, cudaArray_const_t array);
cudaChannelFormatDesc createChannelDesc(int x, int y, int z, int w, cudaChannelFormatKind kind);

cudaError_t memcpy2DToArray(cudaArray_t to, size_t x, size_t y, const void* from, size_t pitch, size_t width, size_t height, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t memcpy2DToArrayAsync(cudaArray_t to, size_t x, size_t y, const void* from, size_t pitch, size_t width, size_t height,
                                 cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t memcpy2DFromArray(void* to, size_t pitch, cudaArray_const_t from, size_t x, size_t y, size_t width, size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t memcpy2DFromArrayAsync(void* to, size_t pitch, cudaArray_const_t from, size_t x, size_t y, size_t width, size_t height,
                                   cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t memcpy2DArrayToArray(cudaArray_t to, size_t to_x, size_t to_y, cudaArray_const_t from, size_t from_x, size_t from_y, size_t width,
                                 size_t height, cudaMemcpyKind kind, cudaStream_t stream);
// Deprecated: bytes that run on from one row of the array into the next.
cudaError_t memcpyToArray(cudaArray_t to, size_t x, size_t y, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t memcpyToArrayAsync(cudaArray_t to, size_t x, size_t y, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t memcpyFromArray(void* to, cudaArray_const_t from, size_t x, size_t y, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t memcpyFromArrayAsync(void* to, cudaArray_const_t from, size_t x, size_t y, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t memcpyArrayToArray(cudaArray_t to, size_t to_x, size_t to_y, cudaArray_const_t from, size_t from_x, size_t from_y, size_t bytes,
                               cudaMemcpyKind kind, cudaStream_t stream);

// The driver's array behind a handle.
inline CUarray array_of(cudaArray_const_t array) { return reinterpret_cast<CUarray>(const_cast<cudaArray_t>(array)); }

}  // namespace anywarp::cudart
