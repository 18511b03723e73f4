#include "cudart/memory_array.h"

#include <algorithm>

#include "cudart/channel_format.h"
#include "cudart/memory_copy.h"

namespace anywarp::cudart {
namespace {

// cudaArray* flags have the numbers of CUDA_ARRAY3D_*; those that this driver refuses it refuses itself.
constexpr unsigned kFlags = cudaArrayLayered | cudaArraySurfaceLoadStore | cudaArrayCubemap | cudaArrayTextureGather | cudaArrayColorAttachment |
                            cudaArraySparse | cudaArrayDeferredMapping;
static_assert(cudaArrayLayered == CUDA_ARRAY3D_LAYERED && cudaArraySurfaceLoadStore == CUDA_ARRAY3D_SURFACE_LDST &&
              cudaArrayCubemap == CUDA_ARRAY3D_CUBEMAP && cudaArrayTextureGather == CUDA_ARRAY3D_TEXTURE_GATHER &&
              cudaArraySparse == CUDA_ARRAY3D_SPARSE && cudaArrayDeferredMapping == CUDA_ARRAY3D_DEFERRED_MAPPING);

cudaError_t describe(const cudaChannelFormatDesc* description, cudaExtent extent, unsigned flags, CUDA_ARRAY3D_DESCRIPTOR* out) {
  if (!description || (flags & ~kFlags) != 0) return cudaErrorInvalidValue;
  *out = {};
  out->Width = extent.width, out->Height = extent.height, out->Depth = extent.depth;
  out->Flags = flags;
  return format_of(*description, &out->Format, &out->NumChannels);
}

cudaError_t descriptor_of(cudaArray_const_t array, CUDA_ARRAY3D_DESCRIPTOR* out) {
  CUDART_TRY(use_context());
  return error_of(cuArray3DGetDescriptor_v2(out, array_of(array)));
}

// One side of a copy: an array at a byte and a row, or memory with a pitch.
struct Side {
  CUarray array = nullptr;
  size_t x = 0, y = 0;
  void* pointer = nullptr;
  size_t pitch = 0;
};

cudaError_t check_direction(cudaMemcpyKind kind) { return kind <= cudaMemcpyDefault ? cudaSuccess : cudaErrorInvalidMemcpyDirection; }

cudaError_t copy(const Side& to, const Side& from, size_t width, size_t height, cudaMemcpyKind kind, cudaStream_t stream, bool async) {
  CUDART_TRY(check_direction(kind));
  CUDART_TRY(use_context());
  if (width == 0 || height == 0) return cudaSuccess;
  for (const Side* side : {&to, &from}) {
    if (!side->array && !side->pointer) return cudaErrorInvalidValue;
    if (!side->array && height > 1 && side->pitch < width) return cudaErrorInvalidPitchValue;
  }
  CUDA_MEMCPY3D c{};
  c.srcMemoryType = from.array ? CU_MEMORYTYPE_ARRAY : CU_MEMORYTYPE_UNIFIED;
  c.srcArray = from.array, c.srcXInBytes = from.x, c.srcY = from.y, c.srcPitch = from.pitch, c.srcDevice = address(from.pointer);
  c.dstMemoryType = to.array ? CU_MEMORYTYPE_ARRAY : CU_MEMORYTYPE_UNIFIED;
  c.dstArray = to.array, c.dstXInBytes = to.x, c.dstY = to.y, c.dstPitch = to.pitch, c.dstDevice = address(to.pointer);
  c.WidthInBytes = width, c.Height = height, c.Depth = 1;
  return error_of(async ? cuMemcpy3DAsync_v2(&c, stream) : form(stream, cuMemcpy3D_v2, cuMemcpy3D_v2_ptds)(&c));
}

// A stretch of bytes of an array that runs on over the ends of rows, copied piece by piece: the rest of the first row, whole rows, the rest.
cudaError_t copy_rows(Side to, Side from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream, bool async) {
  CUDART_TRY(check_direction(kind));
  const auto row_bytes = [](const Side& side, size_t* out) -> cudaError_t {
    CUDA_ARRAY3D_DESCRIPTOR d;
    if (!side.array) return cudaSuccess;
    CUDART_TRY(cuArray3DGetDescriptor_v2(&d, side.array));
    *out = d.Width * element_bytes(d.Format, d.NumChannels);
    return cudaSuccess;
  };
  CUDART_TRY(use_context());
  size_t to_row = 0, from_row = 0;
  CUDART_TRY(row_bytes(to, &to_row));
  CUDART_TRY(row_bytes(from, &from_row));
  if ((to_row && to.x >= to_row) || (from_row && from.x >= from_row)) return bytes ? cudaErrorInvalidValue : cudaSuccess;
  const auto advance = [](Side& side, size_t row, size_t by) {
    if (!side.array) {
      side.pointer = static_cast<char*>(side.pointer) + by;
    } else {
      side.x += by;
      side.y += side.x / row, side.x %= row;
    }
  };
  while (bytes > 0) {
    size_t piece = bytes;
    if (to.array) piece = std::min(piece, to_row - to.x);
    if (from.array) piece = std::min(piece, from_row - from.x);
    CUDART_TRY(copy(to, from, piece, 1, kind, stream, async));
    advance(to, to_row, piece), advance(from, from_row, piece);
    bytes -= piece;
  }
  return cudaSuccess;
}

Side at(cudaArray_const_t array, size_t x, size_t y) { return {array_of(array), x, y, nullptr, 0}; }
Side at(const void* pointer, size_t pitch) { return {nullptr, 0, 0, const_cast<void*>(pointer), pitch}; }

}  // namespace

cudaError_t mallocArray(cudaArray_t* array, const cudaChannelFormatDesc* description, size_t width, size_t height, unsigned flags) {
  if ((flags & (cudaArrayLayered | cudaArrayCubemap)) != 0) return cudaErrorInvalidValue;  // those have a depth
  return malloc3DArray(array, description, {width, height, 0}, flags);
}

cudaError_t malloc3DArray(cudaArray_t* array, const cudaChannelFormatDesc* description, cudaExtent extent, unsigned flags) {
  if (!array) return cudaErrorInvalidValue;
  CUDA_ARRAY3D_DESCRIPTOR d;
  CUDART_TRY(describe(description, extent, flags, &d));
  CUDART_TRY(use_context());
  return error_of(cuArray3DCreate_v2(reinterpret_cast<CUarray*>(array), &d));
}

cudaError_t mallocMipmappedArray(cudaMipmappedArray_t* array, const cudaChannelFormatDesc* description, cudaExtent extent, unsigned levels,
                                 unsigned flags) {
  if (!array) return cudaErrorInvalidValue;
  CUDA_ARRAY3D_DESCRIPTOR d;
  CUDART_TRY(describe(description, extent, flags, &d));
  CUDART_TRY(use_context());
  return error_of(cuMipmappedArrayCreate(reinterpret_cast<CUmipmappedArray*>(array), &d, levels));
}

// Null is freed without an error.
cudaError_t freeArray(cudaArray_t array) {
  CUDART_TRY(use_context());
  return array ? error_of(cuArrayDestroy(array_of(array))) : cudaSuccess;
}

cudaError_t freeMipmappedArray(cudaMipmappedArray_t array) {
  CUDART_TRY(use_context());
  return array ? error_of(cuMipmappedArrayDestroy(reinterpret_cast<CUmipmappedArray>(array))) : cudaSuccess;
}

cudaError_t arrayGetInfo(cudaChannelFormatDesc* description, cudaExtent* extent, unsigned* flags, cudaArray_t array) {
  CUDA_ARRAY3D_DESCRIPTOR d;
  CUDART_TRY(descriptor_of(array, &d));
  if (description) *description = description_of(d.Format, d.NumChannels);
  if (extent) *extent = {d.Width, d.Height, d.Depth};
  if (flags) *flags = d.Flags;
  return cudaSuccess;
}

cudaError_t getChannelDesc(cudaChannelFormatDesc* description, cudaArray_const_t array) {
  if (!description) return cudaErrorInvalidValue;
  CUDA_ARRAY3D_DESCRIPTOR d;
  CUDART_TRY(descriptor_of(array, &d));
  *description = description_of(d.Format, d.NumChannels);
  return cudaSuccess;
}

cudaChannelFormatDesc createChannelDesc(int x, int y, int z, int w, cudaChannelFormatKind kind) { return {x, y, z, w, kind}; }

cudaError_t memcpy2DToArray(cudaArray_t to, size_t x, size_t y, const void* from, size_t pitch, size_t width, size_t height, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return copy(at(to, x, y), at(from, pitch), width, height, kind, stream, false);
}

cudaError_t memcpy2DToArrayAsync(cudaArray_t to, size_t x, size_t y, const void* from, size_t pitch, size_t width, size_t height,
                                 cudaMemcpyKind kind, cudaStream_t stream) {
  return copy(at(to, x, y), at(from, pitch), width, height, kind, stream, true);
}

cudaError_t memcpy2DFromArray(void* to, size_t pitch, cudaArray_const_t from, size_t x, size_t y, size_t width, size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream) {
  return copy(at(to, pitch), at(from, x, y), width, height, kind, stream, false);
}

cudaError_t memcpy2DFromArrayAsync(void* to, size_t pitch, cudaArray_const_t from, size_t x, size_t y, size_t width, size_t height,
                                   cudaMemcpyKind kind, cudaStream_t stream) {
  return copy(at(to, pitch), at(from, x, y), width, height, kind, stream, true);
}

cudaError_t memcpy2DArrayToArray(cudaArray_t to, size_t to_x, size_t to_y, cudaArray_const_t from, size_t from_x, size_t from_y, size_t width,
                                 size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  return copy(at(to, to_x, to_y), at(from, from_x, from_y), width, height, kind, stream, false);
}

cudaError_t memcpyToArray(cudaArray_t to, size_t x, size_t y, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return copy_rows(at(to, x, y), at(from, 0), bytes, kind, stream, false);
}

cudaError_t memcpyToArrayAsync(cudaArray_t to, size_t x, size_t y, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return copy_rows(at(to, x, y), at(from, 0), bytes, kind, stream, true);
}

cudaError_t memcpyFromArray(void* to, cudaArray_const_t from, size_t x, size_t y, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return copy_rows(at(to, 0), at(from, x, y), bytes, kind, stream, false);
}

cudaError_t memcpyFromArrayAsync(void* to, cudaArray_const_t from, size_t x, size_t y, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return copy_rows(at(to, 0), at(from, x, y), bytes, kind, stream, true);
}

cudaError_t memcpyArrayToArray(cudaArray_t to, size_t to_x, size_t to_y, cudaArray_const_t from, size_t from_x, size_t from_y, size_t bytes,
                               cudaMemcpyKind kind, cudaStream_t stream) {
  return copy_rows(at(to, to_x, to_y), at(from, from_x, from_y), bytes, kind, stream, false);
}

}  // namespace anywarp::cudart
