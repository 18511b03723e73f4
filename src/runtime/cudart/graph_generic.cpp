// Nodes of any type through one struct of parameters. Most of the union is laid out as the driver's; kernels and copies are converted, and
// execution contexts become contexts.
#include <cstddef>
#include <cstring>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "cudart/execution_context.h"
#include "cudart/graph.h"
#include "cudart/memory_copy.h"
#include "cudart/registration.h"

namespace anywarp::cudart {
namespace {

static_assert(sizeof(cudaGraphNodeParams) == sizeof(CUgraphNodeParams) && offsetof(cudaGraphNodeParams, kernel) == offsetof(CUgraphNodeParams, kernel));
static_assert(sizeof(cudaMemsetParamsV2) == sizeof(CUDA_MEMSET_NODE_PARAMS_v2) && sizeof(cudaHostNodeParamsV2) == sizeof(CUDA_HOST_NODE_PARAMS_v2));
static_assert(sizeof(cudaConditionalNodeParams) == sizeof(CUDA_CONDITIONAL_NODE_PARAMS) && sizeof(cudaMemAllocNodeParamsV2) == sizeof(CUDA_MEM_ALLOC_NODE_PARAMS_v2));

// The context of a node: the execution context's, else the current one.
CUcontext context_or_current(cudaExecutionContext_t execution) {
  CUcontext context = context_of(execution);
  if (!context) cuCtxGetCurrent(&context);
  return context;
}

cudaError_t convert(const cudaGraphNodeParams* from, CUgraphNodeParams* to) {
  if (!from) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  std::memcpy(to, from, sizeof *to);
  switch (from->type) {
    case cudaGraphNodeTypeKernel: {
      const cudaKernelNodeParamsV2& k = from->kernel;
      CUfunction function = k.cuFunc;
      // A kernel's or function's handle may be given as such; what is unspecified may be either, or a stand-in of the program's.
      if (k.functionType == cudaKernelFunctionTypeUnspecified || k.functionType == cudaKernelFunctionTypeDeviceEntry) CUDART_TRY(find_function(k.func, &function));
      to->kernel = {function, k.gridDim.x, k.gridDim.y, k.gridDim.z, k.blockDim.x, k.blockDim.y, k.blockDim.z, k.sharedMemBytes, k.kernelParams,
                    k.extra, nullptr, context_of(k.ctx)};
      return cudaSuccess;
    }
    case cudaGraphNodeTypeMemcpy:
      to->memcpy = {};
      to->memcpy.flags = from->memcpy.flags;
      to->memcpy.copyCtx = context_or_current(from->memcpy.ctx);
      return cudart::convert(from->memcpy.copyParams, &to->memcpy.copyParams);
    case cudaGraphNodeTypeMemset: to->memset.ctx = context_or_current(from->memset.ctx); return cudaSuccess;
    case cudaGraphNodeTypeHost: to->host.ctx = context_of(from->host.ctx); return cudaSuccess;
    case cudaGraphNodeTypeEventRecord: to->eventRecord.ctx = context_of(from->eventRecord.ctx); return cudaSuccess;
    case cudaGraphNodeTypeExtSemaphoreSignal: to->extSemSignal.ctx = context_of(from->extSemSignal.ctx); return cudaSuccess;
    case cudaGraphNodeTypeExtSemaphoreWait: to->extSemWait.ctx = context_of(from->extSemWait.ctx); return cudaSuccess;
    case cudaGraphNodeTypeConditional: to->conditional.ctx = context_or_current(from->conditional.ctx); return cudaSuccess;
    default: return cudaSuccess;
  }
}

// The driver's parameters as the runtime's.
cudaGraphNodeParams convert(const CUgraphNodeParams& from) {
  cudaGraphNodeParams to;
  std::memcpy(&to, &from, sizeof to);
  switch (to.type) {
    case cudaGraphNodeTypeKernel: {
      const CUDA_KERNEL_NODE_PARAMS_v3& k = from.kernel;
      to.kernel = {};
      to.kernel.func = host_of(k.kern ? reinterpret_cast<CUfunction>(k.kern) : k.func);
      to.kernel.gridDim = {k.gridDimX, k.gridDimY, k.gridDimZ}, to.kernel.blockDim = {k.blockDimX, k.blockDimY, k.blockDimZ};
      to.kernel.sharedMemBytes = k.sharedMemBytes, to.kernel.kernelParams = k.kernelParams, to.kernel.extra = k.extra;
      break;
    }
    case cudaGraphNodeTypeMemcpy:
      to.memcpy = {};
      to.memcpy.copyParams = cudart::convert(from.memcpy.copyParams);
      break;
    case cudaGraphNodeTypeMemset: to.memset.ctx = nullptr; break;
    default: break;
  }
  return to;
}

// What a stream's capture tells while it goes over a graph again; kept until the stream does so the next time.
struct Recaptures {
  std::mutex mutex;
  std::unordered_map<cudaStream_t, std::unique_ptr<cudaGraphRecaptureCallbackData>> all;
};
Recaptures& recaptures() {
  static auto* r = new Recaptures;
  return *r;
}

CUresult tell(void* data, CUgraphNode node, const CUgraphNodeParams* before, const CUgraphNodeParams* after, CUgraphRecaptureStatus status) {
  const auto& callback = *static_cast<const cudaGraphRecaptureCallbackData*>(data);
  const cudaGraphNodeParams was = convert(*before), is = convert(*after);
  return static_cast<CUresult>(callback.callbackFunc(callback.userData, node, &was, &is, static_cast<cudaGraphRecaptureStatus>(status)));
}

cudaError_t add(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, const cudaGraphEdgeData* data, size_t count,
                cudaGraphNodeParams* p) {
  CUgraphNodeParams params;
  CUDART_TRY(convert(p, &params));
  CUDART_TRY(cuGraphAddNode_v2(node, graph, dependencies, reinterpret_cast<const CUgraphEdgeData*>(data), count, &params));
  // What the driver gives out.
  if (p->type == cudaGraphNodeTypeMemAlloc) p->alloc.dptr = reinterpret_cast<void*>(params.alloc.dptr);  // NOLINT
  if (p->type == cudaGraphNodeTypeConditional) p->conditional.phGraph_out = params.conditional.phGraph_out;
  return cudaSuccess;
}

}  // namespace

cudaError_t graphAddNode_v1(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count, cudaGraphNodeParams* p) {
  return add(node, graph, dependencies, nullptr, count, p);
}

cudaError_t graphAddNode_v2(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, const cudaGraphEdgeData* data, size_t count,
                            cudaGraphNodeParams* p) {
  return add(node, graph, dependencies, data, count, p);
}

cudaError_t graphNodeSetParams(cudaGraphNode_t node, cudaGraphNodeParams* p) {
  CUgraphNodeParams params;
  CUDART_TRY(convert(p, &params));
  return error_of(cuGraphNodeSetParams(node, &params));
}

cudaError_t graphExecNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, cudaGraphNodeParams* p) {
  CUgraphNodeParams params;
  CUDART_TRY(convert(p, &params));
  return error_of(cuGraphExecNodeSetParams(exec, node, &params));
}

cudaError_t graphNodeGetParams(cudaGraphNode_t node, cudaGraphNodeParams* p) {
  if (!p) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  CUgraphNodeParams params;
  CUDART_TRY(cuGraphNodeGetParams(node, &params));
  *p = convert(params);
  return cudaSuccess;
}

cudaError_t streamBeginRecaptureToGraph(cudaStream_t stream, cudaStreamCaptureMode mode, cudaGraph_t graph, cudaGraphRecaptureCallbackData* callback) {
  CUDART_TRY(use_context());
  const auto driver_mode = static_cast<CUstreamCaptureMode>(mode);
  if (!callback || !callback->callbackFunc) return error_of(cuStreamBeginRecaptureToGraph(stream, driver_mode, graph, nullptr, nullptr));
  auto kept = std::make_unique<cudaGraphRecaptureCallbackData>(*callback);
  CUDART_TRY(cuStreamBeginRecaptureToGraph(stream, driver_mode, graph, tell, kept.get()));
  Recaptures& r = recaptures();
  const std::lock_guard lock(r.mutex);
  r.all[stream] = std::move(kept);
  return cudaSuccess;
}

cudaError_t graphConditionalHandleCreate(cudaGraphConditionalHandle* handle, cudaGraph_t graph, unsigned default_value, unsigned flags) {
  return graphConditionalHandleCreate_v2(handle, graph, nullptr, default_value, flags);
}

cudaError_t graphConditionalHandleCreate_v2(cudaGraphConditionalHandle* handle, cudaGraph_t graph, cudaExecutionContext_t context, unsigned default_value,
                                            unsigned flags) {
  CUDART_TRY(use_context());
  return error_of(cuGraphConditionalHandleCreate(reinterpret_cast<CUgraphConditionalHandle*>(handle), graph, context_of(context), default_value, flags));
}

}  // namespace anywarp::cudart
