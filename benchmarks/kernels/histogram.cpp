extern "C" void histogram(int n, const unsigned char *__restrict x, unsigned *__restrict bins) {
#pragma omp parallel
  {
    unsigned count[256] = {};
#pragma omp for
    for (int i = 0; i < n; i++) count[x[i]]++;
#pragma omp critical
    for (int b = 0; b < 256; b++) bins[b] += count[b];
  }
}
