// Work that a stream carries out now or a graph later: kernels, copies, fills, host functions, events, allocations.
//
// Entry points describe what they want as `Work` where the stream may be capturing (`submit`): it becomes a node of the graph, else it is
// enqueued. Launches and copies of streams that do not capture go to the engine directly, without the description.
#pragma once

#include <map>
#include <memory>
#include <variant>
#include <vector>

#include "driver/objects.h"

namespace anywarp::driver {

struct DeviceNode;  // graph_device.h

struct EmptyWork {};

struct KernelWork {
  CUfunc_st* function = nullptr;
  CUkernel kernel = nullptr;  // as the program named it, if it did
  LaunchShape shape;
  std::vector<std::uint8_t> parameters;  // laid out as the kernel's manifest says
  std::vector<void*> pointers;           // to each parameter in a buffer of the node: what queries give out
  std::map<int, CUlaunchAttributeValue> attributes;
  std::shared_ptr<DeviceNode> device_node;  // of a node that kernels may change

  // Takes the parameters of a launch; invalid_value if there are none for a kernel that has some.
  CUresult take(void** kernel_params, void** extra);
};

struct CopyWork {
  CUDA_MEMCPY3D parameters{};
  Copy copy;
};

struct FillWork {
  CUDA_MEMSET_NODE_PARAMS parameters{};
};

struct HostWork {
  CUhostFn function = nullptr;
  void* data = nullptr;
};

struct RecordWork {
  CUevent event = nullptr;
};

struct WaitWork {
  CUevent event = nullptr;
};

// Memory of an allocation node: there from the making of the node until the last graph that holds the node is gone.
struct GraphMemory {
  GraphMemory(CUdeviceptr at, int of_device, std::size_t size);
  ~GraphMemory();
  GraphMemory(const GraphMemory&) = delete;
  GraphMemory& operator=(const GraphMemory&) = delete;
  const CUdeviceptr address;
  const int device;
  const std::size_t bytes;
  std::atomic<bool> live{false};  // a launch has allocated it, and none has freed it since
};

struct AllocateWork {
  CUDA_MEM_ALLOC_NODE_PARAMS parameters{};
  std::shared_ptr<GraphMemory> memory;
};

struct FreeWork {
  CUdeviceptr address = 0;
};

struct GraphWork {
  std::shared_ptr<CUgraph_st> graph;  // the node's own copy
};

struct MemoryOperationsWork {
  CUctx_st* context = nullptr;
  std::vector<CUstreamBatchMemOpParams> operations;
};

struct SignalWork {
  std::vector<CUexternalSemaphore> semaphores;
  std::vector<CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS> parameters;
};

struct SemaphoreWaitWork {
  std::vector<CUexternalSemaphore> semaphores;
  std::vector<CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS> parameters;
};

struct Condition;  // graph_conditional.h

struct ConditionalWork {
  std::shared_ptr<Condition> condition;
  CUgraphConditionalNodeType type = CU_GRAPH_COND_TYPE_IF;
  std::vector<std::shared_ptr<CUgraph_st>> bodies;    // the node's own
  std::shared_ptr<std::vector<CUgraph>> handles;      // of the bodies: what the program is given
};

using Work = std::variant<EmptyWork, KernelWork, CopyWork, FillWork, HostWork, RecordWork, WaitWork, AllocateWork, FreeWork, GraphWork,
                          MemoryOperationsWork, SignalWork, SemaphoreWaitWork, ConditionalWork>;

// Enqueues the work, in order, in a stream that does not capture. `graph`: of the launch of a graph that the work is part of.
CUresult enqueue(const Work& work, Stream& stream, GraphLaunch* graph = nullptr);
// A node of the stream's capture, or `enqueue`.
CUresult submit(const StreamUse& use, Work work);

Fill fill_of(const CUDA_MEMSET_NODE_PARAMS& parameters);
// Prints what the compiler said of a kernel that it refused.
void report_log(CUresult result, const std::string& log);

}  // namespace anywarp::driver
