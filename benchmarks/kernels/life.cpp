typedef unsigned char uchar;

extern "C" void life(int n, const uchar *__restrict x, uchar *__restrict y) {
#pragma omp parallel for
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) {
      int up = (i ? i - 1 : n - 1) * n, down = (i + 1 < n ? i + 1 : 0) * n, left = j ? j - 1 : n - 1, right = j + 1 < n ? j + 1 : 0;
      int around = x[up + left] + x[up + j] + x[up + right] + x[i * n + left] + x[i * n + right] + x[down + left] + x[down + j] + x[down + right];
      y[i * n + j] = around == 3 || (around == 2 && x[i * n + j]);
    }
}
