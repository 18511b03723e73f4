// Manual: graph management. Nodes hold Work (work.h); an executable graph is a copy of a graph's works in an order that respects the
// dependencies, enqueued one after the other in the launch's stream. Running independent nodes beside one another comes later.
//
// Locks: none. A graph may not be used by two threads at once, as documented.
#pragma once

#include <memory>
#include <vector>

#include "driver/objects.h"
#include "driver/work.h"

struct CUgraphNode_st : anywarp::driver::TypeStable<CUgraphNode_st> {
  static constexpr auto kMagic = anywarp::driver::Magic::graph_node;
  anywarp::driver::Magic magic = kMagic;
  CUgraph graph = nullptr;
  unsigned id = 0;  // in the graph; a clone's node has its original's
  anywarp::driver::Work work;
  std::vector<CUgraphNode> dependencies, dependents;
  std::vector<CUgraphEdgeData> edges;  // of each dependency: kept, since every edge orders as a plain one does here
};

struct CUgraph_st : anywarp::driver::TypeStable<CUgraph_st> {
  static constexpr auto kMagic = anywarp::driver::Magic::graph;
  ~CUgraph_st();
  anywarp::driver::Magic magic = kMagic;
  unsigned id = 0;
  unsigned next_node = 0;
  bool is_owned = false;  // by a node: it cannot be destroyed
  std::vector<std::unique_ptr<CUgraphNode_st>> nodes;  // in the order of creation
  std::vector<std::pair<CUuserObject, unsigned>> user_objects;
  std::vector<std::shared_ptr<anywarp::driver::Condition>> conditions;  // whose handles were made for this graph
};

struct CUgraphExec_st : anywarp::driver::TypeStable<CUgraphExec_st> {
  static constexpr auto kMagic = anywarp::driver::Magic::graph_exec;
  struct Step {
    unsigned node_id;
    anywarp::driver::Work work;
    bool enabled = true;
  };
  anywarp::driver::Magic magic = kMagic;
  unsigned id = 0;
  unsigned graph_id = 0;  // of the graph it was made from
  unsigned long long flags = 0;
  std::atomic<bool> is_uploaded{false};  // kernels may launch it
  std::atomic<bool> in_flight{false};    // a kernel has launched it, and it is not complete
  std::vector<Step> steps;
  std::vector<std::vector<unsigned>> dependencies;  // of each step, by node id: cuGraphExecUpdate compares them
};

struct CUuserObject_st {
  std::atomic<unsigned> references{0};
  void* object = nullptr;
  CUhostFn destroy = nullptr;
};

namespace anywarp::driver {

CUresult graphCreate(CUgraph* graph, unsigned flags);
CUresult graphDestroy(CUgraph graph);
CUresult graphClone(CUgraph* clone, CUgraph graph);
CUresult graphGetId(CUgraph graph, unsigned* id);
CUresult graphNodeFindInClone(CUgraphNode* node, CUgraphNode original, CUgraph clone);
CUresult graphNodeGetType(CUgraphNode node, CUgraphNodeType* type);
CUresult graphNodeGetContainingGraph(CUgraphNode node, CUgraph* graph);
CUresult graphNodeGetLocalId(CUgraphNode node, unsigned* id);
CUresult graphGetNodes(CUgraph graph, CUgraphNode* nodes, size_t* count);
CUresult graphGetRootNodes(CUgraph graph, CUgraphNode* nodes, size_t* count);
CUresult graphGetEdges_v1(CUgraph graph, CUgraphNode* from, CUgraphNode* to, size_t* count);
CUresult graphGetEdges_v2(CUgraph graph, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* data, size_t* count);
CUresult graphNodeGetDependencies_v1(CUgraphNode node, CUgraphNode* dependencies, size_t* count);
CUresult graphNodeGetDependencies_v2(CUgraphNode node, CUgraphNode* dependencies, CUgraphEdgeData* data, size_t* count);
CUresult graphNodeGetDependentNodes_v1(CUgraphNode node, CUgraphNode* dependents, size_t* count);
CUresult graphNodeGetDependentNodes_v2(CUgraphNode node, CUgraphNode* dependents, CUgraphEdgeData* data, size_t* count);
CUresult graphAddDependencies_v1(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, size_t count);
CUresult graphAddDependencies_v2(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, const CUgraphEdgeData* data, size_t count);
CUresult graphRemoveDependencies_v1(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, size_t count);
CUresult graphRemoveDependencies_v2(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, const CUgraphEdgeData* data, size_t count);
CUresult graphDestroyNode(CUgraphNode node);

// Works as nodes (graph_nodes.cpp; memory operations and semaphores in graph_nodes_memory.cpp).
CUresult graphAddEmptyNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count);
CUresult graphAddKernelNode_v1(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, const CUDA_KERNEL_NODE_PARAMS_v1* p);
CUresult graphAddKernelNode_v2(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, const CUDA_KERNEL_NODE_PARAMS* p);
CUresult graphKernelNodeGetParams_v1(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS_v1* p);
CUresult graphKernelNodeGetParams_v2(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS* p);
CUresult graphKernelNodeSetParams_v1(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v1* p);
CUresult graphKernelNodeSetParams_v2(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS* p);
CUresult graphKernelNodeCopyAttributes(CUgraphNode destination, CUgraphNode source);
CUresult graphKernelNodeGetAttribute(CUgraphNode node, CUkernelNodeAttrID attribute, CUkernelNodeAttrValue* value);
CUresult graphKernelNodeSetAttribute(CUgraphNode node, CUkernelNodeAttrID attribute, const CUkernelNodeAttrValue* value);
CUresult graphAddMemcpyNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, const CUDA_MEMCPY3D* p, CUcontext context);
CUresult graphMemcpyNodeGetParams(CUgraphNode node, CUDA_MEMCPY3D* p);
CUresult graphMemcpyNodeSetParams(CUgraphNode node, const CUDA_MEMCPY3D* p);
CUresult graphAddMemsetNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, const CUDA_MEMSET_NODE_PARAMS* p,
                            CUcontext context);
CUresult graphMemsetNodeGetParams(CUgraphNode node, CUDA_MEMSET_NODE_PARAMS* p);
CUresult graphMemsetNodeSetParams(CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS* p);
CUresult graphAddHostNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, const CUDA_HOST_NODE_PARAMS* p);
CUresult graphHostNodeGetParams(CUgraphNode node, CUDA_HOST_NODE_PARAMS* p);
CUresult graphHostNodeSetParams(CUgraphNode node, const CUDA_HOST_NODE_PARAMS* p);
CUresult graphAddChildGraphNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, CUgraph child);
CUresult graphChildGraphNodeGetGraph(CUgraphNode node, CUgraph* graph);
CUresult graphAddEventRecordNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, CUevent event);
CUresult graphEventRecordNodeGetEvent(CUgraphNode node, CUevent* event);
CUresult graphEventRecordNodeSetEvent(CUgraphNode node, CUevent event);
CUresult graphAddEventWaitNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, CUevent event);
CUresult graphEventWaitNodeGetEvent(CUgraphNode node, CUevent* event);
CUresult graphEventWaitNodeSetEvent(CUgraphNode node, CUevent event);
CUresult graphAddMemAllocNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, CUDA_MEM_ALLOC_NODE_PARAMS* p);
CUresult graphMemAllocNodeGetParams(CUgraphNode node, CUDA_MEM_ALLOC_NODE_PARAMS* p);
CUresult graphAddMemFreeNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, CUdeviceptr address);
CUresult graphMemFreeNodeGetParams(CUgraphNode node, CUdeviceptr* address);
CUresult graphAddBatchMemOpNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, const CUDA_BATCH_MEM_OP_NODE_PARAMS* p);
CUresult graphBatchMemOpNodeGetParams(CUgraphNode node, CUDA_BATCH_MEM_OP_NODE_PARAMS* p);
CUresult graphBatchMemOpNodeSetParams(CUgraphNode node, const CUDA_BATCH_MEM_OP_NODE_PARAMS* p);
CUresult graphExecBatchMemOpNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_BATCH_MEM_OP_NODE_PARAMS* p);
CUresult graphAddExternalSemaphoresSignalNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count,
                                              const CUDA_EXT_SEM_SIGNAL_NODE_PARAMS* p);
CUresult graphExternalSemaphoresSignalNodeGetParams(CUgraphNode node, CUDA_EXT_SEM_SIGNAL_NODE_PARAMS* p);
CUresult graphExternalSemaphoresSignalNodeSetParams(CUgraphNode node, const CUDA_EXT_SEM_SIGNAL_NODE_PARAMS* p);
CUresult graphExecExternalSemaphoresSignalNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_EXT_SEM_SIGNAL_NODE_PARAMS* p);
CUresult graphAddExternalSemaphoresWaitNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count,
                                            const CUDA_EXT_SEM_WAIT_NODE_PARAMS* p);
CUresult graphExternalSemaphoresWaitNodeGetParams(CUgraphNode node, CUDA_EXT_SEM_WAIT_NODE_PARAMS* p);
CUresult graphExternalSemaphoresWaitNodeSetParams(CUgraphNode node, const CUDA_EXT_SEM_WAIT_NODE_PARAMS* p);
CUresult graphExecExternalSemaphoresWaitNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_EXT_SEM_WAIT_NODE_PARAMS* p);
CUresult graphAddNode_v1(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, CUgraphNodeParams* p);
CUresult graphAddNode_v2(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, const CUgraphEdgeData* data, size_t count, CUgraphNodeParams* p);
CUresult graphNodeSetParams(CUgraphNode node, CUgraphNodeParams* p);

// What graphs say of themselves (graph_info.cpp).
CUresult graphNodeGetParams(CUgraphNode node, CUgraphNodeParams* p);
CUresult graphNodeGetToolsId(CUgraphNode node, unsigned long long* id);
CUresult graphDebugDotPrint(CUgraph graph, const char* path, unsigned flags);
CUresult deviceGraphMemTrim(CUdevice device);
CUresult deviceGetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attribute, void* value);
CUresult deviceSetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attribute, void* value);

// Executable graphs (graph_exec.cpp).
CUresult graphInstantiate(CUgraphExec* exec, CUgraph graph, CUgraphNode* error_node, char* log, size_t log_bytes);
CUresult graphInstantiateWithFlags(CUgraphExec* exec, CUgraph graph, unsigned long long flags);
CUresult graphInstantiateWithParams(CUgraphExec* exec, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS* parameters, CUstream default_stream);
CUresult graphExecDestroy(CUgraphExec exec);
CUresult graphExecGetFlags(CUgraphExec exec, cuuint64_t* flags);
CUresult graphExecGetId(CUgraphExec exec, unsigned* id);
CUresult graphExecKernelNodeSetParams_v1(CUgraphExec exec, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v1* p);
CUresult graphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS* p);
CUresult graphExecMemcpyNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_MEMCPY3D* p, CUcontext context);
CUresult graphExecMemsetNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS* p, CUcontext context);
CUresult graphExecHostNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_HOST_NODE_PARAMS* p);
CUresult graphExecChildGraphNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraph child);
CUresult graphExecEventRecordNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event);
CUresult graphExecEventWaitNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event);
CUresult graphExecNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraphNodeParams* p);
CUresult graphNodeSetEnabled(CUgraphExec exec, CUgraphNode node, unsigned enabled);
CUresult graphNodeGetEnabled(CUgraphExec exec, CUgraphNode node, unsigned* enabled);
CUresult graphExecUpdate_v1(CUgraphExec exec, CUgraph graph, CUgraphNode* error_node, CUgraphExecUpdateResult* result);
CUresult graphExecUpdate_v2(CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo* info);
CUresult graphUpload(CUgraphExec exec, CUstream stream);
CUresult graphLaunch(CUgraphExec exec, CUstream stream);

CUresult userObjectCreate(CUuserObject* object, void* pointer, CUhostFn destroy, unsigned references, unsigned flags);
CUresult userObjectRetain(CUuserObject object, unsigned count);
CUresult userObjectRelease(CUuserObject object, unsigned count);
CUresult graphRetainUserObject(CUgraph graph, CUuserObject object, unsigned count, unsigned flags);
CUresult graphReleaseUserObject(CUgraph graph, CUuserObject object, unsigned count);

CUgraphNodeType type_of(const Work& work);
// Adds a node behind `dependencies`, which must be of the graph.
CUresult add_node(CUgraph_st& graph, const CUgraphNode* dependencies, std::size_t count, Work work, CUgraphNode* node,
                  const CUgraphEdgeData* data = nullptr);
// The same for a graph that the program names.
CUresult add_program_node(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, std::size_t count, Work work,
                          const CUgraphEdgeData* data = nullptr);
// The step of an executable graph that came from a node, if it is of that type; else null.
Work* step_work(CUgraphExec exec, CUgraphNode node, CUgraphNodeType type);
// The nodes, each behind those that it depends on.
std::vector<CUgraphNode> ordered_nodes(const CUgraph_st& graph);
// A copy with everything that it owns; node ids are kept.
std::unique_ptr<CUgraph_st> copy_graph(const CUgraph_st& graph);
// The same as a node's, which the program cannot destroy.
std::shared_ptr<CUgraph_st> owned_copy(const CUgraph_st& graph);
Work copy_work(const Work& work);
// Allocates the memory of an allocation node whose parameters are set.
CUresult make_graph_memory(AllocateWork* work);
// An address that an allocation node of some living graph gave out.
bool is_graph_memory(CUdeviceptr address);
// Such an address is freed outside its graph.
void free_graph_memory(CUdeviceptr address);

// Works from the parameters of nodes, checked.
CUresult make_kernel_work(const CUDA_KERNEL_NODE_PARAMS& p, Work* out);
CUresult make_copy_work(const CUDA_MEMCPY3D* p, Work* out);
CUresult make_fill_work(const CUDA_MEMSET_NODE_PARAMS* p, Work* out);
CUresult make_work(CUgraphNodeParams& p, Work* out);
CUDA_KERNEL_NODE_PARAMS widen(const CUDA_KERNEL_NODE_PARAMS_v1& p);

}  // namespace anywarp::driver
