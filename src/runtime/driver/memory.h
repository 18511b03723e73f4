// Manual: memory management, allocation and information. Copies are in memory_copy.h, fills in memory_set.h.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult memGetInfo(size_t* free, size_t* total);
CUresult memAlloc(CUdeviceptr* address, size_t bytes);
CUresult memAllocPitch(CUdeviceptr* address, size_t* pitch, size_t width, size_t height, unsigned element_bytes);
CUresult memFree(CUdeviceptr address);
CUresult memGetAddressRange(CUdeviceptr* base, size_t* bytes, CUdeviceptr address);
CUresult memAllocHost(void** address, size_t bytes);
CUresult memFreeHost(void* address);
CUresult memHostAlloc(void** address, size_t bytes, unsigned flags);
CUresult memHostGetDevicePointer(CUdeviceptr* device_address, void* address, unsigned flags);
CUresult memHostGetFlags(unsigned* flags, void* address);
CUresult memAllocManaged(CUdeviceptr* address, size_t bytes, unsigned flags);
CUresult memHostRegister(void* address, size_t bytes, unsigned flags);
CUresult memHostUnregister(void* address);

// The arena of the process.
memory::Arena& arena();
inline void* pointer(CUdeviceptr address) { return reinterpret_cast<void*>(address); }  // NOLINT: device pointers are host addresses
// Whether all these bytes are in live memory of the device's address space: one allocation, or mappings that follow one another.
bool is_accessible(CUdeviceptr address, std::size_t bytes);
// Whether `address` is memory that kernels can always reach, so that copies may be left to run later: allocated by this API or registered.
bool is_known_memory(const void* address);

}  // namespace anywarp::driver
