// Manual: execution control, deprecated: launches as before CUDA 4.0, with state in the function.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult funcSetBlockShape(CUfunction function, int x, int y, int z);
CUresult funcSetSharedSize(CUfunction function, unsigned bytes);
CUresult funcSetSharedMemConfig(CUfunction function, CUsharedconfig config);
CUresult paramSetSize(CUfunction function, unsigned bytes);
CUresult paramSeti(CUfunction function, int offset, unsigned value);
CUresult paramSetf(CUfunction function, int offset, float value);
CUresult paramSetv(CUfunction function, int offset, void* value, unsigned bytes);
CUresult launchCooperativeKernelMultiDevice(CUDA_LAUNCH_PARAMS* launches, unsigned count, unsigned flags);
CUresult launch(CUfunction function);
CUresult launchGrid(CUfunction function, int width, int height);
CUresult launchGridAsync(CUfunction function, int width, int height, CUstream stream);

}  // namespace anywarp::driver
