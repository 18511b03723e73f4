// Graphs with loops and branches whose conditions kernels set.
#include "check.h"

__global__ void count_down(int* value, cudaGraphConditionalHandle handle) {
  if (threadIdx.x == 0) cudaGraphSetConditional(handle, --*value > 0);
}
__global__ void choose(cudaGraphConditionalHandle handle, unsigned which) { cudaGraphSetConditional(handle, which); }
__global__ void store(int* to, int value) { *to = value; }

int main() {
  int *counter, *rounds;
  CHECK(cudaMallocManaged(&counter, sizeof(int)));
  CHECK(cudaMallocManaged(&rounds, sizeof(int)));

  // while (--counter > 0)
  cudaGraph_t graph;
  cudaGraphConditionalHandle handle;
  CHECK(cudaGraphCreate(&graph, 0));
  CHECK(cudaGraphConditionalHandleCreate(&handle, graph, 1, cudaGraphCondAssignDefault));
  cudaGraphNodeParams params = {cudaGraphNodeTypeConditional};
  params.conditional.handle = handle;
  params.conditional.type = cudaGraphCondTypeWhile;
  params.conditional.size = 1;
  cudaGraphNode_t node;
  CHECK(cudaGraphAddNode(&node, graph, nullptr, nullptr, 0, &params));
  cudaGraph_t body = params.conditional.phGraph_out[0];
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaStreamBeginCaptureToGraph(stream, body, nullptr, nullptr, 0, cudaStreamCaptureModeRelaxed));
  count_down<<<1, 32, 0, stream>>>(counter, handle);
  CHECK(cudaStreamEndCapture(stream, &body));
  cudaGraphExec_t exec;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  for (int n : {10, 1, 1000}) {
    *counter = n;
    CHECK(cudaGraphLaunch(exec, stream));
    CHECK(cudaStreamSynchronize(stream));
    EXPECT(*counter == 0);
  }

  // A switch of three, and a kernel node of the general kind behind it.
  cudaGraph_t other;
  CHECK(cudaGraphCreate(&other, 0));
  CHECK(cudaGraphConditionalHandleCreate(&handle, other, 0, 0));
  unsigned which = 2;
  void* arguments[] = {&handle, &which};
  cudaGraphNodeParams kernel = {cudaGraphNodeTypeKernel};
  kernel.kernel.func = (void*)choose;
  kernel.kernel.gridDim = kernel.kernel.blockDim = dim3(1);
  kernel.kernel.kernelParams = arguments;
  cudaGraphNode_t first, second;
  CHECK(cudaGraphAddNode(&first, other, nullptr, nullptr, 0, &kernel));
  params = {cudaGraphNodeTypeConditional};
  params.conditional.handle = handle;
  params.conditional.type = cudaGraphCondTypeSwitch;
  params.conditional.size = 3;
  CHECK(cudaGraphAddNode(&second, other, &first, nullptr, 1, &params));
  for (int i = 0; i < 3; ++i) {
    int value = 100 + i;
    void* stored[] = {&rounds, &value};
    kernel.kernel.func = (void*)store;
    kernel.kernel.kernelParams = stored;
    cudaGraphNode_t inner;
    CHECK(cudaGraphAddNode(&inner, params.conditional.phGraph_out[i], nullptr, nullptr, 0, &kernel));
  }
  cudaGraphExec_t chosen;
  CHECK(cudaGraphInstantiate(&chosen, other, 0));
  CHECK(cudaGraphLaunch(chosen, stream));
  CHECK(cudaStreamSynchronize(stream));
  EXPECT(*rounds == 102);
  which = 1;
  kernel.kernel.func = (void*)choose;
  kernel.kernel.kernelParams = arguments;
  CHECK(cudaGraphExecNodeSetParams(chosen, first, &kernel));
  CHECK(cudaGraphLaunch(chosen, stream));
  CHECK(cudaStreamSynchronize(stream));
  EXPECT(*rounds == 101);
  return passed();
}
