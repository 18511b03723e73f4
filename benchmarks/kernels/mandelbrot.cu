#include "portable.h"

KERNEL void mandelbrot(int width, int height, int limit, GLOBAL int *__restrict__ out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, j = blockIdx.y * blockDim.y + threadIdx.y;
  if (i >= width || j >= height) return;
  float cx = -2.0f + 3.0f * i / width, cy = -1.5f + 3.0f * j / height;
  float x = 0.0f, y = 0.0f;
  int steps = 0;
  while (steps < limit && x * x + y * y <= 4.0f) {
    float next = x * x - y * y + cx;
    y = 2.0f * x * y + cy;
    x = next;
    steps++;
  }
  out[j * width + i] = steps;
}
