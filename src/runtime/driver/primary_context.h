// Manual: primary context management.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult devicePrimaryCtxRetain(CUcontext* context, CUdevice device);
CUresult devicePrimaryCtxRelease(CUdevice device);
CUresult devicePrimaryCtxSetFlags(CUdevice device, unsigned flags);
CUresult devicePrimaryCtxGetState(CUdevice device, unsigned* flags, int* active);
CUresult devicePrimaryCtxReset(CUdevice device);

}  // namespace anywarp::driver
