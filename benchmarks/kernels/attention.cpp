#include <cmath>

extern "C" void attention(int n, float scale, const float *__restrict q, const float *__restrict k, const float *__restrict v,
                          float *__restrict out) {
#pragma omp parallel for
  for (int row = 0; row < n; row++) {
    float sum[64] = {}, largest = -1e30f, total = 0.0f;
    for (int j = 0; j < n; j++) {
      float score = 0.0f;
      for (int d = 0; d < 64; d++) score += q[row * 64 + d] * k[j * 64 + d];
      score *= scale;
      if (score > largest) {
        float shrink = std::exp(largest - score);
        total *= shrink;
        for (int d = 0; d < 64; d++) sum[d] *= shrink;
        largest = score;
      }
      float p = std::exp(score - largest);
      total += p;
      for (int d = 0; d < 64; d++) sum[d] += p * v[j * 64 + d];
    }
    for (int d = 0; d < 64; d++) out[row * 64 + d] = sum[d] / total;
  }
}
