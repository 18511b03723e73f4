#include "driver/memory_pool.h"

#include <map>

#include "driver/device.h"
#include "driver/memory.h"
#include "driver/stream_capture.h"
#include "driver/work.h"

namespace anywarp::driver {
namespace {

std::mutex g_mutex;  // guards g_owners
struct Owner {
  CUmemoryPool pool;
  std::uint64_t bytes;
  const CUctx_st* context;
};
// Who gave out an address.
std::map<CUdeviceptr, Owner>& owners() {
  static auto* map = new std::map<CUdeviceptr, Owner>;
  return *map;
}

void raise(std::atomic<std::uint64_t>& high, std::uint64_t value) {
  std::uint64_t seen = high.load();
  while (value > seen && !high.compare_exchange_weak(seen, value)) {
  }
}

CUresult allocate(CUdeviceptr* address, std::size_t bytes, CUmemoryPool pool, const StreamUse& use) {
  if (use.capture()) {
    AllocateWork work;
    work.parameters.poolProps = pool->properties;
    work.parameters.bytesize = bytes;
    ANYWARP_TRY(make_graph_memory(&work));
    *address = work.parameters.dptr;
    return capture_node(use, std::move(work));
  }
  if (pool->properties.maxSize && pool->used + bytes > pool->properties.maxSize) return CUDA_ERROR_OUT_OF_MEMORY;
  void* memory = nullptr;
  Result result = arena().allocate(pool->device, bytes, 256, memory::Kind::device, use.context, 0, &memory);
  if (result == Result::out_of_memory) {
    // What is being freed comes back when the streams get there.
    ANYWARP_TRY(api(use.context->engine->synchronize()));
    result = arena().allocate(pool->device, bytes, 256, memory::Kind::device, use.context, 0, &memory);
  }
  ANYWARP_TRY(api(result));
  *address = reinterpret_cast<CUdeviceptr>(memory);
  raise(pool->used_high, pool->used += bytes);
  const std::lock_guard lock(g_mutex);
  owners()[*address] = {pool, bytes, use.context};
  return CUDA_SUCCESS;
}

Device* device_of(const CUmemLocation* location, CUmemAllocationType type, CUresult* error) {
  *error = CUDA_ERROR_INVALID_VALUE;
  if (!location || type != CU_MEM_ALLOCATION_TYPE_PINNED) return nullptr;
  if (location->type != CU_MEM_LOCATION_TYPE_DEVICE) {
    *error = CUDA_ERROR_NOT_SUPPORTED;  // pools of host memory
    return nullptr;
  }
  *error = CUDA_ERROR_INVALID_DEVICE;
  return find_device(location->id);
}

}  // namespace

CUmemoryPool default_pool(Device& device) {
  const std::lock_guard lock(device.mutex);
  if (!device.default_pool) {
    auto* pool = new CUmemPoolHandle_st;
    pool->device = device.ordinal;
    pool->properties.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    pool->properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    pool->properties.location.id = device.ordinal;
    device.default_pool = pool;
  }
  return device.default_pool;
}

CUmemoryPool current_pool(Device& device) {
  CUmemoryPool fallback = default_pool(device);
  const std::lock_guard lock(device.mutex);
  return device.current_pool ? device.current_pool : fallback;
}

CUresult memAllocAsync(CUdeviceptr* address, size_t bytes, CUstream stream) {
  if (!address || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  return allocate(address, bytes, current_pool(*find_device(use.context->device)), use);
}

CUresult memAllocFromPoolAsync(CUdeviceptr* address, size_t bytes, CUmemoryPool pool, CUstream stream) {
  if (!address || bytes == 0 || !is_valid(pool)) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  return allocate(address, bytes, pool, use);
}

void forget_pool_allocation(CUdeviceptr address) {
  const std::lock_guard lock(g_mutex);
  const auto found = owners().find(address);
  if (found == owners().end()) return;
  found->second.pool->used -= found->second.bytes;
  owners().erase(found);
}

void forget_pool_allocations(const CUctx_st& context) {
  const std::lock_guard lock(g_mutex);
  std::erase_if(owners(), [&](const auto& entry) {
    const Owner& owner = entry.second;
    if (owner.context != &context) return false;
    owner.pool->used -= owner.bytes;
    return true;
  });
}

CUresult free_in_order(CUdeviceptr address, Stream& stream) {
  memory::Allocation allocation;
  if (!arena().lookup(pointer(address), &allocation) || allocation.base != address || allocation.kind != memory::Kind::device) return CUDA_ERROR_INVALID_VALUE;
  forget_pool_allocation(address);
  return api(stream.task([address](Result) { [[maybe_unused]] const Result freed = arena().free(pointer(address)); }));
}

CUresult memFreeAsync(CUdeviceptr address, CUstream stream) {
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  if (!address) return CUDA_ERROR_INVALID_VALUE;
  if (use.capture()) return submit(use, FreeWork{address});
  if (is_graph_memory(address)) return CUDA_SUCCESS;  // it goes with the graph
  return free_in_order(address, *use.stream);
}

CUresult memPoolCreate(CUmemoryPool* pool, const CUmemPoolProps* properties) {
  if (!pool || !properties) return CUDA_ERROR_INVALID_VALUE;
  if (properties->handleTypes != CU_MEM_HANDLE_TYPE_NONE) return CUDA_ERROR_NOT_SUPPORTED;
  CUresult error = CUDA_SUCCESS;
  const Device* device = device_of(&properties->location, properties->allocType, &error);
  if (!device) return error;
  auto* made = new CUmemPoolHandle_st;
  made->device = device->ordinal;
  made->properties = *properties;
  *pool = made;
  return CUDA_SUCCESS;
}

CUresult memPoolDestroy(CUmemoryPool pool) {
  if (!is_valid(pool)) return CUDA_ERROR_INVALID_VALUE;
  Device& device = *find_device(pool->device);
  {
    const std::lock_guard lock(device.mutex);
    if (device.default_pool == pool) return CUDA_ERROR_INVALID_VALUE;
    if (device.current_pool == pool) device.current_pool = nullptr;
  }
  // Its allocations live on: the object stays behind for them, unusable.
  pool->magic = Magic::dead;
  return CUDA_SUCCESS;
}

CUresult memPoolTrimTo(CUmemoryPool pool, size_t) { return is_valid(pool) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; }

CUresult memPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
  if (!is_valid(pool) || !value) return CUDA_ERROR_INVALID_VALUE;
  switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
      pool->reuse[attribute - CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES] = *static_cast<int*>(value);
      return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD: pool->release_threshold = *static_cast<cuuint64_t*>(value); return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
      if (*static_cast<cuuint64_t*>(value) != 0) return CUDA_ERROR_INVALID_VALUE;
      pool->used_high = pool->used.load();
      return CUDA_SUCCESS;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult memPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
  if (!is_valid(pool) || !value) return CUDA_ERROR_INVALID_VALUE;
  auto& number = *static_cast<cuuint64_t*>(value);
  switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
      *static_cast<int*>(value) = pool->reuse[attribute - CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES];
      return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD: number = pool->release_threshold; return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT: number = pool->used; return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH: number = pool->used_high; return CUDA_SUCCESS;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult memPoolSetAccess(CUmemoryPool pool, const CUmemAccessDesc* map, size_t count) {
  if (!is_valid(pool) || (count && !map)) return CUDA_ERROR_INVALID_VALUE;
  for (std::size_t i = 0; i < count; ++i) {
    if (map[i].location.type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_INVALID_VALUE;
    if (!find_device(map[i].location.id)) return CUDA_ERROR_INVALID_DEVICE;
  }
  return CUDA_SUCCESS;  // every device reaches all memory
}

CUresult memPoolGetAccess(CUmemAccess_flags* flags, CUmemoryPool pool, CUmemLocation* location) {
  if (!flags || !is_valid(pool) || !location) return CUDA_ERROR_INVALID_VALUE;
  if (location->type != CU_MEM_LOCATION_TYPE_DEVICE || !find_device(location->id)) return CUDA_ERROR_INVALID_VALUE;
  *flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  return CUDA_SUCCESS;
}

CUresult memGetDefaultMemPool(CUmemoryPool* pool, CUmemLocation* location, CUmemAllocationType type) {
  if (!pool) return CUDA_ERROR_INVALID_VALUE;
  CUresult error = CUDA_SUCCESS;
  Device* device = device_of(location, type, &error);
  if (!device) return error;
  *pool = default_pool(*device);
  return CUDA_SUCCESS;
}

CUresult memGetMemPool(CUmemoryPool* pool, CUmemLocation* location, CUmemAllocationType type) {
  if (!pool) return CUDA_ERROR_INVALID_VALUE;
  CUresult error = CUDA_SUCCESS;
  Device* device = device_of(location, type, &error);
  if (!device) return error;
  *pool = current_pool(*device);
  return CUDA_SUCCESS;
}

CUresult memSetMemPool(CUmemLocation* location, CUmemAllocationType type, CUmemoryPool pool) {
  CUresult error = CUDA_SUCCESS;
  const Device* device = device_of(location, type, &error);
  if (!device) return error;
  return deviceSetMemPool(device->ordinal, pool);
}

}  // namespace anywarp::driver
