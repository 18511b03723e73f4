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
  return streamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t streamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  CUDART_TRY(use_context());
  return error_of(cuStreamCreate(stream, flags));
}

cudaError_t streamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  CUDART_TRY(use_context());
  return error_of(cuStreamCreateWithPriority(stream, flags, priority));
}

cudaError_t streamDestroy(cudaStream_t stream) {
  CUDART_TRY(use_context());
  return error_of(cuStreamDestroy_v2(stream));
}

cudaError_t streamGetPriority(cudaStream_t stream, int* priority) {
  CUDART_TRY(use_context());
  return error_of(cuStreamGetPriority(stream, priority));
}

cudaError_t streamGetFlags(cudaStream_t stream, unsigned* flags) {
  CUDART_TRY(use_context());
  return error_of(cuStreamGetFlags(stream, flags));
}

cudaError_t streamGetId(cudaStream_t stream, unsigned long long* id) {
  CUDART_TRY(use_context());
  return error_of(cuStreamGetId(stream, id));
}

cudaError_t streamGetDevice(cudaStream_t stream, int* device) {
  CUDART_TRY(use_context());
  return error_of(cuStreamGetDevice(stream, device));
}

cudaError_t streamCopyAttributes(cudaStream_t destination, cudaStream_t source) {
  CUDART_TRY(use_context());
  return error_of(cuStreamCopyAttributes(destination, source));
}

cudaError_t streamGetAttribute(cudaStream_t stream, cudaLaunchAttributeID attribute, cudaLaunchAttributeValue* value) {
  CUDART_TRY(use_context());
  return error_of(cuStreamGetAttribute(stream, static_cast<CUstreamAttrID>(attribute), reinterpret_cast<CUstreamAttrValue*>(value)));
}

cudaError_t streamSetAttribute(cudaStream_t stream, cudaLaunchAttributeID attribute, const cudaLaunchAttributeValue* value) {
  CUDART_TRY(use_context());
  return error_of(cuStreamSetAttribute(stream, static_cast<CUstreamAttrID>(attribute), reinterpret_cast<const CUstreamAttrValue*>(value)));
}

cudaError_t streamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
  CUDART_TRY(use_context());
  return error_of(cuStreamWaitEvent(stream, event, flags));
}

cudaError_t streamAddCallback(cudaStream_t stream, cudaStreamCallback_t callback, void* data, unsigned flags) {
  if (!callback || flags != 0) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  auto call = std::make_unique<Callback>(Callback{callback, data});
  CUDART_TRY(cuStreamAddCallback(stream, run_callback, call.get(), flags));
  call.release();  // run_callback deletes it
  return cudaSuccess;
}

cudaError_t streamSynchronize(cudaStream_t stream) {
  CUDART_TRY(use_context());
  return error_of(cuStreamSynchronize(stream));
}

cudaError_t streamQuery(cudaStream_t stream) {
  CUDART_TRY(use_context());
  return error_of(cuStreamQuery(stream));
}

cudaError_t streamAttachMemAsync(cudaStream_t stream, void* pointer, size_t bytes, unsigned flags) {
  CUDART_TRY(use_context());
  return error_of(cuStreamAttachMemAsync(stream, address(pointer), bytes, flags));
}

cudaError_t ctxResetPersistingL2Cache() {
  CUDART_TRY(use_context());
  return error_of(cuCtxResetPersistingL2Cache());
}

}  // namespace anywarp::cudart
