// Graphs: captured from streams, and built node by node.
#include "check.h"

__global__ void add(int* data, int n, int value) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) data[i] += value;
}

int main() {
  int n = 300, host[300], *data;
  CHECK(cudaMalloc(&data, sizeof host));
  CHECK(cudaMemset(data, 0, sizeof host));
  cudaStream_t stream, other;
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaStreamCreate(&other));
  cudaEvent_t fork, join;
  CHECK(cudaEventCreate(&fork));
  CHECK(cudaEventCreate(&join));

  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  add<<<3, 128, 0, stream>>>(data, n, 1);
  CHECK(cudaEventRecord(fork, stream));
  CHECK(cudaStreamWaitEvent(other, fork, 0));
  add<<<3, 128, 0, other>>>(data, n, 10);
  CHECK(cudaEventRecord(join, other));
  CHECK(cudaStreamWaitEvent(stream, join, 0));
  CHECK(cudaMemcpyAsync(host, data, sizeof host, cudaMemcpyDeviceToHost, stream));
  cudaGraph_t graph;
  CHECK(cudaStreamEndCapture(stream, &graph));
  size_t nodes = 0;
  CHECK(cudaGraphGetNodes(graph, nullptr, &nodes));
  EXPECT(nodes == 3);
  cudaGraphExec_t exec;
  CHECK(cudaGraphInstantiateWithFlags(&exec, graph, 0));
  for (int launch = 1; launch <= 3; ++launch) {
    CHECK(cudaGraphLaunch(exec, stream));
    CHECK(cudaStreamSynchronize(stream));
    for (int i = 0; i < n; ++i) EXPECT(host[i] == 11 * launch);
  }
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));

  CHECK(cudaGraphCreate(&graph, 0));
  cudaGraphNode_t cleared, added, copied;
  cudaMemsetParams clear = {};
  clear.dst = data, clear.elementSize = 4, clear.width = size_t(n), clear.height = 1, clear.value = 5;
  CHECK(cudaGraphAddMemsetNode(&cleared, graph, nullptr, 0, &clear));
  int value = 100;
  void* arguments[] = {&data, &n, &value};
  cudaKernelNodeParams kernel = {};
  kernel.func = reinterpret_cast<void*>(&add);
  kernel.gridDim = dim3(3), kernel.blockDim = dim3(128), kernel.kernelParams = arguments;
  CHECK(cudaGraphAddKernelNode(&added, graph, &cleared, 1, &kernel));
  CHECK(cudaGraphAddMemcpyNode1D(&copied, graph, &added, 1, host, data, sizeof host, cudaMemcpyDeviceToHost));
  cudaKernelNodeParams seen = {};
  CHECK(cudaGraphKernelNodeGetParams(added, &seen));
  EXPECT(seen.func == kernel.func && seen.blockDim.x == 128 && *static_cast<int*>(seen.kernelParams[2]) == 100);
  cudaGraphNodeType type;
  CHECK(cudaGraphNodeGetType(copied, &type));
  EXPECT(type == cudaGraphNodeTypeMemcpy);
  CHECK(cudaGraphInstantiateWithFlags(&exec, graph, 0));
  CHECK(cudaGraphLaunch(exec, stream));
  CHECK(cudaStreamSynchronize(stream));
  for (int i = 0; i < n; ++i) EXPECT(host[i] == 105);
  value = 1;
  CHECK(cudaGraphExecKernelNodeSetParams(exec, added, &kernel));
  CHECK(cudaGraphLaunch(exec, stream));
  CHECK(cudaStreamSynchronize(stream));
  for (int i = 0; i < n; ++i) EXPECT(host[i] == 6);
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
  return passed();
}
