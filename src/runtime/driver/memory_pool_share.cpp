// Memory pools between processes: the pool travels as a descriptor of its file, an allocation as its place in the file. The importer maps the
// whole file once; pointers that it imports lie in that mapping. Freeing an imported pointer forgets it here, the exporter's free ends it.
#include <fcntl.h>
#include <unistd.h>

#include <cstring>

#include "driver/device.h"
#include "driver/memory.h"
#include "driver/memory_pool.h"

namespace anywarp::driver {
namespace {

struct Place {
  std::uint64_t magic, offset, bytes;
};
constexpr std::uint64_t kMagic = 0x6c6f6f7077617277;
static_assert(sizeof(Place) <= sizeof(CUmemPoolPtrExportData));

}  // namespace

CUresult memPoolExportToShareableHandle(void* shareable, CUmemoryPool pool, CUmemAllocationHandleType type, unsigned long long flags) {
  if (!shareable || !is_valid(pool) || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR || !pool->segment || pool->imported) return CUDA_ERROR_INVALID_VALUE;
  const int file = fcntl(pool->segment->file(), F_DUPFD_CLOEXEC, 0);
  if (file < 0) return CUDA_ERROR_OPERATING_SYSTEM;
  *static_cast<int*>(shareable) = file;
  return CUDA_SUCCESS;
}

CUresult memPoolImportFromShareableHandle(CUmemoryPool* pool, void* shareable, CUmemAllocationHandleType type, unsigned long long flags) {
  if (!pool || flags != 0 || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) return CUDA_ERROR_INVALID_VALUE;
  auto segment = memory::Segment::import(static_cast<int>(reinterpret_cast<std::intptr_t>(shareable)));  // the descriptor itself, as documented
  if (!segment) return CUDA_ERROR_INVALID_VALUE;
  CUmemPoolProps properties{};
  properties.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  ANYWARP_TRY(memPoolCreate(pool, &properties));
  (*pool)->imported = true;
  (*pool)->segment = std::move(segment);
  return CUDA_SUCCESS;
}

CUresult memPoolExportPointer(CUmemPoolPtrExportData* data, CUdeviceptr address) {
  if (!data || !address) return CUDA_ERROR_INVALID_VALUE;
  const CUmemoryPool pool = pool_of(address);
  memory::Allocation a;
  if (!pool || !pool->segment || pool->imported || !arena().lookup(pointer(address), &a)) return CUDA_ERROR_INVALID_VALUE;
  const Place place{kMagic, address - pool->segment->base(), a.size};
  *data = {};
  std::memcpy(data, &place, sizeof place);
  return CUDA_SUCCESS;
}

CUresult memPoolImportPointer(CUdeviceptr* address, CUmemoryPool pool, CUmemPoolPtrExportData* data) {
  if (!address || !is_valid(pool) || !data || !pool->imported) return CUDA_ERROR_INVALID_VALUE;
  Place place;
  std::memcpy(&place, data, sizeof place);
  const std::size_t room = pool->segment->bytes();
  if (place.magic != kMagic || place.offset > room || place.bytes == 0 || place.bytes > room - place.offset) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  const CUdeviceptr at = pool->segment->base() + place.offset;
  // Twice the same pointer: known already.
  if (pool_of(at) != pool) {
    ANYWARP_TRY(api(arena().add_range(pointer(at), place.bytes, memory::Kind::mapped, pool->device, context, 0)));
    know_pool_allocation(pool, at, place.bytes, context);
  }
  *address = at;
  return CUDA_SUCCESS;
}

}  // namespace anywarp::driver
