// The loops that Python is too slow for; of costs.py: nanoseconds a call of the driver, through its function pointers; -1 if a call failed.
#include <algorithm>
#include <ctime>
#include <vector>

namespace {

using Launch = int (*)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**);
using Stream = int (*)(void*);
using Record = int (*)(void*, void*);

double now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return 1e9 * static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec);
}

double median(std::vector<double>& values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

// Enqueues the same launch a number of times; the number of failed calls. `shape`: grid, block, shared bytes.
extern "C" int launch_repeatedly(Launch launch, void* function, const unsigned* shape, void** parameters, int launches) {
  int failed = 0;
  for (int i = 0; i < launches; ++i)
    failed += launch(function, shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], shape[6], nullptr, parameters, nullptr) != 0;
  return failed;
}

// Median over batches of the time to enqueue one launch; the queue is drained between batches, outside the clock.
extern "C" double enqueue(Launch launch, Stream synchronize, void* function, int batches, int batch) {
  std::vector<double> all;
  int failed = 0;
  for (int b = 0; b < batches; ++b) {
    const double start = now();
    for (int i = 0; i < batch; ++i) failed |= launch(function, 1, 1, 1, 32, 1, 1, 0, nullptr, nullptr, nullptr);
    all.push_back((now() - start) / batch);
    failed |= synchronize(nullptr);
  }
  return failed != 0 ? -1 : median(all);
}

extern "C" double round_trip(Launch launch, Stream synchronize, void* function, int count) {
  std::vector<double> all;
  int failed = 0;
  for (int i = 0; i < count; ++i) {
    const double start = now();
    failed |= launch(function, 1, 1, 1, 32, 1, 1, 0, nullptr, nullptr, nullptr);
    failed |= synchronize(nullptr);
    all.push_back(now() - start);
  }
  return failed != 0 ? -1 : median(all);
}

extern "C" double record_event(Record record, Stream synchronize, void* event, int batches, int batch) {
  std::vector<double> all;
  int failed = 0;
  for (int b = 0; b < batches; ++b) {
    const double start = now();
    for (int i = 0; i < batch; ++i) failed |= record(event, nullptr);
    all.push_back((now() - start) / batch);
    failed |= synchronize(nullptr);
  }
  return failed != 0 ? -1 : median(all);
}

// A whole graph, launched and waited for.
extern "C" double graph_round_trip(Record launch, Stream synchronize, void* graph, int count) {
  std::vector<double> all;
  int failed = 0;
  for (int i = 0; i < count; ++i) {
    const double start = now();
    failed |= launch(graph, nullptr);
    failed |= synchronize(nullptr);
    all.push_back(now() - start);
  }
  return failed != 0 ? -1 : median(all);
}
