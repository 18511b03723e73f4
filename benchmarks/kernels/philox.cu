#include "portable.h"

// Philox 4x32-10: four uniform numbers a thread.
KERNEL void philox(int n, uint seed, GLOBAL float4 *__restrict__ out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  uint c0 = i, c1 = 0, c2 = 0, c3 = 0, k0 = seed, k1 = 0;
  for (int round = 0; round < 10; round++) {
    uint h0 = MULHI(0xD2511F53u, c0), l0 = 0xD2511F53u * c0, h1 = MULHI(0xCD9E8D57u, c2), l1 = 0xCD9E8D57u * c2;
    c0 = h1 ^ c1 ^ k0, c1 = l1, c2 = h0 ^ c3 ^ k1, c3 = l0;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  float scale = 1.0f / 16777216.0f;
  out[i] = make_float4((c0 >> 8) * scale, (c1 >> 8) * scale, (c2 >> 8) * scale, (c3 >> 8) * scale);
}
