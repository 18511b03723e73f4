#include "portable.h"

// 256 bins of bytes, counted in shared memory.
KERNEL void histogram(int n, GLOBAL const uchar *__restrict__ x, GLOBAL uint *__restrict__ bins) {
  __shared__ uint count[256];
  count[threadIdx.x] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAddShared(&count[x[i]], 1u);
  __syncthreads();
  atomicAddGlobal(&bins[threadIdx.x], count[threadIdx.x]);
}
