#include "portable.h"

// The place of the first element that is not less than the key.
KERNEL void binary_search(int queries, int n, GLOBAL const int *__restrict__ keys, GLOBAL const int *__restrict__ sorted, GLOBAL int *__restrict__ out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= queries) return;
  int key = keys[i], low = 0, high = n;
  while (low < high) {
    int middle = (low + high) / 2;
    if (sorted[middle] < key)
      low = middle + 1;
    else
      high = middle;
  }
  out[i] = low;
}
