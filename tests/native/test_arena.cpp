// The arena: placement, limits, lookup, memory given back, many threads.
#include <sys/mman.h>

#include <chrono>
#include <cstring>
#include <map>
#include <random>
#include <thread>

#include "exec/fault.h"
#include "harness.h"

using namespace anywarp;
using memory::Allocation;
using memory::Arena;
using memory::Kind;

namespace {

Arena::Options small() { return {std::size_t{1} << 34}; }

bool accessible(void* address) {
  Fault fault;
  return Guard::run([](void* p) { (void)*static_cast<volatile char*>(p); }, address, &fault);
}

TEST(allocations_are_apart_and_aligned) {
  Arena arena(small());
  std::mt19937 random(1);
  std::map<std::uintptr_t, std::size_t> live;
  for (int i = 0; i < 3000; ++i) {
    if (live.size() > 200 || (!live.empty() && random() % 3 == 0)) {
      auto it = live.begin();
      std::advance(it, random() % live.size());
      OK(arena.free(reinterpret_cast<void*>(it->first)));
      live.erase(it);
      continue;
    }
    const std::size_t bytes = 1 + random() % (1u << random() % 24), alignment = std::size_t{1} << random() % 23;
    void* p = nullptr;
    OK(arena.allocate(0, bytes, alignment, Kind::device, nullptr, 0, &p));
    const auto base = reinterpret_cast<std::uintptr_t>(p);
    CHECK_EQUAL(base % std::max<std::size_t>(alignment, 256), 0u);
    std::memset(p, 0xaa, bytes);
    const auto next = live.lower_bound(base);
    CHECK(next == live.end() || base + bytes <= next->first);
    if (next != live.begin()) CHECK(std::prev(next)->first + std::prev(next)->second <= base);
    live[base] = bytes;
    Allocation a;
    CHECK(arena.lookup(reinterpret_cast<void*>(base + bytes - 1), &a) && a.base == base && a.size == bytes);
    CHECK(!arena.lookup(reinterpret_cast<void*>(base + bytes), &a) || a.base != base);
  }
  for (const auto& [base, bytes] : live) OK(arena.free(reinterpret_cast<void*>(base)));
  std::size_t free = 0, total = 0;
  arena.info(0, &free, &total);
  CHECK_EQUAL(free, total);
}

TEST(the_devices_size_is_the_limit) {
  Arena arena(small());
  arena.set_limit(0, 10 << 20);
  arena.set_limit(1, 1 << 20);
  void *a = nullptr, *b = nullptr, *c = nullptr;
  OK(arena.allocate(0, 8 << 20, 256, Kind::device, nullptr, 0, &a));
  CHECK_EQUAL(arena.allocate(0, 3 << 20, 256, Kind::device, nullptr, 0, &b), Result::out_of_memory);
  CHECK_EQUAL(arena.allocate(1, 2 << 20, 256, Kind::device, nullptr, 0, &b), Result::out_of_memory);
  OK(arena.allocate(0, 3 << 20, 256, Kind::host, nullptr, 0, &b));  // host memory does not count
  std::size_t free = 0, total = 0;
  arena.info(0, &free, &total);
  CHECK_EQUAL(free, 2u << 20);
  CHECK_EQUAL(total, 10u << 20);
  OK(arena.allocate(0, 1000, 256, Kind::device, nullptr, 0, &c));
  arena.info(0, &free, &total);
  CHECK_EQUAL(free, (2u << 20) - 1024);
  for (void* p : {a, b, c}) OK(arena.free(p));
  arena.info(0, &free, &total);
  CHECK_EQUAL(free, total);
  CHECK_EQUAL(arena.allocate(0, 0, 256, Kind::device, nullptr, 0, &a), Result::invalid_value);
  CHECK_EQUAL(arena.allocate(0, 100, 3, Kind::device, nullptr, 0, &a), Result::invalid_value);
  CHECK_EQUAL(arena.allocate(0, ~std::size_t{0}, 256, Kind::device, nullptr, 0, &a), Result::out_of_memory);
}

TEST(only_live_starts_can_be_freed) {
  Arena arena(small());
  for (const std::size_t bytes : {std::size_t{100}, std::size_t{5} << 20}) {
    void* p = nullptr;
    OK(arena.allocate(0, bytes, 256, Kind::device, nullptr, 0, &p));
    CHECK_EQUAL(arena.free(static_cast<char*>(p) + 1), Result::invalid_value);
    CHECK_EQUAL(arena.free(static_cast<char*>(p) + 256), Result::invalid_value);
    OK(arena.free(p));
    CHECK_EQUAL(arena.free(p), Result::invalid_value);
  }
  int here = 0;
  CHECK_EQUAL(arena.free(&here), Result::invalid_value);
  CHECK_EQUAL(arena.free(nullptr), Result::invalid_value);
  CHECK_EQUAL(arena.free(reinterpret_cast<void*>(arena.base())), Result::invalid_value);
}

TEST(gaps_and_freed_memory_are_inaccessible) {
  install_fault_handlers();
  Arena arena(small());
  void *a = nullptr, *b = nullptr;
  OK(arena.allocate(0, 3 << 20, 256, Kind::device, nullptr, 0, &a));
  OK(arena.allocate(0, 3 << 20, 256, Kind::device, nullptr, 0, &b));
  char* end = static_cast<char*>(a) + (3 << 20);
  CHECK(accessible(end - 1));
  CHECK(!accessible(end + 8192));
  CHECK(accessible(b));
  std::memset(a, 1, 3 << 20);
  unsigned char resident[1];
  CHECK(mincore(reinterpret_cast<void*>((reinterpret_cast<std::uintptr_t>(a) + 4095) & ~4095ul), 1, resident) == 0 && (resident[0] & 1) == 1);
  OK(arena.free(a));
  CHECK(!accessible(a));
  CHECK(mincore(reinterpret_cast<void*>((reinterpret_cast<std::uintptr_t>(a) + 4095) & ~4095ul), 1, resident) == 0 && (resident[0] & 1) == 0);
}

TEST(foreign_ranges_are_found) {
  Arena arena(small());
  static char data[1000];
  OK(arena.add_range(data, 500, Kind::registered, 2, data, 77));
  CHECK_EQUAL(arena.add_range(data + 499, 10, Kind::registered, 0, nullptr, 0), Result::invalid_value);
  CHECK_EQUAL(arena.add_range(data, 1, Kind::registered, 0, nullptr, 0), Result::invalid_value);
  OK(arena.add_range(data + 500, 100, Kind::mapped, 0, nullptr, 0));
  Allocation a;
  CHECK(arena.lookup(data + 499, &a) && a.base == reinterpret_cast<std::uintptr_t>(data) && a.kind == Kind::registered && a.flags == 77 &&
        a.device == 2 && a.owner == data);
  CHECK(arena.set_flags(data, 78) && arena.lookup(data, &a) && a.flags == 78);
  CHECK(arena.nearest(data + 640, &a) && a.base == reinterpret_cast<std::uintptr_t>(data + 500));
  OK(arena.remove_range(data, &a));
  CHECK_EQUAL(a.flags, 78u);
  CHECK_EQUAL(arena.remove_range(data), Result::invalid_value);
  CHECK(!arena.lookup(data, &a));
}

TEST(an_owners_memory_is_freed_together) {
  Arena arena(small());
  int mine = 0, others = 0;
  void* p = nullptr;
  for (int i = 0; i < 100; ++i) OK(arena.allocate(0, 1 + static_cast<std::size_t>(i) * 5000, 256, Kind::device, i % 2 == 0 ? &mine : &others, 0, &p));
  CHECK_EQUAL(arena.free_owned_by(&mine), 50u);
  CHECK_EQUAL(arena.free_owned_by(&mine), 0u);
  CHECK_EQUAL(arena.free_owned_by(&others), 50u);
}

TEST(the_nearest_allocation_is_named) {
  Arena arena(small());
  void *a = nullptr, *b = nullptr;
  OK(arena.allocate(0, 1000, 256, Kind::device, nullptr, 0, &a));
  OK(arena.allocate(0, 4 << 20, 256, Kind::managed, nullptr, 0, &b));
  Allocation found;
  CHECK(arena.nearest(static_cast<char*>(a) + 1010, &found) && found.base == reinterpret_cast<std::uintptr_t>(a));
  CHECK(arena.nearest(static_cast<char*>(b) - 5, &found) && found.base == reinterpret_cast<std::uintptr_t>(b));
  CHECK(arena.set_flags(a, 5) && arena.lookup(a, &found) && found.flags == 5);
  CHECK(arena.set_flags(b, 6) && arena.lookup(b, &found) && found.flags == 6);
  CHECK(!arena.set_flags(static_cast<char*>(b) + 1, 6));
}

TEST(tens_of_thousands_of_big_allocations) {
  Arena arena({std::size_t{1} << 38});
  arena.set_limit(0, std::size_t{1} << 40);
  std::vector<void*> all;
  for (int i = 0; i < 40'000; ++i) {
    void* p = nullptr;
    const Result r = arena.allocate(0, 100'000, 256, Kind::device, nullptr, 0, &p);
    CHECK_EQUAL(r, Result::success);
    if (r != Result::success) break;
    *static_cast<char*>(p) = 1;
    all.push_back(p);
  }
  for (void* p : all) OK(arena.free(p));
}

TEST(many_threads_allocate) {
  Arena arena(small());
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      std::vector<std::pair<char*, std::size_t>> mine;
      for (int i = 0; i < 3000; ++i) {
        if (mine.size() > 50 || (!mine.empty() && random() % 2 == 0)) {
          const std::size_t n = random() % mine.size();
          CHECK_EQUAL(mine[n].first[0], static_cast<char>(t));
          CHECK_EQUAL(mine[n].first[mine[n].second - 1], static_cast<char>(t));
          OK(arena.free(mine[n].first));
          mine[n] = mine.back();
          mine.pop_back();
        } else {
          void* p = nullptr;
          const std::size_t bytes = 1 + random() % (random() % 10 == 0 ? 300'000 : 3000);
          OK(arena.allocate(0, bytes, 256, Kind::device, nullptr, 0, &p));
          auto* c = static_cast<char*>(p);
          c[0] = c[bytes - 1] = static_cast<char>(t);
          mine.emplace_back(c, bytes);
          Allocation a;
          CHECK(arena.lookup(c + bytes / 2, &a) && a.size == bytes);
        }
      }
      for (auto& [p, n] : mine) OK(arena.free(p));
    });
  for (auto& t : threads) t.join();
  std::size_t free = 0, total = 0;
  arena.info(0, &free, &total);
  CHECK_EQUAL(free, total);
}

}  // namespace
