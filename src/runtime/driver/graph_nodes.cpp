// Nodes of graphs: their parameters as works, checked when they are set.
#include "driver/context.h"
#include "driver/external.h"
#include "driver/graph.h"
#include "driver/graph_conditional.h"
#include "driver/graph_device.h"
#include "driver/library.h"
#include "driver/memory_copy.h"
#include "driver/memory_set.h"
#include "driver/stream_memory.h"

namespace anywarp::driver {
namespace {

// The work of a node if it is of that kind, else null.
template <typename T>
T* work_of(CUgraphNode node) {
  return is_valid(node) ? std::get_if<T>(&node->work) : nullptr;
}

CUDA_KERNEL_NODE_PARAMS_v1 narrow(const CUDA_KERNEL_NODE_PARAMS& p) {
  return {p.func, p.gridDimX, p.gridDimY, p.gridDimZ, p.blockDimX, p.blockDimY, p.blockDimZ, p.sharedMemBytes, p.kernelParams, p.extra};
}

}  // namespace

CUDA_KERNEL_NODE_PARAMS widen(const CUDA_KERNEL_NODE_PARAMS_v1& p) {
  return {p.func, p.gridDimX, p.gridDimY, p.gridDimZ, p.blockDimX, p.blockDimY, p.blockDimZ, p.sharedMemBytes, p.kernelParams, p.extra, nullptr, nullptr};
}

CUresult make_kernel_work(const CUDA_KERNEL_NODE_PARAMS& p, Work* out) {
  KernelWork work;
  auto* handle = p.func ? p.func : reinterpret_cast<CUfunction>(p.kern);
  if (!handle) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = p.ctx ? p.ctx : top_context();
  if (!is_valid(handle)) {
    ANYWARP_TRY(check_context(context));
    work.kernel = reinterpret_cast<CUkernel>(handle);
  }
  ANYWARP_TRY(is_valid(handle) ? (work.function = handle, CUDA_SUCCESS) : resolve_function(handle, *context, &work.function));
  const unsigned grid[] = {p.gridDimX, p.gridDimY, p.gridDimZ}, block[] = {p.blockDimX, p.blockDimY, p.blockDimZ};
  for (int axis = 0; axis < 3; ++axis) {
    if (grid[axis] == 0 || block[axis] == 0) return CUDA_ERROR_INVALID_VALUE;
    work.shape.grid[axis] = grid[axis], work.shape.block[axis] = block[axis];
  }
  work.shape.dynamic_shared = p.sharedMemBytes;
  ANYWARP_TRY(work.take(p.kernelParams, p.extra));
  *out = std::move(work);
  return CUDA_SUCCESS;
}

CUresult make_copy_work(const CUDA_MEMCPY3D* p, Work* out) {
  if (!p) return CUDA_ERROR_INVALID_VALUE;
  CopyWork work;
  work.parameters = *p;
  ANYWARP_TRY(resolve_copy(*p, &work.copy));
  *out = work;
  return CUDA_SUCCESS;
}

CUresult make_fill_work(const CUDA_MEMSET_NODE_PARAMS* p, Work* out) {
  if (!p) return CUDA_ERROR_INVALID_VALUE;
  ANYWARP_TRY(check_fill(*p));
  *out = FillWork{*p};
  return CUDA_SUCCESS;
}

CUresult make_work(CUgraphNodeParams& p, Work* out) {
  switch (p.type) {
    case CU_GRAPH_NODE_TYPE_EMPTY: *out = EmptyWork{}; return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_KERNEL: {
      const CUDA_KERNEL_NODE_PARAMS_v3& k = p.kernel;
      return make_kernel_work({k.func, k.gridDimX, k.gridDimY, k.gridDimZ, k.blockDimX, k.blockDimY, k.blockDimZ, k.sharedMemBytes, k.kernelParams,
                               k.extra, k.kern, k.ctx}, out);
    }
    case CU_GRAPH_NODE_TYPE_MEMCPY: return make_copy_work(&p.memcpy.copyParams, out);
    case CU_GRAPH_NODE_TYPE_MEMSET: {
      const CUDA_MEMSET_NODE_PARAMS fill{p.memset.dst, p.memset.pitch, p.memset.value, p.memset.elementSize, p.memset.width, p.memset.height};
      return make_fill_work(&fill, out);
    }
    case CU_GRAPH_NODE_TYPE_HOST:
      if (!p.host.fn) return CUDA_ERROR_INVALID_VALUE;
      *out = HostWork{p.host.fn, p.host.userData};
      return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_GRAPH:
      if (!is_valid(p.graph.graph) || p.graph.ownership > CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE) return CUDA_ERROR_INVALID_VALUE;
      if (p.graph.ownership == CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE) {
        if (p.graph.graph->is_owned) return CUDA_ERROR_INVALID_VALUE;  // somebody else's
        p.graph.graph->is_owned = true;
        *out = GraphWork{std::shared_ptr<CUgraph_st>(p.graph.graph)};
        return CUDA_SUCCESS;
      }
      *out = GraphWork{owned_copy(*p.graph.graph)};
      return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
      if (!is_valid(p.eventWait.event)) return CUDA_ERROR_INVALID_VALUE;
      *out = WaitWork{p.eventWait.event};
      return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
      if (!is_valid(p.eventRecord.event)) return CUDA_ERROR_INVALID_VALUE;
      *out = RecordWork{p.eventRecord.event};
      return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC: {
      AllocateWork work;
      work.parameters.poolProps = p.alloc.poolProps;
      work.parameters.bytesize = p.alloc.bytesize;
      ANYWARP_TRY(make_graph_memory(&work));
      p.alloc.dptr = work.parameters.dptr;
      *out = std::move(work);
      return CUDA_SUCCESS;
    }
    case CU_GRAPH_NODE_TYPE_MEM_FREE: *out = FreeWork{p.free.dptr}; return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP: {
      MemoryOperationsWork work;
      ANYWARP_TRY(make_memory_operations_work(p.memOp.paramArray, p.memOp.count, p.memOp.flags, &work));
      work.context = p.memOp.ctx ? p.memOp.ctx : top_context();
      *out = std::move(work);
      return CUDA_SUCCESS;
    }
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL: {
      SignalWork work;
      ANYWARP_TRY(make_signal_work(p.extSemSignal.extSemArray, p.extSemSignal.paramsArray, p.extSemSignal.numExtSems, &work));
      *out = std::move(work);
      return CUDA_SUCCESS;
    }
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT: {
      SemaphoreWaitWork work;
      ANYWARP_TRY(make_semaphore_wait_work(p.extSemWait.extSemArray, p.extSemWait.paramsArray, p.extSemWait.numExtSems, &work));
      *out = std::move(work);
      return CUDA_SUCCESS;
    }
    case CU_GRAPH_NODE_TYPE_CONDITIONAL: return make_conditional_work(p.conditional, out);
    default: return CUDA_ERROR_NOT_SUPPORTED;  // batches of copies between machines
  }
}

CUresult graphAddEmptyNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count) {
  return add_program_node(node, graph, dependencies, count, EmptyWork{});
}

CUresult graphAddKernelNode_v1(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, const CUDA_KERNEL_NODE_PARAMS_v1* p) {
  if (!p) return CUDA_ERROR_INVALID_VALUE;
  const CUDA_KERNEL_NODE_PARAMS wide = widen(*p);
  return graphAddKernelNode_v2(node, graph, dependencies, count, &wide);
}

CUresult graphAddKernelNode_v2(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, const CUDA_KERNEL_NODE_PARAMS* p) {
  if (!p) return CUDA_ERROR_INVALID_VALUE;
  Work work;
  ANYWARP_TRY(make_kernel_work(*p, &work));
  return add_program_node(node, graph, dependencies, count, std::move(work));
}

CUresult graphKernelNodeGetParams_v1(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS_v1* p) {
  if (!p) return CUDA_ERROR_INVALID_VALUE;
  CUDA_KERNEL_NODE_PARAMS wide;
  ANYWARP_TRY(graphKernelNodeGetParams_v2(node, &wide));
  *p = narrow(wide);
  return CUDA_SUCCESS;
}

// The pointers given out stay valid until the node changes, as documented.
CUresult graphKernelNodeGetParams_v2(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS* p) {
  auto* work = work_of<KernelWork>(node);
  if (!work || !p) return CUDA_ERROR_INVALID_VALUE;
  work->pointers.clear();
  for (const Parameter& parameter : work->function->kernel->info().params) work->pointers.push_back(work->parameters.data() + parameter.offset);
  const LaunchShape& s = work->shape;
  *p = {work->kernel ? nullptr : work->function, s.grid[0], s.grid[1], s.grid[2], s.block[0], s.block[1], s.block[2], s.dynamic_shared,
        work->pointers.data(), nullptr, work->kernel, work->function->module->context};
  return CUDA_SUCCESS;
}

CUresult graphKernelNodeSetParams_v1(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v1* p) {
  if (!p) return CUDA_ERROR_INVALID_VALUE;
  const CUDA_KERNEL_NODE_PARAMS wide = widen(*p);
  return graphKernelNodeSetParams_v2(node, &wide);
}

CUresult graphKernelNodeSetParams_v2(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS* p) {
  auto* work = work_of<KernelWork>(node);
  if (!work || !p) return CUDA_ERROR_INVALID_VALUE;
  Work changed;
  ANYWARP_TRY(make_kernel_work(*p, &changed));
  auto& kernel = std::get<KernelWork>(changed);
  kernel.attributes = work->attributes;
  kernel.device_node = work->device_node;
  if (kernel.device_node) kernel.device_node->set(kernel);
  kernel.shape.cooperative = work->shape.cooperative;
  node->work = std::move(changed);
  return CUDA_SUCCESS;
}

CUresult graphKernelNodeCopyAttributes(CUgraphNode destination, CUgraphNode source) {
  auto* to = work_of<KernelWork>(destination);
  const auto* from = work_of<KernelWork>(source);
  if (!to || !from || to->device_node || from->device_node) return CUDA_ERROR_INVALID_VALUE;
  to->attributes = from->attributes;
  to->shape.cooperative = from->shape.cooperative;
  for (int axis = 0; axis < 3; ++axis) to->shape.cluster[axis] = from->shape.cluster[axis];
  return CUDA_SUCCESS;
}

CUresult graphKernelNodeGetAttribute(CUgraphNode node, CUkernelNodeAttrID attribute, CUkernelNodeAttrValue* value) {
  const auto* work = work_of<KernelWork>(node);
  if (!work || !value || attribute > CU_LAUNCH_ATTRIBUTE_SHARED_MEMORY_MODE) return CUDA_ERROR_INVALID_VALUE;
  *value = CUlaunchAttributeValue{};
  if (const auto found = work->attributes.find(attribute); found != work->attributes.end()) *value = found->second;
  if (attribute == CU_LAUNCH_ATTRIBUTE_COOPERATIVE) value->cooperative = work->shape.cooperative;
  if (attribute == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION) {
    value->clusterDim.x = work->shape.cluster[0], value->clusterDim.y = work->shape.cluster[1], value->clusterDim.z = work->shape.cluster[2];
  }
  return CUDA_SUCCESS;
}

CUresult graphKernelNodeSetAttribute(CUgraphNode node, CUkernelNodeAttrID attribute, const CUkernelNodeAttrValue* value) {
  auto* work = work_of<KernelWork>(node);
  if (!work || !value || attribute > CU_LAUNCH_ATTRIBUTE_SHARED_MEMORY_MODE) return CUDA_ERROR_INVALID_VALUE;
  if (attribute == CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE) {
    const int updatable = value->deviceUpdatableKernelNode.deviceUpdatable;
    if ((updatable != 0 && updatable != 1) || (updatable == 0 && work->device_node)) return CUDA_ERROR_INVALID_VALUE;
    if (updatable) make_device_node(work);
    return CUDA_SUCCESS;
  }
  work->attributes[attribute] = *value;
  if (attribute == CU_LAUNCH_ATTRIBUTE_COOPERATIVE) work->shape.cooperative = value->cooperative != 0;
  if (attribute == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION) {
    work->shape.cluster[0] = value->clusterDim.x, work->shape.cluster[1] = value->clusterDim.y, work->shape.cluster[2] = value->clusterDim.z;
  }
  return CUDA_SUCCESS;
}

CUresult graphAddMemcpyNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, const CUDA_MEMCPY3D* p, CUcontext context) {
  ANYWARP_TRY(check_context(context ? context : top_context()));
  Work work;
  ANYWARP_TRY(make_copy_work(p, &work));
  return add_program_node(node, graph, dependencies, count, std::move(work));
}

CUresult graphMemcpyNodeGetParams(CUgraphNode node, CUDA_MEMCPY3D* p) {
  const auto* work = work_of<CopyWork>(node);
  if (!work || !p) return CUDA_ERROR_INVALID_VALUE;
  *p = work->parameters;
  return CUDA_SUCCESS;
}

CUresult graphMemcpyNodeSetParams(CUgraphNode node, const CUDA_MEMCPY3D* p) {
  if (!work_of<CopyWork>(node)) return CUDA_ERROR_INVALID_VALUE;
  return make_copy_work(p, &node->work);
}

CUresult graphAddMemsetNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, const CUDA_MEMSET_NODE_PARAMS* p,
                            CUcontext context) {
  ANYWARP_TRY(check_context(context ? context : top_context()));
  Work work;
  ANYWARP_TRY(make_fill_work(p, &work));
  return add_program_node(node, graph, dependencies, count, std::move(work));
}

CUresult graphMemsetNodeGetParams(CUgraphNode node, CUDA_MEMSET_NODE_PARAMS* p) {
  const auto* work = work_of<FillWork>(node);
  if (!work || !p) return CUDA_ERROR_INVALID_VALUE;
  *p = work->parameters;
  return CUDA_SUCCESS;
}

CUresult graphMemsetNodeSetParams(CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS* p) {
  if (!work_of<FillWork>(node)) return CUDA_ERROR_INVALID_VALUE;
  return make_fill_work(p, &node->work);
}

CUresult graphAddHostNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, const CUDA_HOST_NODE_PARAMS* p) {
  if (!p || !p->fn) return CUDA_ERROR_INVALID_VALUE;
  return add_program_node(node, graph, dependencies, count, HostWork{p->fn, p->userData});
}

CUresult graphHostNodeGetParams(CUgraphNode node, CUDA_HOST_NODE_PARAMS* p) {
  const auto* work = work_of<HostWork>(node);
  if (!work || !p) return CUDA_ERROR_INVALID_VALUE;
  *p = {work->function, work->data};
  return CUDA_SUCCESS;
}

CUresult graphHostNodeSetParams(CUgraphNode node, const CUDA_HOST_NODE_PARAMS* p) {
  auto* work = work_of<HostWork>(node);
  if (!work || !p || !p->fn) return CUDA_ERROR_INVALID_VALUE;
  *work = {p->fn, p->userData};
  return CUDA_SUCCESS;
}

CUresult graphAddChildGraphNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, CUgraph child) {
  if (!is_valid(child)) return CUDA_ERROR_INVALID_VALUE;
  return add_program_node(node, graph, dependencies, count, GraphWork{owned_copy(*child)});
}

CUresult graphChildGraphNodeGetGraph(CUgraphNode node, CUgraph* graph) {
  const auto* work = work_of<GraphWork>(node);
  if (!work || !graph) return CUDA_ERROR_INVALID_VALUE;
  *graph = work->graph.get();
  return CUDA_SUCCESS;
}

CUresult graphAddEventRecordNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, CUevent event) {
  if (!is_valid(event)) return CUDA_ERROR_INVALID_VALUE;
  return add_program_node(node, graph, dependencies, count, RecordWork{event});
}

CUresult graphEventRecordNodeGetEvent(CUgraphNode node, CUevent* event) {
  const auto* work = work_of<RecordWork>(node);
  if (!work || !event) return CUDA_ERROR_INVALID_VALUE;
  *event = work->event;
  return CUDA_SUCCESS;
}

CUresult graphEventRecordNodeSetEvent(CUgraphNode node, CUevent event) {
  auto* work = work_of<RecordWork>(node);
  if (!work || !is_valid(event)) return CUDA_ERROR_INVALID_VALUE;
  work->event = event;
  return CUDA_SUCCESS;
}

CUresult graphAddEventWaitNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, CUevent event) {
  if (!is_valid(event)) return CUDA_ERROR_INVALID_VALUE;
  return add_program_node(node, graph, dependencies, count, WaitWork{event});
}

CUresult graphEventWaitNodeGetEvent(CUgraphNode node, CUevent* event) {
  const auto* work = work_of<WaitWork>(node);
  if (!work || !event) return CUDA_ERROR_INVALID_VALUE;
  *event = work->event;
  return CUDA_SUCCESS;
}

CUresult graphEventWaitNodeSetEvent(CUgraphNode node, CUevent event) {
  auto* work = work_of<WaitWork>(node);
  if (!work || !is_valid(event)) return CUDA_ERROR_INVALID_VALUE;
  work->event = event;
  return CUDA_SUCCESS;
}

CUresult graphAddMemAllocNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, CUDA_MEM_ALLOC_NODE_PARAMS* p) {
  if (!p) return CUDA_ERROR_INVALID_VALUE;
  AllocateWork work;
  work.parameters = *p;
  work.parameters.accessDescs = nullptr, work.parameters.accessDescCount = 0;  // every device reaches all memory
  ANYWARP_TRY(make_graph_memory(&work));
  p->dptr = work.parameters.dptr;
  return add_program_node(node, graph, dependencies, count, std::move(work));
}

CUresult graphMemAllocNodeGetParams(CUgraphNode node, CUDA_MEM_ALLOC_NODE_PARAMS* p) {
  const auto* work = work_of<AllocateWork>(node);
  if (!work || !p) return CUDA_ERROR_INVALID_VALUE;
  *p = work->parameters;
  return CUDA_SUCCESS;
}

CUresult graphAddMemFreeNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, CUdeviceptr address) {
  if (!address) return CUDA_ERROR_INVALID_VALUE;
  return add_program_node(node, graph, dependencies, count, FreeWork{address});
}

CUresult graphMemFreeNodeGetParams(CUgraphNode node, CUdeviceptr* address) {
  const auto* work = work_of<FreeWork>(node);
  if (!work || !address) return CUDA_ERROR_INVALID_VALUE;
  *address = work->address;
  return CUDA_SUCCESS;
}

CUresult graphAddNode_v1(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count, CUgraphNodeParams* p) {
  return graphAddNode_v2(node, graph, dependencies, nullptr, count, p);
}

CUresult graphAddNode_v2(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, const CUgraphEdgeData* data, size_t count,
                         CUgraphNodeParams* p) {
  if (!p || !node || !is_valid(graph)) return CUDA_ERROR_INVALID_VALUE;
  Work work;
  ANYWARP_TRY(make_work(*p, &work));
  return add_program_node(node, graph, dependencies, count, std::move(work), data);
}

CUresult graphNodeSetParams(CUgraphNode node, CUgraphNodeParams* p) {
  if (!is_valid(node) || !p || p->type != type_of(node->work)) return CUDA_ERROR_INVALID_VALUE;
  if (p->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC || p->type == CU_GRAPH_NODE_TYPE_MEM_FREE || p->type == CU_GRAPH_NODE_TYPE_CONDITIONAL) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  return make_work(*p, &node->work);
}

}  // namespace anywarp::driver
