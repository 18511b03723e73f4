#include "cudart/channel_format.h"

#include <iterator>

namespace anywarp::cudart {
namespace {

// Formats that are one number a channel; the runtime's kind and bits of each.
struct Plain {
  CUarray_format format;
  cudaChannelFormatKind kind;
  int bits;
};
constexpr Plain kPlain[] = {
    {CU_AD_FORMAT_UNSIGNED_INT8, cudaChannelFormatKindUnsigned, 8},   {CU_AD_FORMAT_UNSIGNED_INT16, cudaChannelFormatKindUnsigned, 16},
    {CU_AD_FORMAT_UNSIGNED_INT32, cudaChannelFormatKindUnsigned, 32}, {CU_AD_FORMAT_SIGNED_INT8, cudaChannelFormatKindSigned, 8},
    {CU_AD_FORMAT_SIGNED_INT16, cudaChannelFormatKindSigned, 16},     {CU_AD_FORMAT_SIGNED_INT32, cudaChannelFormatKindSigned, 32},
    {CU_AD_FORMAT_HALF, cudaChannelFormatKindFloat, 16},              {CU_AD_FORMAT_FLOAT, cudaChannelFormatKindFloat, 32},
};

// Formats that have a kind of their own; the number of channels is part of it.
struct Named {
  CUarray_format format;
  cudaChannelFormatKind kind;
  unsigned channels;
  int bits;
};
constexpr Named kNamed[] = {
    {CU_AD_FORMAT_UNORM_INT8X1, cudaChannelFormatKindUnsignedNormalized8X1, 1, 8},
    {CU_AD_FORMAT_UNORM_INT8X2, cudaChannelFormatKindUnsignedNormalized8X2, 2, 8},
    {CU_AD_FORMAT_UNORM_INT8X4, cudaChannelFormatKindUnsignedNormalized8X4, 4, 8},
    {CU_AD_FORMAT_UNORM_INT16X1, cudaChannelFormatKindUnsignedNormalized16X1, 1, 16},
    {CU_AD_FORMAT_UNORM_INT16X2, cudaChannelFormatKindUnsignedNormalized16X2, 2, 16},
    {CU_AD_FORMAT_UNORM_INT16X4, cudaChannelFormatKindUnsignedNormalized16X4, 4, 16},
    {CU_AD_FORMAT_SNORM_INT8X1, cudaChannelFormatKindSignedNormalized8X1, 1, 8},
    {CU_AD_FORMAT_SNORM_INT8X2, cudaChannelFormatKindSignedNormalized8X2, 2, 8},
    {CU_AD_FORMAT_SNORM_INT8X4, cudaChannelFormatKindSignedNormalized8X4, 4, 8},
    {CU_AD_FORMAT_SNORM_INT16X1, cudaChannelFormatKindSignedNormalized16X1, 1, 16},
    {CU_AD_FORMAT_SNORM_INT16X2, cudaChannelFormatKindSignedNormalized16X2, 2, 16},
    {CU_AD_FORMAT_SNORM_INT16X4, cudaChannelFormatKindSignedNormalized16X4, 4, 16},
};

}  // namespace

cudaError_t format_of(const cudaChannelFormatDesc& d, CUarray_format* format, unsigned* channels) {
  const int bits[] = {d.x, d.y, d.z, d.w};
  unsigned count = 0;
  while (count < 4 && bits[count] != 0) {
    if (bits[count] != bits[0]) return cudaErrorInvalidChannelDescriptor;  // all channels have one size
    ++count;
  }
  for (unsigned i = count; i < 4; ++i) {
    if (bits[i] != 0) return cudaErrorInvalidChannelDescriptor;
  }
  for (const Named& named : kNamed) {
    if (named.kind != d.f) continue;
    if (named.channels != count || named.bits != d.x) return cudaErrorInvalidChannelDescriptor;
    *format = named.format, *channels = count;
    return cudaSuccess;
  }
  if (count != 1 && count != 2 && count != 4) return cudaErrorInvalidChannelDescriptor;
  for (const Plain& plain : kPlain) {
    if (plain.kind != d.f || plain.bits != d.x) continue;
    *format = plain.format, *channels = count;
    return cudaSuccess;
  }
  return cudaErrorInvalidChannelDescriptor;
}

cudaChannelFormatDesc description_of(CUarray_format format, unsigned channels) {
  int bits = 0;
  cudaChannelFormatKind kind = cudaChannelFormatKindNone;
  for (const Plain& plain : kPlain) {
    if (plain.format == format) bits = plain.bits, kind = plain.kind;
  }
  for (const Named& named : kNamed) {
    if (named.format == format) bits = named.bits, kind = named.kind;
  }
  return {bits, channels > 1 ? bits : 0, channels > 2 ? bits : 0, channels > 3 ? bits : 0, kind};
}

size_t element_bytes(CUarray_format format, unsigned channels) { return static_cast<size_t>(description_of(format, 1).x) / 8 * channels; }

}  // namespace anywarp::cudart
