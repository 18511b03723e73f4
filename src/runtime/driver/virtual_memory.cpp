#include "driver/virtual_memory.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>

#include "driver/device.h"
#include "driver/memory.h"
#include "driver/memory_array.h"
#include "driver/memory_pool.h"
#include "driver/multicast.h"
#include "driver/physical_memory.h"
#include "driver/stream_capture.h"

namespace anywarp::driver {
namespace {

using State = PhysicalMemory;
State& state() { return physical_memory(); }

}  // namespace

PhysicalMemory& physical_memory() {
  static auto* s = new PhysicalMemory;
  return *s;
}

void drop(Physical* p) {
  if (--p->references > 0) return;
  state().handles.erase(p);
  if (p->file >= 0) close(p->file);
  delete p;
}

Physical* find_physical(CUmemGenericAllocationHandle handle) {
  auto* p = reinterpret_cast<Physical*>(handle);
  return state().handles.contains(p) ? p : nullptr;
}

CUmemGenericAllocationHandle handle_of(Physical* p) { return reinterpret_cast<CUmemGenericAllocationHandle>(p); }

int protection_of(CUmemAccess_flags access) {
  return access == CU_MEM_ACCESS_FLAGS_PROT_READWRITE ? PROT_READ | PROT_WRITE : access == CU_MEM_ACCESS_FLAGS_PROT_READ ? PROT_READ : PROT_NONE;
}

namespace {

bool is_reserved(const State& s, CUdeviceptr address, std::size_t size) {
  auto next = s.reservations.upper_bound(address);
  if (next == s.reservations.begin()) return false;
  const auto& [base, bytes] = *--next;
  return address - base < bytes && size <= bytes - (address - base);
}

// The first mapping that reaches beyond `address`.
std::map<CUdeviceptr, Mapping>::iterator mapping_at(State& s, CUdeviceptr address) {
  auto next = s.mappings.upper_bound(address);
  if (next != s.mappings.begin()) {
    const auto before = std::prev(next);
    if (address - before->first < before->second.size) return before;
  }
  return next;
}

// Whether mappings cover [address, address + size) exactly from the beginning of one to the end of one, without holes.
bool covers_whole_mappings(State& s, CUdeviceptr address, std::size_t size) {
  CUdeviceptr at = address;
  for (auto it = s.mappings.find(address); it != s.mappings.end() && it->first == at && at < address + size; ++it) at += it->second.size;
  return at == address + size;
}

// Takes away the mappings that begin in a range; its addresses stay reserved.
CUresult unmap(State& s, CUdeviceptr address, std::size_t size) {
  for (auto it = s.mappings.lower_bound(address); it != s.mappings.end() && it->first < address + size;) {
    [[maybe_unused]] const Result removed = arena().remove_range(pointer(it->first));
    drop(it->second.physical);
    it = s.mappings.erase(it);
  }
  void* at = mmap(pointer(address), size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  return at == MAP_FAILED ? CUDA_ERROR_OPERATING_SYSTEM : CUDA_SUCCESS;
}

// Physical memory at an address; `offset` into it. The range must be reserved and free.
CUresult map(State& s, CUdeviceptr address, std::size_t size, std::size_t offset, Physical* p, CUmemAccess_flags access) {
  const auto other = mapping_at(s, address);
  if (other != s.mappings.end() && other->first < address + size) return CUDA_ERROR_INVALID_VALUE;
  if (!p->team) {
    void* at = mmap(pointer(address), size, protection_of(access), MAP_SHARED | MAP_FIXED, p->file, static_cast<off_t>(offset));
    if (at == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  }
  ANYWARP_TRY(api(arena().add_range(pointer(address), size, memory::Kind::mapped, p->device(), nullptr, 0)));
  ++p->references;
  s.mappings[address] = {size, p, access};
  return CUDA_SUCCESS;
}

CUresult check_properties(const CUmemAllocationProp* p) {
  if (!p || p->type != CU_MEM_ALLOCATION_TYPE_PINNED) return CUDA_ERROR_INVALID_VALUE;
  if ((p->requestedHandleTypes & ~CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) != 0) return CUDA_ERROR_NOT_SUPPORTED;
  switch (p->location.type) {
    case CU_MEM_LOCATION_TYPE_DEVICE: return find_device(p->location.id) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
    case CU_MEM_LOCATION_TYPE_HOST:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT: return CUDA_SUCCESS;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
}

}  // namespace

CUresult back_handle(CUmemGenericAllocationHandle handle, std::size_t offset, std::size_t size, Backing* out) {
  const Physical* p = find_physical(handle);
  if (!p || p->team || offset > p->size || size > p->size - offset) return CUDA_ERROR_INVALID_VALUE;
  *out = {dup(p->file), offset, p->device(), p->properties.requestedHandleTypes != CU_MEM_HANDLE_TYPE_NONE};
  return out->file < 0 ? CUDA_ERROR_OPERATING_SYSTEM : CUDA_SUCCESS;
}

CUresult back_address(CUdeviceptr address, std::size_t size, Backing* out) {
  State& s = state();
  const auto found = mapping_at(s, address);
  if (found != s.mappings.end() && found->first <= address) {
    const std::size_t offset = address - found->first;
    if (size > found->second.size - offset) return CUDA_ERROR_INVALID_VALUE;
    return back_handle(handle_of(found->second.physical), offset, size, out);
  }
  memory::Allocation a;
  if (!arena().lookup(pointer(address), &a) || a.kind != memory::Kind::device || !pool_of(a.base)) return CUDA_ERROR_INVALID_VALUE;
  if (size > a.size - (address - a.base)) return CUDA_ERROR_INVALID_VALUE;
  memory::Arena::Share share;
  ANYWARP_TRY(api(arena().share(pointer(a.base), &share)));
  *out = {dup(share.file), share.offset + (address - a.base), a.device, false};
  return out->file < 0 ? CUDA_ERROR_OPERATING_SYSTEM : CUDA_SUCCESS;
}

CUresult memAddressReserve(CUdeviceptr* address, size_t size, size_t alignment, CUdeviceptr wanted, unsigned long long flags) {
  if (!address || size == 0 || size % kGranularity != 0 || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  if ((alignment & (alignment - 1)) != 0) return CUDA_ERROR_INVALID_VALUE;
  alignment = std::max(alignment, kGranularity);
  // More than asked for, so that an aligned part is in it; the rest is given back.
  const std::size_t room = size + alignment;
  void* at = mmap(pointer(wanted), room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  const auto first = reinterpret_cast<CUdeviceptr>(at);
  const CUdeviceptr base = (first + alignment - 1) / alignment * alignment;
  if (base > first) munmap(at, base - first);
  if (first + room > base + size) munmap(pointer(base + size), first + room - base - size);
  State& s = state();
  const std::lock_guard lock(s.mutex);
  s.reservations[base] = size;
  *address = base;
  return CUDA_SUCCESS;
}

CUresult memAddressFree(CUdeviceptr address, size_t size) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  const auto found = s.reservations.find(address);
  if (found == s.reservations.end() || found->second != size) return CUDA_ERROR_INVALID_VALUE;
  const auto mapped = mapping_at(s, address);
  if (mapped != s.mappings.end() && mapped->first < address + size) return CUDA_ERROR_INVALID_VALUE;
  munmap(pointer(address), size);
  s.reservations.erase(found);
  return CUDA_SUCCESS;
}

CUresult memCreate(CUmemGenericAllocationHandle* handle, size_t size, const CUmemAllocationProp* properties, unsigned long long flags) {
  if (!handle || size == 0 || size % kGranularity != 0 || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  ANYWARP_TRY(check_properties(properties));
  const Device* device = find_device(properties->location.type == CU_MEM_LOCATION_TYPE_DEVICE ? properties->location.id : 0);
  if (size > device->memory) return CUDA_ERROR_OUT_OF_MEMORY;
  const int file = memfd_create("anywarp-memory", MFD_CLOEXEC);
  if (file < 0) return CUDA_ERROR_OPERATING_SYSTEM;
  if (ftruncate(file, static_cast<off_t>(size)) != 0) {
    close(file);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  auto* p = new Physical{file, size, *properties, 1, nullptr};
  State& s = state();
  const std::lock_guard lock(s.mutex);
  s.handles.insert(p);
  *handle = handle_of(p);
  return CUDA_SUCCESS;
}

CUresult memRelease(CUmemGenericAllocationHandle handle) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  Physical* p = find_physical(handle);
  if (!p) return CUDA_ERROR_INVALID_VALUE;
  // References that are not of mappings are the program's: the handle is known as long as there is one.
  unsigned mapped = 0;
  for (const auto& [base, mapping] : s.mappings) mapped += mapping.physical == p;
  if (p->references - mapped <= 1) s.handles.erase(p);
  drop(p);
  return CUDA_SUCCESS;
}

CUresult memMap(CUdeviceptr address, size_t size, size_t offset, CUmemGenericAllocationHandle handle, unsigned long long flags) {
  if (flags != 0 || size == 0 || size % kGranularity != 0 || address % kGranularity != 0 || offset != 0) return CUDA_ERROR_INVALID_VALUE;
  State& s = state();
  std::unique_lock lock(s.mutex);
  Physical* p = find_physical(handle);
  if (!p || size > p->size || !is_reserved(s, address, size)) return CUDA_ERROR_INVALID_VALUE;
  if (p->team) {
    ANYWARP_TRY(await_team(lock, handle));
    if (!is_reserved(s, address, size)) return CUDA_ERROR_INVALID_VALUE;
  }
  return map(s, address, size, 0, p, CU_MEM_ACCESS_FLAGS_PROT_NONE);
}

CUresult memUnmap(CUdeviceptr address, size_t size) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  if (size == 0 || !covers_whole_mappings(s, address, size)) return CUDA_ERROR_INVALID_VALUE;
  return unmap(s, address, size);
}

CUresult memSetAccess(CUdeviceptr address, size_t size, const CUmemAccessDesc* descriptions, size_t count) {
  if (size == 0 || !descriptions || count == 0) return CUDA_ERROR_INVALID_VALUE;
  CUmemAccess_flags access = CU_MEM_ACCESS_FLAGS_PROT_NONE;
  for (std::size_t i = 0; i < count; ++i) {
    const CUmemAccessDesc& d = descriptions[i];
    if (d.location.type == CU_MEM_LOCATION_TYPE_DEVICE && !find_device(d.location.id)) return CUDA_ERROR_INVALID_DEVICE;
    if (d.flags != CU_MEM_ACCESS_FLAGS_PROT_NONE && d.flags != CU_MEM_ACCESS_FLAGS_PROT_READ && d.flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE) return CUDA_ERROR_INVALID_VALUE;
    access = std::max(access, d.flags);  // the address space is everybody's: the widest counts
  }
  State& s = state();
  const std::lock_guard lock(s.mutex);
  if (!covers_whole_mappings(s, address, size)) return CUDA_ERROR_INVALID_VALUE;
  for (auto it = s.mappings.find(address); it != s.mappings.end() && it->first < address + size; ++it) {
    it->second.access = access;
    if (it->second.physical->team) ANYWARP_TRY(map_team(it->first, it->second));
    else if (mprotect(pointer(it->first), it->second.size, protection_of(access)) != 0) return CUDA_ERROR_OPERATING_SYSTEM;
  }
  return CUDA_SUCCESS;
}

CUresult memGetAccess(unsigned long long* flags, const CUmemLocation* location, CUdeviceptr address) {
  if (!flags || !location) return CUDA_ERROR_INVALID_VALUE;
  if (location->type == CU_MEM_LOCATION_TYPE_DEVICE && !find_device(location->id)) return CUDA_ERROR_INVALID_DEVICE;
  State& s = state();
  const std::lock_guard lock(s.mutex);
  const auto found = mapping_at(s, address);
  if (found == s.mappings.end() || found->first > address) return CUDA_ERROR_INVALID_VALUE;
  *flags = found->second.access;
  return CUDA_SUCCESS;
}

CUresult memExportToShareableHandle(void* shareable, CUmemGenericAllocationHandle handle, CUmemAllocationHandleType type, unsigned long long flags) {
  if (!shareable || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) return CUDA_ERROR_NOT_SUPPORTED;
  State& s = state();
  const std::lock_guard lock(s.mutex);
  const Physical* p = find_physical(handle);
  if (!p || p->team || (p->properties.requestedHandleTypes & CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) == 0) return CUDA_ERROR_INVALID_VALUE;
  const int file = dup(p->file);
  if (file < 0) return CUDA_ERROR_OPERATING_SYSTEM;
  *static_cast<int*>(shareable) = file;
  return CUDA_SUCCESS;
}

CUresult memImportFromShareableHandle(CUmemGenericAllocationHandle* handle, void* shareable, CUmemAllocationHandleType type) {
  if (!handle) return CUDA_ERROR_INVALID_VALUE;
  if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) return CUDA_ERROR_NOT_SUPPORTED;
  const int given = static_cast<int>(reinterpret_cast<std::intptr_t>(shareable));  // the descriptor itself, as documented
  struct stat info{};
  if (fstat(given, &info) != 0 || info.st_size <= 0 || static_cast<std::size_t>(info.st_size) % kGranularity != 0) return CUDA_ERROR_INVALID_VALUE;
  const int file = dup(given);
  if (file < 0) return CUDA_ERROR_OPERATING_SYSTEM;
  auto* p = new Physical{file, static_cast<std::size_t>(info.st_size), {}, 1, nullptr};
  p->properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  p->properties.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  p->properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  State& s = state();
  const std::lock_guard lock(s.mutex);
  s.handles.insert(p);
  *handle = handle_of(p);
  return CUDA_SUCCESS;
}

CUresult memGetAllocationGranularity(size_t* granularity, const CUmemAllocationProp* properties, CUmemAllocationGranularity_flags option) {
  if (!granularity || option > CU_MEM_ALLOC_GRANULARITY_RECOMMENDED) return CUDA_ERROR_INVALID_VALUE;
  ANYWARP_TRY(check_properties(properties));
  *granularity = kGranularity;
  return CUDA_SUCCESS;
}

CUresult memGetAllocationPropertiesFromHandle(CUmemAllocationProp* properties, CUmemGenericAllocationHandle handle) {
  if (!properties) return CUDA_ERROR_INVALID_VALUE;
  State& s = state();
  const std::lock_guard lock(s.mutex);
  const Physical* p = find_physical(handle);
  if (!p || p->team) return CUDA_ERROR_INVALID_VALUE;
  *properties = p->properties;
  return CUDA_SUCCESS;
}

CUresult memRetainAllocationHandle(CUmemGenericAllocationHandle* handle, void* address) {
  if (!handle) return CUDA_ERROR_INVALID_VALUE;
  State& s = state();
  const std::lock_guard lock(s.mutex);
  const auto at = reinterpret_cast<CUdeviceptr>(address);
  const auto found = mapping_at(s, at);
  if (found == s.mappings.end() || found->first > at) return CUDA_ERROR_INVALID_VALUE;
  Physical* p = found->second.physical;
  ++p->references;
  s.handles.insert(p);
  *handle = handle_of(p);
  return CUDA_SUCCESS;
}

// Arrays with deferred mapping: the whole of an array, or of one level of a mipmapped one, is mapped or unmapped at once, when the stream gets
// there. There are no sparse arrays, so that nothing is mapped tile by tile.
CUresult memMapArrayAsync(CUarrayMapInfo* operations, unsigned count, CUstream stream) {
  if (!operations || count == 0) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  if (use.capture()) return invalidate(use, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  for (unsigned i = 0; i < count; ++i) {
    const CUarrayMapInfo& o = operations[i];
    if (o.flags != 0 || o.subresourceType != CU_ARRAY_SPARSE_SUBRESOURCE_TYPE_SPARSE_LEVEL) return CUDA_ERROR_INVALID_VALUE;
    CUarray array = nullptr;
    if (o.resourceType == CU_RESOURCE_TYPE_ARRAY) {
      array = o.resource.array;
    } else if (o.resourceType == CU_RESOURCE_TYPE_MIPMAPPED_ARRAY) {
      ANYWARP_TRY(mipmappedArrayGetLevel(&array, o.resource.mipmap, o.subresource.sparseLevel.level));
    } else {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (!is_valid(array)) return CUDA_ERROR_INVALID_HANDLE;
    if (!array->reserved) return CUDA_ERROR_INVALID_VALUE;
    const auto address = reinterpret_cast<CUdeviceptr>(array->memory);
    const std::size_t size = array->reserved, offset = o.offset;
    State& s = state();
    const std::lock_guard lock(s.mutex);
    if (o.memOperationType == CU_MEM_OPERATION_TYPE_UNMAP) {
      ANYWARP_TRY(api(use.stream->task([address, size](Result) {
        State& then = state();
        const std::lock_guard inner(then.mutex);
        [[maybe_unused]] const CUresult result = unmap(then, address, size);
      })));
      continue;
    }
    if (o.memOperationType != CU_MEM_OPERATION_TYPE_MAP || o.memHandleType != CU_MEM_HANDLE_TYPE_GENERIC) return CUDA_ERROR_INVALID_VALUE;
    Physical* p = find_physical(o.memHandle.memHandle);
    if (!p || p->team || offset % kGranularity != 0 || offset > p->size || size > p->size - offset) return CUDA_ERROR_INVALID_VALUE;
    ++p->references;  // the program may release it before the stream gets there
    CUctx_st* context = use.context;
    ANYWARP_TRY(api(use.stream->task([=](Result) {
      State& then = state();
      const std::lock_guard inner(then.mutex);
      const CUresult result = map(then, address, size, offset, p, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
      drop(p);
      if (result != CUDA_SUCCESS) context->engine->fail(static_cast<Result>(result), "anywarp: memory could not be mapped into an array");
    })));
  }
  return CUDA_SUCCESS;
}

CUresult unmap_and_free(CUdeviceptr address, std::size_t size) {
  {
    State& s = state();
    const std::lock_guard lock(s.mutex);
    ANYWARP_TRY(unmap(s, address, size));
  }
  return memAddressFree(address, size);
}

}  // namespace anywarp::driver
