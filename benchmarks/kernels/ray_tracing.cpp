#include <cmath>
#define RAY_FUNCTION static inline
#define GLOBAL_CONST const
#define SQRT std::sqrt
#include "ray_tracing.inc"

extern "C" void ray_tracing(int n, int count, const float *__restrict spheres, float *__restrict image) {
#pragma omp parallel for schedule(dynamic, 4)
  for (int j = 0; j < n; j++)
    for (int i = 0; i < n; i++) {
      float x = (i + 0.5f) / n - 0.5f, y = 0.5f - (j + 0.5f) / n, inverse = 1.0f / std::sqrt(x * x + y * y + 1.0f);
      image[j * n + i] = trace(spheres, count, 0.0f, 0.0f, -4.0f, x * inverse, y * inverse, inverse);
    }
}
