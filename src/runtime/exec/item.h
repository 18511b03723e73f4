// Work in a stream. An Item runs to its end on the thread that executes the stream, or waits; a Job is an item that many hands share.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "result.h"
#include "stream.h"

namespace anywarp {

class Hand;

// Reference-counted; the stream holds one reference while the item is queued or runs, everybody who works on a job another.
struct Item {
  enum class Progress {
    done,     // complete
    working,  // a job that others finish: whoever does completes the item and goes on with the stream
    later,    // nothing to do yet: ask again after other work
    pool,     // must run on a pool thread
  };

  Item() = default;
  Item(const Item&) = delete;
  Item& operator=(const Item&) = delete;
  virtual ~Item() = default;
  virtual Progress run(Hand& hand) = 0;

  struct Dependency {
    StreamRef stream;
    std::uint64_t position;
  };

  std::atomic<std::uint32_t> references{1};
  Item* next = nullptr;
  StreamRef stream;
  std::uint64_t position = 0;
  bool is_marker = false;  // does nothing but mark its position
  std::vector<Dependency> dependencies;
};

template <typename T>
class Ref {
 public:
  Ref() = default;
  explicit Ref(T* item, bool adopt) : item_(item) {
    if (!adopt && item_ != nullptr) item_->references.fetch_add(1, std::memory_order_relaxed);
  }
  Ref(const Ref& other) : Ref(other.item_, false) {}
  Ref(Ref&& other) noexcept : item_(std::exchange(other.item_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(item_, other.item_);
    return *this;
  }
  ~Ref() {
    if (item_ != nullptr && item_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete item_;
  }
  T* get() const { return item_; }
  T* operator->() const { return item_; }
  T& operator*() const { return *item_; }
  explicit operator bool() const { return item_ != nullptr; }
  T* release() { return std::exchange(item_, nullptr); }

 private:
  T* item_ = nullptr;
};

template <typename T, typename... A>
Ref<T> make_item(A&&... arguments) {
  return Ref<T>(new T(std::forward<A>(arguments)...), true);
}

// How many threads may work at once on the jobs of a part of a device (a green context).
struct Quota {
  explicit Quota(int most) : most(most) {}
  const int most;
  std::atomic<int> used{0};
  bool take() {
    int n = used.load(std::memory_order_relaxed);
    while (n < most)
      if (used.compare_exchange_weak(n, n + 1, std::memory_order_relaxed)) return true;
    return false;
  }
};

// Units 0 to units-1, claimed in increasing order by any number of hands. `left` counts units that are not finished; who brings
// it to zero finishes the job.
class Job : public Item {
 public:
  std::uint64_t units = 0;
  int most_hands = 1;  // hands that may work on it at once
  std::atomic<int> hands{0};
  std::shared_ptr<Quota> quota;  // if they are also limited together with others' hands
  std::atomic<bool> published{false};  // in the pool's list
  std::atomic<bool> cancelled{false};

  // Works on the job until no unit can be claimed or what it holds waits. True if this call finished the job.
  virtual bool work(Hand& hand) = 0;
  // Called once, by whoever finished it, before the item is complete.
  virtual void finished() {}

  // A hand begins to work on the job, if there is room for one more, and stops.
  bool enter() {
    if (hands.load(std::memory_order_relaxed) >= most_hands || (quota != nullptr && !quota->take())) return false;
    hands.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  void leave() {
    hands.fetch_sub(1, std::memory_order_relaxed);
    if (quota != nullptr) quota->used.fetch_sub(1, std::memory_order_relaxed);
  }

  bool exhausted() const { return next_.load(std::memory_order_relaxed) >= units; }
  std::uint64_t remaining() const {
    const std::uint64_t n = next_.load(std::memory_order_relaxed);
    return n >= units ? 0 : units - n;
  }
  // Claims up to `count` units; 0 if there are none.
  std::uint64_t claim(std::uint64_t count, std::uint64_t* first) {
    std::uint64_t n = next_.load(std::memory_order_relaxed);
    for (;;) {
      if (n >= units) return 0;
      const std::uint64_t take = count < units - n ? count : units - n;
      if (next_.compare_exchange_weak(n, n + take, std::memory_order_relaxed)) {
        *first = n;
        return take;
      }
    }
  }
  // True if these were the last.
  bool finish_units(std::uint64_t count) { return left_.fetch_sub(count, std::memory_order_acq_rel) == count; }
  // No unit is started any more. Returns how many were not; the caller finishes them.
  std::uint64_t cancel() {
    cancelled.store(true, std::memory_order_release);
    const std::uint64_t n = next_.exchange(units, std::memory_order_relaxed);
    return n >= units ? 0 : units - n;
  }

 protected:
  void set_units(std::uint64_t count) {
    units = count;
    left_.store(count, std::memory_order_relaxed);
  }

 private:
  alignas(64) std::atomic<std::uint64_t> next_{0};
  alignas(64) std::atomic<std::uint64_t> left_{0};
};

}  // namespace anywarp
