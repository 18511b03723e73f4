#include "driver/work.h"

#include <cstring>

#include "driver/execution.h"
#include "driver/external.h"
#include "driver/graph.h"
#include "driver/graph_conditional.h"
#include "driver/graph_device.h"
#include "driver/ipc.h"
#include "driver/logs.h"
#include "driver/memory.h"
#include "driver/memory_pool.h"
#include "driver/stream_capture.h"
#include "driver/stream_memory.h"

namespace anywarp::driver {
namespace {

struct Enqueue {
  Stream& stream;
  GraphLaunch* graph;

  CUresult operator()(const EmptyWork&) const { return CUDA_SUCCESS; }
  CUresult operator()(const KernelWork& w) const {
    if (w.device_node && graph) return enqueue_device_node(w, stream, graph);
    Arguments arguments;
    arguments.buffer = w.parameters.data();
    arguments.buffer_bytes = w.parameters.size();
    std::string log;
    const CUresult result = api(stream.launch(*w.function->kernel, w.shape, arguments, &log, graph));
    report_log(result, log);
    return result;
  }
  CUresult operator()(const CopyWork& w) const { return w.copy.width ? api(stream.copy(w.copy)) : CUDA_SUCCESS; }
  CUresult operator()(const FillWork& w) const { return api(stream.fill(fill_of(w.parameters))); }
  CUresult operator()(const HostWork& w) const {
    // After an error of the context the function is not called, as the manual says.
    return api(stream.task([w](Result state) { if (state == Result::success) w.function(w.data); }, Where::pool));
  }
  CUresult operator()(const RecordWork& w) const {
    if (!is_valid(w.event)) return CUDA_ERROR_INVALID_HANDLE;
    return w.event->ipc ? ipc_record(*w.event, stream) : api(w.event->event.record(stream));
  }
  CUresult operator()(const WaitWork& w) const {
    if (!is_valid(w.event)) return CUDA_ERROR_INVALID_HANDLE;
    return w.event->ipc ? ipc_wait(*w.event, stream) : api(stream.wait(w.event->event));
  }
  CUresult operator()(const AllocateWork&) const { return CUDA_SUCCESS; }  // the memory is there since the node was made
  CUresult operator()(const FreeWork& w) const { return is_graph_memory(w.address) ? CUDA_SUCCESS : free_in_order(w.address, stream); }
  CUresult operator()(const GraphWork& w) const {
    for (const CUgraphNode node : ordered_nodes(*w.graph)) ANYWARP_TRY(enqueue(node->work, stream, graph));
    return CUDA_SUCCESS;
  }
  CUresult operator()(const MemoryOperationsWork& w) const { return enqueue_memory_operations(w, stream); }
  CUresult operator()(const SignalWork& w) const { return enqueue_signal(w, stream); }
  CUresult operator()(const SemaphoreWaitWork& w) const { return enqueue_semaphore_wait(w, stream); }
  CUresult operator()(const ConditionalWork& w) const { return enqueue_conditional(w, stream, graph); }
};

}  // namespace

CUresult enqueue(const Work& work, Stream& stream, GraphLaunch* graph) { return std::visit(Enqueue{stream, graph}, work); }

CUresult submit(const StreamUse& use, Work work) {
  if (use.capture()) return capture_node(use, std::move(work));
  return enqueue(work, *use.stream);
}

Fill fill_of(const CUDA_MEMSET_NODE_PARAMS& p) {
  Fill fill;
  fill.destination = pointer(p.dst);
  fill.value = p.value;
  fill.element_bytes = p.elementSize;
  fill.width = p.width, fill.height = p.height;
  fill.pitch = p.pitch;
  return fill;
}

CUresult KernelWork::take(void** kernel_params, void** extra) {
  const EntryInfo& info = function->kernel->info();
  parameters.assign(info.param_bytes, 0);
  pointers.clear();
  if (kernel_params && extra) return CUDA_ERROR_INVALID_VALUE;
  if (kernel_params) {
    for (std::size_t i = 0; i < info.params.size(); ++i) {
      if (!kernel_params[i]) return CUDA_ERROR_INVALID_VALUE;
      std::memcpy(parameters.data() + info.params[i].offset, kernel_params[i], info.params[i].bytes);
    }
  } else if (extra) {
    Arguments arguments;
    ANYWARP_TRY(read_extra(extra, &arguments));
    if (arguments.buffer_bytes > parameters.size()) return CUDA_ERROR_INVALID_VALUE;
    if (arguments.buffer) std::memcpy(parameters.data(), arguments.buffer, arguments.buffer_bytes);
  } else if (!info.params.empty()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

void report_log(CUresult result, const std::string& log) {
  if (result != CUDA_SUCCESS && !log.empty()) log_error(log.starts_with("anywarp: ") ? log.substr(9) : log);
}

}  // namespace anywarp::driver
