// Manual: stream-ordered memory allocator.
//
// Memory is taken from the arena when cuMemAllocAsync is called, and given back when the stream reaches cuMemFreeAsync. A pool keeps
// count; the arena reuses memory quickly enough that pools hold none back (a release threshold is kept, without effect).
#pragma once

#include "driver/objects.h"

struct CUmemPoolHandle_st : anywarp::driver::TypeStable<CUmemPoolHandle_st> {
  static constexpr auto kMagic = anywarp::driver::Magic::pool;
  anywarp::driver::Magic magic = kMagic;
  int device = 0;
  CUmemPoolProps properties{};
  std::atomic<std::uint64_t> used{0}, used_high{0};  // bytes
  std::atomic<std::uint64_t> release_threshold{0};
  std::atomic<int> reuse[3]{1, 1, 1};  // the three REUSE attributes
};

namespace anywarp::driver {

struct Device;

CUresult memAllocAsync(CUdeviceptr* address, size_t bytes, CUstream stream);
CUresult memAllocFromPoolAsync(CUdeviceptr* address, size_t bytes, CUmemoryPool pool, CUstream stream);
CUresult memFreeAsync(CUdeviceptr address, CUstream stream);
CUresult memPoolCreate(CUmemoryPool* pool, const CUmemPoolProps* properties);
CUresult memPoolDestroy(CUmemoryPool pool);
CUresult memPoolTrimTo(CUmemoryPool pool, size_t bytes);
CUresult memPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value);
CUresult memPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value);
CUresult memPoolSetAccess(CUmemoryPool pool, const CUmemAccessDesc* map, size_t count);
CUresult memPoolGetAccess(CUmemAccess_flags* flags, CUmemoryPool pool, CUmemLocation* location);
CUresult memGetDefaultMemPool(CUmemoryPool* pool, CUmemLocation* location, CUmemAllocationType type);
CUresult memGetMemPool(CUmemoryPool* pool, CUmemLocation* location, CUmemAllocationType type);
CUresult memSetMemPool(CUmemLocation* location, CUmemAllocationType type, CUmemoryPool pool);

CUmemoryPool default_pool(Device& device);
CUmemoryPool current_pool(Device& device);
// An allocation that is freed by other means than cuMemFreeAsync.
void forget_pool_allocation(CUdeviceptr address);
// All of a context that is being destroyed.
void forget_pool_allocations(const CUctx_st& context);
// Frees the memory when the stream gets there.
CUresult free_in_order(CUdeviceptr address, Stream& stream);

}  // namespace anywarp::driver
