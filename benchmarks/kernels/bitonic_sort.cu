#include "portable.h"

// Sorts runs of 1,024 numbers, a CTA of 512 threads a run, in shared memory.
KERNEL void bitonic_sort(GLOBAL const int *__restrict__ x, GLOBAL int *__restrict__ y) {
  __shared__ int data[1024];
  int t = threadIdx.x, base = blockIdx.x * 1024;
  data[t] = x[base + t];
  data[t + 512] = x[base + t + 512];
  for (int size = 2; size <= 1024; size *= 2)
    for (int stride = size / 2; stride > 0; stride /= 2) {
      __syncthreads();
      int at = 2 * t - (t & (stride - 1));
      int a = data[at], b = data[at + stride];
      if ((a > b) == ((at & size) == 0)) {
        data[at] = b;
        data[at + stride] = a;
      }
    }
  __syncthreads();
  y[base + t] = data[t];
  y[base + t + 512] = data[t + 512];
}
