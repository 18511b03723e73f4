extern "C" void reduction(int n, const float *__restrict x, float *__restrict out) {
  float sum = 0.0f;
#pragma omp parallel for reduction(+ : sum)
  for (int i = 0; i < n; i++) sum += x[i];
  out[0] = sum;
}
