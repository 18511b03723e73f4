#include "cudart/execution_context.h"

#include <map>
#include <memory>
#include <mutex>

#include "cudart/device.h"

struct cudaExecutionContext_st {
  int device;
  CUcontext context;  // the primary context, or the green context's stand-in
  CUgreenCtx green;   // null: the device's own
};

namespace anywarp::cudart {
namespace {

struct Contexts {
  std::mutex mutex;
  std::map<cudaExecutionContext_t, std::unique_ptr<cudaExecutionContext_st>> all;
};
Contexts& contexts() {
  static auto* c = new Contexts;
  return *c;
}

cudaExecutionContext_t keep(const cudaExecutionContext_st& context) {
  auto made = std::make_unique<cudaExecutionContext_st>(context);
  const cudaExecutionContext_t handle = made.get();
  Contexts& c = contexts();
  const std::lock_guard lock(c.mutex);
  c.all.emplace(handle, std::move(made));
  return handle;
}

cudaError_t find(cudaExecutionContext_t handle, cudaExecutionContext_st* out) {
  CUDART_TRY(use_context());
  Contexts& c = contexts();
  const std::lock_guard lock(c.mutex);
  const auto found = c.all.find(handle);
  if (found == c.all.end()) return cudaErrorInvalidValue;
  *out = *found->second;
  return cudaSuccess;
}

}  // namespace

CUcontext context_of(cudaExecutionContext_t handle) {
  cudaExecutionContext_st c{};
  return handle && find(handle, &c) == cudaSuccess ? c.context : nullptr;
}

cudaError_t greenCtxCreate(cudaExecutionContext_t* context, cudaDevResourceDesc_t description, int device, unsigned flags) {
  if (!context || flags != 0) return cudaErrorInvalidValue;
  CUDART_TRY(check_device(device));
  CUDART_TRY(retain_primary_context(device, nullptr));
  cudaExecutionContext_st made{device, nullptr, nullptr};
  CUDART_TRY(cuGreenCtxCreate(&made.green, reinterpret_cast<CUdevResourceDesc>(description), device, CU_GREEN_CTX_DEFAULT_STREAM));
  CUDART_TRY(cuCtxFromGreenCtx(&made.context, made.green));
  *context = keep(made);
  return cudaSuccess;
}

cudaError_t executionCtxDestroy(cudaExecutionContext_t handle) {
  cudaExecutionContext_st c{};
  CUDART_TRY(find(handle, &c));
  if (!c.green) return cudaErrorInvalidValue;  // the device's own stays
  CUDART_TRY(cuGreenCtxDestroy(c.green));
  Contexts& all = contexts();
  const std::lock_guard lock(all.mutex);
  all.all.erase(handle);
  return cudaSuccess;
}

cudaError_t executionCtxGetDevResource(cudaExecutionContext_t handle, cudaDevResource* resource, cudaDevResourceType type) {
  cudaExecutionContext_st c{};
  CUDART_TRY(find(handle, &c));
  return error_of(cuCtxGetDevResource(c.context, reinterpret_cast<CUdevResource*>(resource), static_cast<CUdevResourceType>(type)));
}

cudaError_t executionCtxGetDevice(int* device, cudaExecutionContext_t handle) {
  if (!device) return cudaErrorInvalidValue;
  cudaExecutionContext_st c{};
  CUDART_TRY(find(handle, &c));
  *device = c.device;
  return cudaSuccess;
}

cudaError_t executionCtxGetId(cudaExecutionContext_t handle, unsigned long long* id) {
  cudaExecutionContext_st c{};
  CUDART_TRY(find(handle, &c));
  return error_of(c.green ? cuGreenCtxGetId(c.green, id) : cuCtxGetId(c.context, id));
}

cudaError_t executionCtxStreamCreate(cudaStream_t* stream, cudaExecutionContext_t handle, unsigned flags, int priority) {
  cudaExecutionContext_st c{};
  CUDART_TRY(find(handle, &c));
  if (c.green) return error_of(cuGreenCtxStreamCreate(stream, c.green, flags | CU_STREAM_NON_BLOCKING, priority));
  CUDART_TRY(cuCtxPushCurrent_v2(c.context));
  const CUresult result = cuStreamCreateWithPriority(stream, flags, priority);
  CUDART_TRY(cuCtxPopCurrent_v2(nullptr));
  return error_of(result);
}

cudaError_t executionCtxSynchronize(cudaExecutionContext_t handle) {
  cudaExecutionContext_st c{};
  CUDART_TRY(find(handle, &c));
  return error_of(cuCtxSynchronize_v2(c.context));
}

cudaError_t executionCtxRecordEvent(cudaExecutionContext_t handle, cudaEvent_t event) {
  cudaExecutionContext_st c{};
  CUDART_TRY(find(handle, &c));
  return error_of(c.green ? cuGreenCtxRecordEvent(c.green, event) : cuCtxRecordEvent(c.context, event));
}

cudaError_t executionCtxWaitEvent(cudaExecutionContext_t handle, cudaEvent_t event) {
  cudaExecutionContext_st c{};
  CUDART_TRY(find(handle, &c));
  return error_of(c.green ? cuGreenCtxWaitEvent(c.green, event) : cuCtxWaitEvent(c.context, event));
}

cudaError_t deviceGetExecutionCtx(cudaExecutionContext_t* context, int device) {
  if (!context) return cudaErrorInvalidValue;
  CUcontext primary = nullptr;
  CUDART_TRY(retain_primary_context(device, &primary));
  {
    Contexts& c = contexts();
    const std::lock_guard lock(c.mutex);
    for (const auto& [handle, known] : c.all) {
      if (known->green || known->device != device) continue;
      *context = handle;
      return cudaSuccess;
    }
  }
  *context = keep({device, primary, nullptr});
  return cudaSuccess;
}

}  // namespace anywarp::cudart
