#include "driver/texture_object.h"

#include <bit>
#include <deque>
#include <mutex>
#include <unordered_map>

#include "driver/context.h"
#include "driver/memory_array.h"
#include "exec/texture.h"

namespace anywarp::driver {
namespace {

struct Object {
  abi::Texture texture{};  // what the handle points to
  bool is_surface = false, has_view = false;
  CUDA_RESOURCE_DESC resource{};
  CUDA_TEXTURE_DESC description{};
  CUDA_RESOURCE_VIEW_DESC view{};
};

bool is_work_left() {
  bool left = false;
  for_all_contexts([&](CUctx_st& context) { left = left || !context.engine->is_idle(); });
  return left;
}

// All objects of the process. Memory of destroyed ones is used again, never given back: a kernel may still hold the handle. What a program
// destroys while kernels are in flight stays as it is for them (programs destroy a texture right behind the launch that uses it).
class Objects {
 public:
  Object* make(const Object& from) {
    const std::lock_guard lock(mutex_);
    Object* made = nullptr;
    if (!free_.empty()) {
      made = free_.front();
      free_.pop_front();
    } else {
      made = new Object;
    }
    *made = from;
    made->texture.magic = abi::kTextureMagic;
    live_.emplace(reinterpret_cast<std::uintptr_t>(&made->texture), made);
    return made;
  }
  // A copy, so that the object may be destroyed meanwhile.
  bool find(unsigned long long handle, bool is_surface, Object* out) {
    const std::lock_guard lock(mutex_);
    const auto found = live_.find(handle);
    if (found == live_.end() || found->second->is_surface != is_surface) return false;
    *out = *found->second;
    return true;
  }
  bool destroy(unsigned long long handle, bool is_surface) {
    const bool stays = is_work_left();
    const std::lock_guard lock(mutex_);
    const auto found = live_.find(handle);
    if (found == live_.end() || found->second->is_surface != is_surface) return false;
    retired_.push_back(found->second);
    live_.erase(found);
    while (!retired_.empty() && (!stays || retired_.size() > kMostRetired)) {
      retired_.front()->texture.magic = 0;
      free_.push_back(retired_.front());
      retired_.pop_front();
    }
    return true;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<unsigned long long, Object*> live_;
  static constexpr std::size_t kMostRetired = 4096;
  std::deque<Object*> free_, retired_;
};

Objects& objects() {
  static auto* all = new Objects;
  return *all;
}

// The format of a channel as abi::Texture has it: normalised formats are their integers', read as floats.
bool set_format(abi::Texture* t, CUarray_format format, unsigned channels) {
  switch (format) {
    case CU_AD_FORMAT_UNORM_INT8X1: case CU_AD_FORMAT_UNORM_INT8X2: case CU_AD_FORMAT_UNORM_INT8X4: format = CU_AD_FORMAT_UNSIGNED_INT8; break;
    case CU_AD_FORMAT_SNORM_INT8X1: case CU_AD_FORMAT_SNORM_INT8X2: case CU_AD_FORMAT_SNORM_INT8X4: format = CU_AD_FORMAT_SIGNED_INT8; break;
    case CU_AD_FORMAT_UNORM_INT16X1: case CU_AD_FORMAT_UNORM_INT16X2: case CU_AD_FORMAT_UNORM_INT16X4: format = CU_AD_FORMAT_UNSIGNED_INT16; break;
    case CU_AD_FORMAT_SNORM_INT16X1: case CU_AD_FORMAT_SNORM_INT16X2: case CU_AD_FORMAT_SNORM_INT16X4: format = CU_AD_FORMAT_SIGNED_INT16; break;
    default: break;
  }
  if (texture_channel_bytes(static_cast<std::uint32_t>(format)) == 0 || (channels != 1 && channels != 2 && channels != 4)) return false;
  t->format = static_cast<std::uint8_t>(format), t->channels = static_cast<std::uint8_t>(channels);
  return true;
}

bool set_array(abi::Texture* t, const CUarray_st& array) {
  const CUDA_ARRAY3D_DESCRIPTOR& d = array.descriptor;
  t->level[0] = reinterpret_cast<std::uint64_t>(array.memory);
  t->pitch = array.pitch;
  t->width = static_cast<std::uint32_t>(d.Width), t->height = static_cast<std::uint32_t>(d.Height), t->depth = static_cast<std::uint32_t>(d.Depth);
  t->is_layered = (d.Flags & CUDA_ARRAY3D_LAYERED) != 0, t->is_cube = (d.Flags & CUDA_ARRAY3D_CUBEMAP) != 0;
  t->levels = 1;
  return set_format(t, d.Format, d.NumChannels);
}

// Fills in where the texels lie.
CUresult set_resource(abi::Texture* t, const CUDA_RESOURCE_DESC& r) {
  if (r.flags != 0) return CUDA_ERROR_INVALID_VALUE;
  switch (r.resType) {
    case CU_RESOURCE_TYPE_ARRAY:
      if (!is_valid(r.res.array.hArray)) return CUDA_ERROR_INVALID_HANDLE;
      return set_array(t, *r.res.array.hArray) ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
    case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY: {
      const CUmipmappedArray all = r.res.mipmap.hMipmappedArray;
      if (!is_valid(all)) return CUDA_ERROR_INVALID_HANDLE;
      if (all->levels.size() > std::size(t->level)) return CUDA_ERROR_NOT_SUPPORTED;
      if (!set_array(t, *all->levels[0])) return CUDA_ERROR_NOT_SUPPORTED;
      for (std::size_t i = 0; i < all->levels.size(); ++i) t->level[i] = reinterpret_cast<std::uint64_t>(all->levels[i]->memory);
      t->levels = static_cast<std::uint8_t>(all->levels.size());
      return CUDA_SUCCESS;
    }
    case CU_RESOURCE_TYPE_LINEAR: {
      const auto& linear = r.res.linear;
      if (!set_format(t, linear.format, linear.numChannels)) return CUDA_ERROR_INVALID_VALUE;
      const std::size_t element = std::size_t{texture_channel_bytes(t->format)} * t->channels;
      if (linear.devPtr == 0 || linear.devPtr % element != 0 || linear.sizeInBytes / element > 0xffffffffu) return CUDA_ERROR_INVALID_VALUE;
      t->level[0] = linear.devPtr;
      t->width = static_cast<std::uint32_t>(linear.sizeInBytes / element);
      t->is_linear = 1, t->levels = 1;
      return CUDA_SUCCESS;
    }
    case CU_RESOURCE_TYPE_PITCH2D: {
      const auto& plane = r.res.pitch2D;
      if (!set_format(t, plane.format, plane.numChannels)) return CUDA_ERROR_INVALID_VALUE;
      const std::size_t element = std::size_t{texture_channel_bytes(t->format)} * t->channels;
      if (plane.devPtr == 0 || plane.width == 0 || plane.height == 0 || plane.pitchInBytes < plane.width * element) return CUDA_ERROR_INVALID_VALUE;
      t->level[0] = plane.devPtr;
      t->pitch = plane.pitchInBytes;
      t->width = static_cast<std::uint32_t>(plane.width), t->height = static_cast<std::uint32_t>(plane.height);
      t->levels = 1;
      return CUDA_SUCCESS;
    }
    default: return CUDA_ERROR_INVALID_VALUE;
  }
}

// How texels are read.
CUresult set_sampler(abi::Texture* t, const CUDA_TEXTURE_DESC& d) {
  constexpr unsigned kKnown = CU_TRSF_READ_AS_INTEGER | CU_TRSF_NORMALIZED_COORDINATES | CU_TRSF_SRGB | CU_TRSF_DISABLE_TRILINEAR_OPTIMIZATION |
                              CU_TRSF_SEAMLESS_CUBEMAP;
  if ((d.flags & ~kKnown) != 0 || d.filterMode > CU_TR_FILTER_MODE_LINEAR || d.mipmapFilterMode > CU_TR_FILTER_MODE_LINEAR)
    return CUDA_ERROR_INVALID_VALUE;
  for (int i = 0; i < 3; ++i) {
    if (d.addressMode[i] > CU_TR_ADDRESS_MODE_BORDER) return CUDA_ERROR_INVALID_VALUE;
    t->address_mode[i] = static_cast<std::uint8_t>(d.addressMode[i]);
  }
  for (int i = 0; i < 4; ++i) t->border[i] = std::bit_cast<std::uint32_t>(d.borderColor[i]);
  t->bias = std::bit_cast<std::uint32_t>(d.mipmapLevelBias);
  t->least_level = std::bit_cast<std::uint32_t>(d.minMipmapLevelClamp), t->greatest_level = std::bit_cast<std::uint32_t>(d.maxMipmapLevelClamp);
  t->filter = static_cast<std::uint8_t>(d.filterMode), t->mipmap_filter = static_cast<std::uint8_t>(d.mipmapFilterMode);
  t->reads_integers = (d.flags & CU_TRSF_READ_AS_INTEGER) != 0;
  t->is_normalized = (d.flags & CU_TRSF_NORMALIZED_COORDINATES) != 0;
  t->is_srgb = (d.flags & CU_TRSF_SRGB) != 0;
  return CUDA_SUCCESS;
}

// Channels and integer kind of a view's format (UINT_1X8 to FLOAT_4X32), 3 formats a kind; blocks of compressed formats are not supported.
bool set_view(abi::Texture* t, const CUDA_RESOURCE_VIEW_DESC& view) {
  if (view.format == CU_RES_VIEW_FORMAT_NONE) return true;
  if (view.format > CU_RES_VIEW_FORMAT_FLOAT_4X32) return false;
  constexpr CUarray_format kKinds[] = {CU_AD_FORMAT_UNSIGNED_INT8,  CU_AD_FORMAT_SIGNED_INT8,  CU_AD_FORMAT_UNSIGNED_INT16, CU_AD_FORMAT_SIGNED_INT16,
                                       CU_AD_FORMAT_UNSIGNED_INT32, CU_AD_FORMAT_SIGNED_INT32, CU_AD_FORMAT_HALF,           CU_AD_FORMAT_FLOAT};
  const std::uint32_t before = texture_channel_bytes(t->format) * t->channels;
  const unsigned index = static_cast<unsigned>(view.format) - 1;
  if (!set_format(t, kKinds[index / 3], 1u << index % 3)) return false;
  return texture_channel_bytes(t->format) * t->channels == before;
}

}  // namespace

CUresult texObjectCreate(CUtexObject* object, const CUDA_RESOURCE_DESC* resource, const CUDA_TEXTURE_DESC* texture,
                         const CUDA_RESOURCE_VIEW_DESC* view) {
  if (!object || !resource || !texture) return CUDA_ERROR_INVALID_VALUE;
  Object made;
  ANYWARP_TRY(set_resource(&made.texture, *resource));
  ANYWARP_TRY(set_sampler(&made.texture, *texture));
  if (view) {
    if (made.texture.is_linear || !set_view(&made.texture, *view)) return CUDA_ERROR_INVALID_VALUE;
    const std::uint8_t last = made.texture.levels;
    if (view->firstMipmapLevel > view->lastMipmapLevel || view->lastMipmapLevel >= last) return CUDA_ERROR_INVALID_VALUE;
    if (view->firstMipmapLevel != 0 || view->firstLayer != 0) return CUDA_ERROR_NOT_SUPPORTED;
    made.texture.levels = static_cast<std::uint8_t>(view->lastMipmapLevel + 1);
    made.view = *view, made.has_view = true;
  }
  made.resource = *resource, made.description = *texture;
  *object = reinterpret_cast<CUtexObject>(&objects().make(made)->texture);
  return CUDA_SUCCESS;
}

CUresult texObjectDestroy(CUtexObject object) { return objects().destroy(object, false) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; }

CUresult texObjectGetResourceDesc(CUDA_RESOURCE_DESC* resource, CUtexObject object) {
  Object found;
  if (!resource || !objects().find(object, false, &found)) return CUDA_ERROR_INVALID_VALUE;
  *resource = found.resource;
  return CUDA_SUCCESS;
}

CUresult texObjectGetTextureDesc(CUDA_TEXTURE_DESC* texture, CUtexObject object) {
  Object found;
  if (!texture || !objects().find(object, false, &found)) return CUDA_ERROR_INVALID_VALUE;
  *texture = found.description;
  return CUDA_SUCCESS;
}

CUresult texObjectGetResourceViewDesc(CUDA_RESOURCE_VIEW_DESC* view, CUtexObject object) {
  Object found;
  if (!view || !objects().find(object, false, &found) || !found.has_view) return CUDA_ERROR_INVALID_VALUE;
  *view = found.view;
  return CUDA_SUCCESS;
}

CUresult surfObjectCreate(CUsurfObject* object, const CUDA_RESOURCE_DESC* resource) {
  if (!object || !resource || resource->resType != CU_RESOURCE_TYPE_ARRAY) return CUDA_ERROR_INVALID_VALUE;
  Object made;
  ANYWARP_TRY(set_resource(&made.texture, *resource));
  if ((resource->res.array.hArray->descriptor.Flags & CUDA_ARRAY3D_SURFACE_LDST) == 0) return CUDA_ERROR_INVALID_VALUE;
  made.is_surface = true;
  made.resource = *resource;
  *object = reinterpret_cast<CUsurfObject>(&objects().make(made)->texture);
  return CUDA_SUCCESS;
}

CUresult surfObjectDestroy(CUsurfObject object) { return objects().destroy(object, true) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; }

CUresult surfObjectGetResourceDesc(CUDA_RESOURCE_DESC* resource, CUsurfObject object) {
  Object found;
  if (!resource || !objects().find(object, true, &found)) return CUDA_ERROR_INVALID_VALUE;
  *resource = found.resource;
  return CUDA_SUCCESS;
}

}  // namespace anywarp::driver
