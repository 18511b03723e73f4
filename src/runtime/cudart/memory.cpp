#include "cudart/memory.h"

#include "cudart/registration.h"

namespace anywarp::cudart {
namespace {

void* pointer_to(CUdeviceptr device_address) { return reinterpret_cast<void*>(device_address); }  // NOLINT: one address space

// How pitched memory aligns its rows: good for every element that a copy or texture may have.
constexpr unsigned kPitchElementBytes = 16;

}  // namespace

cudaError_t malloc(void** pointer, size_t bytes) {
  if (!pointer) return cudaErrorInvalidValue;
  *pointer = nullptr;
  CUDART_TRY(use_context());
  if (bytes == 0) return cudaSuccess;  // the driver refuses it, the runtime gives null
  CUdeviceptr device_address = 0;
  CUDART_TRY(cuMemAlloc_v2(&device_address, bytes));
  *pointer = pointer_to(device_address);
  return cudaSuccess;
}

cudaError_t mallocManaged(void** pointer, size_t bytes, unsigned flags) {
  if (!pointer || bytes == 0) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  CUdeviceptr device_address = 0;
  CUDART_TRY(cuMemAllocManaged(&device_address, bytes, flags));
  *pointer = pointer_to(device_address);
  return cudaSuccess;
}

cudaError_t mallocHost(void** pointer, size_t bytes) { return hostAlloc(pointer, bytes, cudaHostAllocDefault); }

cudaError_t hostAlloc(void** pointer, size_t bytes, unsigned flags) {
  if (!pointer) return cudaErrorInvalidValue;
  *pointer = nullptr;
  CUDART_TRY(use_context());
  if (bytes == 0) return cudaSuccess;
  return error_of(cuMemHostAlloc(pointer, bytes, flags));
}

cudaError_t mallocPitch(void** pointer, size_t* pitch, size_t width, size_t height) {
  if (!pointer || !pitch) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  *pointer = nullptr;
  if (width == 0 || height == 0) return *pitch = 0, cudaSuccess;
  CUdeviceptr device_address = 0;
  CUDART_TRY(cuMemAllocPitch_v2(&device_address, pitch, width, height, kPitchElementBytes));
  *pointer = pointer_to(device_address);
  return cudaSuccess;
}

cudaError_t malloc3D(cudaPitchedPtr* pointer, cudaExtent extent) {
  if (!pointer) return cudaErrorInvalidValue;
  *pointer = {nullptr, 0, extent.width, extent.height};
  size_t rows = 0;
  if (__builtin_mul_overflow(extent.height, extent.depth, &rows)) return cudaErrorMemoryAllocation;
  return mallocPitch(&pointer->ptr, &pointer->pitch, extent.width, rows);
}

cudaError_t free(void* pointer) {
  CUDART_TRY(use_context());
  return error_of(cuMemFree_v2(address(pointer)));
}

cudaError_t freeHost(void* pointer) {
  CUDART_TRY(use_context());
  return pointer ? error_of(cuMemFreeHost(pointer)) : cudaSuccess;
}

cudaError_t hostRegister(void* pointer, size_t bytes, unsigned flags) {
  CUDART_TRY(use_context());
  return error_of(cuMemHostRegister_v2(pointer, bytes, flags));
}

cudaError_t hostUnregister(void* pointer) {
  CUDART_TRY(use_context());
  return error_of(cuMemHostUnregister(pointer));
}

cudaError_t hostGetDevicePointer(void** device_pointer, void* pointer, unsigned flags) {
  if (!device_pointer) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  CUdeviceptr device_address = 0;
  CUDART_TRY(cuMemHostGetDevicePointer_v2(&device_address, pointer, flags));
  *device_pointer = pointer_to(device_address);
  return cudaSuccess;
}

cudaError_t hostGetFlags(unsigned* flags, void* pointer) {
  CUDART_TRY(use_context());
  return error_of(cuMemHostGetFlags(flags, pointer));
}

cudaError_t memGetInfo(size_t* free_bytes, size_t* total) {
  CUDART_TRY(use_context());
  return error_of(cuMemGetInfo_v2(free_bytes, total));
}

cudaError_t getSymbolAddress(void** pointer, const void* symbol) {
  if (!pointer) return cudaErrorInvalidValue;
  CUdeviceptr device_address = 0;
  size_t bytes = 0;
  CUDART_TRY(find_variable(symbol, &device_address, &bytes));
  *pointer = pointer_to(device_address);
  return cudaSuccess;
}

cudaError_t getSymbolSize(size_t* bytes, const void* symbol) {
  if (!bytes) return cudaErrorInvalidValue;
  CUdeviceptr device_address = 0;
  return find_variable(symbol, &device_address, bytes);
}

cudaError_t memPrefetchAsync_v1(const void* pointer, size_t bytes, int device, cudaStream_t stream) {
  CUDART_TRY(use_context());
  return error_of(cuMemPrefetchAsync(address(pointer), bytes, device, stream));
}

cudaError_t memPrefetchAsync_v2(const void* pointer, size_t bytes, cudaMemLocation location, unsigned flags, cudaStream_t stream) {
  CUDART_TRY(use_context());
  return error_of(cuMemPrefetchAsync_v2(address(pointer), bytes, std::bit_cast<CUmemLocation>(location), flags, stream));
}

cudaError_t memAdvise_v1(const void* pointer, size_t bytes, cudaMemoryAdvise advice, int device) {
  CUDART_TRY(use_context());
  return error_of(cuMemAdvise(address(pointer), bytes, static_cast<CUmem_advise>(advice), device));
}

cudaError_t memAdvise_v2(const void* pointer, size_t bytes, cudaMemoryAdvise advice, cudaMemLocation location) {
  CUDART_TRY(use_context());
  return error_of(cuMemAdvise_v2(address(pointer), bytes, static_cast<CUmem_advise>(advice), std::bit_cast<CUmemLocation>(location)));
}

cudaError_t memRangeGetAttribute(void* data, size_t data_bytes, cudaMemRangeAttribute attribute, const void* pointer, size_t bytes) {
  CUDART_TRY(use_context());
  return error_of(cuMemRangeGetAttribute(data, data_bytes, static_cast<CUmem_range_attribute>(attribute), address(pointer), bytes));
}

cudaError_t memRangeGetAttributes(void** data, size_t* data_bytes, cudaMemRangeAttribute* attributes, size_t count, const void* pointer,
                                  size_t bytes) {
  CUDART_TRY(use_context());
  return error_of(
      cuMemRangeGetAttributes(data, data_bytes, reinterpret_cast<CUmem_range_attribute*>(attributes), count, address(pointer), bytes));
}

}  // namespace anywarp::cudart
