// Manual: graphics interoperability, OpenGL: what is not the driver's function under another name.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t gLSetGLDevice(int device);
cudaError_t gLMapBufferObject(void** pointer, GLuint buffer);
cudaError_t gLMapBufferObjectAsync(void** pointer, GLuint buffer, cudaStream_t stream);

}  // namespace anywarp::cudart
