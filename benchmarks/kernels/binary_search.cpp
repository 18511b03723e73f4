extern "C" void binary_search(int queries, int n, const int *__restrict keys, const int *__restrict sorted, int *__restrict out) {
#pragma omp parallel for
  for (int i = 0; i < queries; i++) {
    int key = keys[i], low = 0, high = n;
    while (low < high) {
      int middle = (low + high) / 2;
      if (sorted[middle] < key)
        low = middle + 1;
      else
        high = middle;
    }
    out[i] = low;
  }
}
