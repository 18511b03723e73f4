#include "cudart/graphics.h"

#include "cudart/device.h"

namespace anywarp::cudart {

// Deprecated: any device works with any OpenGL context.
cudaError_t gLSetGLDevice(int device) { return use_primary_context(device); }

cudaError_t gLMapBufferObject(void** pointer, GLuint buffer) { return gLMapBufferObjectAsync(pointer, buffer, nullptr); }

cudaError_t gLMapBufferObjectAsync(void** pointer, GLuint buffer, cudaStream_t stream) {
  if (!pointer) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  size_t bytes = 0;
  return error_of(cuGLMapBufferObjectAsync_v2(reinterpret_cast<CUdeviceptr*>(pointer), &bytes, buffer, stream));
}

}  // namespace anywarp::cudart
