// A CTA in flight: its memory (shared window, warps, frames, local memory, stacks) and, for stepped kernels, the scheduling of its warps
// with the accounting of its barriers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "abi.h"
#include "fiber.h"
#include "launch.h"

namespace anywarp {

// What one CTA of a launch needs.
struct Needs {
  std::uint32_t warps = 1;
  std::size_t shared = 0, frame = 0, local = 0, stack = 0;  // bytes; the last three for each warp
};

// Barriers of a cluster.
struct ClusterState {
  std::uint32_t phase = 0;
  std::uint32_t arrived = 0;
  std::uint32_t live = 0;  // threads of the cluster that have not exited
};

class Resident {
 public:
  enum class Outcome { finished, waiting, deadlock };

  Resident();
  ~Resident();
  Resident(const Resident&) = delete;
  Resident& operator=(const Resident&) = delete;

  // Makes room for a CTA with these needs and sets the constant fields of its warps. False: no memory.
  bool provide(const Needs& needs);
  // Starts a CTA: all warps at their beginning.
  void start(const abi::Launch& launch, std::uint64_t linear);
  // Runs warps until all have exited, or until `rounds` rounds over the polling warps passed without progress, or nothing can run:
  // then `waiting` if somebody polls or waits for the cluster, else `deadlock`. Compiled code may leave it by a long jump.
  Outcome run(const abi::Launch& launch, abi::SteppedEntry entry, std::uint32_t rounds);

  bool progress() const { return progress_; }  // of the last run: a barrier completed, threads exited, a warp moved on
  bool is_finished() const { return live_threads_ == 0; }
  bool polls() const { return yielded_ != 0; }
  void join(ClusterState* cluster) { cluster_ = cluster; }
  // Warps that wait for the cluster's barrier and can go on.
  void release_cluster_waiters();

  // Which of this CTA's memory an address is in, for messages; null if none.
  const char* describe(std::uintptr_t address) const;
  bool in_stack_guard(std::uintptr_t address) const;

  abi::Cta cta{};
  std::uint64_t linear = 0;

 private:
  struct Barrier {
    std::uint32_t arrived = 0, expected = 0;  // expected 0: all live threads
    std::uint32_t waiting = 0;                // mask of warps
    std::uint32_t parked = 0;                 // mask of warps of which some lanes wait here
    std::uint32_t reduces[4] = {};            // masks of warps that want a result, by abi::Reduction
    std::uint32_t count = 0, all = 1, any = 0;
  };

  enum class Arrival { passes, waits, parks };
  bool arrive(std::uint32_t index, abi::Warp& warp, Arrival arrival);
  std::uint32_t step(const abi::Launch& launch, abi::SteppedEntry entry, std::uint32_t index);
  void reset(const abi::Launch& launch);
  void complete(std::uint32_t id);
  void lanes_exited(std::uint32_t index, std::uint32_t live);
  void warps_exited(std::uint32_t first, std::uint32_t end);
  void count_exited(std::uint32_t threads);
  void check_cluster();

  std::uint8_t* window_ = nullptr;  // guard, shared memory, then addresses as far as a 32-bit offset reaches
  std::size_t window_bytes_ = 0, shared_committed_ = 0;
  std::uint8_t* memory_ = nullptr;  // warps, frames, local memory
  std::size_t memory_bytes_ = 0;
  std::uint8_t* stacks_ = nullptr;
  std::size_t stacks_bytes_ = 0, stack_stride_ = 0;
  Needs needs_{};
  abi::Warp* warps_ = nullptr;

  std::uint32_t all_ = 0, ready_ = 0, next_ready_ = 0, yielded_ = 0;  // masks of warps
  std::uint32_t cluster_waiting_ = 0;
  std::uint32_t blocked_ = 0;  // mask of warps whose lanes are all parked
  std::uint32_t live_threads_ = 0;
  std::uint32_t active_barriers_ = 0;  // mask of barriers with arrivals
  bool progress_ = false;
  Barrier barriers_[16];
  // A CTA of so many threads may start as it is, but for its warps' resume points and live lanes: what follows, and the warps' masks.
  std::uint32_t untouched_ = 0;
  std::uint32_t live_[32];         // lanes of each warp as counted in live_threads_
  std::uint32_t threads_[32];      // how many they are
  std::uint32_t yield_pc_[32];     // where each warp polled last
  std::uint32_t cluster_phase_[32];
  std::uint32_t lanes_[16][32] = {};  // of each warp that have come to a barrier with a count
  std::unique_ptr<Fiber[]> fibers_;  // one a warp, for kernels whose functions wait
  std::uint32_t fiber_count_ = 0;
  ClusterState* cluster_ = nullptr;
};

}  // namespace anywarp
