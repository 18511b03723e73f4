#include "driver/memory.h"

#include "driver/async_notification.h"
#include "driver/device.h"
#include "driver/external.h"
#include "driver/graph.h"
#include "driver/memory_managed.h"
#include "driver/memory_pool.h"
#include "driver/stream_capture.h"

namespace anywarp::driver {
namespace {

constexpr std::size_t kPitchAlignment = 512;  // bytes; also suits textures

CUresult allocate(CUctx_st& context, std::size_t bytes, memory::Kind kind, unsigned flags, void** out) {
  const Result result = arena().allocate(context.device, bytes, 256, kind, &context, flags, out);
  if (result != Result::out_of_memory) return api(result);
  // Pools may hold what is missing, once streams have reached their frees.
  ANYWARP_TRY(api(context.engine->synchronize()));
  release_all_unused_memory(context.device);
  const Result again = arena().allocate(context.device, bytes, 256, kind, &context, flags, out);
  if (again == Result::out_of_memory) {
    std::size_t free = 0, total = 0;
    arena().info(context.device, &free, &total);
    if (bytes > free) notify_over_budget(context.device, bytes - free);
  }
  return api(again);
}

// Waits for the work that may use an allocation, as the manual has it for cuMemFree: all of its context.
CUresult wait_for_owner(const memory::Allocation& allocation) {
  auto* owner = static_cast<CUctx_st*>(allocation.owner);
  if (!owner || !owner->engine) return CUDA_SUCCESS;
  return api(owner->engine->synchronize());
}

}  // namespace

memory::Arena& arena() { return Engine::instance()->arena(); }

bool is_accessible(CUdeviceptr address, std::size_t bytes) {
  memory::Allocation allocation;
  do {
    if (!arena().lookup(pointer(address), &allocation)) return false;
    const std::size_t inside = allocation.base + allocation.size - address;
    if (bytes <= inside) return true;
    address += inside, bytes -= inside;
  } while (allocation.kind == memory::Kind::mapped);
  return false;
}

bool is_known_memory(const void* address) {
  memory::Allocation allocation;
  return arena().lookup(address, &allocation);
}

CUresult memGetInfo(size_t* free, size_t* total) {
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  std::size_t f = 0, t = 0;
  arena().info(context->device, &f, &t);
  if (free) *free = f;
  if (total) *total = t;
  return CUDA_SUCCESS;
}

CUresult memAlloc(CUdeviceptr* address, size_t bytes) {
  if (!address || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  ANYWARP_TRY(refuse_while_capturing());
  void* memory = nullptr;
  ANYWARP_TRY(allocate(*context, bytes, memory::Kind::device, 0, &memory));
  *address = reinterpret_cast<CUdeviceptr>(memory);
  return CUDA_SUCCESS;
}

CUresult memAllocPitch(CUdeviceptr* address, size_t* pitch, size_t width, size_t height, unsigned element_bytes) {
  if (!address || !pitch || width == 0 || height == 0) return CUDA_ERROR_INVALID_VALUE;
  if (element_bytes != 4 && element_bytes != 8 && element_bytes != 16) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  ANYWARP_TRY(refuse_while_capturing());
  const std::size_t row = (width + kPitchAlignment - 1) / kPitchAlignment * kPitchAlignment;
  std::size_t bytes = 0;
  if (row < width || __builtin_mul_overflow(row, height, &bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
  void* memory = nullptr;
  ANYWARP_TRY(allocate(*context, bytes, memory::Kind::device, 0, &memory));
  *address = reinterpret_cast<CUdeviceptr>(memory);
  *pitch = row;
  return CUDA_SUCCESS;
}

CUresult memFree(CUdeviceptr address) {
  if (!address) return CUDA_SUCCESS;
  CUctx_st* context = nullptr;
  // The sticky error does not keep memory from being freed, but it is reported.
  const CUresult state = current_context(&context);
  if (state == CUDA_ERROR_INVALID_CONTEXT || state == CUDA_ERROR_CONTEXT_IS_DESTROYED) return state;
  ANYWARP_TRY(refuse_while_capturing());
  memory::Allocation allocation;
  if (!arena().lookup(pointer(address), &allocation)) return CUDA_ERROR_INVALID_VALUE;
  if (is_external_buffer(address)) {
    const CUresult waited = api(context->engine->synchronize());  // its mapping may go with it
    release_external_buffer(address);
    return state != CUDA_SUCCESS ? state : waited;
  }
  const bool of_pool = pool_of(address) != nullptr;
  if (allocation.base != address) return CUDA_ERROR_INVALID_VALUE;
  if (!of_pool && allocation.kind != memory::Kind::device && allocation.kind != memory::Kind::managed) return CUDA_ERROR_INVALID_VALUE;
  const CUresult waited = wait_for_owner(allocation);
  if (is_graph_memory(address)) return free_graph_memory(address), state != CUDA_SUCCESS ? state : waited;  // it goes with the graph
  if (release_pool_allocation(address)) return state != CUDA_SUCCESS ? state : waited;
  if (allocation.kind == memory::Kind::managed) forget_advice(address, allocation.size);
  ANYWARP_TRY(api(arena().free(pointer(address))));
  return state != CUDA_SUCCESS ? state : waited;
}

CUresult memGetAddressRange(CUdeviceptr* base, size_t* bytes, CUdeviceptr address) {
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  memory::Allocation allocation;
  if (!arena().lookup(pointer(address), &allocation)) return CUDA_ERROR_NOT_FOUND;
  if (base) *base = allocation.base;
  if (bytes) *bytes = allocation.size;
  return CUDA_SUCCESS;
}

CUresult memAllocHost(void** address, size_t bytes) { return memHostAlloc(address, bytes, 0); }

CUresult memHostAlloc(void** address, size_t bytes, unsigned flags) {
  constexpr unsigned kFlags = CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED;
  if (!address || bytes == 0 || (flags & ~kFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  ANYWARP_TRY(refuse_while_capturing());
  return allocate(*context, bytes, memory::Kind::host, flags, address);
}

CUresult memFreeHost(void* address) {
  if (!address) return CUDA_SUCCESS;
  CUctx_st* context = nullptr;
  const CUresult state = current_context(&context);
  if (state == CUDA_ERROR_INVALID_CONTEXT || state == CUDA_ERROR_CONTEXT_IS_DESTROYED) return state;
  ANYWARP_TRY(refuse_while_capturing());
  memory::Allocation allocation;
  if (!arena().lookup(address, &allocation) || allocation.base != reinterpret_cast<std::uintptr_t>(address) || allocation.kind != memory::Kind::host) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const CUresult waited = wait_for_owner(allocation);
  ANYWARP_TRY(api(arena().free(address)));
  return state != CUDA_SUCCESS ? state : waited;
}

CUresult memHostGetDevicePointer(CUdeviceptr* device_address, void* address, unsigned flags) {
  if (!device_address || !address || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  memory::Allocation allocation;
  *device_address = 0;
  if (!arena().lookup(address, &allocation)) return CUDA_ERROR_INVALID_VALUE;
  if (allocation.kind != memory::Kind::host && allocation.kind != memory::Kind::registered) return CUDA_ERROR_INVALID_VALUE;
  *device_address = reinterpret_cast<CUdeviceptr>(address);
  return CUDA_SUCCESS;
}

CUresult memHostGetFlags(unsigned* flags, void* address) {
  if (!flags) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  memory::Allocation allocation;
  if (!arena().lookup(address, &allocation) || allocation.kind != memory::Kind::host) return CUDA_ERROR_INVALID_VALUE;
  // All host memory is mapped: the address spaces are one.
  *flags = allocation.flags | CU_MEMHOSTALLOC_DEVICEMAP;
  return CUDA_SUCCESS;
}

CUresult memAllocManaged(CUdeviceptr* address, size_t bytes, unsigned flags) {
  if (!address || bytes == 0 || (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST)) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  ANYWARP_TRY(refuse_while_capturing());
  void* memory = nullptr;
  ANYWARP_TRY(allocate(*context, bytes, memory::Kind::managed, flags, &memory));
  *address = reinterpret_cast<CUdeviceptr>(memory);
  return CUDA_SUCCESS;
}

CUresult memHostRegister(void* address, size_t bytes, unsigned flags) {
  constexpr unsigned kFlags =
      CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP | CU_MEMHOSTREGISTER_IOMEMORY | CU_MEMHOSTREGISTER_READ_ONLY;
  if (!address || bytes == 0 || (flags & ~kFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  const Result added = arena().add_range(address, bytes, memory::Kind::registered, context->device, context, flags);
  return added == Result::invalid_value ? CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED : api(added);
}

CUresult memHostUnregister(void* address) {
  if (!address) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  memory::Allocation allocation;
  if (!arena().lookup(address, &allocation) || allocation.kind != memory::Kind::registered || allocation.base != reinterpret_cast<std::uintptr_t>(address)) {
    return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
  }
  ANYWARP_TRY(wait_for_owner(allocation));
  return api(arena().remove_range(address));
}

}  // namespace anywarp::driver
