#include "cudart/stream.h"

#include <memory>

namespace anywarp::cudart {
namespace {

struct Callback {
  cudaStreamCallback_t function;
  void* data;
};

void run_callback(CUstream stream, CUresult result, void* data) {
  const std::unique_ptr<Callback> call(static_cast<Callback*>(data));
  call->function(stream, error_of(result), call->data);
}

}  // namespace

cudaError_t streamCreate(cudaStream_t* stream) {
  CUDART_TRY(use_context());
  return error_of(cuStreamCreate(stream, cudaStreamDefault));
}

cudaError_t eventCreate(cudaEvent_t* event) {
  CUDART_TRY(use_context());
  return error_of(cuEventCreate(event, cudaEventDefault));
}

// Needs no context, and makes none.
cudaError_t threadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  CUDART_TRY(use_driver());
  return error_of(cuThreadExchangeStreamCaptureMode(reinterpret_cast<CUstreamCaptureMode*>(mode)));
}

cudaError_t streamAddCallback(cudaStream_t stream, cudaStreamCallback_t callback, void* data, unsigned flags) {
  if (!callback || flags != 0) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  auto call = std::make_unique<Callback>(Callback{callback, data});
  CUDART_TRY(cuStreamAddCallback(stream, run_callback, call.get(), flags));
  call.release();  // run_callback deletes it
  return cudaSuccess;
}

}  // namespace anywarp::cudart
