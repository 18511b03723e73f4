#include "portable.h"

// One thread an element, straight from global memory.
KERNEL void sgemm_plain(int n, GLOBAL const float *__restrict__ a, GLOBAL const float *__restrict__ b, GLOBAL float *__restrict__ c) {
  int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
  float sum = 0.0f;
  for (int k = 0; k < n; k++) sum += a[row * n + k] * b[k * n + column];
  c[row * n + column] = sum;
}
