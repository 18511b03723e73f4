// Manual: texture and surface objects. Objects are the driver's; descriptions are converted.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t createTextureObject(cudaTextureObject_t* object, const cudaResourceDesc* resource, const cudaTextureDesc* texture,
                                const cudaResourceViewDesc* view);
cudaError_t createTextureObject_v2(cudaTextureObject_t* object, const cudaResourceDesc* resource, const cudaTextureDesc_v2* texture,
                                   const cudaResourceViewDesc* view);
cudaError_t destroyTextureObject(cudaTextureObject_t object);
cudaError_t getTextureObjectResourceDesc(cudaResourceDesc* resource, cudaTextureObject_t object);
cudaError_t getTextureObjectTextureDesc(cudaTextureDesc* texture, cudaTextureObject_t object);
cudaError_t getTextureObjectTextureDesc_v2(cudaTextureDesc_v2* texture, cudaTextureObject_t object);
cudaError_t createSurfaceObject(cudaSurfaceObject_t* object, const cudaResourceDesc* resource);
cudaError_t destroySurfaceObject(cudaSurfaceObject_t object);
cudaError_t getSurfaceObjectResourceDesc(cudaResourceDesc* resource, cudaSurfaceObject_t object);

// The driver's description of a texture; `element`: the format of the resource's channels.
CUDA_TEXTURE_DESC convert(const cudaTextureDesc& texture);

}  // namespace anywarp::cudart
