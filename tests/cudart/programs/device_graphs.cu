// Graphs that kernels launch, and a node that a kernel changes. Needs -rdc=true.
#include "check.h"

__global__ void add(int* to, int value) { atomicAdd(to, value); }

// As long as there is work: the graph for it, and this graph again behind it.
__global__ void schedule(int* left, cudaGraphExec_t work) {
  if (--*left < 0) return;
  cudaGraphLaunch(work, cudaStreamGraphFireAndForget);
  cudaGraphLaunch(cudaGetCurrentGraphExec(), cudaStreamGraphTailLaunch);
}

__global__ void choose(cudaGraphDeviceNode_t node, int value, unsigned blocks) {
  cudaGraphKernelNodeSetParam(node, sizeof(int*), value);
  cudaGraphKernelNodeSetGridDim(node, dim3(blocks));
}

int main() {
  int *total, *left;
  CHECK(cudaMallocManaged(&total, sizeof(int)));
  CHECK(cudaMallocManaged(&left, sizeof(int)));
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  cudaGraph_t graph;

  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  add<<<4, 32, 0, stream>>>(total, 1);
  CHECK(cudaStreamEndCapture(stream, &graph));
  cudaGraphExec_t work, scheduler;
  CHECK(cudaGraphInstantiate(&work, graph, cudaGraphInstantiateFlagDeviceLaunch));
  CHECK(cudaGraphUpload(work, stream));
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  schedule<<<1, 1, 0, stream>>>(left, work);
  CHECK(cudaStreamEndCapture(stream, &graph));
  CHECK(cudaGraphInstantiate(&scheduler, graph, cudaGraphInstantiateFlagDeviceLaunch));
  *total = 0, *left = 20;
  CHECK(cudaGraphLaunch(scheduler, stream));
  CHECK(cudaStreamSynchronize(stream));
  EXPECT(*total == 20 * 4 * 32);

  // choose -> add, whose number and grid come from choose.
  CHECK(cudaGraphCreate(&graph, 0));
  int value = 1;
  void* added[] = {&total, &value};
  cudaKernelNodeParams params = {};
  params.func = (void*)add;
  params.gridDim = params.blockDim = dim3(1);
  params.kernelParams = added;
  cudaGraphNode_t target, chooser;
  CHECK(cudaGraphAddKernelNode(&target, graph, nullptr, 0, &params));
  cudaKernelNodeAttrValue attribute = {};
  attribute.deviceUpdatableKernelNode.deviceUpdatable = 1;
  CHECK(cudaGraphKernelNodeSetAttribute(target, cudaLaunchAttributeDeviceUpdatableKernelNode, &attribute));
  CHECK(cudaGraphKernelNodeGetAttribute(target, cudaLaunchAttributeDeviceUpdatableKernelNode, &attribute));
  int chosen = 5;
  unsigned blocks = 3;
  void* chosen_arguments[] = {&attribute.deviceUpdatableKernelNode.devNode, &chosen, &blocks};
  params.func = (void*)choose;
  params.kernelParams = chosen_arguments;
  CHECK(cudaGraphAddKernelNode(&chooser, graph, nullptr, 0, &params));
  CHECK(cudaGraphAddDependencies(graph, &chooser, &target, nullptr, 1));
  cudaGraphExec_t exec;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  *total = 0;
  CHECK(cudaGraphLaunch(exec, stream));
  CHECK(cudaStreamSynchronize(stream));
  EXPECT(*total == 15);
  return passed();
}
