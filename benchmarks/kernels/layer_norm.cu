#include "portable.h"

// A CTA of 256 threads a row.
KERNEL void layer_norm(int columns, float epsilon, GLOBAL const float *__restrict__ x, GLOBAL const float *__restrict__ weight,
                       GLOBAL const float *__restrict__ bias, GLOBAL float *__restrict__ y) {
  __shared__ float scratch[SCRATCH];
  GLOBAL const float *in = x + blockIdx.x * columns;
  GLOBAL float *out = y + blockIdx.x * columns;
  float sum = 0.0f, squares = 0.0f;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) sum += in[i];
  BLOCK_REDUCE(sum, scratch, ADD);
  float mean = sum / columns;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) squares += (in[i] - mean) * (in[i] - mean);
  BLOCK_REDUCE(squares, scratch, ADD);
  float scale = rsqrtf(squares / columns + epsilon);
  for (int i = threadIdx.x; i < columns; i += blockDim.x) out[i] = (in[i] - mean) * scale * weight[i] + bias[i];
}
