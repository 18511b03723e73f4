struct Complex {
  float x, y;
};

extern "C" void fft256(const Complex *__restrict x, const Complex *__restrict roots, Complex *__restrict y, int count) {
#pragma omp parallel for
  for (int row = 0; row < count; row++) {
    Complex buffers[2][256];
    for (int t = 0; t < 256; t++) buffers[0][t] = x[row * 256 + t];
    int from = 0;
    for (int half = 1; half < 256; half *= 2, from = 1 - from) {
      const Complex *in = buffers[from];
      Complex *out = buffers[1 - from];
      for (int block = 0; block < 128; block += half)
        for (int k = 0; k < half; k++) {
          Complex a = in[block + k], b = in[block + k + 128], w = roots[k * (128 / half)];
          Complex wb = {b.x * w.x - b.y * w.y, b.x * w.y + b.y * w.x};
          out[2 * block + k] = {a.x + wb.x, a.y + wb.y};
          out[2 * block + k + half] = {a.x - wb.x, a.y - wb.y};
        }
    }
    for (int t = 0; t < 256; t++) y[row * 256 + t] = buffers[from][t];
  }
}
