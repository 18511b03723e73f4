#include "driver/graph.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "driver/device.h"
#include "driver/graph_conditional.h"
#include "driver/graph_device.h"
#include "driver/memory.h"

CUgraph_st::~CUgraph_st() {
  for (const auto& [object, count] : user_objects) [[maybe_unused]] const CUresult ignored = anywarp::driver::userObjectRelease(object, count);
}

namespace anywarp::driver {
namespace {

std::mutex g_memory_mutex;  // guards graph_memory()
std::unordered_map<CUdeviceptr, GraphMemory*>& graph_memory() {
  static auto* addresses = new std::unordered_map<CUdeviceptr, GraphMemory*>;
  return *addresses;
}

std::atomic<unsigned> g_next_id{1};

bool holds(const CUgraph_st& graph, CUgraphNode node) { return is_valid(node) && node->graph == &graph; }

bool depends(CUgraphNode node, CUgraphNode on) { return std::find(node->dependencies.begin(), node->dependencies.end(), on) != node->dependencies.end(); }

void connect(CUgraphNode from, CUgraphNode to, const CUgraphEdgeData& data = {}) {
  to->dependencies.push_back(from);
  to->edges.push_back(data);
  from->dependents.push_back(to);
}

void disconnect(CUgraphNode from, CUgraphNode to) {
  const auto at = std::find(to->dependencies.begin(), to->dependencies.end(), from);
  if (at == to->dependencies.end()) return;
  to->edges.erase(to->edges.begin() + (at - to->dependencies.begin()));
  to->dependencies.erase(at);
  std::erase(from->dependents, to);
}

// What is known of the edge between two nodes.
const CUgraphEdgeData& edge_of(CUgraphNode from, CUgraphNode to) {
  const auto at = std::find(to->dependencies.begin(), to->dependencies.end(), from);
  return to->edges[static_cast<std::size_t>(at - to->dependencies.begin())];
}

bool is_plain(const CUgraphEdgeData& data) { return data.from_port == 0 && data.to_port == 0 && data.type == 0; }

// Programmatic edges lie between kernels, and only they have ports.
CUresult check_data(CUgraphNode from, const Work& to, const CUgraphEdgeData& data) {
  if (is_plain(data)) return CUDA_SUCCESS;
  const bool kernels = std::holds_alternative<KernelWork>(from->work) && std::holds_alternative<KernelWork>(to);
  if (data.type > CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC || data.to_port != 0 || data.from_port > CU_GRAPH_KERNEL_NODE_PORT_LAUNCH_ORDER) return CUDA_ERROR_INVALID_VALUE;
  if (data.type == CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC && (!kernels || data.from_port == 0)) return CUDA_ERROR_INVALID_VALUE;
  return kernels || std::holds_alternative<KernelWork>(from->work) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

// Whether `to` can be reached from `from` along dependents.
bool reaches(CUgraphNode from, CUgraphNode to) {
  std::unordered_set<CUgraphNode> seen;
  std::vector<CUgraphNode> stack{from};
  while (!stack.empty()) {
    const CUgraphNode node = stack.back();
    stack.pop_back();
    if (node == to) return true;
    if (seen.insert(node).second) stack.insert(stack.end(), node->dependents.begin(), node->dependents.end());
  }
  return false;
}

// Gives out a list as the API does: a null array asks for the number; entries beyond the list are null.
CUresult give(const std::vector<CUgraphNode>& list, CUgraphNode* nodes, size_t* count) {
  if (!count) return CUDA_ERROR_INVALID_VALUE;
  if (nodes) {
    for (std::size_t i = 0; i < *count; ++i) nodes[i] = i < list.size() ? list[i] : nullptr;
    *count = std::min(*count, list.size());
  } else {
    *count = list.size();
  }
  return CUDA_SUCCESS;
}

// The same with what is known of each edge. Who does not ask for that gets an error where it would matter.
CUresult give(const std::vector<CUgraphNode>& list, const std::vector<CUgraphEdgeData>& edges, CUgraphNode* nodes, CUgraphEdgeData* data, size_t* count) {
  const std::size_t room = count && nodes ? *count : 0;
  if (nodes && !data && !std::all_of(edges.begin(), edges.end(), is_plain)) return CUDA_ERROR_LOSSY_QUERY;
  ANYWARP_TRY(give(list, nodes, count));
  for (std::size_t i = 0; data && i < room; ++i) data[i] = i < edges.size() ? edges[i] : CUgraphEdgeData{};
  return CUDA_SUCCESS;
}

CUresult check_edges(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, std::size_t count) {
  if (!is_valid(graph)) return CUDA_ERROR_INVALID_VALUE;
  if (count > 0 && (!from || !to)) return CUDA_ERROR_INVALID_VALUE;
  for (std::size_t i = 0; i < count; ++i) {
    if (!holds(*graph, from[i]) || !holds(*graph, to[i]) || from[i] == to[i]) return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

}  // namespace

GraphMemory::GraphMemory(CUdeviceptr at, int of_device, std::size_t size) : address(at), device(of_device), bytes(size) {
  Device& d = *find_device(device);
  const std::uint64_t now = d.graph_memory += bytes;
  std::uint64_t high = d.graph_memory_high;
  while (now > high && !d.graph_memory_high.compare_exchange_weak(high, now)) {
  }
  const std::lock_guard lock(g_memory_mutex);
  graph_memory()[address] = this;
}

GraphMemory::~GraphMemory() {
  {
    const std::lock_guard lock(g_memory_mutex);
    graph_memory().erase(address);
  }
  find_device(device)->graph_memory -= bytes;
  [[maybe_unused]] const Result freed = arena().free(pointer(address));
}

bool is_graph_memory(CUdeviceptr address) {
  const std::lock_guard lock(g_memory_mutex);
  return graph_memory().contains(address);
}

void free_graph_memory(CUdeviceptr address) {
  const std::lock_guard lock(g_memory_mutex);
  const auto found = graph_memory().find(address);
  if (found != graph_memory().end()) found->second->live = false;
}

CUresult make_graph_memory(AllocateWork* work) {
  CUDA_MEM_ALLOC_NODE_PARAMS& p = work->parameters;
  if (p.bytesize == 0 || p.poolProps.location.type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_INVALID_VALUE;
  if (!find_device(p.poolProps.location.id)) return CUDA_ERROR_INVALID_DEVICE;
  void* memory = nullptr;
  ANYWARP_TRY(api(arena().allocate(p.poolProps.location.id, p.bytesize, 256, memory::Kind::device, nullptr, 0, &memory)));  // the graph's, not a context's
  p.dptr = reinterpret_cast<CUdeviceptr>(memory);
  work->memory = std::make_shared<GraphMemory>(p.dptr, p.poolProps.location.id, p.bytesize);
  return CUDA_SUCCESS;
}

CUgraphNodeType type_of(const Work& work) {
  constexpr CUgraphNodeType kTypes[] = {CU_GRAPH_NODE_TYPE_EMPTY,        CU_GRAPH_NODE_TYPE_KERNEL,     CU_GRAPH_NODE_TYPE_MEMCPY,   CU_GRAPH_NODE_TYPE_MEMSET,
                                        CU_GRAPH_NODE_TYPE_HOST,         CU_GRAPH_NODE_TYPE_EVENT_RECORD, CU_GRAPH_NODE_TYPE_WAIT_EVENT, CU_GRAPH_NODE_TYPE_MEM_ALLOC,
                                        CU_GRAPH_NODE_TYPE_MEM_FREE,     CU_GRAPH_NODE_TYPE_GRAPH,        CU_GRAPH_NODE_TYPE_BATCH_MEM_OP, CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL,
                                        CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT, CU_GRAPH_NODE_TYPE_CONDITIONAL};
  static_assert(std::size(kTypes) == std::variant_size_v<Work>);
  return kTypes[work.index()];
}

CUresult add_node(CUgraph_st& graph, const CUgraphNode* dependencies, std::size_t count, Work work, CUgraphNode* node, const CUgraphEdgeData* data) {
  if (count > 0 && !dependencies) return CUDA_ERROR_INVALID_VALUE;
  for (std::size_t i = 0; i < count; ++i) {
    if (!holds(graph, dependencies[i]) || std::find(dependencies, dependencies + i, dependencies[i]) != dependencies + i) return CUDA_ERROR_INVALID_VALUE;
    if (data) ANYWARP_TRY(check_data(dependencies[i], work, data[i]));
  }
  auto made = std::make_unique<CUgraphNode_st>();
  made->graph = &graph;
  made->id = graph.next_node++;
  made->work = std::move(work);
  for (std::size_t i = 0; i < count; ++i) connect(dependencies[i], made.get(), data ? data[i] : CUgraphEdgeData{});
  if (node) *node = made.get();
  graph.nodes.push_back(std::move(made));
  return CUDA_SUCCESS;
}

CUresult add_program_node(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, std::size_t count, Work work, const CUgraphEdgeData* data) {
  if (!node || !is_valid(graph)) return CUDA_ERROR_INVALID_VALUE;
  return add_node(*graph, dependencies, count, std::move(work), node, data);
}

// Kahn's algorithm; nodes that are ready run in the order of their creation.
std::vector<CUgraphNode> ordered_nodes(const CUgraph_st& graph) {
  std::unordered_map<CUgraphNode, std::size_t> missing;
  std::vector<CUgraphNode> order;
  order.reserve(graph.nodes.size());
  for (const auto& node : graph.nodes) {
    missing[node.get()] = node->dependencies.size();
    if (node->dependencies.empty()) order.push_back(node.get());
  }
  for (std::size_t i = 0; i < order.size(); ++i) {
    for (const CUgraphNode next : order[i]->dependents) {
      if (--missing[next] == 0) order.push_back(next);
    }
  }
  return order;
}

Work copy_work(const Work& work) {
  if (const auto* conditional = std::get_if<ConditionalWork>(&work)) return copy_conditional(*conditional);
  Work copy = work;
  if (auto* child = std::get_if<GraphWork>(&copy)) child->graph = owned_copy(*child->graph);
  return copy;
}

std::shared_ptr<CUgraph_st> owned_copy(const CUgraph_st& graph) {
  std::shared_ptr<CUgraph_st> copy = copy_graph(graph);
  copy->is_owned = true;
  return copy;
}

std::unique_ptr<CUgraph_st> copy_graph(const CUgraph_st& graph) {
  auto copy = std::make_unique<CUgraph_st>();
  copy->id = g_next_id++;
  copy->next_node = graph.next_node;
  std::unordered_map<CUgraphNode, CUgraphNode> twins;
  for (const auto& node : graph.nodes) {
    auto twin = std::make_unique<CUgraphNode_st>();
    twin->graph = copy.get();
    twin->id = node->id;
    twin->work = copy_work(node->work);
    forget_device_node(&twin->work);
    twins[node.get()] = twin.get();
    copy->nodes.push_back(std::move(twin));
  }
  for (const auto& node : graph.nodes) {
    for (std::size_t i = 0; i < node->dependencies.size(); ++i) connect(twins[node->dependencies[i]], twins[node.get()], node->edges[i]);
  }
  copy->conditions = graph.conditions;
  for (const auto& [object, count] : graph.user_objects) {
    object->references += count;
    copy->user_objects.emplace_back(object, count);
  }
  return copy;
}

CUresult graphCreate(CUgraph* graph, unsigned flags) {
  if (!graph || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  *graph = new CUgraph_st;
  (*graph)->id = g_next_id++;
  return CUDA_SUCCESS;
}

CUresult graphDestroy(CUgraph graph) {
  if (!is_valid(graph) || graph->is_owned) return CUDA_ERROR_INVALID_VALUE;
  for (const auto& node : graph->nodes) node->magic = Magic::dead;
  graph->magic = Magic::dead;
  delete graph;
  return CUDA_SUCCESS;
}

CUresult graphClone(CUgraph* clone, CUgraph graph) {
  if (!clone || !is_valid(graph)) return CUDA_ERROR_INVALID_VALUE;
  *clone = copy_graph(*graph).release();
  return CUDA_SUCCESS;
}

CUresult graphGetId(CUgraph graph, unsigned* id) {
  if (!is_valid(graph) || !id) return CUDA_ERROR_INVALID_VALUE;
  *id = graph->id;
  return CUDA_SUCCESS;
}

CUresult graphNodeFindInClone(CUgraphNode* node, CUgraphNode original, CUgraph clone) {
  if (!node || !is_valid(original) || !is_valid(clone)) return CUDA_ERROR_INVALID_VALUE;
  for (const auto& candidate : clone->nodes) {
    if (candidate->id == original->id) {
      *node = candidate.get();
      return CUDA_SUCCESS;
    }
  }
  return CUDA_ERROR_INVALID_VALUE;
}

CUresult graphNodeGetType(CUgraphNode node, CUgraphNodeType* type) {
  if (!is_valid(node) || !type) return CUDA_ERROR_INVALID_VALUE;
  *type = type_of(node->work);
  return CUDA_SUCCESS;
}

CUresult graphNodeGetContainingGraph(CUgraphNode node, CUgraph* graph) {
  if (!is_valid(node) || !graph) return CUDA_ERROR_INVALID_VALUE;
  *graph = node->graph;
  return CUDA_SUCCESS;
}

CUresult graphNodeGetLocalId(CUgraphNode node, unsigned* id) {
  if (!is_valid(node) || !id) return CUDA_ERROR_INVALID_VALUE;
  *id = node->id;
  return CUDA_SUCCESS;
}

CUresult graphGetNodes(CUgraph graph, CUgraphNode* nodes, size_t* count) {
  if (!is_valid(graph)) return CUDA_ERROR_INVALID_VALUE;
  std::vector<CUgraphNode> list;
  for (const auto& node : graph->nodes) list.push_back(node.get());
  return give(list, nodes, count);
}

CUresult graphGetRootNodes(CUgraph graph, CUgraphNode* nodes, size_t* count) {
  if (!is_valid(graph)) return CUDA_ERROR_INVALID_VALUE;
  std::vector<CUgraphNode> list;
  for (const auto& node : graph->nodes) {
    if (node->dependencies.empty()) list.push_back(node.get());
  }
  return give(list, nodes, count);
}

CUresult graphGetEdges_v1(CUgraph graph, CUgraphNode* from, CUgraphNode* to, size_t* count) { return graphGetEdges_v2(graph, from, to, nullptr, count); }

CUresult graphGetEdges_v2(CUgraph graph, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* data, size_t* count) {
  if (!is_valid(graph) || !count || (from == nullptr) != (to == nullptr)) return CUDA_ERROR_INVALID_VALUE;
  std::vector<CUgraphNode> sources, targets;
  std::vector<CUgraphEdgeData> edges;
  for (const auto& node : graph->nodes) {
    sources.insert(sources.end(), node->dependencies.begin(), node->dependencies.end());
    edges.insert(edges.end(), node->edges.begin(), node->edges.end());
    targets.insert(targets.end(), node->dependencies.size(), node.get());
  }
  std::size_t room = *count;
  ANYWARP_TRY(give(sources, edges, from, data, &room));
  return give(targets, to, count);
}

CUresult graphNodeGetDependencies_v1(CUgraphNode node, CUgraphNode* dependencies, size_t* count) {
  return graphNodeGetDependencies_v2(node, dependencies, nullptr, count);
}
CUresult graphNodeGetDependencies_v2(CUgraphNode node, CUgraphNode* dependencies, CUgraphEdgeData* data, size_t* count) {
  if (!is_valid(node)) return CUDA_ERROR_INVALID_VALUE;
  return give(node->dependencies, node->edges, dependencies, data, count);
}
CUresult graphNodeGetDependentNodes_v1(CUgraphNode node, CUgraphNode* dependents, size_t* count) {
  return graphNodeGetDependentNodes_v2(node, dependents, nullptr, count);
}
CUresult graphNodeGetDependentNodes_v2(CUgraphNode node, CUgraphNode* dependents, CUgraphEdgeData* data, size_t* count) {
  if (!is_valid(node)) return CUDA_ERROR_INVALID_VALUE;
  std::vector<CUgraphEdgeData> edges;
  for (const CUgraphNode dependent : node->dependents) edges.push_back(edge_of(node, dependent));
  return give(node->dependents, edges, dependents, data, count);
}

CUresult graphAddDependencies_v1(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, size_t count) {
  return graphAddDependencies_v2(graph, from, to, nullptr, count);
}

CUresult graphAddDependencies_v2(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, const CUgraphEdgeData* data, size_t count) {
  ANYWARP_TRY(check_edges(graph, from, to, count));
  for (std::size_t i = 0; i < count; ++i) {
    // Edges that are there already, and cycles, are errors; those before stay.
    if (depends(to[i], from[i]) || reaches(to[i], from[i])) return CUDA_ERROR_INVALID_VALUE;
    if (data) ANYWARP_TRY(check_data(from[i], to[i]->work, data[i]));
    connect(from[i], to[i], data ? data[i] : CUgraphEdgeData{});
  }
  return CUDA_SUCCESS;
}

CUresult graphRemoveDependencies_v1(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, size_t count) {
  return graphRemoveDependencies_v2(graph, from, to, nullptr, count);
}

CUresult graphRemoveDependencies_v2(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, const CUgraphEdgeData* data, size_t count) {
  ANYWARP_TRY(check_edges(graph, from, to, count));
  for (std::size_t i = 0; i < count; ++i) {
    if (!depends(to[i], from[i])) return CUDA_ERROR_INVALID_VALUE;
    // The edge must be the one that is meant.
    const CUgraphEdgeData meant = data ? data[i] : CUgraphEdgeData{}, &there = edge_of(from[i], to[i]);
    if (meant.from_port != there.from_port || meant.to_port != there.to_port || meant.type != there.type) return CUDA_ERROR_INVALID_VALUE;
    disconnect(from[i], to[i]);
  }
  return CUDA_SUCCESS;
}

CUresult graphDestroyNode(CUgraphNode node) {
  if (!is_valid(node)) return CUDA_ERROR_INVALID_VALUE;
  // Graphs with memory nodes cannot lose nodes, as documented.
  const CUgraphNodeType type = type_of(node->work);
  if (type == CU_GRAPH_NODE_TYPE_MEM_ALLOC || type == CU_GRAPH_NODE_TYPE_MEM_FREE) return CUDA_ERROR_NOT_SUPPORTED;
  if (has_device_node(node->work)) return CUDA_ERROR_INVALID_VALUE;
  const std::vector<CUgraphNode> before = node->dependencies, after = node->dependents;
  for (const CUgraphNode other : before) disconnect(other, node);
  for (const CUgraphNode other : after) disconnect(node, other);
  node->magic = Magic::dead;
  std::erase_if(node->graph->nodes, [&](const auto& n) { return n.get() == node; });
  return CUDA_SUCCESS;
}

CUresult userObjectCreate(CUuserObject* object, void* pointer, CUhostFn destroy, unsigned references, unsigned flags) {
  if (!object || !destroy || references == 0 || flags != CU_USER_OBJECT_NO_DESTRUCTOR_SYNC) return CUDA_ERROR_INVALID_VALUE;
  auto* made = new CUuserObject_st;
  made->references = references;
  made->object = pointer;
  made->destroy = destroy;
  *object = made;
  return CUDA_SUCCESS;
}

CUresult userObjectRetain(CUuserObject object, unsigned count) {
  if (!object || count == 0) return CUDA_ERROR_INVALID_VALUE;
  object->references += count;
  return CUDA_SUCCESS;
}

CUresult userObjectRelease(CUuserObject object, unsigned count) {
  if (!object || count == 0 || count > object->references) return CUDA_ERROR_INVALID_VALUE;
  if ((object->references -= count) == 0) {
    object->destroy(object->object);
    delete object;
  }
  return CUDA_SUCCESS;
}

CUresult graphRetainUserObject(CUgraph graph, CUuserObject object, unsigned count, unsigned flags) {
  if (!is_valid(graph) || !object || count == 0 || (flags & ~static_cast<unsigned>(CU_GRAPH_USER_OBJECT_MOVE)) != 0) return CUDA_ERROR_INVALID_VALUE;
  if ((flags & CU_GRAPH_USER_OBJECT_MOVE) == 0) object->references += count;
  graph->user_objects.emplace_back(object, count);
  return CUDA_SUCCESS;
}

CUresult graphReleaseUserObject(CUgraph graph, CUuserObject object, unsigned count) {
  if (!is_valid(graph) || !object || count == 0) return CUDA_ERROR_INVALID_VALUE;
  for (auto& [held, held_count] : graph->user_objects) {
    if (held != object || held_count < count) continue;
    held_count -= count;
    std::erase_if(graph->user_objects, [](const auto& entry) { return entry.second == 0; });
    return userObjectRelease(object, count);
  }
  return CUDA_ERROR_INVALID_VALUE;
}

}  // namespace anywarp::driver
