typedef unsigned int uint;

extern "C" void crc32(int n, const uint *__restrict table, const uint *__restrict messages, uint *__restrict out) {
#pragma omp parallel for
  for (int i = 0; i < n; i++) {
    uint crc = 0xffffffffu;
    for (int w = 0; w < 16; w++) {
      uint word = messages[16 * i + w];
      for (int b = 0; b < 4; b++) crc = table[(crc ^ (word >> (8 * b))) & 255] ^ (crc >> 8);
    }
    out[i] = ~crc;
  }
}
