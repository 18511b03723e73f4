// Kernels made by hand, run whole: straight and stepped execution, barriers, clusters, waiting CTAs.
#include <memory>
#include <numeric>
#include <thread>

#include "exec/fiber.h"
#include "harness.h"

using namespace anywarp;
using namespace test;

namespace {

constexpr std::uint32_t kStepped = KernelManifest::stepped;

TEST(saxpy_gives_the_right_values) {
  Fixture f;
  Kernel& k = f.kernel({"k_saxpy", {8, 8, 4, 4}});
  for (const std::uint32_t n : {1u, 31u, 1000u, 100'000u, 1'000'000u}) {
    auto* y = f.allocate<float>(n, 1.0f);
    auto* x = f.allocate<float>(n, 3.0f);
    for (int round = 0; round < 3; ++round) {
      OK(launch(*f.context().legacy(), k, shape((n + 255) / 256, 256), y, x, 2.0f, n));
      OK(f.context().legacy()->synchronize());
      bool ok = true;
      for (std::uint32_t i = 0; i < n; ++i) ok &= y[i] == 1.0f + 6.0f * static_cast<float>(round + 1);
      CHECK(ok);
    }
  }
}

TEST(every_cta_runs_exactly_once) {
  for (const int threads : {1, 2, 5}) {
    Fixture f(threads);
    Kernel& k = f.kernel({"k_count", {8, 4}});
    for (const std::uint32_t n : {1u, 2u, 7u, 1000u, 30'000u}) {
      auto* hits = f.allocate<std::uint32_t>(n);
      for (int round = 1; round <= 5; ++round) {
        OK(launch(*f.context().legacy(), k, shape(n, 32), hits, 100u));
        OK(f.context().synchronize());
        CHECK_EQUAL(std::accumulate(hits, hits + n, 0u), n * static_cast<std::uint32_t>(round));
      }
      for (std::uint32_t i = 0; i < n; ++i)
        if (hits[i] != 5) {
          CHECK_EQUAL(hits[i], 5u);
          break;
        }
    }
  }
}

TEST(barriers_order_warps) {
  Fixture f;
  Kernel& k = f.kernel({"k_reduce", {8}, kStepped, 4096});
  for (const std::uint32_t block : {1u, 32u, 33u, 100u, 256u, 1024u})
    for (const std::uint32_t grid : {1u, 3u, 500u}) {
      auto* sums = f.allocate<std::uint32_t>(grid);
      OK(launch(*f.context().legacy(), k, shape(grid, block), sums));
      OK(f.context().synchronize());
      for (std::uint32_t c = 0; c < grid; ++c) CHECK_EQUAL(sums[c], block * (block - 1) / 2 + c * block);
    }
}

TEST(exited_warps_are_not_waited_for) {
  Fixture f;
  Kernel& k = f.kernel({"k_barriers", {4, 4}, kStepped});
  for (const std::uint32_t block : {32u, 64u, 1000u, 1024u}) {
    OK(launch(*f.context().legacy(), k, shape(20, block), 50u, 1u));
    OK(f.context().synchronize());
  }
}

TEST(barrier_reductions) {
  Fixture f;
  Kernel& k = f.kernel({"k_reductions", {8}, kStepped});
  auto* out = f.allocate<std::uint32_t>(30);
  OK(launch(*f.context().legacy(), k, shape(10, 200), out));
  OK(f.context().synchronize());
  for (int c = 0; c < 10; ++c) {
    CHECK_EQUAL(out[3 * c], 100u);
    CHECK_EQUAL(out[3 * c + 1], 0u);
    CHECK_EQUAL(out[3 * c + 2], 1u);
  }
}

TEST(named_barriers_with_arrivals) {
  Fixture f;
  Kernel& k = f.kernel({"k_named", {8}, kStepped, 256});
  auto* out = f.allocate<std::uint32_t>(32 * 16);
  OK(launch(*f.context().legacy(), k, shape(16, 256), out));
  OK(f.context().synchronize());
  for (std::uint32_t c = 0; c < 16; ++c)
    for (std::uint32_t w = 1; w < 8; w += 2) CHECK_EQUAL(out[c * 32 + w], 100 + w - 1);
}

TEST(ctas_may_wait_for_later_ctas) {
  for (const int threads : {1, 2, 4}) {
    Fixture f(threads);
    Kernel& k = f.kernel({"k_chain", {8, 4}, kStepped});
    Kernel& spinning = f.kernel({"k_chain", {8, 4}, kStepped, 0, 0, 0, KernelManifest::may_spin});
    for (Kernel* kernel : {&k, &spinning})
      for (const std::uint32_t n : {1u, 2u, 30u, 500u}) {
        auto* flags = f.allocate<std::uint32_t>(n);
        OK(launch(*f.context().legacy(), *kernel, shape(n, 32), flags, n));
        OK(f.context().synchronize());
        CHECK_EQUAL(std::accumulate(flags, flags + n, 0u), n);
      }
  }
}

TEST(cooperative_grids_are_resident) {
  for (const int threads : {1, 2, 4}) {
    Fixture f(threads);
    Kernel& k = f.kernel({"k_grid_barrier", {8, 8}, kStepped, 64});
    for (const std::uint32_t n : {1u, 4u, 300u}) {
      auto* counter = f.allocate<std::uint32_t>(1);
      auto* out = f.allocate<std::uint32_t>(n);
      LaunchShape s = shape(n, 32);
      s.cooperative = true;
      OK(launch(*f.context().legacy(), k, s, counter, out));
      OK(f.context().synchronize());
      CHECK_EQUAL(std::accumulate(out, out + n, 0u), n);
    }
    LaunchShape s = shape(100'000, 32);
    s.cooperative = true;
    auto* nothing = f.allocate<std::uint32_t>(1);
    CHECK_EQUAL(launch(*f.context().legacy(), k, s, nothing, nothing), Result::cooperative_launch_too_large);
  }
}

TEST(kernels_of_two_streams_wait_for_each_other) {
  for (const int threads : {1, 2, 3}) {
    Fixture f(threads);
    Kernel& k = f.kernel({"k_wait_value", {8, 4, 4}, kStepped});
    auto* flag = f.allocate<std::uint32_t>(1);
    const StreamRef a = f.context().create_stream(), b = f.context().create_stream();
    for (int round = 0; round < 20; ++round) {
      *flag = 0;
      OK(launch(*a, k, shape(1, 32), flag, 1u, 2u));
      OK(launch(*a, k, shape(1, 32), flag, 3u, 4u));
      OK(launch(*b, k, shape(1, 32), flag, 0u, 1u));
      OK(launch(*b, k, shape(1, 32), flag, 2u, 3u));
      OK(round % 2 == 0 ? a->synchronize() : b->synchronize());
      OK(f.context().synchronize());
      CHECK_EQUAL(*flag, 4u);
    }
  }
}

TEST(a_kernel_may_wait_for_the_host) {
  Fixture f(2);
  Kernel& k = f.kernel({"k_wait_value", {8, 4, 4}, kStepped});
  auto* flag = f.allocate<std::uint32_t>(1);
  OK(launch(*f.context().legacy(), k, shape(1, 32), flag, 1u, 2u));
  CHECK_EQUAL(f.context().legacy()->query(), Result::not_ready);
  __atomic_store_n(flag, 1u, __ATOMIC_RELEASE);
  OK(f.context().synchronize());
  CHECK_EQUAL(*flag, 2u);
}

TEST(clusters_share_memory_and_barriers) {
  for (const int threads : {1, 3}) {
    Fixture f(threads);
    Kernel& k = f.kernel({"k_cluster", {8}, kStepped, 64});
    LaunchShape s;
    s.grid[0] = 8;
    s.grid[1] = 6;
    s.block[0] = 96;
    s.cluster[0] = 4;
    s.cluster[1] = 2;
    auto* out = f.allocate<std::uint32_t>(48);
    OK(launch(*f.context().legacy(), k, s, out));
    OK(f.context().synchronize());
    for (std::uint32_t y = 0; y < 6; ++y)
      for (std::uint32_t x = 0; x < 8; ++x) CHECK_EQUAL(out[y * 8 + x], 1000 + (y % 2 * 4 + x % 4 + 1) % 8);
    s.cluster[0] = 3;
    CHECK_EQUAL(launch(*f.context().legacy(), k, s, out), Result::invalid_value);
  }
}

TEST(local_and_shared_memory_are_there) {
  Fixture f;
  Kernel& k = f.kernel({"k_local", {8}, KernelManifest::straight, 100, 0, 48});
  auto* out = f.allocate<std::uint32_t>(200);
  OK(launch(*f.context().legacy(), k, shape(200, 32, 64 * 1024), out));
  OK(f.context().synchronize());
  for (std::uint32_t i = 0; i < 200; ++i) CHECK_EQUAL(out[i], i);
}

TEST(shapes_are_checked) {
  Fixture f;
  Kernel& k = f.kernel({"k_empty", {}});
  Stream& s = *f.context().legacy();
  CHECK_EQUAL(launch(s, k, shape(0, 32)), Result::invalid_value);
  CHECK_EQUAL(launch(s, k, shape(1, 0)), Result::invalid_value);
  CHECK_EQUAL(launch(s, k, shape(1, 1025)), Result::invalid_value);
  CHECK_EQUAL(launch(s, k, shape(0x80000000u, 1)), Result::invalid_value);
  LaunchShape big = shape(1, 32);
  big.block[1] = 33;
  CHECK_EQUAL(launch(s, k, big), Result::invalid_value);
  LaunchShape tall = shape(1, 32);
  tall.grid[1] = 65536;
  CHECK_EQUAL(launch(s, k, tall), Result::invalid_value);
  CHECK_EQUAL(launch(s, k, shape(1, 32, 228 * 1024)), Result::invalid_value);
  OK(launch(s, k, shape(1, 32, 227 * 1024)));
  OK(s.synchronize());
}

TEST(variants_follow_the_block_shape) {
  const auto name = [](std::uint32_t x, std::uint32_t y, std::uint32_t z) {
    const std::uint32_t block[3] = {x, y, z};
    return std::string(variant_name(variant_index(block)));
  };
  CHECK_EQUAL(name(32, 1, 1), "line");
  CHECK_EQUAL(name(96, 3, 2), "line");
  CHECK_EQUAL(name(1, 1, 1), "line.partial");
  CHECK_EQUAL(name(100, 1, 1), "line.partial");
  CHECK_EQUAL(name(16, 16, 1), "rows16");
  CHECK_EQUAL(name(16, 3, 1), "rows16.partial");
  CHECK_EQUAL(name(8, 8, 8), "rows8");
  CHECK_EQUAL(name(4, 8, 1), "rows4");
  CHECK_EQUAL(name(2, 16, 1), "rows2");
  CHECK_EQUAL(name(1, 32, 1), "any");
  CHECK_EQUAL(name(12, 8, 1), "any");
  CHECK_EQUAL(name(5, 5, 5), "any.partial");
}

TEST(module_variables_have_their_initial_values) {
  Fixture f;
  VariableInfo table{"table", VariableInfo::global, 16, 4, 0, {1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0}, {}};
  VariableInfo counter{"counter", VariableInfo::global, 4, 4, 0, {}, {}};
  VariableInfo pointers{"pointers", VariableInfo::constant, 24, 8, 0, {}, {}};
  pointers.relocations.push_back({0, 8, "table", 4, ~0ull});
  pointers.relocations.push_back({8, 1, "counter", 0, 0xff00});
  pointers.relocations.push_back({16, 8, "callee", 0, ~0ull});
  VariableInfo hidden{"hidden", VariableInfo::global, 4, 4, VariableInfo::unnamed, {}, {}};
  const auto module = f.module({{"k_symbols", {}, KernelManifest::straight, 0, 0, 0, 0, {"table", "counter"}}},
                               {table, counter, pointers, hidden}, {"callee", "other"});
  OK(launch(*f.context().legacy(), *module->kernel("k_symbols"), shape(1, 32)));
  OK(launch(*f.context().legacy(), *module->kernel("k_symbols"), shape(1, 32)));
  OK(f.context().synchronize());
  CHECK_EQUAL(*static_cast<std::uint32_t*>(module->variable("counter")->address), 12u);
  const auto* p = static_cast<const std::uint64_t*>(module->variable("pointers")->address);
  CHECK_EQUAL(p[0], reinterpret_cast<std::uint64_t>(module->variable("table")->address) + 4);
  CHECK_EQUAL(p[1] & 0xff, reinterpret_cast<std::uint64_t>(module->variable("counter")->address) >> 8 & 0xff);
  CHECK_EQUAL(p[2], module->symbol_value("callee"));
  CHECK(module->symbol_value("callee") != module->symbol_value("other"));
  CHECK(module->variable("hidden") != nullptr);  // a host program registers its static variables by name, too
  CHECK(module->variable("nothing") == nullptr);
  CHECK(module->kernel("nothing") == nullptr);
}

TEST(a_fiber_goes_on_where_it_stopped_on_whatever_thread) {
  constexpr std::size_t kBytes = 256 << 10;
  const auto memory = std::make_unique<std::uint8_t[]>(kBytes);
  struct Work {
    Fiber fiber;
    double sum = 0;
  } work;
  work.fiber.use(memory.get(), kBytes);
  const Fiber::Body body = [](void* argument) {
    auto& w = *static_cast<Work*>(argument);
    double sum = 0.5;  // lives on the fiber's stack
    for (std::uint32_t i = 1; i <= 4; ++i) {
      sum += i;
      w.fiber.suspend(i);
    }
    w.sum = sum;
    return 99u;
  };
  for (int round = 0; round < 2; ++round) {
    work.sum = 0;
    for (std::uint32_t i = 1; i <= 4; ++i) {
      std::uint32_t value = 0;
      std::thread([&] { value = work.fiber.run(body, &work); }).join();
      CHECK_EQUAL(value, i);
      CHECK(work.fiber.is_suspended());
    }
    CHECK_EQUAL(work.fiber.run(body, &work), 99u);
    CHECK(!work.fiber.is_suspended());
    CHECK_EQUAL(work.sum, 10.5);
  }
  // What was dropped begins anew.
  CHECK_EQUAL(work.fiber.run(body, &work), 1u);
  work.fiber.drop();
  CHECK_EQUAL(work.fiber.run(body, &work), 1u);
}

}  // namespace
