#include <cmath>

extern "C" void layer_norm(int columns, float epsilon, const float *__restrict x, const float *__restrict weight,
                           const float *__restrict bias, float *__restrict y, int rows) {
#pragma omp parallel for
  for (int row = 0; row < rows; row++) {
    const float *in = x + row * columns;
    float *out = y + row * columns;
    float sum = 0.0f, squares = 0.0f;
    for (int i = 0; i < columns; i++) sum += in[i];
    float mean = sum / columns;
    for (int i = 0; i < columns; i++) squares += (in[i] - mean) * (in[i] - mean);
    float scale = 1.0f / std::sqrt(squares / columns + epsilon);
    for (int i = 0; i < columns; i++) out[i] = (in[i] - mean) * scale * weight[i] + bias[i];
  }
}
