#include <algorithm>
#include <cmath>

extern "C" void softmax(int columns, const float *__restrict x, float *__restrict y, int rows) {
#pragma omp parallel for
  for (int row = 0; row < rows; row++) {
    const float *in = x + row * columns;
    float *out = y + row * columns;
    float largest = -INFINITY, sum = 0.0f;
    for (int i = 0; i < columns; i++) largest = std::max(largest, in[i]);
    for (int i = 0; i < columns; i++) sum += out[i] = std::exp(in[i] - largest);
    float scale = 1.0f / sum;
    for (int i = 0; i < columns; i++) out[i] *= scale;
  }
}
