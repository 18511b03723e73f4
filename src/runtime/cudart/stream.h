// Manual: stream management, without capture (stream_capture.h).
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t streamCreate(cudaStream_t* stream);
cudaError_t streamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t streamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority);
cudaError_t streamDestroy(cudaStream_t stream);
cudaError_t streamGetPriority(cudaStream_t stream, int* priority);
cudaError_t streamGetFlags(cudaStream_t stream, unsigned* flags);
cudaError_t streamGetId(cudaStream_t stream, unsigned long long* id);
cudaError_t streamGetDevice(cudaStream_t stream, int* device);
cudaError_t streamCopyAttributes(cudaStream_t destination, cudaStream_t source);
cudaError_t streamGetAttribute(cudaStream_t stream, cudaLaunchAttributeID attribute, cudaLaunchAttributeValue* value);
cudaError_t streamSetAttribute(cudaStream_t stream, cudaLaunchAttributeID attribute, const cudaLaunchAttributeValue* value);
cudaError_t streamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t streamAddCallback(cudaStream_t stream, cudaStreamCallback_t callback, void* data, unsigned flags);
cudaError_t streamSynchronize(cudaStream_t stream);
cudaError_t streamQuery(cudaStream_t stream);
cudaError_t streamAttachMemAsync(cudaStream_t stream, void* pointer, size_t bytes, unsigned flags);
cudaError_t ctxResetPersistingL2Cache();

}  // namespace anywarp::cudart
