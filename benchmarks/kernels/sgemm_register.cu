#include "portable.h"

// 64x64 tiles by 16x16 threads, 4x4 elements a thread in registers.
KERNEL void sgemm_register(int n, GLOBAL const float *__restrict__ a, GLOBAL const float *__restrict__ b, GLOBAL float *__restrict__ c) {
  __shared__ float ta[16][64], tb[16][64];
  int x = threadIdx.x % 16, y = threadIdx.x / 16;
  int left = blockIdx.x * 64, top = blockIdx.y * 64;
  float sum[4][4];
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++) sum[i][j] = 0.0f;
  for (int start = 0; start < n; start += 16) {
    for (int e = threadIdx.x; e < 1024; e += 256) {
      ta[e % 16][e / 16] = a[(top + e / 16) * n + start + e % 16];
      tb[e / 64][e % 64] = b[(start + e / 64) * n + left + e % 64];
    }
    __syncthreads();
    UNROLL
    for (int k = 0; k < 16; k++) {
      float va[4], vb[4];
      for (int i = 0; i < 4; i++) va[i] = ta[k][y * 4 + i];
      for (int j = 0; j < 4; j++) vb[j] = tb[k][x + 16 * j];
      for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) sum[i][j] += va[i] * vb[j];
    }
    __syncthreads();
  }
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++) c[(top + y * 4 + i) * n + left + x + 16 * j] = sum[i][j];
}
