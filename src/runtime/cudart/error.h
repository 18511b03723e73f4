// Manual: error handling.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t getLastError();
cudaError_t peekAtLastError();
const char* getErrorName(cudaError_t error);
const char* getErrorString(cudaError_t error);

// The device has been reset: the calling thread's error is gone, and other threads can clear a sticky one.
void forget_sticky_errors();

}  // namespace anywarp::cudart
