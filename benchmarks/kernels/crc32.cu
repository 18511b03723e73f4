#include "portable.h"

// CRC-32 (the reflected polynomial EDB88320) of messages of 64 bytes by a table of 256 words, a thread a message.
KERNEL void crc32(int n, GLOBAL const uint *__restrict__ table, GLOBAL const uint *__restrict__ messages, GLOBAL uint *__restrict__ out) {
  __shared__ uint t[256];
  t[threadIdx.x] = table[threadIdx.x];
  __syncthreads();
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  uint crc = 0xffffffffu;
  for (int w = 0; w < 16; w++) {
    uint word = messages[16 * i + w];
    for (int b = 0; b < 4; b++) crc = t[(crc ^ (word >> (8 * b))) & 255] ^ (crc >> 8);
  }
  out[i] = ~crc;
}
