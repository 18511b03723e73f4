#include "portable.h"
#define RAY_FUNCTION DEVICE
#define GLOBAL_CONST GLOBAL const
#define SQRT sqrtf
#include "ray_tracing.inc"

// Spheres (x, y, z, radius, mirror); up to three reflections; a thread a pixel.
KERNEL void ray_tracing(int n, int count, GLOBAL const float *__restrict__ spheres, GLOBAL float *__restrict__ image) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, j = blockIdx.y * blockDim.y + threadIdx.y;
  if (i >= n || j >= n) return;
  float x = (i + 0.5f) / n - 0.5f, y = 0.5f - (j + 0.5f) / n, inverse = 1.0f / sqrtf(x * x + y * y + 1.0f);
  image[j * n + i] = trace(spheres, count, 0.0f, 0.0f, -4.0f, x * inverse, y * inverse, inverse);
}
