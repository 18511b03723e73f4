extern "C" void transpose(int n, const float *__restrict x, float *__restrict y) {
#pragma omp parallel for
  for (int top = 0; top < n; top += 32)
    for (int left = 0; left < n; left += 32)
      for (int i = top; i < top + 32; i++)
        for (int j = left; j < left + 32; j++) y[j * n + i] = x[i * n + j];
}
