// Nodes that are lists: stream memory operations, signals of external semaphores and waits for them. The arrays that queries give out are
// the node's own and stay valid until it changes, as documented.
#include "driver/context.h"
#include "driver/external.h"
#include "driver/graph.h"
#include "driver/stream_memory.h"

namespace anywarp::driver {
namespace {

template <typename T>
T* work_of(CUgraphNode node) {
  return is_valid(node) ? std::get_if<T>(&node->work) : nullptr;
}

CUresult make(const CUDA_BATCH_MEM_OP_NODE_PARAMS* p, Work* out) {
  if (!p) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = p->ctx ? p->ctx : top_context();
  ANYWARP_TRY(check_context(context));
  MemoryOperationsWork work;
  ANYWARP_TRY(make_memory_operations_work(p->paramArray, p->count, p->flags, &work));
  work.context = context;
  *out = std::move(work);
  return CUDA_SUCCESS;
}

CUresult make(const CUDA_EXT_SEM_SIGNAL_NODE_PARAMS* p, Work* out) {
  if (!p) return CUDA_ERROR_INVALID_VALUE;
  SignalWork work;
  ANYWARP_TRY(make_signal_work(p->extSemArray, p->paramsArray, p->numExtSems, &work));
  *out = std::move(work);
  return CUDA_SUCCESS;
}

CUresult make(const CUDA_EXT_SEM_WAIT_NODE_PARAMS* p, Work* out) {
  if (!p) return CUDA_ERROR_INVALID_VALUE;
  SemaphoreWaitWork work;
  ANYWARP_TRY(make_semaphore_wait_work(p->extSemArray, p->paramsArray, p->numExtSems, &work));
  *out = std::move(work);
  return CUDA_SUCCESS;
}

template <typename Parameters>
CUresult add(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, std::size_t count, const Parameters* p) {
  Work work;
  ANYWARP_TRY(make(p, &work));
  return add_program_node(node, graph, dependencies, count, std::move(work));
}

template <typename T, typename Parameters>
CUresult set(CUgraphNode node, const Parameters* p) {
  return work_of<T>(node) ? make(p, &node->work) : CUDA_ERROR_INVALID_VALUE;
}

template <typename Parameters>
CUresult set(CUgraphExec exec, CUgraphNode node, CUgraphNodeType type, const Parameters* p) {
  Work* work = step_work(exec, node, type);
  return work ? make(p, work) : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace

CUresult graphAddBatchMemOpNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, const CUDA_BATCH_MEM_OP_NODE_PARAMS* p) {
  return add(node, graph, dependencies, count, p);
}

CUresult graphBatchMemOpNodeGetParams(CUgraphNode node, CUDA_BATCH_MEM_OP_NODE_PARAMS* p) {
  auto* work = work_of<MemoryOperationsWork>(node);
  if (!work || !p) return CUDA_ERROR_INVALID_VALUE;
  *p = {work->context, static_cast<unsigned>(work->operations.size()), work->operations.data(), 0};
  return CUDA_SUCCESS;
}

CUresult graphBatchMemOpNodeSetParams(CUgraphNode node, const CUDA_BATCH_MEM_OP_NODE_PARAMS* p) { return set<MemoryOperationsWork>(node, p); }

CUresult graphExecBatchMemOpNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_BATCH_MEM_OP_NODE_PARAMS* p) {
  return set(exec, node, CU_GRAPH_NODE_TYPE_BATCH_MEM_OP, p);
}

CUresult graphAddExternalSemaphoresSignalNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count,
                                              const CUDA_EXT_SEM_SIGNAL_NODE_PARAMS* p) {
  return add(node, graph, dependencies, count, p);
}

CUresult graphExternalSemaphoresSignalNodeGetParams(CUgraphNode node, CUDA_EXT_SEM_SIGNAL_NODE_PARAMS* p) {
  auto* work = work_of<SignalWork>(node);
  if (!work || !p) return CUDA_ERROR_INVALID_VALUE;
  *p = {work->semaphores.data(), work->parameters.data(), static_cast<unsigned>(work->semaphores.size())};
  return CUDA_SUCCESS;
}

CUresult graphExternalSemaphoresSignalNodeSetParams(CUgraphNode node, const CUDA_EXT_SEM_SIGNAL_NODE_PARAMS* p) { return set<SignalWork>(node, p); }

CUresult graphExecExternalSemaphoresSignalNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_EXT_SEM_SIGNAL_NODE_PARAMS* p) {
  return set(exec, node, CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL, p);
}

CUresult graphAddExternalSemaphoresWaitNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count,
                                            const CUDA_EXT_SEM_WAIT_NODE_PARAMS* p) {
  return add(node, graph, dependencies, count, p);
}

CUresult graphExternalSemaphoresWaitNodeGetParams(CUgraphNode node, CUDA_EXT_SEM_WAIT_NODE_PARAMS* p) {
  auto* work = work_of<SemaphoreWaitWork>(node);
  if (!work || !p) return CUDA_ERROR_INVALID_VALUE;
  *p = {work->semaphores.data(), work->parameters.data(), static_cast<unsigned>(work->semaphores.size())};
  return CUDA_SUCCESS;
}

CUresult graphExternalSemaphoresWaitNodeSetParams(CUgraphNode node, const CUDA_EXT_SEM_WAIT_NODE_PARAMS* p) { return set<SemaphoreWaitWork>(node, p); }

CUresult graphExecExternalSemaphoresWaitNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_EXT_SEM_WAIT_NODE_PARAMS* p) {
  return set(exec, node, CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT, p);
}

}  // namespace anywarp::driver
