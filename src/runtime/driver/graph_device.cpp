#include "driver/graph_device.h"

#include <cstring>
#include <unordered_map>

#include "exec/services.h"

namespace anywarp::driver {
namespace {

constexpr unsigned kInvalidValue = 1;  // cudaErrorInvalidValue
// cudaStreamGraphTailLaunch and the like.
constexpr std::uint64_t kTail = 0x0100000000000000, kFireAndForget = 0x0200000000000000, kSibling = 0x0300000000000000;

// The living nodes: kernels name them by address.
struct Nodes {
  std::mutex mutex;
  std::unordered_map<std::uint64_t, std::weak_ptr<DeviceNode>> all;
};
Nodes& nodes() {
  static auto* n = new Nodes;
  return *n;
}

std::shared_ptr<DeviceNode> find_node(std::uint64_t handle) {
  Nodes& n = nodes();
  const std::lock_guard lock(n.mutex);
  const auto found = n.all.find(handle);
  return found == n.all.end() ? nullptr : found->second.lock();
}

// Whatever number a kernel may have passed.
CUgraphExec find_exec(std::uint64_t handle) {
  auto* exec = reinterpret_cast<CUgraphExec>(handle);
  Magic magic{};
  Fault ignored;
  if (handle % alignof(CUgraphExec_st) != 0 || !copy_guarded(&magic, &exec->magic, sizeof magic, &ignored)) return nullptr;
  return is_valid(exec) ? exec : nullptr;
}

// A graph and all that it starts, as a child of `environment`.
unsigned launch_child(CUgraphExec exec, const std::shared_ptr<Offspring>& environment) {
  if (exec->in_flight.exchange(true)) return kInvalidValue;  // an executable graph runs once at a time
  GraphLaunch launch{reinterpret_cast<std::uint64_t>(exec), std::make_shared<Offspring>(environment->context(), environment)};
  const StreamRef stream = environment->any_stream();
  CUresult result = enqueue_steps(*exec, *stream, &launch);
  if (result == CUDA_SUCCESS) {
    result = api(stream->poll([exec, child = launch.offspring] {
      if (!child->finish()) return false;
      exec->in_flight.store(false);
      return true;
    }));
  }
  if (result != CUDA_SUCCESS) exec->in_flight.store(false);
  return static_cast<unsigned>(result);
}

struct NodeLaunch {
  NodeLaunch(KernelWork w, GraphLaunch g, Context& c)
      : work(std::move(w)), graph(std::move(g)), context(c), stream(c.create_stream(Stream::Type::non_blocking)) {}
  KernelWork work;
  GraphLaunch graph;
  Context& context;
  const StreamRef stream;
  bool started = false;

  // Polled by one thread at a time.
  bool finish() {
    if (!started) {
      started = true;
      start();
    }
    if (stream->completed() < stream->submitted()) return false;
    context.forget(stream);
    return true;
  }

  void start() {
    {
      const std::lock_guard lock(work.device_node->mutex);
      if (!work.device_node->enabled) return;
      work.parameters = work.device_node->parameters;
      std::copy_n(work.device_node->grid, 3, work.shape.grid);
    }
    Arguments arguments;
    arguments.buffer = work.parameters.data();
    arguments.buffer_bytes = work.parameters.size();
    std::string log;
    if (const Result r = stream->launch(*work.function->kernel, work.shape, arguments, &log, &graph); r != Result::success)
      context.fail(r, log.empty() ? "anywarp: a node that kernels can change could not be launched" : log);
  }
};

}  // namespace

DeviceNode::DeviceNode(const KernelWork& work) { set(work); }

DeviceNode::~DeviceNode() {
  Nodes& n = nodes();
  const std::lock_guard lock(n.mutex);
  n.all.erase(reinterpret_cast<std::uint64_t>(this));
}

void DeviceNode::set(const KernelWork& work) {
  const std::lock_guard lock(mutex);
  std::copy_n(work.shape.grid, 3, grid);
  parameters = work.parameters;
}

void DeviceNode::enable(bool is_enabled) {
  const std::lock_guard lock(mutex);
  enabled = is_enabled;
}

CUgraphDeviceNode make_device_node(KernelWork* work) {
  if (!work->device_node) {
    work->device_node = std::make_shared<DeviceNode>(*work);
    Nodes& n = nodes();
    const std::lock_guard lock(n.mutex);
    n.all[reinterpret_cast<std::uint64_t>(work->device_node.get())] = work->device_node;
  }
  auto* handle = reinterpret_cast<CUgraphDeviceNode>(work->device_node.get());
  CUlaunchAttributeValue value{};
  value.deviceUpdatableKernelNode.deviceUpdatable = 1;
  value.deviceUpdatableKernelNode.devNode = handle;
  work->attributes[CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE] = value;
  return handle;
}

CUresult enqueue_device_node(const KernelWork& work, Stream& stream, GraphLaunch* graph) {
  graph->need_offspring(stream.context());
  const auto node = std::make_shared<NodeLaunch>(work, *graph, stream.context());
  return api(stream.poll([node] { return node->finish(); }));
}

bool has_device_node(const Work& work) {
  const auto* kernel = std::get_if<KernelWork>(&work);
  return kernel && kernel->device_node;
}

void forget_device_node(Work* work) {
  auto* kernel = std::get_if<KernelWork>(work);
  if (!kernel || !kernel->device_node) return;
  kernel->device_node = nullptr;
  kernel->attributes.erase(CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE);
}

unsigned launch_graph_from_device(Grid& grid, std::uint64_t handle, std::uint64_t stream) {
  const std::shared_ptr<Offspring>& environment = grid.graph_offspring();
  const CUgraphExec exec = find_exec(handle);
  if (!exec || !environment || !(exec->flags & CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH) || !exec->is_uploaded) return kInvalidValue;
  switch (stream) {
    case kTail:
      // The environment that finishes holds itself meanwhile.
      environment->add_tail([exec, weak = std::weak_ptr(environment)](Stream& tail) {
        GraphLaunch launch{reinterpret_cast<std::uint64_t>(exec), weak.lock()};
        return is_valid(exec) ? static_cast<Result>(enqueue_steps(*exec, tail, &launch)) : Result::invalid_value;
      });
      return CUDA_SUCCESS;
    case kFireAndForget: return launch_child(exec, environment);
    case kSibling: return environment->parent() ? launch_child(exec, environment->parent()) : kInvalidValue;
    default: return kInvalidValue;
  }
}

unsigned set_node_parameter(std::uint64_t handle, std::uint64_t offset, std::uint64_t value, std::uint64_t bytes, Fault* fault) {
  const auto node = find_node(handle);
  if (!node) return kInvalidValue;
  if (bytes > kMaxParameterBytes) return kInvalidValue;
  std::vector<std::uint8_t> copy(bytes);
  if (!copy_guarded(copy.data(), reinterpret_cast<const void*>(value), bytes, fault)) return kInvalidValue;
  const std::lock_guard lock(node->mutex);
  if (offset > node->parameters.size() || bytes > node->parameters.size() - offset) return kInvalidValue;
  std::copy(copy.begin(), copy.end(), node->parameters.begin() + static_cast<std::ptrdiff_t>(offset));
  return CUDA_SUCCESS;
}

unsigned set_node_enabled(std::uint64_t handle, bool enabled) {
  const auto node = find_node(handle);
  if (!node) return kInvalidValue;
  node->enable(enabled);
  return CUDA_SUCCESS;
}

unsigned set_node_grid(std::uint64_t handle, const std::uint32_t grid[3]) {
  const auto node = find_node(handle);
  if (!node || grid[0] == 0 || grid[1] == 0 || grid[2] == 0) return kInvalidValue;
  const std::lock_guard lock(node->mutex);
  std::copy_n(grid, 3, node->grid);
  return CUDA_SUCCESS;
}

unsigned apply_node_updates(std::uint64_t updates, std::uint64_t count, Fault* fault) {
  // cudaGraphKernelNodeUpdate of the public header driver_types.h.
  struct Update {
    std::uint64_t node;
    std::uint32_t field;
    union {
      std::uint32_t grid[3];
      struct {
        std::uint64_t value, offset, bytes;
      } parameter;
      std::uint32_t enabled;
    };
  };
  static_assert(sizeof(Update) == 40);
  enum : std::uint32_t { grid_field = 1, parameter_field = 2, enabled_field = 3 };
  for (std::uint64_t i = 0; i < count; ++i) {
    Update u;
    if (!copy_guarded(&u, reinterpret_cast<const void*>(updates + i * sizeof u), sizeof u, fault)) return kInvalidValue;
    unsigned error = kInvalidValue;
    switch (u.field) {
      case grid_field: error = set_node_grid(u.node, u.grid); break;
      case parameter_field: error = set_node_parameter(u.node, u.parameter.offset, u.parameter.value, u.parameter.bytes, fault); break;
      case enabled_field: error = set_node_enabled(u.node, u.enabled != 0); break;
      default: break;
    }
    if (error != CUDA_SUCCESS) return error;
  }
  return CUDA_SUCCESS;
}

}  // namespace anywarp::driver
