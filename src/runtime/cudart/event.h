// Manual: event management.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t eventCreate(cudaEvent_t* event);
cudaError_t eventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t eventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t eventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags);
cudaError_t eventQuery(cudaEvent_t event);
cudaError_t eventSynchronize(cudaEvent_t event);
cudaError_t eventDestroy(cudaEvent_t event);
cudaError_t eventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end);

}  // namespace anywarp::cudart
