// Manual: error handling.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult getErrorName(CUresult error, const char** text);
CUresult getErrorString(CUresult error, const char** text);

}  // namespace anywarp::driver
