#include "portable.h"

// A CTA of 256 threads a row.
KERNEL void softmax(int columns, GLOBAL const float *__restrict__ x, GLOBAL float *__restrict__ y) {
  __shared__ float scratch[SCRATCH];
  GLOBAL const float *in = x + blockIdx.x * columns;
  GLOBAL float *out = y + blockIdx.x * columns;
  float largest = -INFINITY_F, sum = 0.0f;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) largest = fmaxf(largest, in[i]);
  BLOCK_REDUCE(largest, scratch, fmaxf);
  for (int i = threadIdx.x; i < columns; i += blockDim.x) {
    float e = expf(in[i] - largest);
    out[i] = e;
    sum += e;
  }
  BLOCK_REDUCE(sum, scratch, ADD);
  float scale = 1.0f / sum;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) out[i] *= scale;
}
