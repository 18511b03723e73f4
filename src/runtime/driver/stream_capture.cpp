#include "driver/stream_capture.h"

#include <algorithm>
#include <cstring>
#include <mutex>

namespace anywarp::driver {
namespace {

thread_local CUstreamCaptureMode t_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
std::atomic<std::uint64_t> g_next_id{1};

// Captures that are not relaxed.
struct Strict {
  std::mutex mutex;
  std::vector<std::shared_ptr<Capture>> all;
};
Strict& strict() {
  static auto* s = new Strict;
  return *s;
}
std::atomic<int> g_strict{0};

void add_strict(const std::shared_ptr<Capture>& capture) {
  if (capture->mode == CU_STREAM_CAPTURE_MODE_RELAXED) return;
  Strict& s = strict();
  const std::lock_guard lock(s.mutex);
  s.all.push_back(capture);
  ++g_strict;
}

void remove_strict(const Capture& capture) {
  Strict& s = strict();
  const std::lock_guard lock(s.mutex);
  g_strict -= static_cast<int>(std::erase_if(s.all, [&](const auto& c) { return c.get() == &capture; }));
}

bool is_blocking(const CUstream_st& stream) { return (stream.flags & CU_STREAM_NON_BLOCKING) == 0; }

// `stream` takes part in `capture` from now on.
void join(const std::shared_ptr<Capture>& capture, CUstream_st& stream, std::vector<CUgraphNode> tail) {
  capture->tails[&stream] = std::move(tail);
  stream.capture_owner = capture;
  stream.capture.store(capture.get(), std::memory_order_release);
  ++stream.context->captures;
  if (is_blocking(stream)) ++stream.context->blocking_captures;
}

void leave(CUstream_st& stream) {
  if (!stream.capture.load()) return;
  const std::shared_ptr<Capture> keep = std::move(stream.capture_owner);
  keep->tails.erase(&stream);
  stream.capture.store(nullptr, std::memory_order_release);
  --stream.context->captures;
  if (is_blocking(stream)) --stream.context->blocking_captures;
}

bool is_joined(const CUstream_st& stream, const Capture& capture) {
  const auto mine = capture.tails.find(const_cast<CUstream_st*>(&stream)), origin = capture.tails.find(capture.origin);
  if (mine == capture.tails.end() || origin == capture.tails.end() || mine == origin) return false;
  return std::all_of(mine->second.begin(), mine->second.end(), [&](CUgraphNode node) {
    return !node->dependents.empty() || std::find(origin->second.begin(), origin->second.end(), node) != origin->second.end();
  });
}

// Every stream leaves. The graph is destroyed unless it is handed over.
void dissolve(Capture& capture, bool keep_graph) {
  remove_strict(capture);
  std::vector<CUstream_st*> streams;
  for (const auto& [stream, tail] : capture.tails) streams.push_back(stream);
  CUgraph graph = capture.graph;
  const bool owned = capture.owns_graph;
  capture.graph = nullptr;  // events that were recorded in it know by this that it is over
  for (CUstream_st* stream : streams) leave(*stream);
  if (owned && !keep_graph && graph) [[maybe_unused]] const CUresult ignored = graphDestroy(graph);
}

CUresult begin(CUstream stream, CUstreamCaptureMode mode, CUgraph graph, std::vector<CUgraphNode> tail, Capture** made = nullptr) {
  if (mode > CU_STREAM_CAPTURE_MODE_RELAXED) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  if (!use.object) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;  // the legacy default stream cannot capture
  if (use.capture()) return CUDA_ERROR_ILLEGAL_STATE;
  auto capture = std::make_shared<Capture>();
  capture->owns_graph = graph == nullptr;
  capture->graph = graph;
  if (!graph) ANYWARP_TRY(graphCreate(&capture->graph, 0));
  capture->origin = use.object;
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->id = g_next_id++;
  if (made) *made = capture.get();
  join(capture, *use.object, std::move(tail));
  add_strict(capture);
  return CUDA_SUCCESS;
}

template <typename T>
bool same_bytes(const T& a, const T& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

bool same_shape(const LaunchShape& a, const LaunchShape& b) {
  return std::equal(a.grid, a.grid + 3, b.grid) && std::equal(a.block, a.block + 3, b.block) && std::equal(a.cluster, a.cluster + 3, b.cluster) &&
         a.dynamic_shared == b.dynamic_shared && a.cooperative == b.cooperative;
}

// Whether two works of one type do the same; those that are not compared count as changed.
bool is_same(const Work& before, const Work& after) {
  return std::visit(
      [&](const auto& a) {
        using Type = std::decay_t<decltype(a)>;
        const auto& b = std::get<Type>(after);
        if constexpr (std::is_same_v<Type, EmptyWork>) return true;
        else if constexpr (std::is_same_v<Type, KernelWork>) {
          return a.function == b.function && same_shape(a.shape, b.shape) && a.parameters == b.parameters &&
                 std::equal(a.attributes.begin(), a.attributes.end(), b.attributes.begin(), b.attributes.end(),
                            [](const auto& x, const auto& y) { return x.first == y.first && same_bytes(x.second, y.second); });
        } else if constexpr (std::is_same_v<Type, CopyWork>) {
          return a.copy.destination == b.copy.destination && a.copy.source == b.copy.source && a.copy.width == b.copy.width &&
                 a.copy.height == b.copy.height && a.copy.depth == b.copy.depth && a.copy.destination_pitch == b.copy.destination_pitch &&
                 a.copy.source_pitch == b.copy.source_pitch && a.copy.destination_slice == b.copy.destination_slice &&
                 a.copy.source_slice == b.copy.source_slice;
        } else if constexpr (std::is_same_v<Type, FillWork>) {
          const CUDA_MEMSET_NODE_PARAMS &p = a.parameters, &q = b.parameters;
          return p.dst == q.dst && p.pitch == q.pitch && p.value == q.value && p.elementSize == q.elementSize && p.width == q.width && p.height == q.height;
        } else if constexpr (std::is_same_v<Type, HostWork>) return a.function == b.function && a.data == b.data;
        else if constexpr (std::is_same_v<Type, RecordWork> || std::is_same_v<Type, WaitWork>) return a.event == b.event;
        else if constexpr (std::is_same_v<Type, AllocateWork>) {
          return a.parameters.bytesize == b.parameters.bytesize && a.parameters.poolProps.location.id == b.parameters.poolProps.location.id;
        } else if constexpr (std::is_same_v<Type, FreeWork>) return a.address == b.address;
        else return false;
      },
      before);
}

// The next node of the graph that is captured again: it must be of the same type behind the same nodes. Other parameters are told to the
// program, which may refuse them; those of memory must not change.
CUresult recapture(Capture& capture, const std::vector<CUgraphNode>& tail, Work work, CUgraphNode* node) {
  CUgraph_st& graph = *capture.graph;
  if (capture.seen >= graph.nodes.size()) return CUDA_ERROR_GRAPH_RECAPTURE_FAILURE;
  CUgraphNode_st& old = *graph.nodes[capture.seen++];
  const bool same_place = old.dependencies.size() == tail.size() &&
                          std::is_permutation(tail.begin(), tail.end(), old.dependencies.begin(), old.dependencies.end());
  if (!same_place || old.work.index() != work.index()) return CUDA_ERROR_GRAPH_RECAPTURE_FAILURE;
  *node = &old;
  if (is_same(old.work, work)) return CUDA_SUCCESS;  // an allocation keeps its address
  const CUgraphNodeType type = type_of(work);
  if (type == CU_GRAPH_NODE_TYPE_MEM_ALLOC || type == CU_GRAPH_NODE_TYPE_MEM_FREE) return CUDA_ERROR_GRAPH_RECAPTURE_FAILURE;
  CUgraphNode_st changed;
  changed.graph = &graph;
  changed.work = std::move(work);
  if (capture.callback) {
    CUgraphNodeParams before, after;
    ANYWARP_TRY(graphNodeGetParams(&old, &before));
    ANYWARP_TRY(graphNodeGetParams(&changed, &after));
    // What cuGraphExecUpdate would not take over.
    const auto *was = std::get_if<KernelWork>(&old.work), *is = std::get_if<KernelWork>(&changed.work);
    const bool eligible = !was || was->function->module->context == is->function->module->context;
    ANYWARP_TRY(capture.callback(capture.callback_data, &old, &before, &after,
                                 eligible ? CU_GRAPH_RECAPTURE_ELIGIBLE_FOR_UPDATE : CU_GRAPH_RECAPTURE_INELIGIBLE_FOR_UPDATE));
  }
  old.work = std::move(changed.work);
  return CUDA_SUCCESS;
}

CUstreamCaptureStatus status_of(const Capture* capture) {
  if (!capture) return CU_STREAM_CAPTURE_STATUS_NONE;
  return capture->invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED : CU_STREAM_CAPTURE_STATUS_ACTIVE;
}


void merge(std::vector<CUgraphNode>& tail, const std::vector<CUgraphNode>& nodes) {
  for (const CUgraphNode node : nodes) {
    if (std::find(tail.begin(), tail.end(), node) == tail.end()) tail.push_back(node);
  }
}

}  // namespace

bool is_capturing(const CUctx_st& context) { return context.captures.load(std::memory_order_relaxed) != 0; }

CUresult refuse_while_capturing() {
  if (g_strict.load(std::memory_order_relaxed) == 0 || t_mode == CU_STREAM_CAPTURE_MODE_RELAXED) return CUDA_SUCCESS;
  bool refused = false;
  Strict& s = strict();
  const std::lock_guard lock(s.mutex);
  for (const auto& capture : s.all) {
    const bool mine = capture->thread == std::this_thread::get_id();
    const bool everybodys = capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL && t_mode == CU_STREAM_CAPTURE_MODE_GLOBAL;
    if (mine || everybodys) capture->invalid = refused = true;
  }
  return refused ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}

CUresult invalidate(const StreamUse& use, CUresult error) {
  if (Capture* capture = use.capture()) capture->invalid = true;
  return error;
}

CUresult capture_node(const StreamUse& use, Work work, CUgraphNode* node) {
  Capture* capture = use.capture();
  if (capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  std::vector<CUgraphNode>& tail = capture->tails[use.object];
  CUgraphNode made = nullptr;
  if (capture->recaptures) {
    if (const CUresult result = recapture(*capture, tail, std::move(work), &made); result != CUDA_SUCCESS) return invalidate(use, result);
  } else ANYWARP_TRY(add_node(*capture->graph, tail.data(), tail.size(), std::move(work), &made));
  tail = {made};
  if (node) *node = made;
  return CUDA_SUCCESS;
}

CUresult capture_wait(const StreamUse& use, CUevent_st& event, unsigned flags, bool* captured) {
  *captured = true;
  std::shared_ptr<Capture> recorded;
  std::vector<CUgraphNode> nodes;
  {
    const std::lock_guard lock(event.mutex);
    recorded = event.capture;
    nodes = event.captured;
  }
  if (recorded && !recorded->graph) recorded = nullptr;  // that capture is over
  Capture* own = use.capture();
  if (own && own->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (recorded) {
    if (!use.object) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    if (!own) {
      join(recorded, *use.object, nodes);
      return CUDA_SUCCESS;
    }
    if (own != recorded.get()) return invalidate(use, CUDA_ERROR_STREAM_CAPTURE_MERGE);
    merge(own->tails[use.object], nodes);
    return CUDA_SUCCESS;
  }
  if (own) {
    // Work outside the capture can be waited for only when the program says that it means that.
    if ((flags & CU_EVENT_WAIT_EXTERNAL) == 0) return invalidate(use, CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
    return capture_node(use, WaitWork{&event});
  }
  *captured = false;
  return CUDA_SUCCESS;
}

CUresult capture_record(const StreamUse& use, CUevent_st& event, unsigned flags, bool* captured) {
  Capture* own = use.capture();
  const std::lock_guard lock(event.mutex);
  event.capture = nullptr;
  event.captured.clear();
  *captured = own != nullptr;
  if (!own) return CUDA_SUCCESS;
  if (own->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (flags & CU_EVENT_RECORD_EXTERNAL) return capture_node(use, RecordWork{&event});
  event.capture = use.object->capture_owner;
  event.captured = own->tails[use.object];
  return CUDA_SUCCESS;
}

bool abandon_capture(CUstream_st& stream) {
  Capture* capture = stream.capture.load();
  if (!capture) return true;
  const std::shared_ptr<Capture> keep = stream.capture_owner;
  if (capture->origin == &stream) {
    dissolve(*capture, false);
    return false;
  }
  const bool joined = is_joined(stream, *capture);
  if (!joined) capture->invalid = true;
  leave(stream);
  return joined;
}

CUresult streamBeginCapture_v1(CUstream stream) { return begin(stream, CU_STREAM_CAPTURE_MODE_GLOBAL, nullptr, {}); }
CUresult streamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode) { return begin(stream, mode, nullptr, {}); }

CUresult streamBeginCaptureToGraph(CUstream stream, CUgraph graph, const CUgraphNode* dependencies, const CUgraphEdgeData*, size_t count,
                                   CUstreamCaptureMode mode) {
  if (!is_valid(graph) || (count > 0 && !dependencies)) return CUDA_ERROR_INVALID_VALUE;
  for (std::size_t i = 0; i < count; ++i) {
    if (!is_valid(dependencies[i]) || dependencies[i]->graph != graph) return CUDA_ERROR_INVALID_VALUE;
  }
  return begin(stream, mode, graph, std::vector<CUgraphNode>(dependencies, dependencies + count));
}

CUresult streamBeginRecaptureToGraph(CUstream stream, CUstreamCaptureMode mode, CUgraph graph, CUgraphRecaptureCallback callback, void* data) {
  if (!is_valid(graph)) return CUDA_ERROR_INVALID_VALUE;
  Capture* capture = nullptr;
  ANYWARP_TRY(begin(stream, mode, graph, {}, &capture));
  capture->recaptures = true;
  capture->callback = callback;
  capture->callback_data = data;
  for (const auto& [object, count] : graph->user_objects) ANYWARP_TRY(userObjectRelease(object, count));
  graph->user_objects.clear();
  return CUDA_SUCCESS;
}

CUresult streamEndCapture(CUstream stream, CUgraph* graph) {
  CUgraph unnamed = nullptr;
  if (!graph) graph = &unnamed;  // who captures to a graph of his own knows it
  *graph = nullptr;
  StreamUse use;
  // The stream's own errors do not keep the capture from ending.
  const CUresult used = use_stream(stream, &use);
  if (!use.object) return used != CUDA_SUCCESS ? used : CUDA_ERROR_ILLEGAL_STATE;
  Capture* capture = use.capture();
  if (!capture) return CUDA_ERROR_ILLEGAL_STATE;
  const std::shared_ptr<Capture> keep = use.object->capture_owner;
  if (capture->origin != use.object) {
    capture->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
  }
  if (capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED && capture->thread != std::this_thread::get_id()) return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
  CUresult result = capture->invalid ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS;
  if (result == CUDA_SUCCESS) {
    // Whatever other streams added last must be waited for by this stream.
    const std::vector<CUgraphNode>& tail = capture->tails[use.object];
    for (const auto& [other, nodes] : capture->tails) {
      for (const CUgraphNode node : nodes) {
        if (node->dependents.empty() && std::find(tail.begin(), tail.end(), node) == tail.end()) result = CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
      }
    }
  }
  if (result == CUDA_SUCCESS && capture->recaptures && capture->seen != capture->graph->nodes.size()) result = CUDA_ERROR_GRAPH_RECAPTURE_FAILURE;
  CUgraph made = capture->graph;
  dissolve(*capture, result == CUDA_SUCCESS);
  if (result == CUDA_SUCCESS) *graph = made;
  return result;
}

CUresult streamIsCapturing(CUstream stream, CUstreamCaptureStatus* status) {
  if (!status) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  *status = status_of(use.capture());
  return CUDA_SUCCESS;
}

CUresult streamGetCaptureInfo_v1(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id) {
  return streamGetCaptureInfo_v3(stream, status, id, nullptr, nullptr, nullptr, nullptr);
}

CUresult streamGetCaptureInfo_v2(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id, CUgraph* graph, const CUgraphNode** dependencies,
                                 size_t* count) {
  return streamGetCaptureInfo_v3(stream, status, id, graph, dependencies, nullptr, count);
}

CUresult streamGetCaptureInfo_v3(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id, CUgraph* graph, const CUgraphNode** dependencies,
                                 const CUgraphEdgeData** data, size_t* count) {
  if (!status) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  Capture* capture = use.capture();
  *status = status_of(capture);
  if (*status != CU_STREAM_CAPTURE_STATUS_ACTIVE) return CUDA_SUCCESS;
  const std::vector<CUgraphNode>& tail = capture->tails[use.object];
  if (id) *id = capture->id;
  if (graph) *graph = capture->graph;
  if (dependencies) *dependencies = tail.data();
  if (data) *data = nullptr;  // all edges are plain ones
  if (count) *count = tail.size();
  return CUDA_SUCCESS;
}

CUresult streamUpdateCaptureDependencies_v1(CUstream stream, CUgraphNode* dependencies, size_t count, unsigned flags) {
  return streamUpdateCaptureDependencies_v2(stream, dependencies, nullptr, count, flags);
}

CUresult streamUpdateCaptureDependencies_v2(CUstream stream, CUgraphNode* dependencies, const CUgraphEdgeData*, size_t count, unsigned flags) {
  if (flags > CU_STREAM_SET_CAPTURE_DEPENDENCIES || (count > 0 && !dependencies)) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  Capture* capture = use.capture();
  if (!capture) return CUDA_ERROR_ILLEGAL_STATE;
  if (capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  for (std::size_t i = 0; i < count; ++i) {
    if (!is_valid(dependencies[i]) || dependencies[i]->graph != capture->graph) return CUDA_ERROR_INVALID_VALUE;
  }
  std::vector<CUgraphNode>& tail = capture->tails[use.object];
  if (flags == CU_STREAM_SET_CAPTURE_DEPENDENCIES) tail.clear();
  merge(tail, std::vector<CUgraphNode>(dependencies, dependencies + count));
  return CUDA_SUCCESS;
}

CUresult threadExchangeStreamCaptureMode(CUstreamCaptureMode* mode) {
  if (!mode || *mode > CU_STREAM_CAPTURE_MODE_RELAXED) return CUDA_ERROR_INVALID_VALUE;
  std::swap(t_mode, *mode);
  return CUDA_SUCCESS;
}

}  // namespace anywarp::driver
