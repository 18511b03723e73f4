// Streams, events, copies and contexts: order, concurrency, waiting, the legacy default stream.
#include <unistd.h>

#include <cstring>
#include <thread>

#include "harness.h"

using namespace anywarp;
using namespace test;

namespace {

// A task that waits until it is let go, so that a test decides what is pending.
struct Gate {
  std::atomic<bool> open{false};
  std::function<void(Result)> task() {
    return [this](Result) {
      while (!open.load()) usleep(100);
    };
  }
};

TEST(items_of_a_stream_run_in_order) {
  for (const int threads : {1, 2, 4}) {
    Fixture f(threads);
    const StreamRef s = f.context().create_stream();
    std::vector<int> order;
    for (int i = 0; i < 1000; ++i) OK(s->task([&order, i](Result) { order.push_back(i); }, i % 3 == 0 ? Where::pool : Where::anywhere));
    OK(s->synchronize());
    CHECK_EQUAL(order.size(), 1000u);
    for (int i = 0; i < static_cast<int>(order.size()); ++i)
      if (order[static_cast<std::size_t>(i)] != i) CHECK_EQUAL(order[static_cast<std::size_t>(i)], i);
  }
}

TEST(launching_does_not_wait) {
  Fixture f(2);
  const StreamRef s = f.context().create_stream();
  Gate gate;
  OK(s->task(gate.task(), Where::pool));
  std::atomic<bool> ran{false};
  OK(s->task([&](Result) { ran = true; }));
  CHECK_EQUAL(s->query(), Result::not_ready);
  CHECK(!ran);
  gate.open = true;
  OK(s->synchronize());
  CHECK(ran);
  OK(s->query());
}

TEST(streams_run_beside_each_other) {
  Fixture f(2);
  const StreamRef a = f.context().create_stream(), b = f.context().create_stream();
  Gate gate;
  OK(a->task(gate.task(), Where::pool));
  bool ran = false;
  OK(b->task([&](Result) { ran = true; }, Where::pool));
  OK(b->synchronize());
  CHECK(ran);
  CHECK_EQUAL(a->query(), Result::not_ready);
  gate.open = true;
  OK(f.context().synchronize());
}

TEST(events_order_streams) {
  for (const int threads : {1, 2, 4}) {
    Fixture f(threads);
    const StreamRef a = f.context().create_stream(Stream::Type::non_blocking), b = f.context().create_stream(Stream::Type::non_blocking);
    int value = 0;
    bool ok = true;
    for (int i = 0; i < 200; ++i) {
      Event ab, ba;
      OK(a->task([&, i](Result) { ok &= value++ == 2 * i; }));
      OK(ab.record(*a));
      OK(b->wait(ab));
      OK(b->task([&, i](Result) { ok &= value++ == 2 * i + 1; }));
      OK(ba.record(*b));
      OK(a->wait(ba));
    }
    OK(a->synchronize());
    CHECK(ok);
    CHECK_EQUAL(value, 400);
  }
}

TEST(an_event_captures_its_moment) {
  Fixture f(2);
  const StreamRef s = f.context().create_stream();
  Event e;
  OK(e.query());  // never recorded
  OK(e.synchronize());
  Gate first, second;
  OK(s->task(first.task(), Where::pool));
  OK(e.record(*s));
  OK(s->task(second.task(), Where::pool));
  CHECK_EQUAL(e.query(), Result::not_ready);
  first.open = true;
  OK(e.synchronize());
  OK(e.query());
  CHECK_EQUAL(s->query(), Result::not_ready);
  second.open = true;
  OK(s->synchronize());
}

TEST(events_take_times) {
  Fixture f(2);
  const StreamRef s = f.context().create_stream();
  Event start, end, untimed(false), never;
  float ms = -1;
  CHECK_EQUAL(Event::elapsed(start, end, &ms), Result::invalid_handle);
  OK(start.record(*s));
  Gate gate;
  OK(s->task(gate.task(), Where::pool));
  OK(s->task([](Result) { usleep(20'000); }));
  OK(end.record(*s));
  OK(untimed.record(*s));
  CHECK_EQUAL(Event::elapsed(start, end, &ms), Result::not_ready);
  gate.open = true;
  OK(s->synchronize());
  OK(Event::elapsed(start, end, &ms));
  CHECK(ms >= 20);
  CHECK_EQUAL(Event::elapsed(start, untimed, &ms), Result::invalid_handle);
  CHECK_EQUAL(Event::elapsed(start, never, &ms), Result::invalid_handle);
}

TEST(the_legacy_stream_waits_for_blocking_streams_and_they_for_it) {
  Fixture f(4);
  const StreamRef blocking = f.context().create_stream(), independent = f.context().create_stream(Stream::Type::non_blocking);
  const StreamRef& legacy = f.context().legacy();
  Gate gate;
  std::atomic<int> order{0};
  int a = 0, b = 0, c = 0;
  OK(blocking->task(gate.task(), Where::pool));
  OK(blocking->task([&](Result) { a = ++order; }));
  OK(legacy->task([&](Result) { b = ++order; }));
  OK(blocking->task([&](Result) { c = ++order; }));
  bool ran = false;
  OK(independent->task([&](Result) { ran = true; }));
  OK(independent->synchronize());
  CHECK(ran);
  CHECK_EQUAL(order.load(), 0);
  gate.open = true;
  OK(f.context().synchronize());
  CHECK_EQUAL(a, 1);
  CHECK_EQUAL(b, 2);
  CHECK_EQUAL(c, 3);
}

TEST(per_thread_streams_differ_by_thread) {
  Fixture f(2);
  const StreamRef mine = f.context().per_thread();
  CHECK(f.context().per_thread() == mine);
  StreamRef other;
  std::thread([&] { other = f.context().per_thread(); }).join();
  CHECK(other != mine);
  Gate gate;
  OK(mine->task(gate.task(), Where::pool));
  OK(other->task([](Result) {}, Where::pool));
  OK(other->synchronize());
  gate.open = true;
  OK(mine->synchronize());
  f.fresh_context();
  CHECK(f.context().per_thread() != mine);
}

TEST(copies_of_all_shapes) {
  Fixture f(3);
  const StreamRef& s = f.context().legacy();
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{1000}, std::size_t{1} << 20, (std::size_t{5} << 20) + 13}) {
    std::vector<std::uint8_t> in(bytes), out(bytes);
    for (std::size_t i = 0; i < bytes; ++i) in[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
    auto* device = f.allocate<std::uint8_t>(bytes + 1, 9);
    OK(s->copy({device, in.data(), bytes}));
    OK(s->copy({out.data(), device, bytes}));
    OK(s->synchronize());
    CHECK(in == out);
    CHECK_EQUAL(device[bytes], 9);
  }
  for (const std::size_t width : {3u, 4096u}) {
    const std::size_t height = 700, depth = 3, pitch = width + 5, slice = pitch * height + 77;
    std::vector<std::uint8_t> in(slice * depth), out(width * height * depth, 0);
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<std::uint8_t>(i * 13 + i / 255);
    OK(s->copy({out.data(), in.data(), width, height, depth, width, pitch, width * height, slice}));
    OK(s->synchronize());
    bool ok = true;
    for (std::size_t z = 0; z < depth; ++z)
      for (std::size_t y = 0; y < height; ++y)
        ok &= std::memcmp(&out[(z * height + y) * width], &in[z * slice + y * pitch], width) == 0;
    CHECK(ok);
  }
}

TEST(fills_of_all_widths) {
  Fixture f(3);
  const StreamRef& s = f.context().legacy();
  for (const std::uint32_t element : {1u, 2u, 4u})
    for (const std::size_t width : {std::size_t{0}, std::size_t{1}, std::size_t{1001}, (std::size_t{1} << 21) + 5}) {
      std::vector<std::uint8_t> data(width * element + 4, 0xee);
      OK(s->fill({data.data(), 0x12345678, element, width}));
      OK(s->synchronize());
      bool ok = true;
      for (std::size_t i = 0; i < width * element; ++i) ok &= data[i] == static_cast<std::uint8_t>(0x12345678 >> 8 * (i % element));
      for (std::size_t i = width * element; i < data.size(); ++i) ok &= data[i] == 0xee;
      CHECK(ok);
    }
  std::vector<std::uint8_t> rows(100 * 64, 0);
  OK(s->fill({rows.data(), 0xabcd, 2, 10, 100, 64}));
  OK(s->synchronize());
  bool ok = true;
  for (std::size_t i = 0; i < rows.size(); ++i) ok &= rows[i] == (i % 64 >= 20 ? 0 : i % 2 == 0 ? 0xcd : 0xab);
  CHECK(ok);
  CHECK_EQUAL(s->fill({rows.data(), 0, 3, 1}), Result::invalid_value);
}

TEST(a_poll_lets_other_streams_run) {
  Fixture f(1);
  const StreamRef a = f.context().create_stream(), b = f.context().create_stream();
  std::atomic<int> value{0};
  OK(a->poll([&] { return value.load() == 1; }));
  OK(a->task([&](Result) { value = 2; }));
  OK(b->task([&](Result) { value = 1; }, Where::pool));
  OK(a->synchronize());
  CHECK_EQUAL(value.load(), 2);
}

TEST(a_destroyed_stream_finishes_its_work) {
  Fixture f(2);
  StreamRef s = f.context().create_stream();
  Gate gate;
  std::atomic<bool> ran{false};
  OK(s->task(gate.task(), Where::pool));
  OK(s->task([&](Result) { ran = true; }));
  f.context().forget(s);
  s.reset();
  CHECK_EQUAL(f.context().streams().size(), 0u);
  gate.open = true;
  OK(f.context().synchronize());
  CHECK(ran);
}

TEST(many_threads_enqueue_and_wait) {
  Fixture f(3);
  Kernel& k = f.kernel({"k_count", {8, 4}});
  auto* hits = f.allocate<std::uint32_t>(64);
  std::vector<std::thread> threads;
  const StreamRef shared = f.context().create_stream();
  for (int t = 0; t < 6; ++t)
    threads.emplace_back([&, t] {
      const StreamRef own = t % 2 == 0 ? f.context().create_stream() : t == 1 ? shared : f.context().legacy();
      for (int i = 0; i < 200; ++i) {
        OK(launch(*own, k, shape(64, 32), hits, static_cast<std::uint32_t>(i % 5 * 100)));
        Event e;
        OK(e.record(*own));
        OK(shared->wait(e));
        if (i % 3 == 0) OK(own->synchronize());
        if (i % 7 == 0) OK(e.synchronize());
        if (i % 50 == 0) OK(f.context().synchronize());
      }
      OK(own->synchronize());
    });
  for (auto& t : threads) t.join();
  OK(f.context().synchronize());
  for (int i = 0; i < 64; ++i) CHECK_EQUAL(hits[i], 1200u);
}

TEST(streams_come_and_go) {
  Fixture f(2);
  Kernel& k = f.kernel({"k_count", {8, 4}});
  auto* hits = f.allocate<std::uint32_t>(8);
  for (int i = 0; i < 500; ++i) {
    const StreamRef s = f.context().create_stream(i % 2 == 0 ? Stream::Type::blocking : Stream::Type::non_blocking, i % 3 == 0 ? -1 : 0);
    OK(launch(*s, k, shape(8, 32), hits, 10u));
    f.context().forget(s);
  }
  OK(f.context().synchronize());
  for (int i = 0; i < 8; ++i) CHECK_EQUAL(hits[i], 500u);
}

TEST(work_after_the_end_is_refused) {
  Fixture f(2);
  OK(f.context().legacy()->task([](Result) {}));
  OK(f.context().synchronize());
  f.engine().stop();
  CHECK_EQUAL(f.context().legacy()->task([](Result) {}), Result::deinitialized);
  OK(f.context().legacy()->synchronize());
}

}  // namespace
