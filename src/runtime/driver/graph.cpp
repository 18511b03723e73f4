#include "driver/graph.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "driver/device.h"
#include "driver/memory.h"

CUgraph_st::~CUgraph_st() {
  for (const auto& [object, count] : user_objects) [[maybe_unused]] const CUresult ignored = anywarp::driver::userObjectRelease(object, count);
}

namespace anywarp::driver {
namespace {

std::mutex g_memory_mutex;  // guards graph_memory()
std::unordered_set<CUdeviceptr>& graph_memory() {
  static auto* addresses = new std::unordered_set<CUdeviceptr>;
  return *addresses;
}

std::atomic<unsigned> g_next_id{1};

bool holds(const CUgraph_st& graph, CUgraphNode node) { return is_valid(node) && node->graph == &graph; }

bool depends(CUgraphNode node, CUgraphNode on) { return std::find(node->dependencies.begin(), node->dependencies.end(), on) != node->dependencies.end(); }

void connect(CUgraphNode from, CUgraphNode to) {
  to->dependencies.push_back(from);
  from->dependents.push_back(to);
}

void disconnect(CUgraphNode from, CUgraphNode to) {
  std::erase(to->dependencies, from);
  std::erase(from->dependents, to);
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

CUresult give(const std::vector<CUgraphNode>& list, CUgraphNode* nodes, CUgraphEdgeData* data, size_t* count) {
  const std::size_t room = count && nodes ? *count : 0;
  ANYWARP_TRY(give(list, nodes, count));
  for (std::size_t i = 0; data && i < std::min(room, list.size()); ++i) data[i] = CUgraphEdgeData{};
  return CUDA_SUCCESS;
}

bool is_default(const CUgraphEdgeData* data, std::size_t count) {
  for (std::size_t i = 0; data && i < count; ++i) {
    if (data[i].from_port != 0 || data[i].to_port != 0 || data[i].type != 0) return false;
  }
  return true;
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
  graph_memory().insert(address);
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
                                        CU_GRAPH_NODE_TYPE_MEM_FREE,     CU_GRAPH_NODE_TYPE_GRAPH};
  static_assert(std::size(kTypes) == std::variant_size_v<Work>);
  return kTypes[work.index()];
}

CUresult add_node(CUgraph_st& graph, const CUgraphNode* dependencies, std::size_t count, Work work, CUgraphNode* node) {
  if (count > 0 && !dependencies) return CUDA_ERROR_INVALID_VALUE;
  for (std::size_t i = 0; i < count; ++i) {
    if (!holds(graph, dependencies[i]) || std::find(dependencies, dependencies + i, dependencies[i]) != dependencies + i) return CUDA_ERROR_INVALID_VALUE;
  }
  auto made = std::make_unique<CUgraphNode_st>();
  made->graph = &graph;
  made->id = graph.next_node++;
  made->work = std::move(work);
  for (std::size_t i = 0; i < count; ++i) connect(dependencies[i], made.get());
  if (node) *node = made.get();
  graph.nodes.push_back(std::move(made));
  return CUDA_SUCCESS;
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
  Work copy = work;
  if (auto* child = std::get_if<GraphWork>(&copy)) child->graph = copy_graph(*child->graph);
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
    twins[node.get()] = twin.get();
    copy->nodes.push_back(std::move(twin));
  }
  for (const auto& node : graph.nodes) {
    for (const CUgraphNode dependency : node->dependencies) connect(twins[dependency], twins[node.get()]);
  }
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
  if (!is_valid(graph)) return CUDA_ERROR_INVALID_VALUE;
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
  for (const auto& node : graph->nodes) {
    for (const CUgraphNode dependency : node->dependencies) {
      sources.push_back(dependency);
      targets.push_back(node.get());
    }
  }
  std::size_t room = *count;
  ANYWARP_TRY(give(sources, from, data, &room));
  return give(targets, to, count);
}

CUresult graphNodeGetDependencies_v1(CUgraphNode node, CUgraphNode* dependencies, size_t* count) {
  return graphNodeGetDependencies_v2(node, dependencies, nullptr, count);
}
CUresult graphNodeGetDependencies_v2(CUgraphNode node, CUgraphNode* dependencies, CUgraphEdgeData* data, size_t* count) {
  if (!is_valid(node)) return CUDA_ERROR_INVALID_VALUE;
  return give(node->dependencies, dependencies, data, count);
}
CUresult graphNodeGetDependentNodes_v1(CUgraphNode node, CUgraphNode* dependents, size_t* count) {
  return graphNodeGetDependentNodes_v2(node, dependents, nullptr, count);
}
CUresult graphNodeGetDependentNodes_v2(CUgraphNode node, CUgraphNode* dependents, CUgraphEdgeData* data, size_t* count) {
  if (!is_valid(node)) return CUDA_ERROR_INVALID_VALUE;
  return give(node->dependents, dependents, data, count);
}

CUresult graphAddDependencies_v1(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, size_t count) {
  return graphAddDependencies_v2(graph, from, to, nullptr, count);
}

CUresult graphAddDependencies_v2(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, const CUgraphEdgeData* data, size_t count) {
  ANYWARP_TRY(check_edges(graph, from, to, count));
  if (!is_default(data, count)) return CUDA_ERROR_NOT_SUPPORTED;  // programmatic dependencies
  for (std::size_t i = 0; i < count; ++i) {
    // Edges that are there already, and cycles, are errors; those before stay.
    if (depends(to[i], from[i]) || reaches(to[i], from[i])) return CUDA_ERROR_INVALID_VALUE;
    connect(from[i], to[i]);
  }
  return CUDA_SUCCESS;
}

CUresult graphRemoveDependencies_v1(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, size_t count) {
  return graphRemoveDependencies_v2(graph, from, to, nullptr, count);
}

CUresult graphRemoveDependencies_v2(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, const CUgraphEdgeData*, size_t count) {
  ANYWARP_TRY(check_edges(graph, from, to, count));
  for (std::size_t i = 0; i < count; ++i) {
    if (!depends(to[i], from[i])) return CUDA_ERROR_INVALID_VALUE;
    disconnect(from[i], to[i]);
  }
  return CUDA_SUCCESS;
}

CUresult graphDestroyNode(CUgraphNode node) {
  if (!is_valid(node)) return CUDA_ERROR_INVALID_VALUE;
  // Graphs with memory nodes cannot lose nodes, as documented.
  const CUgraphNodeType type = type_of(node->work);
  if (type == CU_GRAPH_NODE_TYPE_MEM_ALLOC || type == CU_GRAPH_NODE_TYPE_MEM_FREE) return CUDA_ERROR_NOT_SUPPORTED;
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
