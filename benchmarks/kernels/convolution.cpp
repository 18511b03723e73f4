extern "C" void convolution(int n, const float *__restrict x, const float *__restrict filter, float *__restrict y) {
#pragma omp parallel for
  for (int row = 0; row < n; row++)
    for (int column = 0; column < n; column++) {
      float sum = 0.0f;
      for (int i = -2; i <= 2; i++)
        for (int j = -2; j <= 2; j++) {
          int r = row + i, c = column + j;
          if (r >= 0 && r < n && c >= 0 && c < n) sum += x[r * n + c] * filter[(i + 2) * 5 + j + 2];
        }
      y[row * n + column] = sum;
    }
}
