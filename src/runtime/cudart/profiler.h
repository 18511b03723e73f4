// Manual: profiler control.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t profilerStart();
cudaError_t profilerStop();

}  // namespace anywarp::cudart
