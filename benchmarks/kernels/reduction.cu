#include "portable.h"

// A grid-stride sum, then shuffles; one partial sum a CTA.
KERNEL void reduction(int n, GLOBAL const float *__restrict__ x, GLOBAL float *__restrict__ out) {
  __shared__ float scratch[SCRATCH];
  float sum = 0.0f;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) sum += x[i];
  BLOCK_REDUCE(sum, scratch, ADD);
  if (threadIdx.x == 0) out[blockIdx.x] = sum;
}
