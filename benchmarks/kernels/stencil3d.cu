#include "portable.h"

// Seven points; a thread walks along z and keeps the column in registers.
KERNEL void stencil3d(int n, int depth, float a, float b, GLOBAL const float *__restrict__ x, GLOBAL float *__restrict__ y) {
  int j = blockIdx.x * blockDim.x + threadIdx.x, i = blockIdx.y * blockDim.y + threadIdx.y;
  if (i < 1 || j < 1 || i >= n - 1 || j >= n - 1) return;
  int plane = n * n, at = i * n + j;
  float below = x[at], here = x[at + plane];
  for (int k = 1; k < depth - 1; k++) {
    at += plane;
    float above = x[at + plane];
    y[at] = a * here + b * (below + above + x[at - 1] + x[at + 1] + x[at - n] + x[at + n]);
    below = here;
    here = above;
  }
}
