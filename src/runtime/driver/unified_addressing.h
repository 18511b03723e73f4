// Manual: unified addressing.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult pointerGetAttribute(void* data, CUpointer_attribute attribute, CUdeviceptr address);
CUresult pointerGetAttributes(unsigned count, CUpointer_attribute* attributes, void** data, CUdeviceptr address);
CUresult pointerSetAttribute(const void* value, CUpointer_attribute attribute, CUdeviceptr address);
CUresult memPrefetchAsync_v1(CUdeviceptr address, size_t bytes, CUdevice destination, CUstream stream);
CUresult memPrefetchAsync_v2(CUdeviceptr address, size_t bytes, CUmemLocation location, unsigned flags, CUstream stream);
CUresult memAdvise_v1(CUdeviceptr address, size_t bytes, CUmem_advise advice, CUdevice device);
CUresult memAdvise_v2(CUdeviceptr address, size_t bytes, CUmem_advise advice, CUmemLocation location);
CUresult memRangeGetAttribute(void* data, size_t bytes, CUmem_range_attribute attribute, CUdeviceptr address, size_t count);
CUresult memRangeGetAttributes(void** data, size_t* bytes, CUmem_range_attribute* attributes, size_t attribute_count, CUdeviceptr address,
                               size_t count);

}  // namespace anywarp::driver
