extern "C" void saxpy(int n, float a, const float *__restrict x, float *__restrict y) {
#pragma omp parallel for
  for (int i = 0; i < n; i++) y[i] = a * x[i] + y[i];
}
