#include "cudart/stream_capture.h"

namespace anywarp::cudart {

cudaError_t streamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  CUDART_TRY(use_context());
  return error_of(cuStreamBeginCapture_v2(stream, static_cast<CUstreamCaptureMode>(mode)));
}

cudaError_t streamBeginCaptureToGraph(cudaStream_t stream, cudaGraph_t graph, const cudaGraphNode_t* dependencies, const cudaGraphEdgeData* data,
                                      size_t count, cudaStreamCaptureMode mode) {
  CUDART_TRY(use_context());
  return error_of(cuStreamBeginCaptureToGraph(stream, graph, dependencies, reinterpret_cast<const CUgraphEdgeData*>(data), count,
                                              static_cast<CUstreamCaptureMode>(mode)));
}

cudaError_t streamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  CUDART_TRY(use_context());
  return error_of(cuStreamEndCapture(stream, graph));
}

cudaError_t streamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  CUDART_TRY(use_context());
  return error_of(cuStreamIsCapturing(stream, reinterpret_cast<CUstreamCaptureStatus*>(status)));
}

cudaError_t streamGetCaptureInfo_v1(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long* id) {
  return streamGetCaptureInfo_v2(stream, status, id, nullptr, nullptr, nullptr);
}

cudaError_t streamGetCaptureInfo_v2(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long* id, cudaGraph_t* graph,
                                    const cudaGraphNode_t** dependencies, size_t* count) {
  CUDART_TRY(use_context());
  cuuint64_t wide = 0;
  CUDART_TRY(cuStreamGetCaptureInfo_v2(stream, reinterpret_cast<CUstreamCaptureStatus*>(status), &wide, graph, dependencies, count));
  if (id) *id = wide;
  return cudaSuccess;
}

cudaError_t streamGetCaptureInfo_v3(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long* id, cudaGraph_t* graph,
                                    const cudaGraphNode_t** dependencies, const cudaGraphEdgeData** data, size_t* count) {
  CUDART_TRY(use_context());
  cuuint64_t wide = 0;
  CUDART_TRY(cuStreamGetCaptureInfo_v3(stream, reinterpret_cast<CUstreamCaptureStatus*>(status), &wide, graph, dependencies,
                                       reinterpret_cast<const CUgraphEdgeData**>(data), count));
  if (id) *id = wide;
  return cudaSuccess;
}

cudaError_t streamUpdateCaptureDependencies_v1(cudaStream_t stream, cudaGraphNode_t* dependencies, size_t count, unsigned flags) {
  CUDART_TRY(use_context());
  return error_of(cuStreamUpdateCaptureDependencies(stream, dependencies, count, flags));
}

cudaError_t streamUpdateCaptureDependencies_v2(cudaStream_t stream, cudaGraphNode_t* dependencies, const cudaGraphEdgeData* data, size_t count,
                                               unsigned flags) {
  CUDART_TRY(use_context());
  return error_of(
      cuStreamUpdateCaptureDependencies_v2(stream, dependencies, reinterpret_cast<const CUgraphEdgeData*>(data), count, flags));
}

cudaError_t threadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  CUDART_TRY(use_driver());
  return error_of(cuThreadExchangeStreamCaptureMode(reinterpret_cast<CUstreamCaptureMode*>(mode)));
}

}  // namespace anywarp::cudart
