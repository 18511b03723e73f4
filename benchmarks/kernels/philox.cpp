#include <cstdint>

extern "C" void philox(int n, uint32_t seed, float *__restrict out) {
#pragma omp parallel for
  for (int i = 0; i < n; i++) {
    uint32_t c0 = i, c1 = 0, c2 = 0, c3 = 0, k0 = seed, k1 = 0;
    for (int round = 0; round < 10; round++) {
      uint64_t p0 = uint64_t{0xD2511F53u} * c0, p1 = uint64_t{0xCD9E8D57u} * c2;
      c0 = uint32_t(p1 >> 32) ^ c1 ^ k0, c1 = uint32_t(p1), c2 = uint32_t(p0 >> 32) ^ c3 ^ k1, c3 = uint32_t(p0);
      k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    float scale = 1.0f / 16777216.0f;
    out[4 * i] = (c0 >> 8) * scale, out[4 * i + 1] = (c1 >> 8) * scale, out[4 * i + 2] = (c2 >> 8) * scale, out[4 * i + 3] = (c3 >> 8) * scale;
  }
}
