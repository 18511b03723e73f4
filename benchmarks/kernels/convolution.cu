#include "portable.h"

// 5x5 filter, zero padding; 16x16 threads, straight from global memory.
KERNEL void convolution(int n, GLOBAL const float *__restrict__ x, GLOBAL const float *__restrict__ filter, GLOBAL float *__restrict__ y) {
  int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
  if (column >= n || row >= n) return;
  float sum = 0.0f;
  for (int i = -2; i <= 2; i++)
    for (int j = -2; j <= 2; j++) {
      int r = row + i, c = column + j;
      if (r >= 0 && r < n && c >= 0 && c < n) sum += x[r * n + c] * filter[(i + 2) * 5 + j + 2];
    }
  y[row * n + column] = sum;
}
