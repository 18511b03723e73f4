extern "C" void stencil3d(int n, int depth, float a, float b, const float *__restrict x, float *__restrict y) {
  int plane = n * n;
#pragma omp parallel for
  for (int k = 1; k < depth - 1; k++)
    for (int i = 1; i < n - 1; i++)
      for (int j = 1; j < n - 1; j++) {
        int at = k * plane + i * n + j;
        y[at] = a * x[at] + b * (x[at - plane] + x[at + plane] + x[at - 1] + x[at + 1] + x[at - n] + x[at + n]);
      }
}
