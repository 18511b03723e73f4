// Manual: graph management, device side: graphs that kernels launch, and kernel nodes that kernels change.
//
// A launch from a kernel goes into the environment (exec/offspring.h) of the graph that the kernel is part of: fire and forget into a child
// environment, a tail launch into the same one when it is empty, a sibling beside it. A node that kernels may change is launched by a task in
// the graph's stream, which reads its state when the nodes before it are complete.
#pragma once

#include <mutex>

#include "driver/graph.h"
#include "exec/grid.h"
#include "exec/offspring.h"

namespace anywarp::driver {

// What kernels may change of a node: CUgraphDeviceNode, cudaGraphDeviceNode_t. Shared by the node and the executable graph.
struct DeviceNode {
  explicit DeviceNode(const KernelWork& work);
  ~DeviceNode();
  DeviceNode(const DeviceNode&) = delete;
  DeviceNode& operator=(const DeviceNode&) = delete;
  // As the host says.
  void set(const KernelWork& work);
  void enable(bool is_enabled);

  std::mutex mutex;  // guards what follows
  unsigned grid[3]{};
  std::vector<std::uint8_t> parameters;
  bool enabled = true;
  bool instantiated = false;  // once only
};

// Makes the node of a kernel's work one that kernels can change; gives its handle.
CUgraphDeviceNode make_device_node(KernelWork* work);
// Launches such a node when its turn comes.
CUresult enqueue_device_node(const KernelWork& work, Stream& stream, GraphLaunch* graph);
// True if a work is such a node's; those in a graph inside it are not looked at.
bool has_device_node(const Work& work);
// A copy of a graph has plain nodes.
void forget_device_node(Work* work);

// The steps of an executable graph, in a stream. Polls for what its kernels start are the caller's.
CUresult enqueue_steps(CUgraphExec_st& exec, Stream& stream, GraphLaunch* launch);

// What the device runtime calls; they give a cudaError_t. `fault`: a bad address of the kernel's.
unsigned launch_graph_from_device(Grid& grid, std::uint64_t exec, std::uint64_t stream);
unsigned set_node_parameter(std::uint64_t node, std::uint64_t offset, std::uint64_t value, std::uint64_t bytes, Fault* fault);
unsigned set_node_enabled(std::uint64_t node, bool enabled);
unsigned set_node_grid(std::uint64_t node, const std::uint32_t grid[3]);
unsigned apply_node_updates(std::uint64_t updates, std::uint64_t count, Fault* fault);

}  // namespace anywarp::driver
