#include "driver/tensor_map.h"

#include <cstring>

#include "abi.h"
#include "exec/tensor.h"

namespace anywarp::driver {
namespace {

constexpr cuuint64_t kMostElements = cuuint64_t{1} << 32, kMostBytes = cuuint64_t{1} << 40;

// The mode and, in the upper bits, the size of the units, as tensormap.replace numbers them.
std::uint8_t swizzle_bits(CUtensorMapSwizzle swizzle) {
  if (swizzle == CU_TENSOR_MAP_SWIZZLE_128B_ATOM_32B) return CU_TENSOR_MAP_SWIZZLE_128B | 1 << 4;
  if (swizzle == CU_TENSOR_MAP_SWIZZLE_128B_ATOM_64B) return CU_TENSOR_MAP_SWIZZLE_128B | 3 << 4;
  return static_cast<std::uint8_t>(swizzle);
}

// What both ways of encoding have in common: the tensor itself.
CUresult begin(abi::TensorMap* m, CUtensorMapDataType type, cuuint32_t rank, void* address, const cuuint64_t* sizes, const cuuint64_t* strides,
               const cuuint32_t* steps, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
               CUtensorMapFloatOOBfill fill, bool im2col) {
  if (!address || !sizes || (!strides && rank > 1) || !steps) return CUDA_ERROR_INVALID_VALUE;
  if (rank < (im2col ? 3u : 1u) || rank > 5) return CUDA_ERROR_INVALID_VALUE;
  if (type > CU_TENSOR_MAP_DATA_TYPE_16U6_ALIGN16B || interleave > CU_TENSOR_MAP_INTERLEAVE_32B || promotion > CU_TENSOR_MAP_L2_PROMOTION_L2_256B ||
      swizzle > CU_TENSOR_MAP_SWIZZLE_128B_ATOM_64B || fill > CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  // Packed types and interleaved layouts are of devices of compute capability 10 and of old layouts; how the flip of 8 bytes begins is in a
  // figure of the manual only.
  if (tensor_element_bytes(static_cast<std::uint8_t>(type)) == 0 || interleave != CU_TENSOR_MAP_INTERLEAVE_NONE ||
      swizzle == CU_TENSOR_MAP_SWIZZLE_128B_ATOM_32B_FLIP_8B) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  const bool is_integer = type <= CU_TENSOR_MAP_DATA_TYPE_INT64;
  if (is_integer && fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) return CUDA_ERROR_INVALID_VALUE;
  if (reinterpret_cast<std::uintptr_t>(address) % 16 != 0) return CUDA_ERROR_INVALID_VALUE;
  *m = {};
  m->address = reinterpret_cast<std::uint64_t>(address);
  m->type = static_cast<std::uint8_t>(type), m->rank = static_cast<std::uint8_t>(rank), m->is_im2col = im2col;
  m->swizzle = swizzle_bits(swizzle), m->fill = static_cast<std::uint8_t>(fill);
  for (cuuint32_t d = 0; d < rank; ++d) {
    if (sizes[d] == 0 || sizes[d] > kMostElements || steps[d] == 0 || steps[d] > 8) return CUDA_ERROR_INVALID_VALUE;
    m->size[d] = static_cast<std::uint32_t>(sizes[d]);
    m->step[d] = static_cast<std::uint8_t>(d == 0 ? 1 : steps[d]);  // dimension 0 has no steps without an interleaved layout
    if (d == 0) continue;
    if (strides[d - 1] % 16 != 0 || strides[d - 1] >= kMostBytes) return CUDA_ERROR_INVALID_VALUE;
    m->stride[d - 1] = strides[d - 1];
  }
  return CUDA_SUCCESS;
}

// The innermost dimension of a box: whole units of 16 bytes, within the swizzle's span.
CUresult check_row(const abi::TensorMap& m) {
  const std::uint64_t bytes = std::uint64_t{m.box[0]} * tensor_element_bytes(m.type);
  if (bytes % 16 != 0) return CUDA_ERROR_INVALID_VALUE;
  constexpr std::uint64_t kSpan[] = {~std::uint64_t{0}, 32, 64, 128};
  return bytes <= kSpan[m.swizzle & 3] ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult finish(CUtensorMap* map, const abi::TensorMap& m) {
  static_assert(sizeof(m) <= sizeof(*map));
  std::memset(map, 0, sizeof *map);
  std::memcpy(map, &m, sizeof m);
  return CUDA_SUCCESS;
}

}  // namespace

CUresult tensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* address, const cuuint64_t* sizes,
                              const cuuint64_t* strides, const cuuint32_t* box, const cuuint32_t* steps, CUtensorMapInterleave interleave,
                              CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill) {
  if (!map || !box || reinterpret_cast<std::uintptr_t>(map) % 64 != 0) return CUDA_ERROR_INVALID_VALUE;
  abi::TensorMap m;
  ANYWARP_TRY(begin(&m, type, rank, address, sizes, strides, steps, interleave, swizzle, promotion, fill, false));
  for (cuuint32_t d = 0; d < rank; ++d) {
    if (box[d] == 0 || box[d] > 256) return CUDA_ERROR_INVALID_VALUE;
    m.box[d] = box[d];
  }
  ANYWARP_TRY(check_row(m));
  return finish(map, m);
}

CUresult tensorMapEncodeIm2col(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* address, const cuuint64_t* sizes,
                               const cuuint64_t* strides, const int* lower, const int* upper, cuuint32_t channels, cuuint32_t pixels,
                               const cuuint32_t* steps, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                               CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill) {
  if (!map || !lower || !upper || reinterpret_cast<std::uintptr_t>(map) % 64 != 0) return CUDA_ERROR_INVALID_VALUE;
  abi::TensorMap m;
  ANYWARP_TRY(begin(&m, type, rank, address, sizes, strides, steps, interleave, swizzle, promotion, fill, true));
  if (channels == 0 || channels > 256 || pixels == 0 || pixels > 1024) return CUDA_ERROR_INVALID_VALUE;
  m.box[0] = channels, m.box[1] = pixels;
  const int limit = rank == 3 ? 32767 : rank == 4 ? 127 : 15;  // corners are -limit - 1 to limit
  for (cuuint32_t d = 0; d + 2 < rank; ++d) {
    if (lower[d] < -limit - 1 || lower[d] > limit || upper[d] < -limit - 1 || upper[d] > limit) return CUDA_ERROR_INVALID_VALUE;
    m.box[d + 2] = (static_cast<std::uint32_t>(lower[d]) & 0xffff) | static_cast<std::uint32_t>(upper[d]) << 16;
  }
  ANYWARP_TRY(check_row(m));
  return finish(map, m);
}

// How the tensor's memory is paged matters to no copy here: the class is only given back.
CUresult tensorMapSetAllocationClass(CUtensorMap* map, CUtensorMapAllocClass allocation_class, CUtensorMapAllocClass* out) {
  if (!map || allocation_class > CU_TENSOR_MAP_ALLOC_CLASS_LARGE) return CUDA_ERROR_INVALID_VALUE;
  if (out) *out = allocation_class;
  return CUDA_SUCCESS;
}

CUresult tensorMapReplaceAddress(CUtensorMap* map, void* address) {
  if (!map || !address || reinterpret_cast<std::uintptr_t>(address) % 16 != 0) return CUDA_ERROR_INVALID_VALUE;
  const auto value = reinterpret_cast<std::uint64_t>(address);
  std::memcpy(reinterpret_cast<std::uint8_t*>(map) + offsetof(abi::TensorMap, address), &value, sizeof value);
  return CUDA_SUCCESS;
}

}  // namespace anywarp::driver
