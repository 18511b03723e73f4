// Kernels that use the device runtime. `kernels.ptx` is what nvcc 13.0 makes of them:
// nvcc -rdc=true -arch=compute_80 -ptx kernels.cu -o kernels.ptx
#include <cuda_runtime.h>

extern "C" {

// log[0] counts, then come the numbers in the order in which they were noted.
__global__ void note(int* log, int number) { log[1 + atomicAdd(log, 1)] = number; }

// In the order of the block's stream; the tail launches last, though they come first.
__global__ void in_order(int* log) {
  note<<<1, 1, 0, cudaStreamTailLaunch>>>(log, 100);
  note<<<1, 1, 0, cudaStreamTailLaunch>>>(log, 101);
  for (int i = 0; i < 5; ++i) note<<<1, 1>>>(log, i);
}

// 2^depth leaves; a launch is complete when all of them are.
__global__ void tree(int* leaves, int depth) {
  if (depth == 0) {
    atomicAdd(leaves, 1);
    return;
  }
  tree<<<1, 1, 0, cudaStreamFireAndForget>>>(leaves, depth - 1);
  tree<<<1, 1>>>(leaves, depth - 1);
}

// Every thread of every block launches.
__global__ void many(int* total, double weight, char one) { atomicAdd(total, (int)weight + one); }
__global__ void many_parents(int* total) { many<<<dim3(2, 2), dim3(4, 1, 2)>>>(total, 2.0, 1); }

// An event orders two streams.
__global__ void streams_and_events(int* log) {
  cudaStream_t first, second;
  cudaEvent_t event;
  cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking);
  cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  for (int i = 0; i < 3; ++i) note<<<1, 1, 0, first>>>(log, i);
  cudaEventRecord(event, first);
  cudaStreamWaitEvent(second, event, 0);
  note<<<1, 1, 0, second>>>(log, 3);
  cudaEventDestroy(event);
  cudaStreamDestroy(first);
  cudaStreamDestroy(second);
}

__global__ void memory(int* words) {
  cudaMemsetAsync(words, 1, 16, 0);                                                   // 0 to 3
  cudaMemcpyAsync(words + 4, words, 8, cudaMemcpyDeviceToDevice, 0);                  // 4, 5
  cudaMemset2DAsync(words + 8, 16, 2, 4, 2, 0);                                       // 8, 12
  cudaMemcpy2DAsync(words + 16, 8, words + 8, 16, 4, 2, cudaMemcpyDeviceToDevice, 0); // 16, 18
  int* own = nullptr;
  words[32] = cudaMalloc(&own, 64);
  *own = 77;
  words[33] = *own;
  words[34] = cudaFree(own);
}

__global__ void questions(int* out, size_t* sizes, void* where) {
  out[0] = cudaGetDeviceCount(&out[1]);
  out[2] = cudaGetDevice(&out[3]);
  out[4] = cudaDeviceGetAttribute(&out[5], cudaDevAttrWarpSize, 0);
  out[6] = cudaDeviceGetLimit(&sizes[0], cudaLimitMallocHeapSize);
  out[7] = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&out[8], note, 1024, 0);
  cudaFuncAttributes attributes;
  out[9] = cudaFuncGetAttributes(&attributes, note);
  out[10] = attributes.maxThreadsPerBlock;
  note<<<1, 2000>>>(out, 0);  // too many threads
  out[11] = cudaPeekAtLastError();
  const char* name = cudaGetErrorName(cudaGetLastError());
  for (int i = 0; i < 12; ++i) ((char*)where)[i] = name[i];
  out[12] = cudaGetLastError();
  out[13] = cudaStreamDestroy((cudaStream_t)0x1234567);
}

// ---- graphs

__global__ void launch(cudaGraphExec_t graph, unsigned long long stream, int* log, int number, int* result) {
  log[1 + atomicAdd(log, 1)] = number;
  *result = cudaGraphLaunch(graph, (cudaStream_t)stream);
}

__global__ void again(int* count, int most) {
  if (++*count < most) cudaGraphLaunch(cudaGetCurrentGraphExec(), cudaStreamGraphTailLaunch);
}

__global__ void change(cudaGraphDeviceNode_t node, int number, int enabled, unsigned blocks, int* results) {
  results[0] = cudaGraphKernelNodeSetParam(node, 8, number);
  results[1] = cudaGraphKernelNodeSetEnabled(node, enabled);
  results[2] = cudaGraphKernelNodeSetGridDim(node, dim3(blocks));
}

__global__ void change_together(cudaGraphDeviceNode_t node, int number, unsigned blocks, int* results) {
  alignas(8) char room[3 * sizeof(cudaGraphKernelNodeUpdate)] = {};  // the union has no default constructor
  auto* updates = reinterpret_cast<cudaGraphKernelNodeUpdate*>(room);
  for (int i = 0; i < 3; ++i) updates[i].node = node;
  updates[0].field = cudaGraphKernelNodeFieldParam;
  updates[0].updateData.param.pValue = &number;
  updates[0].updateData.param.offset = 8;
  updates[0].updateData.param.size = sizeof number;
  updates[1].field = cudaGraphKernelNodeFieldGridDim;
  updates[1].updateData.gridDim = dim3(blocks);
  updates[2].field = cudaGraphKernelNodeFieldEnabled;
  updates[2].updateData.isEnabled = 1;
  results[0] = cudaGraphKernelNodeUpdatesApply(updates, 3);
  results[1] = cudaGraphKernelNodeSetParam((cudaGraphDeviceNode_t)64, 8, number);
  results[2] = cudaGraphKernelNodeSetParam(node, 4096, number);
}

}
