#include "portable.h"

// Inclusive prefix sums of runs of 1,024 numbers, a CTA a run.
KERNEL void scan(GLOBAL const int *__restrict__ x, GLOBAL int *__restrict__ y) {
  int t = threadIdx.x, i = blockIdx.x * 1024 + t;
#ifdef __OPENCL_VERSION__
  __shared__ int data[2][1024];
  int from = 0;
  data[0][t] = x[i];
  __syncthreads();
  for (int step = 1; step < 1024; step *= 2) {
    data[1 - from][t] = data[from][t] + (t >= step ? data[from][t - step] : 0);
    from = 1 - from;
    __syncthreads();
  }
  y[i] = data[from][t];
#else
  __shared__ int totals[32];
  int value = x[i], lane = t % 32;
  for (int step = 1; step < 32; step *= 2) {
    int other = __shfl_up_sync(0xffffffffu, value, step);
    if (lane >= step) value += other;
  }
  if (lane == 31) totals[t / 32] = value;
  __syncthreads();
  if (t < 32) {
    int total = totals[t];
    for (int step = 1; step < 32; step *= 2) {
      int other = __shfl_up_sync(0xffffffffu, total, step);
      if (lane >= step) total += other;
    }
    totals[t] = total;
  }
  __syncthreads();
  y[i] = value + (t >= 32 ? totals[t / 32 - 1] : 0);
#endif
}
