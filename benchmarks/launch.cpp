// What the engine itself costs: enqueueing, launching and waiting, barriers, CTAs, allocation, a copy. Kernels are made by hand
// (tests/native/kernels.cpp), so that no compiler is measured. Every figure is the best of many batches, in nanoseconds.
//
//   cmake -B build/native -DANYWARP_TESTS=ON && cmake --build build/native --target bench_launch && build/native/tests/native/bench_launch
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "harness.h"

using namespace anywarp;
using namespace test;

namespace {

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// The best and the median time of one call in batches of `count` calls; `between` is not timed.
template <typename F, typename G>
void measure(const char* what, int batches, int count, F call, G between, double scale = 1) {
  std::vector<double> times;
  for (int b = 0; b < batches; ++b) {
    const double begin = seconds();
    for (int i = 0; i < count; ++i) call();
    times.push_back((seconds() - begin) / count * scale * 1e9);
    between();
  }
  std::sort(times.begin(), times.end());
  std::printf("%-64s %10.0f %10.0f\n", what, times[0], times[times.size() / 2]);
  std::fflush(stdout);
}

TEST(launch_costs) {
  Fixture f;
  Context& context = f.context();
  const StreamRef stream = context.create_stream();
  Kernel& empty = f.kernel({"k_empty", {}});
  Kernel& barriers = f.kernel({"k_barriers", {4, 4}, KernelManifest::stepped});
  const auto wait = [&] { (void)stream->synchronize(); };
  const auto nothing = [] {};
  std::printf("%d threads; ns\n%-64s %10s %10s\n", f.engine().pool().threads(), "", "best", "median");

  wait();
  measure("enqueue an empty kernel (batches of 100)", 200, 100, [&] { (void)launch(*stream, empty, shape(1, 32)); }, wait);
  measure("enqueue an empty kernel (batches of 1, pool asleep)", 200, 1, [&] { (void)launch(*stream, empty, shape(1, 32)); }, [&] {
    wait();
    std::this_thread::sleep_for(std::chrono::microseconds(300));
  });
  measure("empty kernels back to back, run and waited for (each)", 100, 1, [&] {
    for (int i = 0; i < 1000; ++i) (void)launch(*stream, empty, shape(1, 32));
    wait();
  }, nothing, 1e-3);
  measure("launch and synchronise, 1 CTA", 200, 50, [&] {
    (void)launch(*stream, empty, shape(1, 32));
    wait();
  }, nothing);
  measure("launch and synchronise, 1000 CTAs", 200, 50, [&] {
    (void)launch(*stream, empty, shape(1000, 32));
    wait();
  }, nothing);
  measure("launch and synchronise on the legacy stream", 200, 50, [&] {
    (void)launch(*context.legacy(), empty, shape(1, 32));
    (void)context.legacy()->synchronize();
  }, nothing);
  measure("launch and synchronise, pool asleep", 200, 1, [&] {
    (void)launch(*stream, empty, shape(1, 32));
    wait();
  }, [] { std::this_thread::sleep_for(std::chrono::microseconds(300)); });
  Kernel& count = f.kernel({"k_count", {8, 4}});
  auto* hits = f.allocate<std::uint32_t>(4096);
  measure("4096 CTAs of 1000 empty loop turns (each CTA)", 20, 1, [&] {
    (void)launch(*stream, count, shape(4096, 32), hits, 1000u);
    wait();
  }, nothing, 1.0 / 4096);
  measure("stepped kernel without barriers, one warp (each CTA of 10,000)", 20, 1, [&] {
    (void)launch(*stream, barriers, shape(10'000, 32), 0u, 0u);
    wait();
  }, nothing, 1e-4);
  measure("barrier of 32 warps (each warp)", 50, 1, [&] {
    (void)launch(*stream, barriers, shape(1, 1024), 10'000u, 0u);
    wait();
  }, nothing, 1e-4 / 32);
  measure("barrier of 4 warps (each warp)", 50, 1, [&] {
    (void)launch(*stream, barriers, shape(1, 128), 10'000u, 0u);
    wait();
  }, nothing, 1e-4 / 4);
  Event event;
  measure("record an event on an idle stream", 100, 100, [&] { (void)event.record(*stream); }, nothing);
  measure("copy 4 KiB and synchronise", 100, 50, [&] {
    (void)stream->copy({hits, hits + 2048, 4096});
    wait();
  }, nothing);
  memory::Arena& arena = f.engine().arena();
  measure("allocate and free 4 KiB", 100, 1000, [&] {
    void* p = nullptr;
    (void)arena.allocate(0, 4096, 256, memory::Kind::device, nullptr, 0, &p);
    (void)arena.free(p);
  }, nothing);
  measure("allocate and free 16 MiB, untouched", 100, 10, [&] {
    void* p = nullptr;
    (void)arena.allocate(0, 16 << 20, 256, memory::Kind::device, nullptr, 0, &p);
    (void)arena.free(p);
  }, nothing);
  memory::Allocation found;
  measure("look an address up", 100, 1000, [&] { (void)arena.lookup(hits + 10, &found); }, nothing);
}

}  // namespace
