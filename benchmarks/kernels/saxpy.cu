#include "portable.h"

KERNEL void saxpy(int n, float a, GLOBAL const float *__restrict__ x, GLOBAL float *__restrict__ y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a * x[i] + y[i];
}
