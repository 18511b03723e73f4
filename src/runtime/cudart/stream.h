// Manual: stream and event management: what is not the driver's function under another name.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t streamCreate(cudaStream_t* stream);
cudaError_t threadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode);
cudaError_t eventCreate(cudaEvent_t* event);
cudaError_t streamAddCallback(cudaStream_t stream, cudaStreamCallback_t callback, void* data, unsigned flags);

}  // namespace anywarp::cudart
