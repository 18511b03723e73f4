// Manual: execution contexts: a device's primary context, or a green context in it, as one kind of handle.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t greenCtxCreate(cudaExecutionContext_t* context, cudaDevResourceDesc_t description, int device, unsigned flags);
cudaError_t executionCtxDestroy(cudaExecutionContext_t context);
cudaError_t executionCtxGetDevResource(cudaExecutionContext_t context, cudaDevResource* resource, cudaDevResourceType type);
cudaError_t executionCtxGetDevice(int* device, cudaExecutionContext_t context);
cudaError_t executionCtxGetId(cudaExecutionContext_t context, unsigned long long* id);
cudaError_t executionCtxStreamCreate(cudaStream_t* stream, cudaExecutionContext_t context, unsigned flags, int priority);
cudaError_t executionCtxSynchronize(cudaExecutionContext_t context);
cudaError_t executionCtxRecordEvent(cudaExecutionContext_t context, cudaEvent_t event);
cudaError_t executionCtxWaitEvent(cudaExecutionContext_t context, cudaEvent_t event);
cudaError_t deviceGetExecutionCtx(cudaExecutionContext_t* context, int device);

// The driver's context: the primary one, or a green context's stand-in; null for null and for what is no handle.
CUcontext context_of(cudaExecutionContext_t context);

}  // namespace anywarp::cudart
