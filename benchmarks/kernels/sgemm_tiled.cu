#include "portable.h"

// 32x32 tiles of both matrices in shared memory, one thread an element.
KERNEL void sgemm_tiled(int n, GLOBAL const float *__restrict__ a, GLOBAL const float *__restrict__ b, GLOBAL float *__restrict__ c) {
  __shared__ float ta[32][32], tb[32][32];
  int column = blockIdx.x * 32 + threadIdx.x, row = blockIdx.y * 32 + threadIdx.y;
  float sum = 0.0f;
  for (int start = 0; start < n; start += 32) {
    ta[threadIdx.y][threadIdx.x] = a[row * n + start + threadIdx.x];
    tb[threadIdx.y][threadIdx.x] = b[(start + threadIdx.y) * n + column];
    __syncthreads();
    for (int k = 0; k < 32; k++) sum += ta[threadIdx.y][k] * tb[k][threadIdx.x];
    __syncthreads();
  }
  c[row * n + column] = sum;
}
