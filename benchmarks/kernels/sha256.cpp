using uint = unsigned;
#define HASH_FUNCTION static inline
#define TABLE_SPACE
#define UNROLL
#include "sha256.inc"

extern "C" void sha256(int n, const uint *__restrict table, const uint *__restrict messages, uint *__restrict digests) {
#pragma omp parallel for
  for (int i = 0; i < n; i++) hash(table, messages + 16 * i, digests + 8 * i);
}
