#include "portable.h"

// 16x16 tiles in shared memory.
KERNEL void dgemm_tiled(int n, GLOBAL const double *__restrict__ a, GLOBAL const double *__restrict__ b, GLOBAL double *__restrict__ c) {
  __shared__ double ta[16][16], tb[16][16];
  int column = blockIdx.x * 16 + threadIdx.x, row = blockIdx.y * 16 + threadIdx.y;
  double sum = 0.0;
  for (int start = 0; start < n; start += 16) {
    ta[threadIdx.y][threadIdx.x] = a[row * n + start + threadIdx.x];
    tb[threadIdx.y][threadIdx.x] = b[(start + threadIdx.y) * n + column];
    __syncthreads();
    for (int k = 0; k < 16; k++) sum += ta[threadIdx.y][k] * tb[k][threadIdx.x];
    __syncthreads();
  }
  c[row * n + column] = sum;
}
