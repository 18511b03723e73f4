// Manual: graph management. Graphs, nodes, executable graphs and user objects are the driver's, and most functions are the driver's under
// another name (the API table equates them). Here: those whose parameters of nodes differ.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t graphAddKernelNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count,
                               const cudaKernelNodeParams* p);
cudaError_t graphKernelNodeGetParams(cudaGraphNode_t node, cudaKernelNodeParams* p);
cudaError_t graphKernelNodeSetParams(cudaGraphNode_t node, const cudaKernelNodeParams* p);
cudaError_t graphAddMemcpyNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count,
                               const cudaMemcpy3DParms* p);
cudaError_t graphAddMemcpyNode1D(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count, void* to,
                                 const void* from, size_t bytes, cudaMemcpyKind kind);
cudaError_t graphAddMemcpyNodeToSymbol(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count,
                                       const void* symbol, const void* from, size_t bytes, size_t offset, cudaMemcpyKind kind);
cudaError_t graphAddMemcpyNodeFromSymbol(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count, void* to,
                                         const void* symbol, size_t bytes, size_t offset, cudaMemcpyKind kind);
cudaError_t graphMemcpyNodeGetParams(cudaGraphNode_t node, cudaMemcpy3DParms* p);
cudaError_t graphMemcpyNodeSetParams(cudaGraphNode_t node, const cudaMemcpy3DParms* p);
cudaError_t graphMemcpyNodeSetParams1D(cudaGraphNode_t node, void* to, const void* from, size_t bytes, cudaMemcpyKind kind);
cudaError_t graphMemcpyNodeSetParamsToSymbol(cudaGraphNode_t node, const void* symbol, const void* from, size_t bytes, size_t offset,
                                             cudaMemcpyKind kind);
cudaError_t graphMemcpyNodeSetParamsFromSymbol(cudaGraphNode_t node, void* to, const void* symbol, size_t bytes, size_t offset,
                                               cudaMemcpyKind kind);
cudaError_t graphAddMemsetNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count,
                               const cudaMemsetParams* p);
cudaError_t graphMemsetNodeGetParams(cudaGraphNode_t node, cudaMemsetParams* p);
cudaError_t graphMemsetNodeSetParams(cudaGraphNode_t node, const cudaMemsetParams* p);
cudaError_t graphExecKernelNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, const cudaKernelNodeParams* p);
cudaError_t graphExecMemcpyNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, const cudaMemcpy3DParms* p);
cudaError_t graphExecMemcpyNodeSetParams1D(cudaGraphExec_t exec, cudaGraphNode_t node, void* to, const void* from, size_t bytes,
                                           cudaMemcpyKind kind);
cudaError_t graphExecMemcpyNodeSetParamsToSymbol(cudaGraphExec_t exec, cudaGraphNode_t node, const void* symbol, const void* from, size_t bytes,
                                                 size_t offset, cudaMemcpyKind kind);
cudaError_t graphExecMemcpyNodeSetParamsFromSymbol(cudaGraphExec_t exec, cudaGraphNode_t node, void* to, const void* symbol, size_t bytes,
                                                   size_t offset, cudaMemcpyKind kind);
cudaError_t graphExecMemsetNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, const cudaMemsetParams* p);

// Nodes of any type (graph_generic.cpp).
cudaError_t graphAddNode_v1(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count, cudaGraphNodeParams* p);
cudaError_t graphAddNode_v2(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, const cudaGraphEdgeData* data, size_t count,
                            cudaGraphNodeParams* p);
cudaError_t graphNodeSetParams(cudaGraphNode_t node, cudaGraphNodeParams* p);
cudaError_t graphNodeGetParams(cudaGraphNode_t node, cudaGraphNodeParams* p);
cudaError_t graphExecNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, cudaGraphNodeParams* p);
// Its callback is told the runtime's parameters.
cudaError_t streamBeginRecaptureToGraph(cudaStream_t stream, cudaStreamCaptureMode mode, cudaGraph_t graph, cudaGraphRecaptureCallbackData* callback);
cudaError_t graphConditionalHandleCreate(cudaGraphConditionalHandle* handle, cudaGraph_t graph, unsigned default_value, unsigned flags);
cudaError_t graphConditionalHandleCreate_v2(cudaGraphConditionalHandle* handle, cudaGraph_t graph, cudaExecutionContext_t context, unsigned default_value,
                                            unsigned flags);

}  // namespace anywarp::cudart
