#include "driver/stream_capture.h"

#include <algorithm>
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

CUresult begin(CUstream stream, CUstreamCaptureMode mode, CUgraph graph, std::vector<CUgraphNode> tail) {
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
  join(capture, *use.object, std::move(tail));
  add_strict(capture);
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
  ANYWARP_TRY(add_node(*capture->graph, tail.data(), tail.size(), std::move(work), &made));
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

void abandon_capture(CUstream_st& stream) {
  Capture* capture = stream.capture.load();
  if (!capture) return;
  const std::shared_ptr<Capture> keep = stream.capture_owner;
  if (capture->origin == &stream) {
    dissolve(*capture, false);
  } else {
    capture->invalid = true;
    leave(stream);
  }
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

CUresult streamEndCapture(CUstream stream, CUgraph* graph) {
  if (!graph) return CUDA_ERROR_INVALID_VALUE;
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
