#include "portable.h"

// One Jacobi step of the five-point Laplacian; the edge is kept.
KERNEL void stencil2d(int n, GLOBAL const float *__restrict__ x, GLOBAL float *__restrict__ y) {
  int j = blockIdx.x * blockDim.x + threadIdx.x, i = blockIdx.y * blockDim.y + threadIdx.y;
  if (i >= 1 && j >= 1 && i < n - 1 && j < n - 1)
    y[i * n + j] = 0.25f * (x[(i - 1) * n + j] + x[(i + 1) * n + j] + x[i * n + j - 1] + x[i * n + j + 1]);
}
