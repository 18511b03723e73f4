#include "portable.h"

// A complex transform of 256 points a CTA of 128 threads: Stockham, radix 2, between two halves of shared memory.
KERNEL void fft256(GLOBAL const float2 *__restrict__ x, GLOBAL const float2 *__restrict__ roots, GLOBAL float2 *__restrict__ y) {
  __shared__ float2 data[2][256];
  int t = threadIdx.x, base = blockIdx.x * 256;
  data[0][t] = x[base + t];
  data[0][t + 128] = x[base + t + 128];
  __syncthreads();
  int from = 0;
  for (int reach = 1; reach < 256; reach *= 2) {
    int k = t & (reach - 1);
    float2 a = data[from][t], b = data[from][t + 128], w = roots[k * (128 / reach)];
    float2 wb = make_float2(b.x * w.x - b.y * w.y, b.x * w.y + b.y * w.x);
    int to = 2 * t - k;
    data[1 - from][to] = make_float2(a.x + wb.x, a.y + wb.y);
    data[1 - from][to + reach] = make_float2(a.x - wb.x, a.y - wb.y);
    from = 1 - from;
    __syncthreads();
  }
  y[base + t] = data[from][t];
  y[base + t + 128] = data[from][t + 128];
}
