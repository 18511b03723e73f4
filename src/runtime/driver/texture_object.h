// Manual: texture object and surface object management. A handle is the address of the abi::Texture that kernels read, which lies inside the
// object; it stays readable after the object is destroyed, and then says so.
#pragma once

#include "driver/objects.h"
#include "abi.h"

namespace anywarp::driver {

CUresult texObjectCreate(CUtexObject* object, const CUDA_RESOURCE_DESC* resource, const CUDA_TEXTURE_DESC* texture,
                         const CUDA_RESOURCE_VIEW_DESC* view);
CUresult texObjectDestroy(CUtexObject object);
CUresult texObjectGetResourceDesc(CUDA_RESOURCE_DESC* resource, CUtexObject object);
CUresult texObjectGetTextureDesc(CUDA_TEXTURE_DESC* texture, CUtexObject object);
CUresult texObjectGetResourceViewDesc(CUDA_RESOURCE_VIEW_DESC* view, CUtexObject object);
CUresult surfObjectCreate(CUsurfObject* object, const CUDA_RESOURCE_DESC* resource);
CUresult surfObjectDestroy(CUsurfObject object);
CUresult surfObjectGetResourceDesc(CUDA_RESOURCE_DESC* resource, CUsurfObject object);

}  // namespace anywarp::driver
