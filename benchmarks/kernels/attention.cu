#include "portable.h"

// softmax(q k^T) v of one head of 64, a thread a query, keys and values by 32 through shared memory, never the whole score matrix.
KERNEL void attention(int n, float scale, GLOBAL const float *__restrict__ q, GLOBAL const float *__restrict__ k, GLOBAL const float *__restrict__ v,
                      GLOBAL float *__restrict__ out) {
  __shared__ float tk[32][64], tv[32][64];
  int row = blockIdx.x * 64 + threadIdx.x;
  float query[64], sum[64], largest = -1e30f, total = 0.0f;
  UNROLL
  for (int d = 0; d < 64; d++) {
    query[d] = q[row * 64 + d] * scale;
    sum[d] = 0.0f;
  }
  for (int start = 0; start < n; start += 32) {
    for (int e = threadIdx.x; e < 2048; e += 64) {
      tk[e / 64][e % 64] = k[start * 64 + e];
      tv[e / 64][e % 64] = v[start * 64 + e];
    }
    __syncthreads();
    for (int j = 0; j < 32; j++) {
      float score = 0.0f;
      UNROLL
      for (int d = 0; d < 64; d++) score += query[d] * tk[j][d];
      if (score > largest) {
        float shrink = expf(largest - score);
        total *= shrink;
        UNROLL
        for (int d = 0; d < 64; d++) sum[d] *= shrink;
        largest = score;
      }
      float p = expf(score - largest);
      total += p;
      UNROLL
      for (int d = 0; d < 64; d++) sum[d] += p * tv[j][d];
    }
    __syncthreads();
  }
  UNROLL
  for (int d = 0; d < 64; d++) out[row * 64 + d] = sum[d] / total;
}
