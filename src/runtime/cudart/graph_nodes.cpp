#include "cudart/graph.h"

#include "cudart/memory_copy.h"
#include "cudart/registration.h"

namespace anywarp::cudart {
namespace {

cudaError_t convert(const cudaKernelNodeParams* p, CUDA_KERNEL_NODE_PARAMS* out) {
  if (!p) return cudaErrorInvalidValue;
  CUfunction f = nullptr;
  CUDART_TRY(find_function(p->func, &f));
  *out = {f, p->gridDim.x, p->gridDim.y, p->gridDim.z, p->blockDim.x, p->blockDim.y, p->blockDim.z, p->sharedMemBytes, p->kernelParams, p->extra,
          nullptr, nullptr};
  return cudaSuccess;
}

cudaKernelNodeParams convert(const CUDA_KERNEL_NODE_PARAMS& k) {
  const CUfunction handle = k.kern ? reinterpret_cast<CUfunction>(k.kern) : k.func;
  return {host_of(handle), {k.gridDimX, k.gridDimY, k.gridDimZ}, {k.blockDimX, k.blockDimY, k.blockDimZ}, k.sharedMemBytes, k.kernelParams,
      k.extra};
}

// `context`: the current one, which the driver wants to know for copies and fills.
cudaError_t convert(const cudaMemcpy3DParms* p, CUDA_MEMCPY3D* out, CUcontext* context) {
  if (!p) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  CUDART_TRY(cuCtxGetCurrent(context));
  return cudart::convert(*p, out);
}

static_assert(sizeof(cudaMemsetParams) == sizeof(CUDA_MEMSET_NODE_PARAMS) && sizeof(cudaHostNodeParams) == sizeof(CUDA_HOST_NODE_PARAMS) &&
              sizeof(cudaMemAllocNodeParams) == sizeof(CUDA_MEM_ALLOC_NODE_PARAMS));

cudaError_t convert(const cudaMemsetParams* p, CUDA_MEMSET_NODE_PARAMS* out, CUcontext* context) {
  if (!p) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  CUDART_TRY(cuCtxGetCurrent(context));
  *out = std::bit_cast<CUDA_MEMSET_NODE_PARAMS>(*p);
  return cudaSuccess;
}

// A linear copy as a box of one row.
cudaMemcpy3DParms line(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  cudaMemcpy3DParms p{};
  p.srcPtr = {const_cast<void*>(from), bytes, bytes, 1};
  p.dstPtr = {to, bytes, bytes, 1};
  p.extent = {bytes, 1, 1};
  p.kind = kind;
  return p;
}

}  // namespace

cudaError_t graphAddKernelNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count,
                               const cudaKernelNodeParams* p) {
  CUDA_KERNEL_NODE_PARAMS k;
  CUDART_TRY(convert(p, &k));
  return error_of(cuGraphAddKernelNode_v2(node, graph, dependencies, count, &k));
}

cudaError_t graphKernelNodeGetParams(cudaGraphNode_t node, cudaKernelNodeParams* p) {
  if (!p) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  CUDA_KERNEL_NODE_PARAMS k;
  CUDART_TRY(cuGraphKernelNodeGetParams_v2(node, &k));
  *p = convert(k);
  return cudaSuccess;
}

cudaError_t graphKernelNodeSetParams(cudaGraphNode_t node, const cudaKernelNodeParams* p) {
  CUDA_KERNEL_NODE_PARAMS k;
  CUDART_TRY(convert(p, &k));
  return error_of(cuGraphKernelNodeSetParams_v2(node, &k));
}

cudaError_t graphAddMemcpyNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count,
                               const cudaMemcpy3DParms* p) {
  CUDA_MEMCPY3D c;
  CUcontext context = nullptr;
  CUDART_TRY(convert(p, &c, &context));
  return error_of(cuGraphAddMemcpyNode(node, graph, dependencies, count, &c, context));
}

cudaError_t graphAddMemcpyNode1D(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count, void* to,
                                 const void* from, size_t bytes, cudaMemcpyKind kind) {
  const cudaMemcpy3DParms p = line(to, from, bytes, kind);
  return graphAddMemcpyNode(node, graph, dependencies, count, &p);
}

cudaError_t graphAddMemcpyNodeToSymbol(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count,
                                       const void* symbol, const void* from, size_t bytes, size_t offset, cudaMemcpyKind kind) {
  void* to = nullptr;
  CUDART_TRY(check_symbol_direction(kind, cudaMemcpyHostToDevice));
  CUDART_TRY(part_of_variable(symbol, offset, bytes, &to));
  return graphAddMemcpyNode1D(node, graph, dependencies, count, to, from, bytes, kind);
}

cudaError_t graphAddMemcpyNodeFromSymbol(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count, void* to,
                                         const void* symbol, size_t bytes, size_t offset, cudaMemcpyKind kind) {
  void* from = nullptr;
  CUDART_TRY(check_symbol_direction(kind, cudaMemcpyDeviceToHost));
  CUDART_TRY(part_of_variable(symbol, offset, bytes, &from));
  return graphAddMemcpyNode1D(node, graph, dependencies, count, to, from, bytes, kind);
}

cudaError_t graphMemcpyNodeGetParams(cudaGraphNode_t node, cudaMemcpy3DParms* p) {
  if (!p) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  CUDA_MEMCPY3D c;
  CUDART_TRY(cuGraphMemcpyNodeGetParams(node, &c));
  *p = cudart::convert(c);
  return cudaSuccess;
}

cudaError_t graphMemcpyNodeSetParams(cudaGraphNode_t node, const cudaMemcpy3DParms* p) {
  CUDA_MEMCPY3D c;
  CUcontext context = nullptr;
  CUDART_TRY(convert(p, &c, &context));
  return error_of(cuGraphMemcpyNodeSetParams(node, &c));
}

cudaError_t graphMemcpyNodeSetParams1D(cudaGraphNode_t node, void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const cudaMemcpy3DParms p = line(to, from, bytes, kind);
  return graphMemcpyNodeSetParams(node, &p);
}

cudaError_t graphMemcpyNodeSetParamsToSymbol(cudaGraphNode_t node, const void* symbol, const void* from, size_t bytes, size_t offset,
                                             cudaMemcpyKind kind) {
  void* to = nullptr;
  CUDART_TRY(check_symbol_direction(kind, cudaMemcpyHostToDevice));
  CUDART_TRY(part_of_variable(symbol, offset, bytes, &to));
  return graphMemcpyNodeSetParams1D(node, to, from, bytes, kind);
}

cudaError_t graphMemcpyNodeSetParamsFromSymbol(cudaGraphNode_t node, void* to, const void* symbol, size_t bytes, size_t offset,
                                               cudaMemcpyKind kind) {
  void* from = nullptr;
  CUDART_TRY(check_symbol_direction(kind, cudaMemcpyDeviceToHost));
  CUDART_TRY(part_of_variable(symbol, offset, bytes, &from));
  return graphMemcpyNodeSetParams1D(node, to, from, bytes, kind);
}

cudaError_t graphAddMemsetNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count,
                               const cudaMemsetParams* p) {
  CUDA_MEMSET_NODE_PARAMS f;
  CUcontext context = nullptr;
  CUDART_TRY(convert(p, &f, &context));
  return error_of(cuGraphAddMemsetNode(node, graph, dependencies, count, &f, context));
}

cudaError_t graphMemsetNodeGetParams(cudaGraphNode_t node, cudaMemsetParams* p) {
  if (!p) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  CUDA_MEMSET_NODE_PARAMS f;
  CUDART_TRY(cuGraphMemsetNodeGetParams(node, &f));
  *p = std::bit_cast<cudaMemsetParams>(f);
  return cudaSuccess;
}

cudaError_t graphMemsetNodeSetParams(cudaGraphNode_t node, const cudaMemsetParams* p) {
  CUDA_MEMSET_NODE_PARAMS f;
  CUcontext context = nullptr;
  CUDART_TRY(convert(p, &f, &context));
  return error_of(cuGraphMemsetNodeSetParams(node, &f));
}

cudaError_t graphExecKernelNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, const cudaKernelNodeParams* p) {
  CUDA_KERNEL_NODE_PARAMS k;
  CUDART_TRY(convert(p, &k));
  return error_of(cuGraphExecKernelNodeSetParams_v2(exec, node, &k));
}

cudaError_t graphExecMemcpyNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, const cudaMemcpy3DParms* p) {
  CUDA_MEMCPY3D c;
  CUcontext context = nullptr;
  CUDART_TRY(convert(p, &c, &context));
  return error_of(cuGraphExecMemcpyNodeSetParams(exec, node, &c, context));
}

cudaError_t graphExecMemcpyNodeSetParams1D(cudaGraphExec_t exec, cudaGraphNode_t node, void* to, const void* from, size_t bytes,
                                           cudaMemcpyKind kind) {
  const cudaMemcpy3DParms p = line(to, from, bytes, kind);
  return graphExecMemcpyNodeSetParams(exec, node, &p);
}

cudaError_t graphExecMemcpyNodeSetParamsToSymbol(cudaGraphExec_t exec, cudaGraphNode_t node, const void* symbol, const void* from, size_t bytes,
                                                 size_t offset, cudaMemcpyKind kind) {
  void* to = nullptr;
  CUDART_TRY(check_symbol_direction(kind, cudaMemcpyHostToDevice));
  CUDART_TRY(part_of_variable(symbol, offset, bytes, &to));
  return graphExecMemcpyNodeSetParams1D(exec, node, to, from, bytes, kind);
}

cudaError_t graphExecMemcpyNodeSetParamsFromSymbol(cudaGraphExec_t exec, cudaGraphNode_t node, void* to, const void* symbol, size_t bytes,
                                                   size_t offset, cudaMemcpyKind kind) {
  void* from = nullptr;
  CUDART_TRY(check_symbol_direction(kind, cudaMemcpyDeviceToHost));
  CUDART_TRY(part_of_variable(symbol, offset, bytes, &from));
  return graphExecMemcpyNodeSetParams1D(exec, node, to, from, bytes, kind);
}

cudaError_t graphExecMemsetNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, const cudaMemsetParams* p) {
  CUDA_MEMSET_NODE_PARAMS f;
  CUcontext context = nullptr;
  CUDART_TRY(convert(p, &f, &context));
  return error_of(cuGraphExecMemsetNodeSetParams(exec, node, &f, context));
}

}  // namespace anywarp::cudart
