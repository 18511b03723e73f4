#include "driver/memory_pool.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "driver/device.h"
#include "driver/memory.h"
#include "driver/stream_capture.h"
#include "driver/work.h"

namespace anywarp::driver {
namespace {

using Pool = CUmemPoolHandle_st;

struct Owner {
  Pool* pool;
  std::uint64_t bytes;  // as the pool counts them
  const CUctx_st* context;
};

std::mutex g_mutex;  // guards what follows
// Who gave out an address.
std::unordered_map<CUdeviceptr, Owner>& owners() {
  static auto* map = new std::unordered_map<CUdeviceptr, Owner>;
  return *map;
}
// All pools that live.
std::unordered_set<Pool*>& pools() {
  static auto* set = new std::unordered_set<Pool*>;
  return *set;
}
std::atomic<std::size_t> g_blocks{0};  // that pools hold

constexpr std::size_t kUnit = 512;  // bytes; sizes are multiples, so that blocks fit again

void raise(std::atomic<std::uint64_t>& high, std::uint64_t value) {
  std::uint64_t seen = high.load();
  while (value > seen && !high.compare_exchange_weak(seen, value)) {
  }
}

// Memory that nobody uses any more goes back to where it came from.
void give_back(Pool& pool, CUdeviceptr address, std::size_t size) {
  if (pool.segment) {
    [[maybe_unused]] const Result removed = arena().remove_range(pointer(address));
    if (!pool.imported) pool.segment->free(pointer(address));
  } else {
    [[maybe_unused]] const Result freed = arena().free(pointer(address));
  }
  pool.reserved -= size;
}

CUresult take_new(Pool& pool, std::size_t size, CUctx_st* context, CUdeviceptr* address) {
  void* memory = nullptr;
  if (pool.segment) {
    memory = pool.segment->allocate(size);
    if (!memory) return CUDA_ERROR_OUT_OF_MEMORY;
    if (const Result added = arena().add_range(memory, size, memory::Kind::mapped, pool.device, context, 0); added != Result::success) {
      pool.segment->free(memory);
      return api(added);
    }
  } else {
    ANYWARP_TRY(api(arena().allocate(pool.device, size, 256, pool.kind, context, 0, &memory)));
  }
  raise(pool.reserved_high, pool.reserved += size);
  *address = reinterpret_cast<CUdeviceptr>(memory);
  return CUDA_SUCCESS;
}

// Blocks that nobody uses any more are given back until the pool holds no more than `keep` bytes.
void trim(Pool& pool, std::size_t keep) {
  std::vector<Pool::Block> taken;
  {
    const std::lock_guard lock(pool.mutex);
    std::uint64_t holds = pool.reserved;
    // The biggest first: fewest calls of the system.
    for (auto block = pool.blocks.end(); block != pool.blocks.begin() && holds > keep;) {
      --block;
      if (block->second.freed->query() == Result::not_ready) continue;
      holds -= block->second.size;
      taken.push_back(std::move(block->second));
      block = pool.blocks.erase(block);
      --g_blocks;
    }
  }
  for (const Pool::Block& block : taken) give_back(pool, block.address, block.size);
}

// A block that was freed and may be used in the stream from here on, as the pool's attributes allow.
bool take_freed(Pool& pool, std::size_t size, const CUctx_st& context, Stream& stream, Pool::Block* out) {
  const bool opportunistic = pool.reuse[CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC - 1] != 0;
  const bool internal = pool.reuse[CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES - 1] != 0;
  std::shared_ptr<Event> wait;
  {
    const std::lock_guard lock(pool.mutex);
    if (pool.blocks.empty()) return false;
    const auto end = pool.blocks.upper_bound(size + size / 8);  // little of a block may be wasted
    auto best = end;
    int rank = 3;
    for (auto block = pool.blocks.lower_bound(size); block != end && rank > 0; ++block) {
      const Pool::Block& b = block->second;
      if (b.owner != &context) continue;
      const int mine = b.stream == stream.id()                                  ? 0
                       : opportunistic && b.freed->query() != Result::not_ready ? 1
                       : internal                                               ? 2
                                                                                : 3;
      if (mine < rank) rank = mine, best = block;
    }
    if (rank == 3) return false;
    *out = std::move(best->second);
    if (rank == 2) wait = out->freed;
    pool.blocks.erase(best);
    --g_blocks;
  }
  // If this fails the context has failed, and nothing will run.
  if (wait) [[maybe_unused]] const Result ignored = stream.wait(*wait);
  return true;
}

CUresult allocate(CUdeviceptr* address, std::size_t bytes, Pool* pool, const StreamUse& use) {
  if (use.capture()) {
    AllocateWork work;
    work.parameters.poolProps = pool->properties;
    work.parameters.bytesize = bytes;
    ANYWARP_TRY(make_graph_memory(&work));
    CUgraphNode node = nullptr;
    ANYWARP_TRY(capture_node(use, std::move(work), &node));
    *address = std::get<AllocateWork>(node->work).parameters.dptr;  // a graph that is captured again keeps the old one
    return CUDA_SUCCESS;
  }
  if (pool->imported) return CUDA_ERROR_INVALID_VALUE;  // the exporter allocates
  const std::size_t size = (bytes + kUnit - 1) / kUnit * kUnit, most = pool->properties.maxSize;
  if (size < bytes) return CUDA_ERROR_OUT_OF_MEMORY;
  Pool::Block block;
  if (take_freed(*pool, size, *use.context, *use.stream, &block)) {
    *address = block.address;
  } else {
    block.size = size;
    if (most && pool->reserved + size > most) trim(*pool, most > size ? most - size : 0);
    if (most && pool->reserved + size > most) return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = take_new(*pool, size, use.context, address);
    if (result == CUDA_ERROR_OUT_OF_MEMORY) {
      // What is being freed comes back when the streams get there.
      ANYWARP_TRY(api(use.context->engine->synchronize()));
      release_all_unused_memory(pool->device);
      result = take_new(*pool, size, use.context, address);
    }
    ANYWARP_TRY(result);
  }
  raise(pool->used_high, pool->used += block.size);
  const std::lock_guard lock(g_mutex);
  owners()[*address] = {pool, block.size, use.context};
  return CUDA_SUCCESS;
}

// The pool of device memory, or of host or managed memory, that a location names.
CUresult check_location(const CUmemLocation* location, CUmemAllocationType type, Device** device, memory::Kind* kind) {
  if (!location) return CUDA_ERROR_INVALID_VALUE;
  *kind = type == CU_MEM_ALLOCATION_TYPE_MANAGED ? memory::Kind::managed : memory::Kind::device;
  *device = find_device(0);
  switch (location->type) {
    case CU_MEM_LOCATION_TYPE_DEVICE:
      *device = find_device(location->id);
      return *device ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
    case CU_MEM_LOCATION_TYPE_HOST:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT:
      if (type == CU_MEM_ALLOCATION_TYPE_PINNED) *kind = memory::Kind::host;
      return CUDA_SUCCESS;
    case CU_MEM_LOCATION_TYPE_NONE: return type == CU_MEM_ALLOCATION_TYPE_MANAGED ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult check_type(CUmemAllocationType type) {
  return type == CU_MEM_ALLOCATION_TYPE_PINNED || type == CU_MEM_ALLOCATION_TYPE_MANAGED ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

Pool* make_pool(int device, memory::Kind kind, const CUmemPoolProps& properties) {
  auto* pool = new Pool;
  pool->device = device;
  pool->kind = kind;
  pool->properties = properties;
  const std::lock_guard lock(g_mutex);
  pools().insert(pool);
  return pool;
}

// The default and current pools of memory that is no device's, made when first asked for.
struct OtherPools {
  std::mutex mutex;
  Pool *host = nullptr, *managed = nullptr, *current_host = nullptr, *current_managed = nullptr;

  Pool*& first(memory::Kind kind) { return kind == memory::Kind::host ? host : managed; }
  Pool*& current(memory::Kind kind) { return kind == memory::Kind::host ? current_host : current_managed; }
};
OtherPools& other_pools() {
  static auto* all = new OtherPools;
  return *all;
}

Pool* other_pool(memory::Kind kind, bool current) {
  OtherPools& all = other_pools();
  const std::lock_guard lock(all.mutex);
  if (current && all.current(kind)) return all.current(kind);
  Pool*& pool = all.first(kind);
  if (!pool) {
    CUmemPoolProps properties{};
    properties.allocType = kind == memory::Kind::host ? CU_MEM_ALLOCATION_TYPE_PINNED : CU_MEM_ALLOCATION_TYPE_MANAGED;
    properties.location.type = kind == memory::Kind::host ? CU_MEM_LOCATION_TYPE_HOST : CU_MEM_LOCATION_TYPE_NONE;
    pool = make_pool(0, kind, properties);
  }
  return pool;
}

bool is_default(Pool* pool) {
  Device& device = *find_device(pool->device);
  {
    const std::lock_guard lock(device.mutex);
    if (device.default_pool == pool) return true;
  }
  OtherPools& all = other_pools();
  const std::lock_guard lock(all.mutex);
  return all.host == pool || all.managed == pool;
}

// Takes an address out of the books; false if no pool gave it out.
bool take_owner(CUdeviceptr address, Owner* out) {
  const std::lock_guard lock(g_mutex);
  const auto found = owners().find(address);
  if (found == owners().end()) return false;
  *out = found->second;
  owners().erase(found);
  return true;
}

}  // namespace

CUmemoryPool default_pool(Device& device) {
  const std::lock_guard lock(device.mutex);
  if (!device.default_pool) {
    CUmemPoolProps properties{};
    properties.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    properties.location.id = device.ordinal;
    device.default_pool = make_pool(device.ordinal, memory::Kind::device, properties);
  }
  return device.default_pool;
}

CUmemoryPool current_pool(Device& device) {
  CUmemoryPool fallback = default_pool(device);
  const std::lock_guard lock(device.mutex);
  return device.current_pool ? device.current_pool : fallback;
}

CUmemoryPool pool_of(CUdeviceptr address) {
  const std::lock_guard lock(g_mutex);
  const auto found = owners().find(address);
  return found == owners().end() ? nullptr : found->second.pool;
}

void know_pool_allocation(CUmemoryPool pool, CUdeviceptr address, std::size_t bytes, const CUctx_st* context) {
  pool->used += bytes, pool->reserved += bytes;
  const std::lock_guard lock(g_mutex);
  owners()[address] = {pool, bytes, context};
}

bool release_pool_allocation(CUdeviceptr address) {
  Owner owner;
  if (!take_owner(address, &owner)) return false;
  owner.pool->used -= owner.bytes;
  give_back(*owner.pool, address, owner.bytes);
  return true;
}

void forget_pool_allocations(const CUctx_st& context) {
  std::vector<std::pair<CUdeviceptr, Owner>> gone;
  std::vector<Pool*> all;
  {
    const std::lock_guard lock(g_mutex);
    for (auto entry = owners().begin(); entry != owners().end();) {
      if (entry->second.context != &context) {
        ++entry;
        continue;
      }
      gone.emplace_back(*entry);
      entry = owners().erase(entry);
    }
    all.assign(pools().begin(), pools().end());
  }
  for (const auto& [address, owner] : gone) {
    owner.pool->used -= owner.bytes;
    give_back(*owner.pool, address, owner.bytes);
  }
  for (Pool* pool : all) {
    std::vector<Pool::Block> blocks;
    {
      const std::lock_guard lock(pool->mutex);
      for (auto block = pool->blocks.begin(); block != pool->blocks.end();) {
        // Neither the memory may outlive its context, nor the event the stream's.
        if (block->second.owner != &context && block->second.context != &context) {
          ++block;
          continue;
        }
        blocks.push_back(std::move(block->second));
        block = pool->blocks.erase(block);
        --g_blocks;
      }
    }
    for (const Pool::Block& block : blocks) give_back(*pool, block.address, block.size);
  }
}

CUresult free_in_order(CUdeviceptr address, Stream& stream) {
  Owner owner;
  if (!take_owner(address, &owner)) {
    // Memory of cuMemAlloc and cuMemAllocManaged may be freed in order too.
    memory::Allocation a;
    if (!arena().lookup(pointer(address), &a) || a.base != address) return CUDA_ERROR_INVALID_VALUE;
    if (a.kind != memory::Kind::device && a.kind != memory::Kind::managed) return CUDA_ERROR_INVALID_VALUE;
    return api(stream.task([address](Result) { [[maybe_unused]] const Result freed = arena().free(pointer(address)); }));
  }
  Pool& pool = *owner.pool;
  pool.used -= owner.bytes;
  const auto* context = static_cast<const CUctx_st*>(stream.context().api_object());
  Pool::Block block{address, owner.bytes, owner.context, context, stream.id(), std::make_shared<Event>(false)};
  // After an error of the context, or in a pool that is gone, there is nothing to keep the block for.
  const bool keep = pool.magic == Magic::pool && !pool.imported && block.freed->record(stream) == Result::success;
  if (!keep) return api(stream.task([&pool, address, size = owner.bytes](Result) { give_back(pool, address, size); }));
  const std::lock_guard lock(pool.mutex);
  pool.blocks.emplace(block.size, std::move(block));
  ++g_blocks;
  return CUDA_SUCCESS;
}

void release_unused_memory() {
  if (g_blocks.load(std::memory_order_relaxed) == 0) return;
  std::vector<Pool*> all;
  {
    const std::lock_guard lock(g_mutex);
    all.assign(pools().begin(), pools().end());
  }
  for (Pool* pool : all) {
    if (pool->reserved > pool->release_threshold) trim(*pool, pool->release_threshold);
  }
}

void release_all_unused_memory(int device) {
  std::vector<Pool*> all;
  {
    const std::lock_guard lock(g_mutex);
    all.assign(pools().begin(), pools().end());
  }
  for (Pool* pool : all) {
    if (pool->device == device) trim(*pool, 0);
  }
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

CUresult memFreeAsync(CUdeviceptr address, CUstream stream) {
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  if (!address) return CUDA_ERROR_INVALID_VALUE;
  if (use.capture()) return submit(use, FreeWork{address});
  if (is_graph_memory(address)) return free_graph_memory(address), CUDA_SUCCESS;  // it goes with the graph
  return free_in_order(address, *use.stream);
}

CUresult memPoolCreate(CUmemoryPool* pool, const CUmemPoolProps* properties) {
  if (!pool || !properties) return CUDA_ERROR_INVALID_VALUE;
  ANYWARP_TRY(check_type(properties->allocType));
  Device* device = nullptr;
  memory::Kind kind = memory::Kind::device;
  ANYWARP_TRY(check_location(&properties->location, properties->allocType, &device, &kind));
  if ((properties->handleTypes & ~CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) != 0) return CUDA_ERROR_NOT_SUPPORTED;
  std::unique_ptr<memory::Segment> segment;
  if (properties->handleTypes != CU_MEM_HANDLE_TYPE_NONE) {
    if (kind == memory::Kind::managed) return CUDA_ERROR_NOT_SUPPORTED;
    segment = memory::Segment::create(properties->maxSize ? properties->maxSize : device->memory);
    if (!segment) return CUDA_ERROR_OUT_OF_MEMORY;
  }
  *pool = make_pool(device->ordinal, kind, *properties);
  (*pool)->segment = std::move(segment);
  return CUDA_SUCCESS;
}

CUresult memPoolDestroy(CUmemoryPool pool) {
  if (!is_valid(pool) || is_default(pool)) return CUDA_ERROR_INVALID_VALUE;
  {
    Device& device = *find_device(pool->device);
    const std::lock_guard lock(device.mutex);
    if (device.current_pool == pool) device.current_pool = nullptr;
  }
  {
    OtherPools& all = other_pools();
    const std::lock_guard lock(all.mutex);
    if (all.current_host == pool) all.current_host = nullptr;
    if (all.current_managed == pool) all.current_managed = nullptr;
  }
  // Its allocations live on, and blocks whose stream has not reached the free: the object stays behind for them, unusable.
  pool->magic = Magic::dead;
  trim(*pool, 0);
  return CUDA_SUCCESS;
}

CUresult memPoolTrimTo(CUmemoryPool pool, size_t bytes) {
  if (!is_valid(pool)) return CUDA_ERROR_INVALID_VALUE;
  trim(*pool, bytes);
  return CUDA_SUCCESS;
}

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
      if (attribute == CU_MEMPOOL_ATTR_USED_MEM_HIGH) pool->used_high = pool->used.load();
      else pool->reserved_high = pool->reserved.load();
      return CUDA_SUCCESS;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult memPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
  if (!is_valid(pool) || !value) return CUDA_ERROR_INVALID_VALUE;
  auto& number = *static_cast<cuuint64_t*>(value);
  auto& small = *static_cast<int*>(value);
  switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
      small = pool->reuse[attribute - CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES];
      return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD: number = pool->release_threshold; return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT: number = pool->reserved; return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT: number = pool->used; return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH: number = pool->reserved_high; return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH: number = pool->used_high; return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_ALLOCATION_TYPE: small = static_cast<int>(pool->properties.allocType); return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_EXPORT_HANDLE_TYPES: small = static_cast<int>(pool->properties.handleTypes); return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_LOCATION_ID: small = pool->properties.location.id; return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_LOCATION_TYPE: small = static_cast<int>(pool->properties.location.type); return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_MAX_POOL_SIZE: number = pool->properties.maxSize; return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_HW_DECOMPRESS_ENABLED: small = 0; return CUDA_SUCCESS;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
}

// Every device reaches all memory in fact; what the program says is kept for its own questions.
CUresult memPoolSetAccess(CUmemoryPool pool, const CUmemAccessDesc* map, size_t count) {
  if (!is_valid(pool) || (count && !map)) return CUDA_ERROR_INVALID_VALUE;
  for (std::size_t i = 0; i < count; ++i) {
    const bool host = map[i].location.type == CU_MEM_LOCATION_TYPE_HOST && pool->kind != memory::Kind::device;
    if (!host && map[i].location.type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_INVALID_VALUE;
    if (!host && !find_device(map[i].location.id)) return CUDA_ERROR_INVALID_DEVICE;
    if (map[i].flags != CU_MEM_ACCESS_FLAGS_PROT_NONE && map[i].flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE) return CUDA_ERROR_INVALID_VALUE;
    // A device cannot be shut out of its own memory.
    if (pool->kind == memory::Kind::device && map[i].location.id == pool->device && map[i].flags == CU_MEM_ACCESS_FLAGS_PROT_NONE) return CUDA_ERROR_INVALID_DEVICE;
  }
  const std::lock_guard lock(pool->mutex);
  for (std::size_t i = 0; i < count; ++i) {
    if (map[i].location.type == CU_MEM_LOCATION_TYPE_DEVICE) pool->access[map[i].location.id] = map[i].flags;
  }
  return CUDA_SUCCESS;
}

CUresult memPoolGetAccess(CUmemAccess_flags* flags, CUmemoryPool pool, CUmemLocation* location) {
  if (!flags || !is_valid(pool) || !location) return CUDA_ERROR_INVALID_VALUE;
  if (location->type != CU_MEM_LOCATION_TYPE_DEVICE || !find_device(location->id)) return CUDA_ERROR_INVALID_VALUE;
  const bool own = pool->kind == memory::Kind::device && location->id == pool->device;
  const std::lock_guard lock(pool->mutex);
  const auto found = pool->access.find(location->id);
  *flags = own ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE : found == pool->access.end() ? CU_MEM_ACCESS_FLAGS_PROT_NONE : found->second;
  return CUDA_SUCCESS;
}

CUresult memGetDefaultMemPool(CUmemoryPool* pool, CUmemLocation* location, CUmemAllocationType type) {
  if (!pool) return CUDA_ERROR_INVALID_VALUE;
  ANYWARP_TRY(check_type(type));
  Device* device = nullptr;
  memory::Kind kind = memory::Kind::device;
  ANYWARP_TRY(check_location(location, type, &device, &kind));
  *pool = kind == memory::Kind::device ? default_pool(*device) : other_pool(kind, false);
  return CUDA_SUCCESS;
}

CUresult memGetMemPool(CUmemoryPool* pool, CUmemLocation* location, CUmemAllocationType type) {
  if (!pool) return CUDA_ERROR_INVALID_VALUE;
  ANYWARP_TRY(check_type(type));
  Device* device = nullptr;
  memory::Kind kind = memory::Kind::device;
  ANYWARP_TRY(check_location(location, type, &device, &kind));
  *pool = kind == memory::Kind::device ? current_pool(*device) : other_pool(kind, true);
  return CUDA_SUCCESS;
}

CUresult memSetMemPool(CUmemLocation* location, CUmemAllocationType type, CUmemoryPool pool) {
  ANYWARP_TRY(check_type(type));
  Device* device = nullptr;
  memory::Kind kind = memory::Kind::device;
  ANYWARP_TRY(check_location(location, type, &device, &kind));
  if (kind == memory::Kind::device) return deviceSetMemPool(device->ordinal, pool);
  if (!is_valid(pool) || pool->kind != kind) return CUDA_ERROR_INVALID_VALUE;
  OtherPools& all = other_pools();
  const std::lock_guard lock(all.mutex);
  all.current(kind) = pool;
  return CUDA_SUCCESS;
}

}  // namespace anywarp::driver
