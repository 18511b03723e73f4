// Copies in, kernels and copies out in several streams, with events between them, host functions and timing.
#include <atomic>
#include <vector>

#include "check.h"

__global__ void scale(int* data, int n, int factor) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) data[i] = data[i] * factor + 1;
}

static void count_up(void* data) { ++*static_cast<std::atomic<int>*>(data); }
static void called_back(cudaStream_t, cudaError_t status, void* data) {
  if (status == cudaSuccess) ++*static_cast<std::atomic<int>*>(data);
}

int main() {
  const int streams = 4, chunks = 16, n = 10000;
  int *host, *device;
  CHECK(cudaMallocHost(&host, sizeof(int) * n * chunks));
  CHECK(cudaMalloc(&device, sizeof(int) * n * chunks));
  for (int i = 0; i < n * chunks; ++i) host[i] = i;

  cudaStream_t stream[streams];
  for (cudaStream_t& s : stream) CHECK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
  cudaEvent_t begin, end;
  CHECK(cudaEventCreate(&begin));
  CHECK(cudaEventCreate(&end));
  std::atomic<int> done{0};
  CHECK(cudaEventRecord(begin, stream[0]));
  for (int c = 0; c < chunks; ++c) {
    cudaStream_t s = stream[c % streams];
    int* part = device + c * n;
    CHECK(cudaMemcpyAsync(part, host + c * n, sizeof(int) * n, cudaMemcpyHostToDevice, s));
    scale<<<8, 128, 0, s>>>(part, n, c);
    CHECK(cudaGetLastError());
    CHECK(cudaMemcpyAsync(host + c * n, part, sizeof(int) * n, cudaMemcpyDeviceToHost, s));
    if (c % 2) CHECK(cudaLaunchHostFunc(s, count_up, &done));
    else CHECK(cudaStreamAddCallback(s, called_back, &done, 0));
  }
  // The last event waits for all streams.
  for (int i = 1; i < streams; ++i) {
    cudaEvent_t joined;
    CHECK(cudaEventCreateWithFlags(&joined, cudaEventDisableTiming));
    CHECK(cudaEventRecord(joined, stream[i]));
    CHECK(cudaStreamWaitEvent(stream[0], joined, 0));
    CHECK(cudaEventDestroy(joined));
  }
  CHECK(cudaEventRecord(end, stream[0]));
  CHECK(cudaEventSynchronize(end));
  CHECK(cudaEventQuery(end));
  EXPECT(done == chunks);
  float milliseconds = -1;
  CHECK(cudaEventElapsedTime(&milliseconds, begin, end));
  EXPECT(milliseconds > 0);
  for (int c = 0; c < chunks; ++c) {
    for (int i = c * n; i < (c + 1) * n; ++i) EXPECT(host[i] == i * c + 1);
  }
  for (cudaStream_t s : stream) CHECK(cudaStreamDestroy(s));
  CHECK(cudaFreeHost(host));
  return passed();
}
