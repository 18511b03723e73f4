#include "portable.h"

// One generation on a torus, a byte a cell.
KERNEL void life(int n, GLOBAL const uchar *__restrict__ x, GLOBAL uchar *__restrict__ y) {
  int j = blockIdx.x * blockDim.x + threadIdx.x, i = blockIdx.y * blockDim.y + threadIdx.y;
  if (i >= n || j >= n) return;
  int up = (i ? i - 1 : n - 1) * n, down = (i + 1 < n ? i + 1 : 0) * n, left = j ? j - 1 : n - 1, right = j + 1 < n ? j + 1 : 0;
  int around = x[up + left] + x[up + j] + x[up + right] + x[i * n + left] + x[i * n + right] + x[down + left] + x[down + j] + x[down + right];
  y[i * n + j] = around == 3 || (around == 2 && x[i * n + j]);
}
