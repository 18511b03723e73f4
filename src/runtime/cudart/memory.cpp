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

cudaError_t freeHost(void* pointer) {
  CUDART_TRY(use_context());
  return pointer ? error_of(cuMemFreeHost(pointer)) : cudaSuccess;
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

}  // namespace anywarp::cudart
