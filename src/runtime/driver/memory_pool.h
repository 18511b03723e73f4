// Manual: stream-ordered memory allocator.
//
// A freed block stays in its pool, with an event that says when the stream has reached the free; an allocation takes a block that fits from
// there (at once in the stream that freed it, in others when the event has happened or by waiting for it, as the pool's attributes
// allow), else memory of the arena. What a pool holds beyond its release threshold goes back when the program synchronises, when it is
// trimmed, or when memory runs out. Pools that other processes may import cut their blocks from a memory::Segment.
//
// Locks: a pool's mutex, then g_mutex (who gave out an address); neither is held while something is waited for.
#pragma once

#include <map>

#include "driver/objects.h"
#include "memory/segment.h"

struct CUmemPoolHandle_st : anywarp::driver::TypeStable<CUmemPoolHandle_st> {
  static constexpr auto kMagic = anywarp::driver::Magic::pool;
  struct Block {
    CUdeviceptr address = 0;
    std::size_t size = 0;
    const CUctx_st* owner = nullptr;        // the context that the memory goes with
    const CUctx_st* context = nullptr;      // whose stream freed it
    std::uint64_t stream = 0;               // that stream
    std::shared_ptr<anywarp::Event> freed;  // complete: nobody uses the block any more
  };
  anywarp::driver::Magic magic = kMagic;
  int device = 0;
  anywarp::memory::Kind kind = anywarp::memory::Kind::device;
  bool imported = false;
  CUmemPoolProps properties{};
  std::unique_ptr<anywarp::memory::Segment> segment;  // of pools that are exportable or imported
  std::atomic<std::uint64_t> used{0}, used_high{0}, reserved{0}, reserved_high{0};  // bytes
  std::atomic<std::uint64_t> release_threshold{0};
  std::atomic<int> reuse[3]{1, 1, 1};  // the three REUSE attributes
  std::mutex mutex;                    // guards what follows
  std::multimap<std::size_t, Block> blocks;                 // freed, by size
  std::map<int, CUmemAccess_flags> access;                  // of other devices
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

// Between processes (memory_pool_share.cpp).
CUresult memPoolExportToShareableHandle(void* shareable, CUmemoryPool pool, CUmemAllocationHandleType type, unsigned long long flags);
CUresult memPoolImportFromShareableHandle(CUmemoryPool* pool, void* shareable, CUmemAllocationHandleType type, unsigned long long flags);
CUresult memPoolExportPointer(CUmemPoolPtrExportData* data, CUdeviceptr address);
CUresult memPoolImportPointer(CUdeviceptr* address, CUmemoryPool pool, CUmemPoolPtrExportData* data);

CUmemoryPool default_pool(Device& device);
CUmemoryPool current_pool(Device& device);
// The pool that gave out a live address; null if none did.
CUmemoryPool pool_of(CUdeviceptr address);
// Makes an address known as one of the pool's (an imported pointer).
void know_pool_allocation(CUmemoryPool pool, CUdeviceptr address, std::size_t bytes, const CUctx_st* context);
// An allocation that is freed by other means than cuMemFreeAsync: it is given back at once. False if no pool gave it out.
bool release_pool_allocation(CUdeviceptr address);
// All of a context that is being destroyed.
void forget_pool_allocations(const CUctx_st& context);
// Frees the memory when the stream gets there.
CUresult free_in_order(CUdeviceptr address, Stream& stream);
// The program has synchronised: pools give back what they hold beyond their thresholds. Cheap if there is nothing.
void release_unused_memory();
// Memory has run out: every pool of the device gives back all that it can.
void release_all_unused_memory(int device);

}  // namespace anywarp::driver
