// Manual: multicast object management.
//
// A multicast object is an address range behind which each device of a team has memory of its own. Teams of one device work: the object's
// mappings show the bound memory itself, and `multimem` instructions reach the only replica. Larger teams are refused (not_supported): a
// plain access reaches one memory.
#pragma once

#include "driver/physical_memory.h"

namespace anywarp::driver {

CUresult multicastCreate(CUmemGenericAllocationHandle* handle, const CUmulticastObjectProp* properties);
CUresult multicastAddDevice(CUmemGenericAllocationHandle handle, CUdevice device);
CUresult multicastBindMem_v1(CUmemGenericAllocationHandle handle, size_t offset, CUmemGenericAllocationHandle memory, size_t memory_offset, size_t size,
                             unsigned long long flags);
CUresult multicastBindMem_v2(CUmemGenericAllocationHandle handle, CUdevice device, size_t offset, CUmemGenericAllocationHandle memory,
                             size_t memory_offset, size_t size, unsigned long long flags);
CUresult multicastBindAddr_v1(CUmemGenericAllocationHandle handle, size_t offset, CUdeviceptr address, size_t size, unsigned long long flags);
CUresult multicastBindAddr_v2(CUmemGenericAllocationHandle handle, CUdevice device, size_t offset, CUdeviceptr address, size_t size,
                              unsigned long long flags);
CUresult multicastUnbind(CUmemGenericAllocationHandle handle, CUdevice device, size_t offset, size_t size);
CUresult multicastGetGranularity(size_t* granularity, const CUmulticastObjectProp* properties, CUmulticastGranularity_flags option);

// Waits until every device of the object's team is there. invalid_value if the object goes meanwhile.
CUresult await_team(std::unique_lock<std::mutex>& lock, CUmemGenericAllocationHandle handle);
// Makes the addresses of an object's mapping show what is bound, with the mapping's access; nothing elsewhere. The lock is held.
CUresult map_team(CUdeviceptr address, const Mapping& mapping);

}  // namespace anywarp::driver
