extern "C" void spmv(int rows, const int *__restrict starts, const int *__restrict columns, const float *__restrict values,
                     const float *__restrict x, float *__restrict y) {
#pragma omp parallel for
  for (int row = 0; row < rows; row++) {
    float sum = 0.0f;
    for (int e = starts[row]; e < starts[row + 1]; e++) sum += values[e] * x[columns[e]];
    y[row] = sum;
  }
}
