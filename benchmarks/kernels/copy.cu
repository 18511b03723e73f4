#include "portable.h"

// A grid-stride loop, as library kernels are written.
KERNEL void copy(int n, GLOBAL const float *__restrict__ x, GLOBAL float *__restrict__ y) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) y[i] = x[i];
}
