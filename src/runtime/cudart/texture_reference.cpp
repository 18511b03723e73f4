#include "cudart/texture_reference.h"

#include "cudart/channel_format.h"
#include "cudart/memory_array.h"
#include "cudart/registration.h"

namespace anywarp::cudart {
namespace {

// The driver's reference, set up as the program's struct says. `normalized`: integers are read as floats.
cudaError_t set_up(const textureReference* from, CUtexref* out) {
  bool normalized = false;
  CUDART_TRY(find_texture(from, out, &normalized));
  unsigned flags = 0;
  if (!normalized && from->channelDesc.f != cudaChannelFormatKindFloat) flags |= CU_TRSF_READ_AS_INTEGER;
  if (from->normalized) flags |= CU_TRSF_NORMALIZED_COORDINATES;
  if (from->sRGB) flags |= CU_TRSF_SRGB;
  CUDART_TRY(cuTexRefSetFlags(*out, flags));
  CUDART_TRY(cuTexRefSetFilterMode(*out, static_cast<CUfilter_mode>(from->filterMode)));
  for (int axis = 0; axis < 3; ++axis) CUDART_TRY(cuTexRefSetAddressMode(*out, axis, static_cast<CUaddress_mode>(from->addressMode[axis])));
  CUDART_TRY(cuTexRefSetMaxAnisotropy(*out, from->maxAnisotropy));
  CUDART_TRY(cuTexRefSetMipmapFilterMode(*out, static_cast<CUfilter_mode>(from->mipmapFilterMode)));
  CUDART_TRY(cuTexRefSetMipmapLevelBias(*out, from->mipmapLevelBias));
  return error_of(cuTexRefSetMipmapLevelClamp(*out, from->minMipmapLevelClamp, from->maxMipmapLevelClamp));
}

}  // namespace

cudaError_t bindTexture(size_t* offset, const textureReference* reference, const void* pointer, const cudaChannelFormatDesc* description, size_t bytes) {
  if (!description) return cudaErrorInvalidValue;
  CUtexref texture = nullptr;
  CUDART_TRY(set_up(reference, &texture));
  CUarray_format format;
  unsigned channels = 0;
  CUDART_TRY(format_of(*description, &format, &channels));
  CUDART_TRY(cuTexRefSetFormat(texture, format, static_cast<int>(channels)));
  // Programs give all of memory as the size where they do not know better.
  CUdeviceptr base = 0;
  size_t there = 0;
  if (cuMemGetAddressRange_v2(&base, &there, address(pointer)) == CUDA_SUCCESS && bytes > base + there - address(pointer)) bytes = base + there - address(pointer);
  return error_of(cuTexRefSetAddress_v2(offset, texture, address(pointer), bytes));
}

cudaError_t bindTexture2D(size_t* offset, const textureReference* reference, const void* pointer, const cudaChannelFormatDesc* description, size_t width,
                          size_t height, size_t pitch) {
  if (!description) return cudaErrorInvalidValue;
  CUtexref texture = nullptr;
  CUDART_TRY(set_up(reference, &texture));
  CUDA_ARRAY_DESCRIPTOR d{width, height, CU_AD_FORMAT_FLOAT, 1};
  CUDART_TRY(format_of(*description, &d.Format, &d.NumChannels));
  if (offset) *offset = 0;
  return error_of(cuTexRefSetAddress2D_v3(texture, &d, address(pointer), pitch));
}

cudaError_t bindTextureToArray(const textureReference* reference, cudaArray_const_t array, const cudaChannelFormatDesc* description) {
  if (!description) return cudaErrorInvalidValue;
  CUtexref texture = nullptr;
  CUDART_TRY(set_up(reference, &texture));
  return error_of(cuTexRefSetArray(texture, array_of(array), CU_TRSA_OVERRIDE_FORMAT));
}

cudaError_t bindTextureToMipmappedArray(const textureReference* reference, cudaMipmappedArray_const_t array, const cudaChannelFormatDesc* description) {
  if (!description) return cudaErrorInvalidValue;
  CUtexref texture = nullptr;
  CUDART_TRY(set_up(reference, &texture));
  return error_of(cuTexRefSetMipmappedArray(texture, reinterpret_cast<CUmipmappedArray>(const_cast<cudaMipmappedArray_t>(array)), CU_TRSA_OVERRIDE_FORMAT));
}

// Nothing has to be given back: the reference keeps what it was bound to last.
cudaError_t unbindTexture(const textureReference* reference) {
  CUtexref texture = nullptr;
  bool normalized = false;
  return find_texture(reference, &texture, &normalized);
}

cudaError_t getTextureAlignmentOffset(size_t* offset, const textureReference* reference) {
  if (!offset) return cudaErrorInvalidValue;
  CUtexref texture = nullptr;
  bool normalized = false;
  CUDART_TRY(find_texture(reference, &texture, &normalized));
  *offset = 0;
  return cudaSuccess;
}

// A reference's symbol is the reference.
cudaError_t getTextureReference(const textureReference** reference, const void* symbol) {
  if (!reference) return cudaErrorInvalidValue;
  CUtexref texture = nullptr;
  bool normalized = false;
  CUDART_TRY(find_texture(static_cast<const textureReference*>(symbol), &texture, &normalized));
  *reference = static_cast<const textureReference*>(symbol);
  return cudaSuccess;
}

cudaError_t bindSurfaceToArray(const surfaceReference* reference, cudaArray_const_t array, const cudaChannelFormatDesc* description) {
  if (!description) return cudaErrorInvalidValue;
  CUsurfref surface = nullptr;
  CUDART_TRY(find_surface(reference, &surface));
  return error_of(cuSurfRefSetArray(surface, array_of(array), 0));
}

cudaError_t getSurfaceReference(const surfaceReference** reference, const void* symbol) {
  if (!reference) return cudaErrorInvalidValue;
  CUsurfref surface = nullptr;
  CUDART_TRY(find_surface(static_cast<const surfaceReference*>(symbol), &surface));
  *reference = static_cast<const surfaceReference*>(symbol);
  return cudaSuccess;
}

}  // namespace anywarp::cudart
