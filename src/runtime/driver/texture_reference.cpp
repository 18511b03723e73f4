#include "driver/texture_reference.h"

#include <algorithm>

#include "driver/execution.h"
#include "driver/memory_array.h"
#include "driver/texture_object.h"

CUtexref_st::~CUtexref_st() {
  if (!object) return;
  [[maybe_unused]] const CUresult ignored =
      is_surface ? anywarp::driver::surfObjectDestroy(object) : anywarp::driver::texObjectDestroy(object);
}

namespace anywarp::driver {
namespace {

// Makes the object again, if the reference is bound to something, and lets the variable point to it. Kernels that run may still use the
// old object's memory, which is not given back.
CUresult rebuild(CUtexref_st& r) {
  if (!r.bound) return CUDA_SUCCESS;
  CUtexObject made = 0;
  ANYWARP_TRY(r.is_surface ? surfObjectCreate(&made, &r.resource) : texObjectCreate(&made, &r.resource, &r.description, nullptr));
  if (r.variable) __atomic_store_n(r.variable, static_cast<std::uint64_t>(made), __ATOMIC_SEQ_CST);
  if (r.object) [[maybe_unused]] const CUresult ignored = r.is_surface ? surfObjectDestroy(r.object) : texObjectDestroy(r.object);
  r.object = made;
  return CUDA_SUCCESS;
}

template <typename Change>
CUresult change(CUtexref_st* r, const Change& apply) {
  if (!is_valid(r)) return CUDA_ERROR_INVALID_HANDLE;
  const CUDA_TEXTURE_DESC before = r->description;
  apply(*r);
  const CUresult result = rebuild(*r);
  if (result != CUDA_SUCCESS) r->description = before;
  return result;
}

CUresult bind(CUtexref_st& r, const CUDA_RESOURCE_DESC& resource) {
  const CUDA_RESOURCE_DESC before = r.resource;
  const bool was_bound = r.bound;
  r.resource = resource, r.bound = true;
  const CUresult result = rebuild(r);
  if (result != CUDA_SUCCESS) r.resource = before, r.bound = was_bound;
  return result;
}

void init(CUtexref_st& r, bool is_surface) {
  r.is_surface = is_surface;
  std::fill_n(r.description.addressMode, 3, CU_TR_ADDRESS_MODE_CLAMP);
  r.description.maxMipmapLevelClamp = 0;
}

template <typename Reference>
CUresult of_module(Reference** out, CUmodule module, const char* name, bool is_surface) {
  if (!out || !name) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(module)) return CUDA_ERROR_INVALID_HANDLE;
  ANYWARP_TRY(check_context(module->context));
  const Variable* variable = module->module->variable(name);
  if (!variable || variable->info.bytes != sizeof(std::uint64_t)) return CUDA_ERROR_NOT_FOUND;
  const std::lock_guard lock(module->mutex);
  for (const auto& [known, reference] : module->texture_references) {
    if (known != name) continue;
    *out = static_cast<Reference*>(reference);
    return reference->is_surface == is_surface ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
  }
  auto made = std::make_unique<CUsurfref_st>();
  init(*made, is_surface);
  made->variable = static_cast<std::uint64_t*>(variable->address);
  *out = made.get();
  module->texture_references.emplace_back(name, made.release());
  return CUDA_SUCCESS;
}

// Something that only reads.
template <typename T, typename Get>
CUresult query(T* out, const CUtexref_st* r, const Get& get) {
  if (!out) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(r)) return CUDA_ERROR_INVALID_HANDLE;
  *out = get(*r);
  return CUDA_SUCCESS;
}

}  // namespace

CUresult moduleGetTexRef(CUtexref* reference, CUmodule module, const char* name) { return of_module(reference, module, name, false); }
CUresult moduleGetSurfRef(CUsurfref* reference, CUmodule module, const char* name) { return of_module(reference, module, name, true); }

// The variable in the module names the texture; which unit a kernel takes is of no matter.
CUresult paramSetTexRef(CUfunction handle, int unit, CUtexref reference) {
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(use_function(handle, &function));
  if (unit != CU_PARAM_TR_DEFAULT) return CUDA_ERROR_INVALID_VALUE;
  return is_valid(reference) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult texRefCreate(CUtexref* reference) {
  if (!reference) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  auto made = std::make_unique<CUsurfref_st>();
  init(*made, false);
  *reference = made.release();
  return CUDA_SUCCESS;
}

CUresult texRefDestroy(CUtexref reference) {
  if (!is_valid(reference)) return CUDA_ERROR_INVALID_HANDLE;
  if (reference->variable) return CUDA_ERROR_INVALID_VALUE;  // the module's
  reference->magic = Magic::dead;
  delete static_cast<CUsurfref_st*>(reference);
  return CUDA_SUCCESS;
}

CUresult texRefSetArray(CUtexref reference, CUarray array, unsigned flags) {
  if (flags != CU_TRSA_OVERRIDE_FORMAT) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(reference) || !is_valid(array)) return CUDA_ERROR_INVALID_HANDLE;
  reference->format = array->descriptor.Format, reference->channels = static_cast<int>(array->descriptor.NumChannels);
  CUDA_RESOURCE_DESC resource{};
  resource.resType = CU_RESOURCE_TYPE_ARRAY;
  resource.res.array.hArray = array;
  return bind(*reference, resource);
}

CUresult texRefSetMipmappedArray(CUtexref reference, CUmipmappedArray array, unsigned flags) {
  if (flags != CU_TRSA_OVERRIDE_FORMAT) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(reference) || !is_valid(array)) return CUDA_ERROR_INVALID_HANDLE;
  reference->format = array->levels[0]->descriptor.Format, reference->channels = static_cast<int>(array->levels[0]->descriptor.NumChannels);
  CUDA_RESOURCE_DESC resource{};
  resource.resType = CU_RESOURCE_TYPE_MIPMAPPED_ARRAY;
  resource.res.mipmap.hMipmappedArray = array;
  return bind(*reference, resource);
}

// Textures here start at any element, so that no offset is left over.
CUresult texRefSetAddress_v2(size_t* offset, CUtexref reference, CUdeviceptr address, size_t bytes) {
  if (!is_valid(reference)) return CUDA_ERROR_INVALID_HANDLE;
  if (offset) *offset = 0;
  CUDA_RESOURCE_DESC resource{};
  resource.resType = CU_RESOURCE_TYPE_LINEAR;
  resource.res.linear = {address, reference->format, static_cast<unsigned>(reference->channels), bytes};
  return bind(*reference, resource);
}

CUresult texRefSetAddress2D_v3(CUtexref reference, const CUDA_ARRAY_DESCRIPTOR* description, CUdeviceptr address, size_t pitch) {
  if (!description) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(reference)) return CUDA_ERROR_INVALID_HANDLE;
  CUDA_RESOURCE_DESC resource{};
  resource.resType = CU_RESOURCE_TYPE_PITCH2D;
  resource.res.pitch2D = {address, description->Format, description->NumChannels, description->Width, description->Height, pitch};
  reference->format = description->Format, reference->channels = static_cast<int>(description->NumChannels);
  return bind(*reference, resource);
}

CUresult texRefSetFormat(CUtexref reference, CUarray_format format, int channels) {
  if (!is_valid(reference)) return CUDA_ERROR_INVALID_HANDLE;
  if (channels != 1 && channels != 2 && channels != 4) return CUDA_ERROR_INVALID_VALUE;
  reference->format = format, reference->channels = channels;  // counts for what is bound next
  return CUDA_SUCCESS;
}

CUresult texRefSetAddressMode(CUtexref reference, int dimension, CUaddress_mode mode) {
  if (dimension < 0 || dimension > 2 || mode > CU_TR_ADDRESS_MODE_BORDER) return CUDA_ERROR_INVALID_VALUE;
  return change(reference, [&](CUtexref_st& r) { r.description.addressMode[dimension] = mode; });
}

CUresult texRefSetFilterMode(CUtexref reference, CUfilter_mode mode) {
  if (mode > CU_TR_FILTER_MODE_LINEAR) return CUDA_ERROR_INVALID_VALUE;
  return change(reference, [&](CUtexref_st& r) { r.description.filterMode = mode; });
}

CUresult texRefSetMipmapFilterMode(CUtexref reference, CUfilter_mode mode) {
  if (mode > CU_TR_FILTER_MODE_LINEAR) return CUDA_ERROR_INVALID_VALUE;
  return change(reference, [&](CUtexref_st& r) { r.description.mipmapFilterMode = mode; });
}

CUresult texRefSetMipmapLevelBias(CUtexref reference, float bias) {
  return change(reference, [&](CUtexref_st& r) { r.description.mipmapLevelBias = bias; });
}

CUresult texRefSetMipmapLevelClamp(CUtexref reference, float least, float most) {
  return change(reference, [&](CUtexref_st& r) { r.description.minMipmapLevelClamp = least, r.description.maxMipmapLevelClamp = most; });
}

CUresult texRefSetMaxAnisotropy(CUtexref reference, unsigned most) {
  return change(reference, [&](CUtexref_st& r) { r.description.maxAnisotropy = most; });
}

CUresult texRefSetBorderColor(CUtexref reference, float* color) {
  if (!color) return CUDA_ERROR_INVALID_VALUE;
  return change(reference, [&](CUtexref_st& r) { std::copy_n(color, 4, r.description.borderColor); });
}

CUresult texRefSetFlags(CUtexref reference, unsigned flags) {
  constexpr unsigned kFlags = CU_TRSF_READ_AS_INTEGER | CU_TRSF_NORMALIZED_COORDINATES | CU_TRSF_SRGB | CU_TRSF_DISABLE_TRILINEAR_OPTIMIZATION;
  if ((flags & ~kFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
  return change(reference, [&](CUtexref_st& r) { r.description.flags = flags; });
}

CUresult texRefGetAddress_v2(CUdeviceptr* address, CUtexref reference) {
  if (!address) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(reference)) return CUDA_ERROR_INVALID_HANDLE;
  const CUDA_RESOURCE_DESC& r = reference->resource;
  if (!reference->bound || (r.resType != CU_RESOURCE_TYPE_LINEAR && r.resType != CU_RESOURCE_TYPE_PITCH2D)) return CUDA_ERROR_INVALID_VALUE;
  *address = r.resType == CU_RESOURCE_TYPE_LINEAR ? r.res.linear.devPtr : r.res.pitch2D.devPtr;
  return CUDA_SUCCESS;
}

CUresult texRefGetArray(CUarray* array, CUtexref reference) {
  if (!array) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(reference)) return CUDA_ERROR_INVALID_HANDLE;
  if (!reference->bound || reference->resource.resType != CU_RESOURCE_TYPE_ARRAY) return CUDA_ERROR_INVALID_VALUE;
  *array = reference->resource.res.array.hArray;
  return CUDA_SUCCESS;
}

CUresult texRefGetMipmappedArray(CUmipmappedArray* array, CUtexref reference) {
  if (!array) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(reference)) return CUDA_ERROR_INVALID_HANDLE;
  if (!reference->bound || reference->resource.resType != CU_RESOURCE_TYPE_MIPMAPPED_ARRAY) return CUDA_ERROR_INVALID_VALUE;
  *array = reference->resource.res.mipmap.hMipmappedArray;
  return CUDA_SUCCESS;
}

CUresult texRefGetAddressMode(CUaddress_mode* mode, CUtexref reference, int dimension) {
  if (dimension < 0 || dimension > 2) return CUDA_ERROR_INVALID_VALUE;
  return query(mode, reference, [&](const CUtexref_st& r) { return r.description.addressMode[dimension]; });
}
CUresult texRefGetFilterMode(CUfilter_mode* mode, CUtexref reference) {
  return query(mode, reference, [](const CUtexref_st& r) { return r.description.filterMode; });
}
CUresult texRefGetFormat(CUarray_format* format, int* channels, CUtexref reference) {
  ANYWARP_TRY(query(format, reference, [](const CUtexref_st& r) { return r.format; }));
  return query(channels, reference, [](const CUtexref_st& r) { return r.channels; });
}
CUresult texRefGetMipmapFilterMode(CUfilter_mode* mode, CUtexref reference) {
  return query(mode, reference, [](const CUtexref_st& r) { return r.description.mipmapFilterMode; });
}
CUresult texRefGetMipmapLevelBias(float* bias, CUtexref reference) {
  return query(bias, reference, [](const CUtexref_st& r) { return r.description.mipmapLevelBias; });
}
CUresult texRefGetMipmapLevelClamp(float* least, float* most, CUtexref reference) {
  ANYWARP_TRY(query(least, reference, [](const CUtexref_st& r) { return r.description.minMipmapLevelClamp; }));
  return query(most, reference, [](const CUtexref_st& r) { return r.description.maxMipmapLevelClamp; });
}
CUresult texRefGetMaxAnisotropy(int* most, CUtexref reference) {
  return query(most, reference, [](const CUtexref_st& r) { return static_cast<int>(r.description.maxAnisotropy); });
}
CUresult texRefGetBorderColor(float* color, CUtexref reference) {
  if (!color) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(reference)) return CUDA_ERROR_INVALID_HANDLE;
  std::copy_n(reference->description.borderColor, 4, color);
  return CUDA_SUCCESS;
}
CUresult texRefGetFlags(unsigned* flags, CUtexref reference) {
  return query(flags, reference, [](const CUtexref_st& r) { return r.description.flags; });
}

CUresult surfRefSetArray(CUsurfref reference, CUarray array, unsigned flags) {
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(static_cast<CUtexref_st*>(reference)) || !is_valid(array)) return CUDA_ERROR_INVALID_HANDLE;
  CUDA_RESOURCE_DESC resource{};
  resource.resType = CU_RESOURCE_TYPE_ARRAY;
  resource.res.array.hArray = array;
  return bind(*reference, resource);
}

CUresult surfRefGetArray(CUarray* array, CUsurfref reference) { return texRefGetArray(array, reference); }

}  // namespace anywarp::driver
