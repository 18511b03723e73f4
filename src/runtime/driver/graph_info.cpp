// What graphs say of themselves: parameters of any node, a drawing, memory.
#include <cstdio>
#include <fstream>

#include "driver/device.h"
#include "driver/graph.h"
#include "driver/graph_conditional.h"

namespace anywarp::driver {
namespace {

const char* name_of(CUgraphNodeType type) {
  switch (type) {
    case CU_GRAPH_NODE_TYPE_KERNEL: return "kernel";
    case CU_GRAPH_NODE_TYPE_MEMCPY: return "memcpy";
    case CU_GRAPH_NODE_TYPE_MEMSET: return "memset";
    case CU_GRAPH_NODE_TYPE_HOST: return "host";
    case CU_GRAPH_NODE_TYPE_GRAPH: return "graph";
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT: return "wait event";
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD: return "event record";
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC: return "mem alloc";
    case CU_GRAPH_NODE_TYPE_MEM_FREE: return "mem free";
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP: return "memory operations";
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL: return "semaphore signal";
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT: return "semaphore wait";
    case CU_GRAPH_NODE_TYPE_CONDITIONAL: return "conditional";
    default: return "empty";
  }
}

// One label's text, with details if the flags ask for any.
std::string label(const CUgraphNode_st& node, unsigned flags) {
  std::string text = std::to_string(node.id) + ": " + name_of(type_of(node.work));
  char line[160];
  if (const auto* kernel = std::get_if<KernelWork>(&node.work)) {
    text += " " + kernel->function->kernel->name();
    const LaunchShape& s = kernel->shape;
    std::snprintf(line, sizeof line, "\\ngrid %ux%ux%u, block %ux%ux%u, %u bytes", s.grid[0], s.grid[1], s.grid[2], s.block[0], s.block[1], s.block[2],
                  s.dynamic_shared);
    if (flags & (CU_GRAPH_DEBUG_DOT_FLAGS_VERBOSE | CU_GRAPH_DEBUG_DOT_FLAGS_KERNEL_NODE_PARAMS)) text += line;
  } else if (const auto* fill = std::get_if<FillWork>(&node.work)) {
    const CUDA_MEMSET_NODE_PARAMS& p = fill->parameters;
    std::snprintf(line, sizeof line, "\\n0x%llx, %zu x %zu of %u bytes, value 0x%x", p.dst, p.width, p.height, p.elementSize, p.value);
    if (flags & (CU_GRAPH_DEBUG_DOT_FLAGS_VERBOSE | CU_GRAPH_DEBUG_DOT_FLAGS_MEMSET_NODE_PARAMS)) text += line;
  } else if (const auto* copy = std::get_if<CopyWork>(&node.work)) {
    const Copy& c = copy->copy;
    std::snprintf(line, sizeof line, "\\n%p -> %p, %zu x %zu x %zu", c.source, c.destination, c.width, c.height, c.depth);
    if (flags & (CU_GRAPH_DEBUG_DOT_FLAGS_VERBOSE | CU_GRAPH_DEBUG_DOT_FLAGS_MEMCPY_NODE_PARAMS)) text += line;
  }
  return text;
}

void draw(const CUgraph_st& graph, unsigned flags, const std::string& prefix, std::ostream& out) {
  for (const auto& node : graph.nodes) {
    const std::string name = prefix + std::to_string(node->id);
    out << "  \"" << name << "\" [label=\"" << label(*node, flags) << "\"];\n";
    for (const CUgraphNode d : node->dependencies) out << "  \"" << prefix << d->id << "\" -> \"" << name << "\";\n";
    const auto draw_inside = [&](const CUgraph_st& inner, const std::string& inner_name) {
      out << "  subgraph \"cluster_" << inner_name << "\" {\n";
      draw(inner, flags, inner_name + ".", out);
      out << "  }\n";
    };
    if (const auto* child = std::get_if<GraphWork>(&node->work)) draw_inside(*child->graph, name);
    if (const auto* conditional = std::get_if<ConditionalWork>(&node->work)) {
      for (std::size_t i = 0; i < conditional->bodies.size(); ++i) draw_inside(*conditional->bodies[i], name + "." + std::to_string(i));
    }
  }
}

}  // namespace

CUresult graphNodeGetParams(CUgraphNode node, CUgraphNodeParams* p) {
  if (!is_valid(node) || !p) return CUDA_ERROR_INVALID_VALUE;
  *p = CUgraphNodeParams{};
  p->type = type_of(node->work);
  switch (p->type) {
    case CU_GRAPH_NODE_TYPE_KERNEL: {
      CUDA_KERNEL_NODE_PARAMS k;
      ANYWARP_TRY(graphKernelNodeGetParams_v2(node, &k));
      p->kernel = {k.func, k.gridDimX, k.gridDimY, k.gridDimZ, k.blockDimX, k.blockDimY, k.blockDimZ, k.sharedMemBytes, k.kernelParams, k.extra, k.kern, k.ctx};
      return CUDA_SUCCESS;
    }
    case CU_GRAPH_NODE_TYPE_MEMCPY: return graphMemcpyNodeGetParams(node, &p->memcpy.copyParams);
    case CU_GRAPH_NODE_TYPE_MEMSET: {
      const CUDA_MEMSET_NODE_PARAMS& f = std::get<FillWork>(node->work).parameters;
      p->memset = {f.dst, f.pitch, f.value, f.elementSize, f.width, f.height, nullptr};
      return CUDA_SUCCESS;
    }
    case CU_GRAPH_NODE_TYPE_HOST:
      p->host.fn = std::get<HostWork>(node->work).function;
      p->host.userData = std::get<HostWork>(node->work).data;
      return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_GRAPH: return graphChildGraphNodeGetGraph(node, &p->graph.graph);
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT: return graphEventWaitNodeGetEvent(node, &p->eventWait.event);
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD: return graphEventRecordNodeGetEvent(node, &p->eventRecord.event);
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC: {
      const CUDA_MEM_ALLOC_NODE_PARAMS& a = std::get<AllocateWork>(node->work).parameters;
      p->alloc = {a.poolProps, nullptr, 0, a.bytesize, a.dptr};
      return CUDA_SUCCESS;
    }
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP: {
      CUDA_BATCH_MEM_OP_NODE_PARAMS b;
      ANYWARP_TRY(graphBatchMemOpNodeGetParams(node, &b));
      p->memOp = {b.ctx, b.count, b.paramArray, b.flags};
      return CUDA_SUCCESS;
    }
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL: {
      CUDA_EXT_SEM_SIGNAL_NODE_PARAMS e;
      ANYWARP_TRY(graphExternalSemaphoresSignalNodeGetParams(node, &e));
      p->extSemSignal.extSemArray = e.extSemArray, p->extSemSignal.paramsArray = e.paramsArray, p->extSemSignal.numExtSems = e.numExtSems;
      return CUDA_SUCCESS;
    }
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT: {
      CUDA_EXT_SEM_WAIT_NODE_PARAMS e;
      ANYWARP_TRY(graphExternalSemaphoresWaitNodeGetParams(node, &e));
      p->extSemWait.extSemArray = e.extSemArray, p->extSemWait.paramsArray = e.paramsArray, p->extSemWait.numExtSems = e.numExtSems;
      return CUDA_SUCCESS;
    }
    case CU_GRAPH_NODE_TYPE_CONDITIONAL: {
      const auto& c = std::get<ConditionalWork>(node->work);
      p->conditional = {reinterpret_cast<CUgraphConditionalHandle>(c.condition->word), c.type, static_cast<unsigned>(c.bodies.size()), c.handles->data(), nullptr};
      return CUDA_SUCCESS;
    }
    case CU_GRAPH_NODE_TYPE_MEM_FREE: p->free.dptr = std::get<FreeWork>(node->work).address; return CUDA_SUCCESS;
    default: return CUDA_SUCCESS;
  }
}

CUresult graphNodeGetToolsId(CUgraphNode node, unsigned long long* id) {
  if (!is_valid(node) || !id) return CUDA_ERROR_INVALID_VALUE;
  *id = (static_cast<unsigned long long>(node->graph->id) << 32) | node->id;
  return CUDA_SUCCESS;
}

CUresult graphDebugDotPrint(CUgraph graph, const char* path, unsigned flags) {
  if (!is_valid(graph) || !path) return CUDA_ERROR_INVALID_VALUE;
  std::ofstream out(path);
  out << "digraph \"graph_" << graph->id << "\" {\n";
  draw(*graph, flags, "", out);
  out << "}\n";
  out.flush();
  return out ? CUDA_SUCCESS : CUDA_ERROR_OPERATING_SYSTEM;
}

CUresult deviceGraphMemTrim(CUdevice device) { return find_device(device) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE; }

CUresult deviceGetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attribute, void* value) {
  if (!value || attribute > CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH) return CUDA_ERROR_INVALID_VALUE;
  const Device* d = find_device(device);
  if (!d) return CUDA_ERROR_INVALID_DEVICE;
  const bool high = attribute == CU_GRAPH_MEM_ATTR_USED_MEM_HIGH || attribute == CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH;
  *static_cast<cuuint64_t*>(value) = high ? d->graph_memory_high : d->graph_memory;
  return CUDA_SUCCESS;
}

CUresult deviceSetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attribute, void* value) {
  if (!value || *static_cast<cuuint64_t*>(value) != 0) return CUDA_ERROR_INVALID_VALUE;
  if (attribute != CU_GRAPH_MEM_ATTR_USED_MEM_HIGH && attribute != CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH) return CUDA_ERROR_INVALID_VALUE;
  Device* d = find_device(device);
  if (!d) return CUDA_ERROR_INVALID_DEVICE;
  d->graph_memory_high = d->graph_memory.load();
  return CUDA_SUCCESS;
}

}  // namespace anywarp::driver
