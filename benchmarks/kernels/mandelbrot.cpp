extern "C" void mandelbrot(int width, int height, int limit, int *__restrict out) {
#pragma omp parallel for schedule(dynamic, 4)
  for (int j = 0; j < height; j++)
    for (int i = 0; i < width; i++) {
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
}
