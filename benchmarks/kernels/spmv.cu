#include "portable.h"

// Compressed rows, a thread a row.
KERNEL void spmv(int rows, GLOBAL const int *__restrict__ starts, GLOBAL const int *__restrict__ columns, GLOBAL const float *__restrict__ values,
                 GLOBAL const float *__restrict__ x, GLOBAL float *__restrict__ y) {
  int row = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= rows) return;
  float sum = 0.0f;
  for (int e = starts[row]; e < starts[row + 1]; e++) sum += values[e] * x[columns[e]];
  y[row] = sum;
}
