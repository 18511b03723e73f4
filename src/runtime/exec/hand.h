// A thread that executes work, with what it keeps between two pieces: memory of CTAs for reuse, and CTAs that wait.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "grid.h"
#include "resident.h"

namespace anywarp {

class Pool;

class Hand {
 public:
  Hand(Pool& pool, std::uint32_t number, bool is_worker) : pool(pool), number(number), is_worker(is_worker) {}

  // Memory for a CTA; null if there is none.
  std::unique_ptr<Resident> take() {
    if (spare_.empty()) return std::make_unique<Resident>();
    auto result = std::move(spare_.back());
    spare_.pop_back();
    return result;
  }
  void give(std::unique_ptr<Resident> resident) {
    if (spare_.size() < kSpare) spare_.push_back(std::move(resident));
  }

  Pool& pool;
  const std::uint32_t number;  // %smid
  const bool is_worker;        // false: a thread of the host program that helps while it waits
  std::vector<std::unique_ptr<Team>> waiting;  // started, and put aside

 private:
  static constexpr std::size_t kSpare = 32;
  std::vector<std::unique_ptr<Resident>> spare_;
};

}  // namespace anywarp
