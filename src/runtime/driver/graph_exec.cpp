// Executable graphs: works in order, launched into a stream.
#include <algorithm>

#include "driver/graph.h"
#include "driver/graph_conditional.h"
#include "driver/graph_device.h"
#include "driver/stream_capture.h"

namespace anywarp::driver {
namespace {

constexpr unsigned long long kInstantiateFlags = CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH | CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD |
                                                 CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH | CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY;
std::atomic<unsigned> g_next_id{1};

void fill_steps(const CUgraph_st& graph, CUgraphExec_st* exec) {
  exec->graph_id = graph.id;
  exec->steps.clear(), exec->dependencies.clear();
  for (const CUgraphNode node : ordered_nodes(graph)) {
    exec->steps.push_back({node->id, copy_work(node->work)});
    std::vector<unsigned>& ids = exec->dependencies.emplace_back();
    for (const CUgraphNode d : node->dependencies) ids.push_back(d->id);
  }
}

// The step that came from a node, if the graph is the one that was instantiated (or has its nodes).
CUgraphExec_st::Step* step_of(CUgraphExec exec, CUgraphNode node) {
  if (!is_valid(exec) || !is_valid(node)) return nullptr;
  for (CUgraphExec_st::Step& step : exec->steps) {
    if (step.node_id == node->id && step.work.index() == node->work.index()) return &step;
  }
  return nullptr;
}

// Every work of a graph, and of the graphs inside it.
template <typename Visit>
void visit_all(const Work& work, const Visit& visit) {
  visit(work);
  if (const auto* child = std::get_if<GraphWork>(&work)) {
    for (const auto& node : child->graph->nodes) visit_all(node->work, visit);
  } else if (const auto* conditional = std::get_if<ConditionalWork>(&work)) {
    for (const auto& body : conditional->bodies) {
      for (const auto& node : body->nodes) visit_all(node->work, visit);
    }
  }
}

// What a conditional node may run.
bool is_allowed_in_body(const Work& work) {
  switch (type_of(work)) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
    case CU_GRAPH_NODE_TYPE_MEMCPY:
    case CU_GRAPH_NODE_TYPE_MEMSET:
    case CU_GRAPH_NODE_TYPE_GRAPH:
    case CU_GRAPH_NODE_TYPE_EMPTY:
    case CU_GRAPH_NODE_TYPE_CONDITIONAL: return true;
    default: return false;
  }
}

// What a graph may hold that kernels launch.
bool is_allowed_on_device(const Work& work) {
  switch (type_of(work)) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
    case CU_GRAPH_NODE_TYPE_MEMCPY:
    case CU_GRAPH_NODE_TYPE_MEMSET:
    case CU_GRAPH_NODE_TYPE_GRAPH:
    case CU_GRAPH_NODE_TYPE_EMPTY: return true;
    default: return false;
  }
}

// Nodes that kernels may change belong to one executable graph.
CUresult take_device_nodes(const CUgraph_st& graph) {
  for (const auto& node : graph.nodes) {
    if (!has_device_node(node->work)) continue;
    DeviceNode& shared = *std::get<KernelWork>(node->work).device_node;
    const std::lock_guard lock(shared.mutex);
    if (std::exchange(shared.instantiated, true)) return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

bool has_device_nodes(const CUgraphExec_st& exec) {
  return std::any_of(exec.steps.begin(), exec.steps.end(), [](const auto& step) { return has_device_node(step.work); });
}

// Why a graph cannot be made executable.
CUgraphInstantiateResult check(const CUgraph_st& graph, unsigned long long flags, CUgraphNode* where) {
  const CUctx_st* context = nullptr;
  for (const auto& node : graph.nodes) {
    if (!(flags & CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH)) break;
    bool allowed = true, one_context = true;
    visit_all(node->work, [&](const Work& work) {
      allowed &= is_allowed_on_device(work);
      const auto* kernel = std::get_if<KernelWork>(&work);
      if (!kernel) return;
      if (!context) context = kernel->function->module->context;
      one_context &= context == kernel->function->module->context;
    });
    if (allowed && one_context) continue;
    *where = node.get();
    return allowed ? CUDA_GRAPH_INSTANTIATE_MULTIPLE_CTXS_NOT_SUPPORTED : CUDA_GRAPH_INSTANTIATE_NODE_OPERATION_NOT_SUPPORTED;
  }
  for (const auto& condition : graph.conditions) {
    if (!condition->used) return CUDA_GRAPH_INSTANTIATE_CONDITIONAL_HANDLE_UNUSED;
  }
  for (const auto& node : graph.nodes) {
    bool allowed = true;
    visit_all(node->work, [&](const Work& work) {
      const auto* conditional = std::get_if<ConditionalWork>(&work);
      for (std::size_t i = 0; conditional && i < conditional->bodies.size(); ++i) {
        for (const auto& inner : conditional->bodies[i]->nodes) {
          visit_all(inner->work, [&](const Work& w) { allowed &= is_allowed_in_body(w); });
        }
      }
    });
    if (allowed) continue;
    *where = node.get();
    return CUDA_GRAPH_INSTANTIATE_NODE_OPERATION_NOT_SUPPORTED;
  }
  return CUDA_GRAPH_INSTANTIATE_SUCCESS;
}

// Memory that an earlier launch has allocated and nobody freed: the graph cannot run again, unless it is to free that itself.
CUresult begin_allocations(const CUgraphExec_st& exec) {
  std::vector<GraphMemory*> allocated;
  std::vector<CUdeviceptr> freed;
  for (const CUgraphExec_st::Step& step : exec.steps) {
    visit_all(step.work, [&](const Work& work) {
      if (const auto* a = std::get_if<AllocateWork>(&work)) allocated.push_back(a->memory.get());
      if (const auto* f = std::get_if<FreeWork>(&work)) freed.push_back(f->address);
    });
  }
  const bool frees_itself = (exec.flags & CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH) != 0;
  for (const GraphMemory* memory : allocated) {
    if (memory->live && !frees_itself) return CUDA_ERROR_INVALID_VALUE;
  }
  for (GraphMemory* memory : allocated) memory->live = std::find(freed.begin(), freed.end(), memory->address) == freed.end();
  for (const CUdeviceptr address : freed) free_graph_memory(address);
  return CUDA_SUCCESS;
}

template <typename Make>
CUresult change(CUgraphExec exec, CUgraphNode node, CUgraphNodeType type, const Make& make) {
  CUgraphExec_st::Step* step = step_of(exec, node);
  if (!step || type_of(step->work) != type) return CUDA_ERROR_INVALID_VALUE;
  return make(&step->work);
}

}  // namespace

CUresult graphInstantiateWithFlags(CUgraphExec* exec, CUgraph graph, unsigned long long flags) {
  if (!exec || !is_valid(graph) || (flags & ~kInstantiateFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
  constexpr unsigned long long kExclusive = CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH | CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
  if ((flags & kExclusive) == kExclusive) return CUDA_ERROR_INVALID_VALUE;
  CUgraphNode where = nullptr;
  if (const CUgraphInstantiateResult why = check(*graph, flags, &where); why != CUDA_GRAPH_INSTANTIATE_SUCCESS) {
    return why == CUDA_GRAPH_INSTANTIATE_CONDITIONAL_HANDLE_UNUSED ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_NOT_SUPPORTED;
  }
  ANYWARP_TRY(take_device_nodes(*graph));
  auto made = std::make_unique<CUgraphExec_st>();
  made->id = g_next_id++;
  made->flags = flags;
  made->is_uploaded = (flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD) != 0;
  fill_steps(*graph, made.get());
  *exec = made.release();
  return CUDA_SUCCESS;
}

CUresult graphInstantiate(CUgraphExec* exec, CUgraph graph, CUgraphNode* error_node, char* log, size_t log_bytes) {
  if (error_node) *error_node = nullptr;
  if (log && log_bytes > 0) *log = 0;
  return graphInstantiateWithFlags(exec, graph, 0);
}

CUresult graphInstantiateWithParams(CUgraphExec* exec, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS* parameters, CUstream) {
  if (!parameters) return CUDA_ERROR_INVALID_VALUE;
  parameters->hErrNode_out = nullptr;
  const CUresult result = graphInstantiateWithFlags(exec, graph, parameters->flags);
  parameters->result_out = result == CUDA_SUCCESS ? CUDA_GRAPH_INSTANTIATE_SUCCESS : CUDA_GRAPH_INSTANTIATE_ERROR;
  if (result != CUDA_SUCCESS && is_valid(graph)) {
    const CUgraphInstantiateResult why = check(*graph, parameters->flags, &parameters->hErrNode_out);
    if (why != CUDA_GRAPH_INSTANTIATE_SUCCESS) parameters->result_out = why;
  }
  return result;
}

Work* step_work(CUgraphExec exec, CUgraphNode node, CUgraphNodeType type) {
  CUgraphExec_st::Step* step = step_of(exec, node);
  return step && type_of(step->work) == type ? &step->work : nullptr;
}

CUresult graphExecDestroy(CUgraphExec exec) {
  if (!is_valid(exec)) return CUDA_ERROR_INVALID_VALUE;
  exec->magic = Magic::dead;
  delete exec;  // launches that have not run hold copies of what they need
  return CUDA_SUCCESS;
}

CUresult graphExecGetFlags(CUgraphExec exec, cuuint64_t* flags) {
  if (!is_valid(exec) || !flags) return CUDA_ERROR_INVALID_VALUE;
  *flags = exec->flags;
  return CUDA_SUCCESS;
}

CUresult graphExecGetId(CUgraphExec exec, unsigned* id) {
  if (!is_valid(exec) || !id) return CUDA_ERROR_INVALID_VALUE;
  *id = exec->id;
  return CUDA_SUCCESS;
}

CUresult graphExecKernelNodeSetParams_v1(CUgraphExec exec, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v1* p) {
  if (!p) return CUDA_ERROR_INVALID_VALUE;
  const CUDA_KERNEL_NODE_PARAMS wide = widen(*p);
  return graphExecKernelNodeSetParams_v2(exec, node, &wide);
}

CUresult graphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS* p) {
  if (!p) return CUDA_ERROR_INVALID_VALUE;
  return change(exec, node, CU_GRAPH_NODE_TYPE_KERNEL, [&](Work* work) -> CUresult {
    const auto& old = std::get<KernelWork>(*work);
    const LaunchShape shape = old.shape;
    auto attributes = old.attributes;
    auto device_node = old.device_node;
    ANYWARP_TRY(make_kernel_work(*p, work));
    auto& changed = std::get<KernelWork>(*work);
    changed.attributes = std::move(attributes);
    changed.device_node = std::move(device_node);
    if (changed.device_node) changed.device_node->set(changed);
    changed.shape.cooperative = shape.cooperative;
    std::copy_n(shape.cluster, 3, changed.shape.cluster);
    return CUDA_SUCCESS;
  });
}

CUresult graphExecMemcpyNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_MEMCPY3D* p, CUcontext) {
  return change(exec, node, CU_GRAPH_NODE_TYPE_MEMCPY, [&](Work* work) { return make_copy_work(p, work); });
}

CUresult graphExecMemsetNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS* p, CUcontext) {
  return change(exec, node, CU_GRAPH_NODE_TYPE_MEMSET, [&](Work* work) { return make_fill_work(p, work); });
}

CUresult graphExecHostNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_HOST_NODE_PARAMS* p) {
  if (!p || !p->fn) return CUDA_ERROR_INVALID_VALUE;
  return change(exec, node, CU_GRAPH_NODE_TYPE_HOST, [&](Work* work) {
    *work = HostWork{p->fn, p->userData};
    return CUDA_SUCCESS;
  });
}

CUresult graphExecChildGraphNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraph child) {
  if (!is_valid(child)) return CUDA_ERROR_INVALID_VALUE;
  return change(exec, node, CU_GRAPH_NODE_TYPE_GRAPH, [&](Work* work) {
    *work = GraphWork{owned_copy(*child)};
    return CUDA_SUCCESS;
  });
}

CUresult graphExecEventRecordNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event) {
  if (!is_valid(event)) return CUDA_ERROR_INVALID_VALUE;
  return change(exec, node, CU_GRAPH_NODE_TYPE_EVENT_RECORD, [&](Work* work) {
    *work = RecordWork{event};
    return CUDA_SUCCESS;
  });
}

CUresult graphExecEventWaitNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event) {
  if (!is_valid(event)) return CUDA_ERROR_INVALID_VALUE;
  return change(exec, node, CU_GRAPH_NODE_TYPE_WAIT_EVENT, [&](Work* work) {
    *work = WaitWork{event};
    return CUDA_SUCCESS;
  });
}

CUresult graphExecNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraphNodeParams* p) {
  if (!p || p->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC || p->type == CU_GRAPH_NODE_TYPE_MEM_FREE || p->type == CU_GRAPH_NODE_TYPE_CONDITIONAL) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return change(exec, node, p->type, [&](Work* work) { return make_work(*p, work); });
}

CUresult graphNodeSetEnabled(CUgraphExec exec, CUgraphNode node, unsigned enabled) {
  CUgraphExec_st::Step* step = step_of(exec, node);
  if (!step) return CUDA_ERROR_INVALID_VALUE;
  const CUgraphNodeType type = type_of(step->work);
  if (type != CU_GRAPH_NODE_TYPE_KERNEL && type != CU_GRAPH_NODE_TYPE_MEMCPY && type != CU_GRAPH_NODE_TYPE_MEMSET) return CUDA_ERROR_INVALID_VALUE;
  step->enabled = enabled != 0;
  if (has_device_node(step->work)) std::get<KernelWork>(step->work).device_node->enable(step->enabled);
  return CUDA_SUCCESS;
}

CUresult graphNodeGetEnabled(CUgraphExec exec, CUgraphNode node, unsigned* enabled) {
  const CUgraphExec_st::Step* step = step_of(exec, node);
  if (!step || !enabled) return CUDA_ERROR_INVALID_VALUE;
  *enabled = step->enabled;
  return CUDA_SUCCESS;
}

CUresult graphExecUpdate_v1(CUgraphExec exec, CUgraph graph, CUgraphNode* error_node, CUgraphExecUpdateResult* result) {
  CUgraphExecUpdateResultInfo info{};
  const CUresult r = graphExecUpdate_v2(exec, graph, &info);
  if (error_node) *error_node = info.errorNode;
  if (result) *result = info.result;
  return r;
}

// The new graph must have the same nodes in the same order with the same dependencies; then the works are exchanged.
CUresult graphExecUpdate_v2(CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo* info) {
  if (!is_valid(exec) || !is_valid(graph) || !info) return CUDA_ERROR_INVALID_VALUE;
  *info = CUgraphExecUpdateResultInfo{};
  const auto fail = [&](CUgraphExecUpdateResult why, CUgraphNode node) {
    info->result = why;
    info->errorNode = node;
    return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
  };
  if (has_device_nodes(*exec) || std::any_of(graph->nodes.begin(), graph->nodes.end(), [](const auto& node) { return has_device_node(node->work); })) {
    return fail(CU_GRAPH_EXEC_UPDATE_ERROR_NOT_SUPPORTED, nullptr);
  }
  CUgraphExec_st updated;
  fill_steps(*graph, &updated);
  if (updated.steps.size() != exec->steps.size()) return fail(CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED, nullptr);
  const std::vector<CUgraphNode> nodes = ordered_nodes(*graph);
  // Positions of the dependencies, since the ids of another graph's nodes are others.
  const auto positions = [](const CUgraphExec_st& e) {
    std::map<unsigned, unsigned> place;
    for (unsigned i = 0; i < e.steps.size(); ++i) place[e.steps[i].node_id] = i;
    std::vector<std::vector<unsigned>> all;
    for (const auto& ids : e.dependencies) {
      std::vector<unsigned>& list = all.emplace_back();
      for (const unsigned id : ids) list.push_back(place[id]);
      std::sort(list.begin(), list.end());
    }
    return all;
  };
  const auto before = positions(*exec), after = positions(updated);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (updated.steps[i].work.index() != exec->steps[i].work.index()) return fail(CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED, nodes[i]);
    if (before[i] != after[i]) return fail(CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED, nodes[i]);
    const auto* kernel = std::get_if<KernelWork>(&updated.steps[i].work);
    if (kernel && kernel->function->module->context != std::get<KernelWork>(exec->steps[i].work).function->module->context) {
      return fail(CU_GRAPH_EXEC_UPDATE_ERROR_UNSUPPORTED_FUNCTION_CHANGE, nodes[i]);
    }
  }
  // Steps keep the ids of the graph that was instantiated: its nodes go on naming them.
  for (std::size_t i = 0; i < nodes.size(); ++i) exec->steps[i].work = std::move(updated.steps[i].work);
  info->result = CU_GRAPH_EXEC_UPDATE_SUCCESS;
  return CUDA_SUCCESS;
}

CUresult graphUpload(CUgraphExec exec, CUstream stream) {
  if (!is_valid(exec)) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));  // there is nowhere to upload to
  exec->is_uploaded = true;
  return CUDA_SUCCESS;
}

CUresult graphLaunch(CUgraphExec exec, CUstream stream) {
  if (!is_valid(exec)) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  if (use.capture()) return invalidate(use, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  exec->is_uploaded = true;
  const bool is_launchable = (exec->flags & CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH) != 0;
  GraphLaunch launch{is_launchable ? reinterpret_cast<std::uint64_t>(exec) : 0, nullptr};
  ANYWARP_TRY(enqueue_steps(*exec, *use.stream, &launch));
  if (!launch.offspring) return CUDA_SUCCESS;
  // First what belongs to the graph, then its siblings.
  ANYWARP_TRY(api(use.stream->poll([graphs = launch.offspring] { return graphs->finish(); })));
  return api(use.stream->poll([siblings = launch.offspring->parent()] { return siblings->finish(); }));
}

CUresult enqueue_steps(CUgraphExec_st& exec, Stream& stream, GraphLaunch* launch) {
  ANYWARP_TRY(begin_allocations(exec));
  for (const CUgraphExec_st::Step& step : exec.steps) ANYWARP_TRY(assign_defaults(step.work, stream));
  const Stream::Hold hold(stream);
  for (const CUgraphExec_st::Step& step : exec.steps) {
    if (step.enabled || has_device_node(step.work)) ANYWARP_TRY(enqueue(step.work, stream, launch));
  }
  return CUDA_SUCCESS;
}

}  // namespace anywarp::driver
