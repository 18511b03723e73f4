#include "cudart/runtime.h"

#include <mutex>

#include "cudart/device.h"

namespace anywarp::cudart {
namespace {

constexpr int kMaxDevices = 64;

thread_local int t_device = 0;

std::mutex g_mutex;                  // guards what follows
CUcontext g_primary[kMaxDevices]{};  // retained once, for the rest of the process

}  // namespace

cudaError_t use_driver() { return error_of(cuInit(0)); }

cudaError_t check_device(int device) {
  CUDART_TRY(use_driver());
  int count = 0;
  CUDART_TRY(cuDeviceGetCount(&count));
  if (count == 0) return cudaErrorNoDevice;
  return device >= 0 && device < count && device < kMaxDevices ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t retain_primary_context(int device, CUcontext* context) {
  CUDART_TRY(check_device(device));
  const std::lock_guard lock(g_mutex);
  if (!g_primary[device]) CUDART_TRY(cuDevicePrimaryCtxRetain(&g_primary[device], device));
  if (context) *context = g_primary[device];
  return cudaSuccess;
}

cudaError_t use_primary_context(int device) {
  CUcontext context = nullptr;
  CUDART_TRY(retain_primary_context(device, &context));
  CUDART_TRY(cuCtxSetCurrent(context));
  t_device = device;
  return cudaSuccess;
}

cudaError_t use_context() {
  CUcontext current = nullptr;
  if (cuCtxGetCurrent(&current) == CUDA_SUCCESS && current) return cudaSuccess;
  return use_primary_context(t_device);
}

cudaError_t current_device(CUdevice* device) {
  CUcontext current = nullptr;
  if (cuCtxGetCurrent(&current) == CUDA_SUCCESS && current && cuCtxGetDevice(device) == CUDA_SUCCESS) return cudaSuccess;
  CUDART_TRY(check_device(t_device));
  *device = t_device;
  return cudaSuccess;
}

}  // namespace anywarp::cudart
