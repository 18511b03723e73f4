// Physical memory as virtual memory management, multicast objects and logical endpoints share it: files without a name, and where they are mapped.
//
// One lock for all of it: these calls are rare.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_set>
#include <vector>

#include "driver/objects.h"

namespace anywarp::driver {

struct Team;  // multicast.h

// What cuMemCreate makes, or a multicast object (`team`). The program's handle, every mapping and every binding hold one reference.
struct Physical {
  int file = -1;  // of memory
  std::size_t size = 0;
  CUmemAllocationProp properties{};
  unsigned references = 1;
  std::shared_ptr<Team> team;  // of a multicast object
  int device() const { return properties.location.type == CU_MEM_LOCATION_TYPE_DEVICE ? properties.location.id : 0; }
};

struct Mapping {
  std::size_t size = 0;
  Physical* physical = nullptr;
  CUmemAccess_flags access = CU_MEM_ACCESS_FLAGS_PROT_NONE;
};

struct PhysicalMemory {
  std::mutex mutex;
  std::condition_variable team_complete;
  std::map<CUdeviceptr, std::size_t> reservations;  // base -> size
  std::map<CUdeviceptr, Mapping> mappings;          // base -> mapping
  std::unordered_set<Physical*> handles;            // that the program may name
};
PhysicalMemory& physical_memory();

// The lock is held for what follows.

// Null if it is no handle of this process.
Physical* find_physical(CUmemGenericAllocationHandle handle);
CUmemGenericAllocationHandle handle_of(Physical* p);
void drop(Physical* p);

// A piece of memory that is bound to something: its file, which the holder closes, and where it begins in there.
struct Backing {
  int file = -1;
  std::size_t offset = 0;
  int device = 0;
  bool is_shareable = false;
};
// Memory of cuMemCreate: [offset, offset + size) must be inside. invalid_value.
CUresult back_handle(CUmemGenericAllocationHandle handle, std::size_t offset, std::size_t size, Backing* out);
// The same for an address within a mapping of such memory, or within memory of the stream-ordered allocator.
CUresult back_address(CUdeviceptr address, std::size_t size, Backing* out);
int protection_of(CUmemAccess_flags access);

}  // namespace anywarp::driver
