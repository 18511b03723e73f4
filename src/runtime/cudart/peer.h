// Manual: peer device memory access.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t deviceCanAccessPeer(int* can, int device, int peer);
cudaError_t deviceEnablePeerAccess(int peer, unsigned flags);
cudaError_t deviceDisablePeerAccess(int peer);

}  // namespace anywarp::cudart
