// Manual: graph management. Graphs, nodes, executable graphs and user objects are the driver's; parameters of nodes are converted
// (graph_nodes.cpp), the rest is passed on (graph.cpp).
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t graphCreate(cudaGraph_t* graph, unsigned flags);
cudaError_t graphDestroy(cudaGraph_t graph);
cudaError_t graphClone(cudaGraph_t* clone, cudaGraph_t graph);
cudaError_t graphGetId(cudaGraph_t graph, unsigned* id);
cudaError_t graphNodeFindInClone(cudaGraphNode_t* node, cudaGraphNode_t original, cudaGraph_t clone);
cudaError_t graphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type);
cudaError_t graphNodeGetContainingGraph(cudaGraphNode_t node, cudaGraph_t* graph);
cudaError_t graphNodeGetLocalId(cudaGraphNode_t node, unsigned* id);
cudaError_t graphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count);
cudaError_t graphGetRootNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count);
cudaError_t graphGetEdges_v1(cudaGraph_t graph, cudaGraphNode_t* from, cudaGraphNode_t* to, size_t* count);
cudaError_t graphGetEdges_v2(cudaGraph_t graph, cudaGraphNode_t* from, cudaGraphNode_t* to, cudaGraphEdgeData* data, size_t* count);
cudaError_t graphNodeGetDependencies_v1(cudaGraphNode_t node, cudaGraphNode_t* dependencies, size_t* count);
cudaError_t graphNodeGetDependencies_v2(cudaGraphNode_t node, cudaGraphNode_t* dependencies, cudaGraphEdgeData* data, size_t* count);
cudaError_t graphNodeGetDependentNodes_v1(cudaGraphNode_t node, cudaGraphNode_t* dependents, size_t* count);
cudaError_t graphNodeGetDependentNodes_v2(cudaGraphNode_t node, cudaGraphNode_t* dependents, cudaGraphEdgeData* data, size_t* count);
cudaError_t graphAddDependencies_v1(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to, size_t count);
cudaError_t graphAddDependencies_v2(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to, const cudaGraphEdgeData* data,
                                    size_t count);
cudaError_t graphRemoveDependencies_v1(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to, size_t count);
cudaError_t graphRemoveDependencies_v2(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to, const cudaGraphEdgeData* data,
                                       size_t count);
cudaError_t graphDestroyNode(cudaGraphNode_t node);
cudaError_t graphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, cudaGraphNode_t* error_node, char* log, size_t log_bytes);
cudaError_t graphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags);
cudaError_t graphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags);
cudaError_t graphInstantiateWithParams(cudaGraphExec_t* exec, cudaGraph_t graph, cudaGraphInstantiateParams* parameters,
                                       cudaStream_t default_stream);
cudaError_t graphExecGetFlags(cudaGraphExec_t exec, unsigned long long* flags);
cudaError_t graphExecGetId(cudaGraphExec_t exec, unsigned* id);
cudaError_t graphExecChildGraphNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, cudaGraph_t child);
cudaError_t graphExecEventRecordNodeSetEvent(cudaGraphExec_t exec, cudaGraphNode_t node, cudaEvent_t event);
cudaError_t graphExecEventWaitNodeSetEvent(cudaGraphExec_t exec, cudaGraphNode_t node, cudaEvent_t event);
cudaError_t graphNodeSetEnabled(cudaGraphExec_t exec, cudaGraphNode_t node, unsigned enabled);
cudaError_t graphNodeGetEnabled(cudaGraphExec_t exec, cudaGraphNode_t node, unsigned* enabled);
cudaError_t graphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph, cudaGraphNode_t* error_node, cudaGraphExecUpdateResult* result);
cudaError_t graphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph, cudaGraphExecUpdateResultInfo* info);
cudaError_t graphUpload(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t graphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t graphExecDestroy(cudaGraphExec_t exec);
cudaError_t graphDebugDotPrint(cudaGraph_t graph, const char* path, unsigned flags);
cudaError_t userObjectCreate(cudaUserObject_t* object, void* pointer, cudaHostFn_t destroy, unsigned references, unsigned flags);
cudaError_t userObjectRetain(cudaUserObject_t object, unsigned count);
cudaError_t userObjectRelease(cudaUserObject_t object, unsigned count);
cudaError_t graphRetainUserObject(cudaGraph_t graph, cudaUserObject_t object, unsigned count, unsigned flags);
cudaError_t graphReleaseUserObject(cudaGraph_t graph, cudaUserObject_t object, unsigned count);
cudaError_t deviceGraphMemTrim(int device);
cudaError_t deviceGetGraphMemAttribute(int device, cudaGraphMemAttributeType attribute, void* value);
cudaError_t deviceSetGraphMemAttribute(int device, cudaGraphMemAttributeType attribute, void* value);

// Nodes (graph_nodes.cpp).
cudaError_t graphAddKernelNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count,
                               const cudaKernelNodeParams* p);
cudaError_t graphKernelNodeGetParams(cudaGraphNode_t node, cudaKernelNodeParams* p);
cudaError_t graphKernelNodeSetParams(cudaGraphNode_t node, const cudaKernelNodeParams* p);
cudaError_t graphKernelNodeCopyAttributes(cudaGraphNode_t destination, cudaGraphNode_t source);
cudaError_t graphKernelNodeGetAttribute(cudaGraphNode_t node, cudaLaunchAttributeID attribute, cudaLaunchAttributeValue* value);
cudaError_t graphKernelNodeSetAttribute(cudaGraphNode_t node, cudaLaunchAttributeID attribute, const cudaLaunchAttributeValue* value);
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
cudaError_t graphAddHostNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count,
                             const cudaHostNodeParams* p);
cudaError_t graphHostNodeGetParams(cudaGraphNode_t node, cudaHostNodeParams* p);
cudaError_t graphHostNodeSetParams(cudaGraphNode_t node, const cudaHostNodeParams* p);
cudaError_t graphAddChildGraphNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count,
                                   cudaGraph_t child);
cudaError_t graphChildGraphNodeGetGraph(cudaGraphNode_t node, cudaGraph_t* graph);
cudaError_t graphAddEmptyNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count);
cudaError_t graphAddEventRecordNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count,
                                    cudaEvent_t event);
cudaError_t graphEventRecordNodeGetEvent(cudaGraphNode_t node, cudaEvent_t* event);
cudaError_t graphEventRecordNodeSetEvent(cudaGraphNode_t node, cudaEvent_t event);
cudaError_t graphAddEventWaitNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count, cudaEvent_t event);
cudaError_t graphEventWaitNodeGetEvent(cudaGraphNode_t node, cudaEvent_t* event);
cudaError_t graphEventWaitNodeSetEvent(cudaGraphNode_t node, cudaEvent_t event);
cudaError_t graphAddMemAllocNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count,
                                 cudaMemAllocNodeParams* p);
cudaError_t graphMemAllocNodeGetParams(cudaGraphNode_t node, cudaMemAllocNodeParams* p);
cudaError_t graphAddMemFreeNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count, void* pointer);
cudaError_t graphMemFreeNodeGetParams(cudaGraphNode_t node, void* pointer);
cudaError_t graphExecKernelNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, const cudaKernelNodeParams* p);
cudaError_t graphExecMemcpyNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, const cudaMemcpy3DParms* p);
cudaError_t graphExecMemcpyNodeSetParams1D(cudaGraphExec_t exec, cudaGraphNode_t node, void* to, const void* from, size_t bytes,
                                           cudaMemcpyKind kind);
cudaError_t graphExecMemcpyNodeSetParamsToSymbol(cudaGraphExec_t exec, cudaGraphNode_t node, const void* symbol, const void* from, size_t bytes,
                                                 size_t offset, cudaMemcpyKind kind);
cudaError_t graphExecMemcpyNodeSetParamsFromSymbol(cudaGraphExec_t exec, cudaGraphNode_t node, void* to, const void* symbol, size_t bytes,
                                                   size_t offset, cudaMemcpyKind kind);
cudaError_t graphExecMemsetNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, const cudaMemsetParams* p);
cudaError_t graphExecHostNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, const cudaHostNodeParams* p);

}  // namespace anywarp::cudart
