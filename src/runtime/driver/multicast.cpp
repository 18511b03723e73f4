#include "driver/multicast.h"

#include <sys/mman.h>
#include <unistd.h>

#include "driver/device.h"
#include "driver/memory.h"
#include "driver/virtual_memory.h"

namespace anywarp::driver {

struct Team {
  struct Binding {
    int device;
    std::size_t offset, size;  // in the object
    Backing memory;
  };
  ~Team() {
    for (const Binding& b : bindings) close(b.memory.file);
  }
  unsigned members = 0;
  std::vector<int> devices;
  std::vector<Binding> bindings;
  bool is_complete() const { return devices.size() == members; }
};

namespace {

CUresult check(const CUmulticastObjectProp* p) {
  if (!p || p->numDevices == 0 || p->size == 0 || p->flags != 0) return CUDA_ERROR_INVALID_VALUE;
  if (p->numDevices > static_cast<unsigned>(device_count())) return CUDA_ERROR_INVALID_VALUE;
  return CUDA_SUCCESS;
}

bool is_whole(std::size_t bytes) { return bytes % kGranularity == 0; }

// device -1: the memory's own.
template <typename Back>
CUresult bind(CUmemGenericAllocationHandle handle, int device, std::size_t offset, std::size_t size, unsigned long long flags, bool aligned,
              const Back& back) {
  if (flags != 0 || !aligned || size == 0 || !is_whole(offset) || !is_whole(size)) return CUDA_ERROR_INVALID_VALUE;
  if (device >= 0 && !find_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  PhysicalMemory& s = physical_memory();
  std::unique_lock lock(s.mutex);
  ANYWARP_TRY(await_team(lock, handle));
  const Physical* p = find_physical(handle);
  Team& team = *p->team;
  if (offset > p->size || size > p->size - offset) return CUDA_ERROR_INVALID_VALUE;
  Backing memory;
  ANYWARP_TRY(back(&memory));
  CUresult result = CUDA_SUCCESS;
  if (device >= 0 && memory.device != device) result = CUDA_ERROR_INVALID_VALUE;
  if (std::find(team.devices.begin(), team.devices.end(), memory.device) == team.devices.end()) result = CUDA_ERROR_INVALID_DEVICE;
  for (const Team::Binding& b : team.bindings) {
    if (b.device == memory.device && b.offset < offset + size && offset < b.offset + b.size) result = CUDA_ERROR_INVALID_VALUE;
  }
  if (result != CUDA_SUCCESS) {
    close(memory.file);
    return result;
  }
  team.bindings.push_back({memory.device, offset, size, memory});
  for (const auto& [address, mapping] : s.mappings) {
    if (mapping.physical == p) ANYWARP_TRY(map_team(address, mapping));
  }
  return CUDA_SUCCESS;
}

}  // namespace

CUresult await_team(std::unique_lock<std::mutex>& lock, CUmemGenericAllocationHandle handle) {
  for (;;) {
    const Physical* p = find_physical(handle);
    if (!p || !p->team) return CUDA_ERROR_INVALID_VALUE;
    if (p->team->is_complete()) return CUDA_SUCCESS;
    physical_memory().team_complete.wait(lock);
  }
}

CUresult map_team(CUdeviceptr address, const Mapping& mapping) {
  constexpr int kNothing = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
  if (mmap(pointer(address), mapping.size, PROT_NONE, kNothing, -1, 0) == MAP_FAILED) return CUDA_ERROR_OPERATING_SYSTEM;
  for (const Team::Binding& b : mapping.physical->team->bindings) {
    if (b.offset >= mapping.size) continue;
    const std::size_t size = std::min(b.size, mapping.size - b.offset);
    void* at = mmap(pointer(address + b.offset), size, protection_of(mapping.access), MAP_SHARED | MAP_FIXED, b.memory.file,
                    static_cast<off_t>(b.memory.offset));
    if (at == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  }
  return CUDA_SUCCESS;
}

CUresult multicastCreate(CUmemGenericAllocationHandle* handle, const CUmulticastObjectProp* properties) {
  if (!handle) return CUDA_ERROR_INVALID_VALUE;
  ANYWARP_TRY(check(properties));
  if (!is_whole(properties->size)) return CUDA_ERROR_INVALID_VALUE;
  // A team of several devices, and one of several processes.
  if (properties->numDevices > 1 || properties->handleTypes != CU_MEM_HANDLE_TYPE_NONE) return CUDA_ERROR_NOT_SUPPORTED;
  if (!find_device(0)->attribute(CU_DEVICE_ATTRIBUTE_MULTICAST_SUPPORTED)) return CUDA_ERROR_NOT_SUPPORTED;
  auto team = std::make_shared<Team>();
  team->members = properties->numDevices;
  auto* p = new Physical{-1, properties->size, {}, 1, std::move(team)};
  PhysicalMemory& s = physical_memory();
  const std::lock_guard lock(s.mutex);
  s.handles.insert(p);
  *handle = handle_of(p);
  return CUDA_SUCCESS;
}

CUresult multicastAddDevice(CUmemGenericAllocationHandle handle, CUdevice device) {
  if (!find_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  PhysicalMemory& s = physical_memory();
  const std::lock_guard lock(s.mutex);
  Physical* p = find_physical(handle);
  if (!p || !p->team || p->team->is_complete()) return CUDA_ERROR_INVALID_VALUE;
  if (std::find(p->team->devices.begin(), p->team->devices.end(), device) != p->team->devices.end()) return CUDA_ERROR_INVALID_VALUE;
  p->team->devices.push_back(device);
  p->properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  p->properties.location.id = device;
  s.team_complete.notify_all();
  return CUDA_SUCCESS;
}

CUresult multicastBindMem_v1(CUmemGenericAllocationHandle handle, size_t offset, CUmemGenericAllocationHandle memory, size_t memory_offset, size_t size,
                             unsigned long long flags) {
  return bind(handle, -1, offset, size, flags, is_whole(memory_offset), [&](Backing* out) { return back_handle(memory, memory_offset, size, out); });
}

CUresult multicastBindMem_v2(CUmemGenericAllocationHandle handle, CUdevice device, size_t offset, CUmemGenericAllocationHandle memory,
                             size_t memory_offset, size_t size, unsigned long long flags) {
  if (device < 0) return CUDA_ERROR_INVALID_DEVICE;
  return bind(handle, device, offset, size, flags, is_whole(memory_offset),
              [&](Backing* out) { return back_handle(memory, memory_offset, size, out); });
}

CUresult multicastBindAddr_v1(CUmemGenericAllocationHandle handle, size_t offset, CUdeviceptr address, size_t size, unsigned long long flags) {
  return bind(handle, -1, offset, size, flags, is_whole(address), [&](Backing* out) { return back_address(address, size, out); });
}

CUresult multicastBindAddr_v2(CUmemGenericAllocationHandle handle, CUdevice device, size_t offset, CUdeviceptr address, size_t size,
                              unsigned long long flags) {
  if (device < 0) return CUDA_ERROR_INVALID_DEVICE;
  return bind(handle, device, offset, size, flags, is_whole(address), [&](Backing* out) { return back_address(address, size, out); });
}

CUresult multicastUnbind(CUmemGenericAllocationHandle handle, CUdevice device, size_t offset, size_t size) {
  if (size == 0 || !is_whole(offset) || !is_whole(size)) return CUDA_ERROR_INVALID_VALUE;
  if (!find_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  PhysicalMemory& s = physical_memory();
  const std::lock_guard lock(s.mutex);
  const Physical* p = find_physical(handle);
  if (!p || !p->team || offset > p->size || size > p->size - offset) return CUDA_ERROR_INVALID_VALUE;
  const auto removed = std::erase_if(p->team->bindings, [&](const Team::Binding& b) {
    if (b.device != device || b.offset < offset || b.offset + b.size > offset + size) return false;
    close(b.memory.file);
    return true;
  });
  if (removed == 0) return CUDA_ERROR_INVALID_VALUE;
  for (const auto& [address, mapping] : s.mappings) {
    if (mapping.physical == p) ANYWARP_TRY(map_team(address, mapping));
  }
  return CUDA_SUCCESS;
}

CUresult multicastGetGranularity(size_t* granularity, const CUmulticastObjectProp* properties, CUmulticastGranularity_flags option) {
  if (!granularity || option > CU_MULTICAST_GRANULARITY_RECOMMENDED) return CUDA_ERROR_INVALID_VALUE;
  ANYWARP_TRY(check(properties));
  *granularity = kGranularity;
  return CUDA_SUCCESS;
}

}  // namespace anywarp::driver
