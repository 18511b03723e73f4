// Manual: unified addressing, prefetching and advice for managed memory.
//
// There is one memory: nothing moves. Prefetching makes pages present before they are used, discarding gives them back to the system; what
// has been advised and prefetched is kept for each range, so that programs read back what they said.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult memPrefetchAsync_v1(CUdeviceptr address, size_t bytes, CUdevice destination, CUstream stream);
CUresult memPrefetchAsync_v2(CUdeviceptr address, size_t bytes, CUmemLocation location, unsigned flags, CUstream stream);
CUresult memPrefetchBatchAsync(CUdeviceptr* addresses, size_t* sizes, size_t count, CUmemLocation* locations, size_t* location_indices,
                               size_t location_count, unsigned long long flags, CUstream stream);
CUresult memDiscardBatchAsync(CUdeviceptr* addresses, size_t* sizes, size_t count, unsigned long long flags, CUstream stream);
CUresult memDiscardAndPrefetchBatchAsync(CUdeviceptr* addresses, size_t* sizes, size_t count, CUmemLocation* locations, size_t* location_indices,
                                         size_t location_count, unsigned long long flags, CUstream stream);
CUresult memAdvise_v1(CUdeviceptr address, size_t bytes, CUmem_advise advice, CUdevice device);
CUresult memAdvise_v2(CUdeviceptr address, size_t bytes, CUmem_advise advice, CUmemLocation location);
CUresult memRangeGetAttribute(void* data, size_t bytes, CUmem_range_attribute attribute, CUdeviceptr address, size_t count);
CUresult memRangeGetAttributes(void** data, size_t* bytes, CUmem_range_attribute* attributes, size_t attribute_count, CUdeviceptr address,
                               size_t count);
CUresult memGetLocationInfo(CUdeviceptr address, size_t bytes, size_t summary_granularity, size_t sampling_granularity, CUmemLocation* location);

// The memory is being freed: what was said of it is forgotten.
void forget_advice(CUdeviceptr address, std::size_t bytes);

}  // namespace anywarp::driver
