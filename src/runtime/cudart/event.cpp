#include "cudart/event.h"

namespace anywarp::cudart {

cudaError_t eventCreate(cudaEvent_t* event) {
  return eventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t eventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  CUDART_TRY(use_context());
  return error_of(cuEventCreate(event, flags));
}

cudaError_t eventRecord(cudaEvent_t event, cudaStream_t stream) {
  CUDART_TRY(use_context());
  return error_of(cuEventRecord(event, stream));
}

cudaError_t eventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
  CUDART_TRY(use_context());
  return error_of(cuEventRecordWithFlags(event, stream, flags));
}

cudaError_t eventQuery(cudaEvent_t event) {
  CUDART_TRY(use_context());
  return error_of(cuEventQuery(event));
}

cudaError_t eventSynchronize(cudaEvent_t event) {
  CUDART_TRY(use_context());
  return error_of(cuEventSynchronize(event));
}

cudaError_t eventDestroy(cudaEvent_t event) {
  CUDART_TRY(use_context());
  return error_of(cuEventDestroy_v2(event));
}

cudaError_t eventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  CUDART_TRY(use_context());
  return error_of(cuEventElapsedTime(milliseconds, start, end));
}

}  // namespace anywarp::cudart
