// Manual: texture and surface references, deprecated, and gone since CUDA 12. A program's reference is a struct of its own that it registers
// under a name (registration.h); binding sets the driver's reference of that name up as the struct says at that moment.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t bindTexture(size_t* offset, const textureReference* reference, const void* pointer, const cudaChannelFormatDesc* description, size_t bytes);
cudaError_t bindTexture2D(size_t* offset, const textureReference* reference, const void* pointer, const cudaChannelFormatDesc* description, size_t width,
                          size_t height, size_t pitch);
cudaError_t bindTextureToArray(const textureReference* reference, cudaArray_const_t array, const cudaChannelFormatDesc* description);
cudaError_t bindTextureToMipmappedArray(const textureReference* reference, cudaMipmappedArray_const_t array, const cudaChannelFormatDesc* description);
cudaError_t unbindTexture(const textureReference* reference);
cudaError_t getTextureAlignmentOffset(size_t* offset, const textureReference* reference);
cudaError_t getTextureReference(const textureReference** reference, const void* symbol);
cudaError_t bindSurfaceToArray(const surfaceReference* reference, cudaArray_const_t array, const cudaChannelFormatDesc* description);
cudaError_t getSurfaceReference(const surfaceReference** reference, const void* symbol);

}  // namespace anywarp::cudart
