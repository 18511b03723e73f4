#include <algorithm>

// What a C++ programmer writes to sort runs.
extern "C" void bitonic_sort(const int *__restrict x, int *__restrict y, int count) {
#pragma omp parallel for
  for (int run = 0; run < count; run++) {
    std::copy(x + run * 1024, x + run * 1024 + 1024, y + run * 1024);
    std::sort(y + run * 1024, y + run * 1024 + 1024);
  }
}
