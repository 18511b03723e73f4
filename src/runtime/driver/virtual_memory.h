// Manual: virtual memory management. Physical memory is a file without a name; mapping it into a reserved range makes it known to the
// arena, so that copies, fills and pointer attributes find it.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult memAddressReserve(CUdeviceptr* address, size_t size, size_t alignment, CUdeviceptr wanted, unsigned long long flags);
CUresult memAddressFree(CUdeviceptr address, size_t size);
CUresult memCreate(CUmemGenericAllocationHandle* handle, size_t size, const CUmemAllocationProp* properties, unsigned long long flags);
CUresult memRelease(CUmemGenericAllocationHandle handle);
CUresult memMap(CUdeviceptr address, size_t size, size_t offset, CUmemGenericAllocationHandle handle, unsigned long long flags);
CUresult memUnmap(CUdeviceptr address, size_t size);
CUresult memSetAccess(CUdeviceptr address, size_t size, const CUmemAccessDesc* descriptions, size_t count);
CUresult memGetAccess(unsigned long long* flags, const CUmemLocation* location, CUdeviceptr address);
CUresult memExportToShareableHandle(void* shareable, CUmemGenericAllocationHandle handle, CUmemAllocationHandleType type, unsigned long long flags);
CUresult memImportFromShareableHandle(CUmemGenericAllocationHandle* handle, void* shareable, CUmemAllocationHandleType type);
CUresult memGetAllocationGranularity(size_t* granularity, const CUmemAllocationProp* properties, CUmemAllocationGranularity_flags option);
CUresult memGetAllocationPropertiesFromHandle(CUmemAllocationProp* properties, CUmemGenericAllocationHandle handle);
CUresult memRetainAllocationHandle(CUmemGenericAllocationHandle* handle, void* address);
CUresult memMapArrayAsync(CUarrayMapInfo* operations, unsigned count, CUstream stream);

constexpr std::size_t kGranularity = std::size_t{2} << 20;  // bytes, of addresses and of memory; what a GPU has

// Gives back reserved addresses with whatever is mapped there.
CUresult unmap_and_free(CUdeviceptr address, std::size_t size);

}  // namespace anywarp::driver
