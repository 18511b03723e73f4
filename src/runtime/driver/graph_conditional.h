// Manual: graph management, conditional nodes: a graph that runs if a condition holds (IF), as long as it holds (WHILE), or the one of several that
// it names (SWITCH).
//
// A condition is a word of device memory, and its handle the word's address: cudaGraphSetConditional, which kernels call, is a store
// (ptx/device_runtime.py). A launch reaches the node in its stream, which then waits while the bodies run in a stream of the node's own,
// enqueued by whoever reads the condition.
#pragma once

#include "driver/graph.h"

namespace anywarp::driver {

CUresult graphConditionalHandleCreate(CUgraphConditionalHandle* handle, CUgraph graph, CUcontext context, unsigned default_value, unsigned flags);

struct Condition {
  Condition(std::uint32_t* at, unsigned value, bool assign) : word(at), default_value(value), assigns_default(assign) {}
  ~Condition();
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;
  std::uint32_t* const word;
  const unsigned default_value;
  const bool assigns_default;  // at every launch
  bool used = false;           // by a node
};

// A node's work from its parameters; gives out the bodies, which are empty.
CUresult make_conditional_work(CUDA_CONDITIONAL_NODE_PARAMS& parameters, Work* out);
ConditionalWork copy_conditional(const ConditionalWork& work);
CUresult enqueue_conditional(const ConditionalWork& work, Stream& stream, GraphLaunch* graph);
// Gives the conditions of a work, and of those inside it, their default values.
CUresult assign_defaults(const Work& work, Stream& stream);

}  // namespace anywarp::driver
