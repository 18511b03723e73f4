// Manual: profiler control. There is no profiler to control yet; programs bracket their regions with these calls all the same.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult profilerInitialize(const char* configuration, const char* output, CUoutput_mode mode);
CUresult profilerStart();
CUresult profilerStop();

}  // namespace anywarp::driver
