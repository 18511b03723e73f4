// Manual: version management. version.cpp is compiled once for each libcudart.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t driverGetVersion(int* version);
cudaError_t runtimeGetVersion(int* version);

}  // namespace anywarp::cudart
