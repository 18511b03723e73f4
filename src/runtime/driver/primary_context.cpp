#include "driver/primary_context.h"

#include "driver/context.h"
#include "driver/device.h"

namespace anywarp::driver {
namespace {

// The device's primary context object, which exists from now on; active or not. The device's lock is held.
CUctx_st* primary_object(Device& device) {
  if (!device.primary) {
    device.primary = new CUctx_st;
    device.primary->device = device.ordinal;
    device.primary->primary = true;
    device.primary->id = next_context_id();
  }
  return device.primary;
}

}  // namespace

CUresult devicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  if (!context) return CUDA_ERROR_INVALID_VALUE;
  Device* d = find_device(device);
  if (!d) return CUDA_ERROR_INVALID_DEVICE;
  const std::lock_guard lock(d->mutex);
  CUctx_st* primary = primary_object(*d);
  if (!primary->engine) start_context(*primary);
  ++d->primary_references;
  *context = primary;
  return CUDA_SUCCESS;
}

CUresult devicePrimaryCtxRelease(CUdevice device) {
  Device* d = find_device(device);
  if (!d) return CUDA_ERROR_INVALID_DEVICE;
  const std::lock_guard lock(d->mutex);
  if (d->primary_references == 0) return CUDA_ERROR_INVALID_CONTEXT;
  if (--d->primary_references == 0) stop_context(*d->primary);
  return CUDA_SUCCESS;
}

CUresult devicePrimaryCtxSetFlags(CUdevice device, unsigned flags) {
  Device* d = find_device(device);
  if (!d) return CUDA_ERROR_INVALID_DEVICE;
  if (!are_context_flags(flags)) return CUDA_ERROR_INVALID_VALUE;
  const std::lock_guard lock(d->mutex);
  primary_object(*d)->flags = flags;
  return CUDA_SUCCESS;
}

CUresult devicePrimaryCtxGetState(CUdevice device, unsigned* flags, int* active) {
  if (!flags || !active) return CUDA_ERROR_INVALID_VALUE;
  Device* d = find_device(device);
  if (!d) return CUDA_ERROR_INVALID_DEVICE;
  const std::lock_guard lock(d->mutex);
  *flags = d->primary ? d->primary->flags.load() : 0;
  *active = d->primary && d->primary->engine;
  return CUDA_SUCCESS;
}

CUresult devicePrimaryCtxReset(CUdevice device) {
  Device* d = find_device(device);
  if (!d) return CUDA_ERROR_INVALID_DEVICE;
  const std::lock_guard lock(d->mutex);
  if (d->primary && d->primary->engine) {
    stop_context(*d->primary);
    // Whoever retained the context finds it active again, but empty.
    if (d->primary_references) start_context(*d->primary);
  }
  return CUDA_SUCCESS;
}

}  // namespace anywarp::driver
