// Manual: stream management, capture into graphs.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t streamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t streamBeginCaptureToGraph(cudaStream_t stream, cudaGraph_t graph, const cudaGraphNode_t* dependencies, const cudaGraphEdgeData* data,
                                      size_t count, cudaStreamCaptureMode mode);
cudaError_t streamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t streamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status);
cudaError_t streamGetCaptureInfo_v1(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long* id);
cudaError_t streamGetCaptureInfo_v2(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long* id, cudaGraph_t* graph,
                                    const cudaGraphNode_t** dependencies, size_t* count);
cudaError_t streamGetCaptureInfo_v3(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long* id, cudaGraph_t* graph,
                                    const cudaGraphNode_t** dependencies, const cudaGraphEdgeData** data, size_t* count);
cudaError_t streamUpdateCaptureDependencies_v1(cudaStream_t stream, cudaGraphNode_t* dependencies, size_t count, unsigned flags);
cudaError_t streamUpdateCaptureDependencies_v2(cudaStream_t stream, cudaGraphNode_t* dependencies, const cudaGraphEdgeData* data, size_t count,
                                               unsigned flags);
cudaError_t threadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode);

}  // namespace anywarp::cudart
