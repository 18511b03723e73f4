#include "cudart/texture_object.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "cudart/channel_format.h"
#include "cudart/memory_array.h"

namespace anywarp::cudart {
namespace {

cudaError_t convert(const cudaResourceDesc& from, CUDA_RESOURCE_DESC* to) {
  *to = {};
  to->flags = from.flags;
  switch (from.resType) {
    case cudaResourceTypeArray:
      to->resType = CU_RESOURCE_TYPE_ARRAY;
      to->res.array.hArray = array_of(from.res.array.array);
      return cudaSuccess;
    case cudaResourceTypeMipmappedArray:
      to->resType = CU_RESOURCE_TYPE_MIPMAPPED_ARRAY;
      to->res.mipmap.hMipmappedArray = reinterpret_cast<CUmipmappedArray>(from.res.mipmap.mipmap);
      return cudaSuccess;
    case cudaResourceTypeLinear: {
      to->resType = CU_RESOURCE_TYPE_LINEAR;
      auto& linear = to->res.linear;
      linear.devPtr = address(from.res.linear.devPtr), linear.sizeInBytes = from.res.linear.sizeInBytes;
      return format_of(from.res.linear.desc, &linear.format, &linear.numChannels);
    }
    case cudaResourceTypePitch2D: {
      to->resType = CU_RESOURCE_TYPE_PITCH2D;
      auto& pitched = to->res.pitch2D;
      pitched.devPtr = address(from.res.pitch2D.devPtr), pitched.pitchInBytes = from.res.pitch2D.pitchInBytes;
      pitched.width = from.res.pitch2D.width, pitched.height = from.res.pitch2D.height;
      return format_of(from.res.pitch2D.desc, &pitched.format, &pitched.numChannels);
    }
    default: return cudaErrorInvalidValue;
  }
}

cudaResourceDesc convert(const CUDA_RESOURCE_DESC& from) {
  cudaResourceDesc to{};
  to.flags = from.flags;
  switch (from.resType) {
    case CU_RESOURCE_TYPE_ARRAY:
      to.resType = cudaResourceTypeArray;
      to.res.array.array = reinterpret_cast<cudaArray_t>(from.res.array.hArray);
      break;
    case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY:
      to.resType = cudaResourceTypeMipmappedArray;
      to.res.mipmap.mipmap = reinterpret_cast<cudaMipmappedArray_t>(from.res.mipmap.hMipmappedArray);
      break;
    case CU_RESOURCE_TYPE_LINEAR: {
      to.resType = cudaResourceTypeLinear;
      const auto& linear = from.res.linear;
      to.res.linear.devPtr = reinterpret_cast<void*>(linear.devPtr);  // NOLINT: one address space
      to.res.linear.desc = description_of(linear.format, linear.numChannels), to.res.linear.sizeInBytes = linear.sizeInBytes;
      break;
    }
    default: {
      to.resType = cudaResourceTypePitch2D;
      const auto& pitched = from.res.pitch2D;
      to.res.pitch2D.devPtr = reinterpret_cast<void*>(pitched.devPtr);  // NOLINT
      to.res.pitch2D.desc = description_of(pitched.format, pitched.numChannels), to.res.pitch2D.pitchInBytes = pitched.pitchInBytes;
      to.res.pitch2D.width = pitched.width, to.res.pitch2D.height = pitched.height;
    }
  }
  return to;
}

// A texture of normalized floats has integers as elements, none of 32 bits, or formats that are floats to the reader anyway.
cudaError_t check_read_mode(const CUDA_RESOURCE_DESC& resource, const cudaTextureDesc& texture) {
  CUarray_format format = CU_AD_FORMAT_FLOAT;
  CUDA_ARRAY3D_DESCRIPTOR d{};
  CUarray array = nullptr;
  switch (resource.resType) {
    case CU_RESOURCE_TYPE_LINEAR: format = resource.res.linear.format; break;
    case CU_RESOURCE_TYPE_PITCH2D: format = resource.res.pitch2D.format; break;
    case CU_RESOURCE_TYPE_ARRAY: array = resource.res.array.hArray; break;
    default: CUDART_TRY(cuMipmappedArrayGetLevel(&array, resource.res.mipmap.hMipmappedArray, 0));
  }
  if (array) {
    CUDART_TRY(cuArray3DGetDescriptor_v2(&d, array));
    format = d.Format;
  }
  const bool is_wide_integer = format == CU_AD_FORMAT_UNSIGNED_INT32 || format == CU_AD_FORMAT_SIGNED_INT32;
  const bool is_integer = is_wide_integer || format == CU_AD_FORMAT_UNSIGNED_INT8 || format == CU_AD_FORMAT_SIGNED_INT8 ||
                          format == CU_AD_FORMAT_UNSIGNED_INT16 || format == CU_AD_FORMAT_SIGNED_INT16;
  if (texture.readMode == cudaReadModeNormalizedFloat && is_wide_integer) return cudaErrorInvalidNormSetting;
  if (texture.readMode == cudaReadModeElementType && is_integer && texture.filterMode == cudaFilterModeLinear) return cudaErrorInvalidFilterSetting;
  return cudaSuccess;
}

cudaTextureDesc convert(const CUDA_TEXTURE_DESC& from) {
  cudaTextureDesc to{};
  for (int axis = 0; axis < 3; ++axis) to.addressMode[axis] = static_cast<cudaTextureAddressMode>(from.addressMode[axis]);
  to.filterMode = static_cast<cudaTextureFilterMode>(from.filterMode);
  to.readMode = from.flags & CU_TRSF_READ_AS_INTEGER ? cudaReadModeElementType : cudaReadModeNormalizedFloat;
  to.sRGB = (from.flags & CU_TRSF_SRGB) != 0;
  to.normalizedCoords = (from.flags & CU_TRSF_NORMALIZED_COORDINATES) != 0;
  to.disableTrilinearOptimization = (from.flags & CU_TRSF_DISABLE_TRILINEAR_OPTIMIZATION) != 0;
  to.seamlessCubemap = (from.flags & CU_TRSF_SEAMLESS_CUBEMAP) != 0;
  std::copy_n(from.borderColor, 4, to.borderColor);
  to.maxAnisotropy = from.maxAnisotropy;
  to.mipmapFilterMode = static_cast<cudaTextureFilterMode>(from.mipmapFilterMode);
  to.mipmapLevelBias = from.mipmapLevelBias;
  to.minMipmapLevelClamp = from.minMipmapLevelClamp, to.maxMipmapLevelClamp = from.maxMipmapLevelClamp;
  return to;
}

static_assert(sizeof(cudaResourceViewDesc) == sizeof(CUDA_RESOURCE_VIEW_DESC) && offsetof(cudaResourceViewDesc, lastLayer) ==
              offsetof(CUDA_RESOURCE_VIEW_DESC, lastLayer));
static_assert(sizeof(cudaTextureDesc) == sizeof(cudaTextureDesc_v2));

}  // namespace

CUDA_TEXTURE_DESC convert(const cudaTextureDesc& from) {
  CUDA_TEXTURE_DESC to{};
  for (int axis = 0; axis < 3; ++axis) to.addressMode[axis] = static_cast<CUaddress_mode>(from.addressMode[axis]);
  to.filterMode = static_cast<CUfilter_mode>(from.filterMode);
  if (from.readMode == cudaReadModeElementType) to.flags |= CU_TRSF_READ_AS_INTEGER;  // without effect on floats
  if (from.sRGB) to.flags |= CU_TRSF_SRGB;
  if (from.normalizedCoords) to.flags |= CU_TRSF_NORMALIZED_COORDINATES;
  if (from.disableTrilinearOptimization) to.flags |= CU_TRSF_DISABLE_TRILINEAR_OPTIMIZATION;
  if (from.seamlessCubemap) to.flags |= CU_TRSF_SEAMLESS_CUBEMAP;
  std::copy_n(from.borderColor, 4, to.borderColor);
  to.maxAnisotropy = from.maxAnisotropy;
  to.mipmapFilterMode = static_cast<CUfilter_mode>(from.mipmapFilterMode);
  to.mipmapLevelBias = from.mipmapLevelBias;
  to.minMipmapLevelClamp = from.minMipmapLevelClamp, to.maxMipmapLevelClamp = from.maxMipmapLevelClamp;
  return to;
}

cudaError_t createTextureObject(cudaTextureObject_t* object, const cudaResourceDesc* resource, const cudaTextureDesc* texture,
                                const cudaResourceViewDesc* view) {
  if (!object || !resource || !texture) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  CUDA_RESOURCE_DESC r;
  CUDART_TRY(convert(*resource, &r));
  CUDART_TRY(check_read_mode(r, *texture));
  const CUDA_TEXTURE_DESC t = convert(*texture);
  return error_of(cuTexObjectCreate(object, &r, &t, reinterpret_cast<const CUDA_RESOURCE_VIEW_DESC*>(view)));
}

// libcudart 11 of CUDA 11.x has two names for one layout.
cudaError_t createTextureObject_v2(cudaTextureObject_t* object, const cudaResourceDesc* resource, const cudaTextureDesc_v2* texture,
                                   const cudaResourceViewDesc* view) {
  return createTextureObject(object, resource, reinterpret_cast<const cudaTextureDesc*>(texture), view);
}

cudaError_t destroyTextureObject(cudaTextureObject_t object) {
  CUDART_TRY(use_context());
  return object ? error_of(cuTexObjectDestroy(object)) : cudaSuccess;
}

cudaError_t getTextureObjectResourceDesc(cudaResourceDesc* resource, cudaTextureObject_t object) {
  if (!resource) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  CUDA_RESOURCE_DESC r;
  CUDART_TRY(cuTexObjectGetResourceDesc(&r, object));
  *resource = convert(r);
  return cudaSuccess;
}

cudaError_t getTextureObjectTextureDesc(cudaTextureDesc* texture, cudaTextureObject_t object) {
  if (!texture) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  CUDA_TEXTURE_DESC t;
  CUDART_TRY(cuTexObjectGetTextureDesc(&t, object));
  *texture = convert(t);
  return cudaSuccess;
}

cudaError_t getTextureObjectTextureDesc_v2(cudaTextureDesc_v2* texture, cudaTextureObject_t object) {
  return getTextureObjectTextureDesc(reinterpret_cast<cudaTextureDesc*>(texture), object);
}

cudaError_t createSurfaceObject(cudaSurfaceObject_t* object, const cudaResourceDesc* resource) {
  if (!object || !resource) return cudaErrorInvalidValue;
  if (resource->resType != cudaResourceTypeArray) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  CUDA_RESOURCE_DESC r;
  CUDART_TRY(convert(*resource, &r));
  return error_of(cuSurfObjectCreate(object, &r));
}

cudaError_t destroySurfaceObject(cudaSurfaceObject_t object) {
  CUDART_TRY(use_context());
  return object ? error_of(cuSurfObjectDestroy(object)) : cudaSuccess;
}

cudaError_t getSurfaceObjectResourceDesc(cudaResourceDesc* resource, cudaSurfaceObject_t object) {
  if (!resource) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  CUDA_RESOURCE_DESC r;
  CUDART_TRY(cuSurfObjectGetResourceDesc(&r, object));
  *resource = convert(r);
  return cudaSuccess;
}

}  // namespace anywarp::cudart
