#include "cudart/device.h"

#include <algorithm>

#include "cudart/channel_format.h"
#include "cudart/error.h"
#include "cudart/registration.h"

namespace anywarp::cudart {

int attribute_of(CUdevice device, CUdevice_attribute attribute) {
  int value = 0;
  cuDeviceGetAttribute(&value, attribute, device);
  return value;
}

cudaError_t getDeviceCount(int* count) {
  if (!count) return cudaErrorInvalidValue;
  *count = 0;
  CUDART_TRY(use_driver());
  CUDART_TRY(cuDeviceGetCount(count));
  return *count == 0 ? cudaErrorNoDevice : cudaSuccess;
}

cudaError_t deviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (!value) return cudaErrorInvalidValue;
  CUDART_TRY(check_device(device));
  return error_of(cuDeviceGetAttribute(value, static_cast<CUdevice_attribute>(attribute), device));
}

cudaError_t deviceGetHostAtomicCapabilities(unsigned* capabilities, const cudaAtomicOperation* operations, unsigned count, int device) {
  CUDART_TRY(check_device(device));
  return error_of(cuDeviceGetHostAtomicCapabilities(capabilities, reinterpret_cast<const CUatomicOperation*>(operations), count, device));
}

cudaError_t deviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  CUDART_TRY(check_device(device));
  return error_of(cuDeviceGetDefaultMemPool(pool, device));
}

cudaError_t deviceSetMemPool(int device, cudaMemPool_t pool) {
  CUDART_TRY(check_device(device));
  return error_of(cuDeviceSetMemPool(device, pool));
}

cudaError_t deviceGetMemPool(cudaMemPool_t* pool, int device) {
  CUDART_TRY(check_device(device));
  return error_of(cuDeviceGetMemPool(pool, device));
}

cudaError_t deviceGetP2PAttribute(int* value, cudaDeviceP2PAttr attribute, int source, int destination) {
  CUDART_TRY(check_device(source));
  CUDART_TRY(check_device(destination));
  return error_of(cuDeviceGetP2PAttribute(value, static_cast<CUdevice_P2PAttribute>(attribute), source, destination));
}

cudaError_t deviceGetP2PAtomicCapabilities(unsigned* capabilities, const cudaAtomicOperation* operations, unsigned count, int source,
                                           int destination) {
  CUDART_TRY(check_device(source));
  CUDART_TRY(check_device(destination));
  return error_of(
      cuDeviceGetP2PAtomicCapabilities(capabilities, reinterpret_cast<const CUatomicOperation*>(operations), count, source, destination));
}

cudaError_t initDevice(int device, unsigned device_flags, unsigned flags) {
  if (flags & ~cudaInitDeviceFlagsAreValid) return cudaErrorInvalidValue;
  CUDART_TRY(check_device(device));
  if (flags & cudaInitDeviceFlagsAreValid) CUDART_TRY(cuDevicePrimaryCtxSetFlags_v2(device, device_flags & ~cudaDeviceMapHost));
  return retain_primary_context(device, nullptr);
}

cudaError_t setDevice(int device) { return use_primary_context(device); }

cudaError_t getDevice(int* device) {
  if (!device) return cudaErrorInvalidValue;
  return current_device(device);
}

// There is no use in trying other devices when one is busy: none ever is.
cudaError_t setValidDevices(int* devices, int count) {
  if (count < 0 || (count > 0 && !devices)) return cudaErrorInvalidValue;
  for (int i = 0; i < count; ++i) CUDART_TRY(check_device(devices[i]));
  return cudaSuccess;
}

// cudaDeviceMapHost is accepted and always in effect.
cudaError_t setDeviceFlags(unsigned flags) {
  if (flags & ~cudaDeviceMask) return cudaErrorInvalidValue;
  CUdevice device = 0;
  CUDART_TRY(current_device(&device));
  const CUresult result = cuDevicePrimaryCtxSetFlags_v2(device, flags & ~cudaDeviceMapHost);
  return error_of(result);
}

cudaError_t getDeviceFlags(unsigned* flags) {
  if (!flags) return cudaErrorInvalidValue;
  CUdevice device = 0;
  CUDART_TRY(current_device(&device));
  int active = 0;
  CUDART_TRY(cuDevicePrimaryCtxGetState(device, flags, &active));
  *flags |= cudaDeviceMapHost;
  return cudaSuccess;
}

cudaError_t deviceReset() {
  CUdevice device = 0;
  CUDART_TRY(current_device(&device));
  CUDART_TRY(cuDevicePrimaryCtxReset_v2(device));
  forget_loaded_variables();
  forget_sticky_errors();
  return cudaSuccess;
}

cudaError_t deviceGetTexture1DLinearMaxWidth(size_t* width, const cudaChannelFormatDesc* format, int device) {
  if (!width || !format) return cudaErrorInvalidValue;
  CUDART_TRY(check_device(device));
  CUarray_format element;
  unsigned channels = 0;
  CUDART_TRY(format_of(*format, &element, &channels));
  return error_of(cuDeviceGetTexture1DLinearMaxWidth(width, element, channels, device));
}

cudaError_t deviceGetByPCIBusId(int* device, const char* bus_id) {
  CUDART_TRY(use_driver());
  return error_of(cuDeviceGetByPCIBusId(device, bus_id));
}

cudaError_t deviceGetPCIBusId(char* bus_id, int length, int device) {
  CUDART_TRY(check_device(device));
  return error_of(cuDeviceGetPCIBusId(bus_id, length, device));
}

cudaError_t threadExit() { return deviceReset(); }

}  // namespace anywarp::cudart
