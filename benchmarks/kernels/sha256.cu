#include "portable.h"
#define HASH_FUNCTION DEVICE
#define TABLE_SPACE GLOBAL
#include "sha256.inc"

KERNEL void sha256(int n, GLOBAL const uint *__restrict__ table, GLOBAL const uint *__restrict__ messages, GLOBAL uint *__restrict__ digests) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) hash(table, messages + 16 * i, digests + 8 * i);
}
