// Manual: stream management, capture of streams as graphs.
//
// A Capture belongs to the stream in which it began and is shared by the streams that joined it through events. Each stream has a `tail`:
// the nodes that its next operation depends on. Not thread-safe beyond what the manual asks: one thread at a time uses the
// streams of a capture.
#pragma once

#include <thread>
#include <unordered_map>

#include "driver/graph.h"
#include "driver/work.h"

namespace anywarp::driver {

CUresult streamBeginCapture_v1(CUstream stream);
CUresult streamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode);
CUresult streamBeginCaptureToGraph(CUstream stream, CUgraph graph, const CUgraphNode* dependencies, const CUgraphEdgeData* data, size_t count,
                                   CUstreamCaptureMode mode);
CUresult streamBeginRecaptureToGraph(CUstream stream, CUstreamCaptureMode mode, CUgraph graph, CUgraphRecaptureCallback callback, void* data);
CUresult streamEndCapture(CUstream stream, CUgraph* graph);
CUresult streamIsCapturing(CUstream stream, CUstreamCaptureStatus* status);
CUresult streamGetCaptureInfo_v1(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id);
CUresult streamGetCaptureInfo_v2(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id, CUgraph* graph, const CUgraphNode** dependencies,
                                 size_t* count);
CUresult streamGetCaptureInfo_v3(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id, CUgraph* graph, const CUgraphNode** dependencies,
                                 const CUgraphEdgeData** data, size_t* count);
CUresult streamUpdateCaptureDependencies_v1(CUstream stream, CUgraphNode* dependencies, size_t count, unsigned flags);
CUresult streamUpdateCaptureDependencies_v2(CUstream stream, CUgraphNode* dependencies, const CUgraphEdgeData* data, size_t count, unsigned flags);
CUresult threadExchangeStreamCaptureMode(CUstreamCaptureMode* mode);

struct Capture {
  CUgraph graph = nullptr;
  bool owns_graph = true;  // not of cuStreamBeginCaptureToGraph
  CUstream_st* origin = nullptr;
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  std::thread::id thread;
  std::uint64_t id = 0;
  std::atomic<bool> invalid{false};  // set by any thread
  // Of a recapture: the graph's nodes in the order of their creation, and how many of them have come again.
  bool recaptures = false;
  std::size_t seen = 0;
  CUgraphRecaptureCallback callback = nullptr;
  void* callback_data = nullptr;
  std::unordered_map<CUstream_st*, std::vector<CUgraphNode>> tails;
};

// Some stream of the context captures.
bool is_capturing(const CUctx_st& context);
// Makes the stream's capture invalid, and returns `error`.
CUresult invalidate(const StreamUse& use, CUresult error);
// Adds a node behind the stream's tail.
CUresult capture_node(const StreamUse& use, Work work, CUgraphNode* node = nullptr);
// cuStreamWaitEvent and cuEventRecord, as far as captures are concerned. `*captured`: that was all.
CUresult capture_wait(const StreamUse& use, CUevent_st& event, unsigned flags, bool* captured);
CUresult capture_record(const StreamUse& use, CUevent_st& event, unsigned flags, bool* captured);
// Called by functions that are unsafe while streams capture (allocating memory, say): while some thread captures in global mode, or this one in
// thread-local mode, and this thread's mode is not more relaxed, the captures become invalid, and the call is refused.
CUresult refuse_while_capturing();
// A stream that is destroyed leaves its capture. False where that spoils it: nobody waits for what the stream added last.
bool abandon_capture(CUstream_st& stream);

}  // namespace anywarp::driver
