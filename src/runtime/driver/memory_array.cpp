#include "driver/memory_array.h"

#include <algorithm>
#include <bit>

#include "driver/device.h"
#include "driver/memory.h"
#include "driver/virtual_memory.h"

namespace anywarp::driver {
namespace {

// Bytes of one channel; 0 for formats with blocks, planes or packed channels, which are not supported.
std::size_t channel_bytes(CUarray_format format) {
  switch (format) {
    case CU_AD_FORMAT_UNSIGNED_INT8:
    case CU_AD_FORMAT_SIGNED_INT8:
    case CU_AD_FORMAT_UNORM_INT8X1:
    case CU_AD_FORMAT_UNORM_INT8X2:
    case CU_AD_FORMAT_UNORM_INT8X4:
    case CU_AD_FORMAT_SNORM_INT8X1:
    case CU_AD_FORMAT_SNORM_INT8X2:
    case CU_AD_FORMAT_SNORM_INT8X4: return 1;
    case CU_AD_FORMAT_UNSIGNED_INT16:
    case CU_AD_FORMAT_SIGNED_INT16:
    case CU_AD_FORMAT_HALF:
    case CU_AD_FORMAT_UNORM_INT16X1:
    case CU_AD_FORMAT_UNORM_INT16X2:
    case CU_AD_FORMAT_UNORM_INT16X4:
    case CU_AD_FORMAT_SNORM_INT16X1:
    case CU_AD_FORMAT_SNORM_INT16X2:
    case CU_AD_FORMAT_SNORM_INT16X4: return 2;
    case CU_AD_FORMAT_UNSIGNED_INT32:
    case CU_AD_FORMAT_SIGNED_INT32:
    case CU_AD_FORMAT_FLOAT: return 4;
    default: return 0;
  }
}

CUresult check(const CUDA_ARRAY3D_DESCRIPTOR& d) {
  // Sparse arrays need memory in tiles.
  constexpr unsigned kFlags = CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_SURFACE_LDST | CUDA_ARRAY3D_CUBEMAP | CUDA_ARRAY3D_TEXTURE_GATHER |
                              CUDA_ARRAY3D_COLOR_ATTACHMENT | CUDA_ARRAY3D_DEFERRED_MAPPING;
  if (d.Width == 0 || (d.Flags & ~kFlags) != 0) return (d.Flags & ~kFlags) != 0 && d.Width ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_INVALID_VALUE;
  if (d.NumChannels != 1 && d.NumChannels != 2 && d.NumChannels != 4) return CUDA_ERROR_INVALID_VALUE;
  if (channel_bytes(d.Format) == 0) return CUDA_ERROR_NOT_SUPPORTED;
  const bool layered = d.Flags & CUDA_ARRAY3D_LAYERED, cube = d.Flags & CUDA_ARRAY3D_CUBEMAP;
  if (layered && d.Depth == 0) return CUDA_ERROR_INVALID_VALUE;
  if (cube && (d.Width != d.Height || d.Depth % 6 != 0 || d.Depth == 0 || (!layered && d.Depth != 6))) return CUDA_ERROR_INVALID_VALUE;
  if (!layered && !cube && d.Depth > 0 && d.Height == 0) return CUDA_ERROR_INVALID_VALUE;
  return CUDA_SUCCESS;
}

constexpr std::size_t kAlignment = 512;                      // bytes
constexpr std::size_t kMapGranularity = std::size_t{2} << 20;  // bytes; of memory that the program maps into an array

// The array without memory, and how many bytes it needs.
CUresult shape(int device, const CUDA_ARRAY3D_DESCRIPTOR& d, std::unique_ptr<CUarray_st>* out, std::size_t* bytes) {
  auto array = std::make_unique<CUarray_st>();
  array->device = device;
  array->descriptor = d;
  array->element_bytes = channel_bytes(d.Format) * d.NumChannels;
  array->rows = std::max<std::size_t>(d.Height, 1), array->slices = std::max<std::size_t>(d.Depth, 1);
  if (__builtin_mul_overflow(d.Width, array->element_bytes, &array->pitch) || __builtin_mul_overflow(array->pitch, array->rows, bytes) ||
      __builtin_mul_overflow(*bytes, array->slices, bytes)) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  *out = std::move(array);
  return CUDA_SUCCESS;
}

CUresult make(const CUctx_st& context, const CUDA_ARRAY3D_DESCRIPTOR& d, std::unique_ptr<CUarray_st>* out) {
  std::size_t bytes = 0;
  ANYWARP_TRY(shape(context.device, d, out, &bytes));
  CUarray_st& array = **out;
  void* memory = nullptr;
  if (d.Flags & CUDA_ARRAY3D_DEFERRED_MAPPING) {
    array.reserved = (bytes + kMapGranularity - 1) / kMapGranularity * kMapGranularity;
    CUdeviceptr address = 0;
    ANYWARP_TRY(memAddressReserve(&address, array.reserved, 0, 0, 0));
    memory = pointer(address);
  } else {
    // Owned by no context, so that the array can be destroyed after its context.
    ANYWARP_TRY(api(arena().allocate(context.device, bytes, kAlignment, memory::Kind::device, nullptr, 0, &memory)));
  }
  array.memory = static_cast<std::uint8_t*>(memory);
  return CUDA_SUCCESS;
}

// The sizes of the next level of a mipmap.
CUDA_ARRAY3D_DESCRIPTOR next_level(CUDA_ARRAY3D_DESCRIPTOR d) {
  const auto halve = [](std::size_t n) { return n ? std::max<std::size_t>(n / 2, 1) : 0; };
  d.Width = halve(d.Width), d.Height = halve(d.Height);
  if ((d.Flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP)) == 0) d.Depth = halve(d.Depth);
  return d;
}

// More levels than there are sizes are clamped, as documented.
unsigned clamp_levels(const CUDA_ARRAY3D_DESCRIPTOR& d, unsigned levels) {
  const bool is_volume = (d.Flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP)) == 0;
  return std::min<unsigned>(levels, static_cast<unsigned>(std::bit_width(std::max({d.Width, d.Height, is_volume ? d.Depth : 0}))));
}

// Waits for the work of the current context, which may use the array.
CUresult quiesce() {
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  return api(context->engine->synchronize());
}

CUresult release(CUarray_st& array) {
  array.magic = Magic::dead;
  if (array.borrowed) return CUDA_SUCCESS;
  if (array.reserved) return unmap_and_free(reinterpret_cast<CUdeviceptr>(array.memory), array.reserved);
  return api(arena().free(array.memory));
}

}  // namespace

CUresult arrayCreate(CUarray* array, const CUDA_ARRAY_DESCRIPTOR* descriptor) {
  if (!descriptor) return CUDA_ERROR_INVALID_VALUE;
  const CUDA_ARRAY3D_DESCRIPTOR d{descriptor->Width, descriptor->Height, 0, descriptor->Format, descriptor->NumChannels, 0};
  return array3DCreate(array, &d);
}

CUresult array3DCreate(CUarray* array, const CUDA_ARRAY3D_DESCRIPTOR* descriptor) {
  if (!array || !descriptor) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  ANYWARP_TRY(check(*descriptor));
  std::unique_ptr<CUarray_st> made;
  ANYWARP_TRY(make(*context, *descriptor, &made));
  *array = made.release();
  return CUDA_SUCCESS;
}

CUresult arrayDestroy(CUarray array) {
  if (!is_valid(array)) return CUDA_ERROR_INVALID_HANDLE;
  if (array->of_mipmap) return CUDA_ERROR_INVALID_VALUE;
  ANYWARP_TRY(quiesce());
  const std::unique_ptr<CUarray_st> owned(array);
  return release(*array);
}

CUresult arrayGetDescriptor(CUDA_ARRAY_DESCRIPTOR* descriptor, CUarray array) {
  if (!descriptor) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(array)) return CUDA_ERROR_INVALID_HANDLE;
  const CUDA_ARRAY3D_DESCRIPTOR& d = array->descriptor;
  *descriptor = {d.Width, d.Height, d.Format, d.NumChannels};
  return CUDA_SUCCESS;
}

CUresult array3DGetDescriptor(CUDA_ARRAY3D_DESCRIPTOR* descriptor, CUarray array) {
  if (!descriptor) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(array)) return CUDA_ERROR_INVALID_HANDLE;
  *descriptor = array->descriptor;
  return CUDA_SUCCESS;
}

CUresult arrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS* requirements, CUarray array, CUdevice device) {
  if (!requirements) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(array)) return CUDA_ERROR_INVALID_HANDLE;
  if (!find_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  // Of arrays with memory of their own nothing can be asked.
  if (!array->reserved) return CUDA_ERROR_INVALID_VALUE;
  *requirements = {};
  requirements->size = array->reserved;
  requirements->alignment = kMapGranularity;
  return CUDA_SUCCESS;
}

CUresult mipmappedArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS* requirements, CUmipmappedArray array, CUdevice device) {
  if (!requirements) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(array)) return CUDA_ERROR_INVALID_HANDLE;
  CUDA_ARRAY_MEMORY_REQUIREMENTS sum{};
  for (const auto& level : array->levels) {
    ANYWARP_TRY(arrayGetMemoryRequirements(requirements, level.get(), device));
    sum.size += requirements->size, sum.alignment = requirements->alignment;
  }
  *requirements = sum;
  return CUDA_SUCCESS;
}

// There are no sparse arrays (the device attribute says so): nothing of them can be asked.
CUresult arrayGetSparseProperties(CUDA_ARRAY_SPARSE_PROPERTIES* properties, CUarray array) {
  if (!properties) return CUDA_ERROR_INVALID_VALUE;
  return is_valid(array) ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_HANDLE;
}

CUresult mipmappedArrayGetSparseProperties(CUDA_ARRAY_SPARSE_PROPERTIES* properties, CUmipmappedArray array) {
  if (!properties) return CUDA_ERROR_INVALID_VALUE;
  return is_valid(array) ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_HANDLE;
}

// Formats with planes are not supported, so that no array has any.
CUresult arrayGetPlane(CUarray* plane, CUarray array, unsigned) {
  if (!plane) return CUDA_ERROR_INVALID_VALUE;
  return is_valid(array) ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_HANDLE;
}

CUresult mipmappedArrayCreate(CUmipmappedArray* array, const CUDA_ARRAY3D_DESCRIPTOR* descriptor, unsigned levels) {
  if (!array || !descriptor || levels == 0) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  ANYWARP_TRY(check(*descriptor));
  CUDA_ARRAY3D_DESCRIPTOR d = *descriptor;
  levels = clamp_levels(d, levels);
  auto made = std::make_unique<CUmipmappedArray_st>();
  for (unsigned level = 0; level < levels; ++level, d = next_level(d)) {
    std::unique_ptr<CUarray_st> one;
    if (const CUresult result = make(*context, d, &one); result != CUDA_SUCCESS) {
      for (const auto& earlier : made->levels) [[maybe_unused]] const CUresult freed = release(*earlier);
      return result;
    }
    one->of_mipmap = true;
    made->levels.push_back(std::move(one));
  }
  *array = made.release();
  return CUDA_SUCCESS;
}

CUresult mipmappedArrayGetLevel(CUarray* level_array, CUmipmappedArray array, unsigned level) {
  if (!level_array) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(array)) return CUDA_ERROR_INVALID_HANDLE;
  if (level >= array->levels.size()) return CUDA_ERROR_INVALID_VALUE;
  *level_array = array->levels[level].get();
  return CUDA_SUCCESS;
}

CUresult mipmappedArrayDestroy(CUmipmappedArray array) {
  if (!is_valid(array)) return CUDA_ERROR_INVALID_HANDLE;
  ANYWARP_TRY(quiesce());
  for (const auto& level : array->levels) [[maybe_unused]] const CUresult freed = release(*level);
  array->magic = Magic::dead;
  delete array;
  return CUDA_SUCCESS;
}

CUresult make_array_over(int device, const CUDA_ARRAY3D_DESCRIPTOR& descriptor, unsigned levels, std::uint8_t* memory, std::size_t bytes,
                         CUmipmappedArray* out) {
  ANYWARP_TRY(check(descriptor));
  if (levels == 0 || levels > clamp_levels(descriptor, levels)) return CUDA_ERROR_INVALID_VALUE;
  auto made = std::make_unique<CUmipmappedArray_st>();
  CUDA_ARRAY3D_DESCRIPTOR d = descriptor;
  for (unsigned level = 0; level < levels; ++level, d = next_level(d)) {
    std::unique_ptr<CUarray_st> one;
    std::size_t needed = 0;
    ANYWARP_TRY(shape(device, d, &one, &needed));
    if (needed > bytes) return CUDA_ERROR_INVALID_VALUE;
    one->memory = memory;
    one->borrowed = one->of_mipmap = true;
    needed = std::min(bytes, (needed + kAlignment - 1) / kAlignment * kAlignment);
    memory += needed, bytes -= needed;
    made->levels.push_back(std::move(one));
  }
  *out = made.release();
  return CUDA_SUCCESS;
}

CUresult resolve_array(CUarray array, std::size_t x, std::size_t y, std::size_t z, const Copy& shape, std::uintptr_t* address, std::size_t* pitch,
                       std::size_t* slice) {
  if (!is_valid(array)) return CUDA_ERROR_INVALID_HANDLE;
  const auto fits = [](std::size_t at, std::size_t length, std::size_t room) { return at <= room && length <= room - at; };
  if (!fits(x, shape.width, array->pitch) || !fits(y, shape.height, array->rows) || !fits(z, shape.depth, array->slices)) return CUDA_ERROR_INVALID_VALUE;
  *pitch = array->pitch;
  *slice = array->pitch * array->rows;
  *address = reinterpret_cast<std::uintptr_t>(array->memory) + z * *slice + y * *pitch + x;
  return CUDA_SUCCESS;
}

}  // namespace anywarp::driver
