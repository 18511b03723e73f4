// Manual: memory management, asynchronous notifications. The one that exists says that a device is over its budget of memory: here, that an
// allocation did not fit.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult deviceRegisterAsyncNotification(CUdevice device, CUasyncCallback callback, void* data, CUasyncCallbackHandle* handle);
CUresult deviceUnregisterAsyncNotification(CUdevice device, CUasyncCallbackHandle handle);

// `bytes`: by how much an allocation went beyond what the device has.
void notify_over_budget(CUdevice device, std::uint64_t bytes);

}  // namespace anywarp::driver
