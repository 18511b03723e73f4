#include "cudart/memory_set.h"

namespace anywarp::cudart {
namespace {

// A box as one fill of rows where its slices follow one another without a gap, else one fill a slice.
template <typename Fill>
cudaError_t fill_box(const cudaPitchedPtr& pointer, const cudaExtent& extent, const Fill& fill) {
  CUDART_TRY(use_context());
  if (extent.width == 0 || extent.height == 0 || extent.depth == 0) return cudaSuccess;
  if (extent.height == pointer.ysize || extent.depth == 1) return fill(address(pointer.ptr), extent.height * extent.depth);
  for (size_t z = 0; z < extent.depth; ++z) CUDART_TRY(fill(address(pointer.ptr) + z * pointer.pitch * pointer.ysize, extent.height));
  return cudaSuccess;
}

}  // namespace

cudaError_t memset(void* pointer, int value, size_t bytes, cudaStream_t stream) {
  CUDART_TRY(use_context());
  if (bytes == 0) return cudaSuccess;
  return error_of(form(stream, cuMemsetD8_v2, cuMemsetD8_v2_ptds)(address(pointer), static_cast<unsigned char>(value), bytes));
}

cudaError_t memset2D(void* pointer, size_t pitch, int value, size_t width, size_t height, cudaStream_t stream) {
  return memset3D({pointer, pitch, width, height}, value, {width, height, 1}, stream);
}

cudaError_t memset3D(cudaPitchedPtr pointer, int value, cudaExtent extent, cudaStream_t stream) {
  return fill_box(pointer, extent, [&](CUdeviceptr start, size_t rows) {
    return error_of(form(stream, cuMemsetD2D8_v2, cuMemsetD2D8_v2_ptds)(start, pointer.pitch, static_cast<unsigned char>(value), extent.width,
                                                                        rows));
  });
}

cudaError_t memsetAsync(void* pointer, int value, size_t bytes, cudaStream_t stream) {
  CUDART_TRY(use_context());
  if (bytes == 0) return cudaSuccess;
  return error_of(cuMemsetD8Async(address(pointer), static_cast<unsigned char>(value), bytes, stream));
}

cudaError_t memset2DAsync(void* pointer, size_t pitch, int value, size_t width, size_t height, cudaStream_t stream) {
  return memset3DAsync({pointer, pitch, width, height}, value, {width, height, 1}, stream);
}

cudaError_t memset3DAsync(cudaPitchedPtr pointer, int value, cudaExtent extent, cudaStream_t stream) {
  return fill_box(pointer, extent, [&](CUdeviceptr start, size_t rows) {
    return error_of(cuMemsetD2D8Async(start, pointer.pitch, static_cast<unsigned char>(value), extent.width, rows, stream));
  });
}

}  // namespace anywarp::cudart
