#include "cudart/graph.h"


namespace anywarp::cudart {

cudaError_t graphCreate(cudaGraph_t* graph, unsigned flags) {
  CUDART_TRY(use_context());
  return error_of(cuGraphCreate(graph, flags));
}

cudaError_t graphDestroy(cudaGraph_t graph) {
  CUDART_TRY(use_context());
  return error_of(cuGraphDestroy(graph));
}

cudaError_t graphClone(cudaGraph_t* clone, cudaGraph_t graph) {
  CUDART_TRY(use_context());
  return error_of(cuGraphClone(clone, graph));
}

cudaError_t graphGetId(cudaGraph_t graph, unsigned* id) {
  CUDART_TRY(use_context());
  return error_of(cuGraphGetId(graph, id));
}

cudaError_t graphNodeFindInClone(cudaGraphNode_t* node, cudaGraphNode_t original, cudaGraph_t clone) {
  CUDART_TRY(use_context());
  return error_of(cuGraphNodeFindInClone(node, original, clone));
}

cudaError_t graphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  if (!type) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  CUgraphNodeType value;
  CUDART_TRY(cuGraphNodeGetType(node, &value));
  *type = static_cast<cudaGraphNodeType>(value);
  return cudaSuccess;
}

cudaError_t graphNodeGetContainingGraph(cudaGraphNode_t node, cudaGraph_t* graph) {
  CUDART_TRY(use_context());
  return error_of(cuGraphNodeGetContainingGraph(node, graph));
}

cudaError_t graphNodeGetLocalId(cudaGraphNode_t node, unsigned* id) {
  CUDART_TRY(use_context());
  return error_of(cuGraphNodeGetLocalId(node, id));
}

cudaError_t graphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  CUDART_TRY(use_context());
  return error_of(cuGraphGetNodes(graph, nodes, count));
}

cudaError_t graphGetRootNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  CUDART_TRY(use_context());
  return error_of(cuGraphGetRootNodes(graph, nodes, count));
}

cudaError_t graphGetEdges_v1(cudaGraph_t graph, cudaGraphNode_t* from, cudaGraphNode_t* to, size_t* count) {
  CUDART_TRY(use_context());
  return error_of(cuGraphGetEdges(graph, from, to, count));
}

cudaError_t graphGetEdges_v2(cudaGraph_t graph, cudaGraphNode_t* from, cudaGraphNode_t* to, cudaGraphEdgeData* data, size_t* count) {
  CUDART_TRY(use_context());
  return error_of(cuGraphGetEdges_v2(graph, from, to, reinterpret_cast<CUgraphEdgeData*>(data), count));
}

cudaError_t graphNodeGetDependencies_v1(cudaGraphNode_t node, cudaGraphNode_t* dependencies, size_t* count) {
  CUDART_TRY(use_context());
  return error_of(cuGraphNodeGetDependencies(node, dependencies, count));
}

cudaError_t graphNodeGetDependencies_v2(cudaGraphNode_t node, cudaGraphNode_t* dependencies, cudaGraphEdgeData* data, size_t* count) {
  CUDART_TRY(use_context());
  return error_of(cuGraphNodeGetDependencies_v2(node, dependencies, reinterpret_cast<CUgraphEdgeData*>(data), count));
}

cudaError_t graphNodeGetDependentNodes_v1(cudaGraphNode_t node, cudaGraphNode_t* dependents, size_t* count) {
  CUDART_TRY(use_context());
  return error_of(cuGraphNodeGetDependentNodes(node, dependents, count));
}

cudaError_t graphNodeGetDependentNodes_v2(cudaGraphNode_t node, cudaGraphNode_t* dependents, cudaGraphEdgeData* data, size_t* count) {
  CUDART_TRY(use_context());
  return error_of(cuGraphNodeGetDependentNodes_v2(node, dependents, reinterpret_cast<CUgraphEdgeData*>(data), count));
}

cudaError_t graphAddDependencies_v1(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to, size_t count) {
  CUDART_TRY(use_context());
  return error_of(cuGraphAddDependencies(graph, from, to, count));
}

cudaError_t graphAddDependencies_v2(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to, const cudaGraphEdgeData* data,
                                    size_t count) {
  CUDART_TRY(use_context());
  return error_of(cuGraphAddDependencies_v2(graph, from, to, reinterpret_cast<const CUgraphEdgeData*>(data), count));
}

cudaError_t graphRemoveDependencies_v1(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to, size_t count) {
  CUDART_TRY(use_context());
  return error_of(cuGraphRemoveDependencies(graph, from, to, count));
}

cudaError_t graphRemoveDependencies_v2(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to, const cudaGraphEdgeData* data,
                                       size_t count) {
  CUDART_TRY(use_context());
  return error_of(cuGraphRemoveDependencies_v2(graph, from, to, reinterpret_cast<const CUgraphEdgeData*>(data), count));
}

cudaError_t graphDestroyNode(cudaGraphNode_t node) {
  CUDART_TRY(use_context());
  return error_of(cuGraphDestroyNode(node));
}

cudaError_t graphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, cudaGraphNode_t* error_node, char* log, size_t log_bytes) {
  CUDART_TRY(use_context());
  return error_of(cuGraphInstantiate_v2(exec, graph, error_node, log, log_bytes));
}

cudaError_t graphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags) {
  return graphInstantiateWithFlags(exec, graph, flags);
}

cudaError_t graphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags) {
  CUDART_TRY(use_context());
  return error_of(cuGraphInstantiateWithFlags(exec, graph, flags));
}

cudaError_t graphInstantiateWithParams(cudaGraphExec_t* exec, cudaGraph_t graph, cudaGraphInstantiateParams* parameters,
                                       cudaStream_t default_stream) {
  if (!parameters) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  return error_of(form(default_stream, cuGraphInstantiateWithParams, cuGraphInstantiateWithParams_ptsz)(
      exec, graph, reinterpret_cast<CUDA_GRAPH_INSTANTIATE_PARAMS*>(parameters)));
}

cudaError_t graphExecGetFlags(cudaGraphExec_t exec, unsigned long long* flags) {
  if (!flags) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  cuuint64_t value = 0;
  CUDART_TRY(cuGraphExecGetFlags(exec, &value));
  *flags = value;
  return cudaSuccess;
}

cudaError_t graphExecGetId(cudaGraphExec_t exec, unsigned* id) {
  CUDART_TRY(use_context());
  return error_of(cuGraphExecGetId(exec, id));
}

cudaError_t graphExecChildGraphNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, cudaGraph_t child) {
  CUDART_TRY(use_context());
  return error_of(cuGraphExecChildGraphNodeSetParams(exec, node, child));
}

cudaError_t graphExecEventRecordNodeSetEvent(cudaGraphExec_t exec, cudaGraphNode_t node, cudaEvent_t event) {
  CUDART_TRY(use_context());
  return error_of(cuGraphExecEventRecordNodeSetEvent(exec, node, event));
}

cudaError_t graphExecEventWaitNodeSetEvent(cudaGraphExec_t exec, cudaGraphNode_t node, cudaEvent_t event) {
  CUDART_TRY(use_context());
  return error_of(cuGraphExecEventWaitNodeSetEvent(exec, node, event));
}

cudaError_t graphNodeSetEnabled(cudaGraphExec_t exec, cudaGraphNode_t node, unsigned enabled) {
  CUDART_TRY(use_context());
  return error_of(cuGraphNodeSetEnabled(exec, node, enabled));
}

cudaError_t graphNodeGetEnabled(cudaGraphExec_t exec, cudaGraphNode_t node, unsigned* enabled) {
  CUDART_TRY(use_context());
  return error_of(cuGraphNodeGetEnabled(exec, node, enabled));
}

cudaError_t graphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph, cudaGraphNode_t* error_node, cudaGraphExecUpdateResult* result) {
  CUDART_TRY(use_context());
  return error_of(cuGraphExecUpdate(exec, graph, error_node, reinterpret_cast<CUgraphExecUpdateResult*>(result)));
}

cudaError_t graphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph, cudaGraphExecUpdateResultInfo* info) {
  CUDART_TRY(use_context());
  return error_of(cuGraphExecUpdate_v2(exec, graph, reinterpret_cast<CUgraphExecUpdateResultInfo*>(info)));
}

cudaError_t graphUpload(cudaGraphExec_t exec, cudaStream_t stream) {
  CUDART_TRY(use_context());
  return error_of(cuGraphUpload(exec, stream));
}

cudaError_t graphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  CUDART_TRY(use_context());
  return error_of(cuGraphLaunch(exec, stream));
}

cudaError_t graphExecDestroy(cudaGraphExec_t exec) {
  CUDART_TRY(use_context());
  return error_of(cuGraphExecDestroy(exec));
}

cudaError_t graphDebugDotPrint(cudaGraph_t graph, const char* path, unsigned flags) {
  CUDART_TRY(use_context());
  return error_of(cuGraphDebugDotPrint(graph, path, flags));
}

cudaError_t userObjectCreate(cudaUserObject_t* object, void* pointer, cudaHostFn_t destroy, unsigned references, unsigned flags) {
  CUDART_TRY(use_context());
  return error_of(cuUserObjectCreate(object, pointer, destroy, references, flags));
}

cudaError_t userObjectRetain(cudaUserObject_t object, unsigned count) {
  CUDART_TRY(use_context());
  return error_of(cuUserObjectRetain(object, count));
}

cudaError_t userObjectRelease(cudaUserObject_t object, unsigned count) {
  CUDART_TRY(use_context());
  return error_of(cuUserObjectRelease(object, count));
}

cudaError_t graphRetainUserObject(cudaGraph_t graph, cudaUserObject_t object, unsigned count, unsigned flags) {
  CUDART_TRY(use_context());
  return error_of(cuGraphRetainUserObject(graph, object, count, flags));
}

cudaError_t graphReleaseUserObject(cudaGraph_t graph, cudaUserObject_t object, unsigned count) {
  CUDART_TRY(use_context());
  return error_of(cuGraphReleaseUserObject(graph, object, count));
}

cudaError_t deviceGraphMemTrim(int device) {
  CUDART_TRY(check_device(device));
  return error_of(cuDeviceGraphMemTrim(device));
}

cudaError_t deviceGetGraphMemAttribute(int device, cudaGraphMemAttributeType attribute, void* value) {
  CUDART_TRY(check_device(device));
  return error_of(cuDeviceGetGraphMemAttribute(device, static_cast<CUgraphMem_attribute>(attribute), value));
}

cudaError_t deviceSetGraphMemAttribute(int device, cudaGraphMemAttributeType attribute, void* value) {
  CUDART_TRY(check_device(device));
  return error_of(cuDeviceSetGraphMemAttribute(device, static_cast<CUgraphMem_attribute>(attribute), value));
}

}  // namespace anywarp::cudart
