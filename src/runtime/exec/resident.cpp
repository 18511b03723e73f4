#include "resident.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "fault.h"

namespace anywarp {

namespace {

constexpr std::size_t kGuard = std::size_t{64} << 10;
constexpr std::size_t kSharedAlignment = 1024;
// A 32-bit shared address reaches this far; addresses are cheap, and no stray offset can then hit anything.
constexpr std::size_t kReach = std::size_t{4} << 30;

std::size_t round_up(std::size_t value, std::size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

std::size_t page_bytes() {
  static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

std::uint8_t* reserve(std::size_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? nullptr : static_cast<std::uint8_t*>(p);
}

[[noreturn]] void invalid_barrier(const abi::Warp& warp) {
  Fault fault;
  fault.cause = Fault::Cause::trap;
  fault.trap = abi::Trap::INVALID_BARRIER;
  fault.detail = warp.barrier_id > 15 ? warp.barrier_id : warp.barrier_threads;
  fault.lanes = warp.arrived;
  Guard::leave(std::move(fault));
}

// A CTA that polls and also makes progress (a loop around a barrier that looks at a flag) must not keep its thread for ever.
constexpr std::uint32_t kTurns = 256;
// Rounds over all warps that compiled code may run before it comes back here.
constexpr std::uint32_t kRounds = 4096;

}  // namespace

Resident::Resident() = default;

Resident::~Resident() {
  if (window_ != nullptr) munmap(window_, window_bytes_);
  if (memory_ != nullptr) munmap(memory_, memory_bytes_);
  if (stacks_ != nullptr) munmap(stacks_, stacks_bytes_);
}

bool Resident::provide(const Needs& needs) {
  const std::size_t page = page_bytes();
  if (window_ == nullptr) {
    for (const std::size_t reach : {kReach, std::size_t{1} << 20}) {
      window_bytes_ = kGuard + reach + kGuard;
      window_ = reserve(window_bytes_);
      if (window_ != nullptr) break;
    }
    if (window_ == nullptr) return false;
  }
  // Pages behind the CTA's shared memory stay inaccessible, so that running off its end is noticed.
  const std::size_t shared = round_up(std::max<std::size_t>(needs.shared, 1), page);
  if (shared > shared_committed_ && mprotect(window_ + kGuard, shared, PROT_READ | PROT_WRITE) != 0) return false;
  if (shared < shared_committed_) mprotect(window_ + kGuard + shared, shared_committed_ - shared, PROT_NONE);
  shared_committed_ = shared;

  const std::size_t frame = round_up(needs.frame, 64), local = round_up(needs.local, 64);
  const std::size_t warps_bytes = round_up(needs.warps * sizeof(abi::Warp), 64);
  // A thread's local memory is a multiple of what its variables are aligned to.
  const std::size_t thread_bytes = std::max<std::size_t>(needs.local / abi::kWarp, 64);
  const std::size_t alignment = std::min<std::size_t>(thread_bytes & -thread_bytes, page);
  const std::size_t bytes = warps_bytes + needs.warps * (frame + local + std::max<std::size_t>(alignment, 64));
  const std::size_t wanted = round_up(bytes, page) + 2 * kGuard;
  if (wanted > memory_bytes_) {
    if (memory_ != nullptr) munmap(memory_, memory_bytes_);
    memory_bytes_ = std::max(wanted, 2 * kGuard + (std::size_t{64} << 10));
    memory_ = reserve(memory_bytes_);
    if (memory_ == nullptr || mprotect(memory_ + kGuard, memory_bytes_ - 2 * kGuard, PROT_READ | PROT_WRITE) != 0) {
      if (memory_ != nullptr) munmap(memory_, memory_bytes_);
      memory_ = nullptr;
      memory_bytes_ = 0;
      return false;
    }
  }
  const std::size_t stack = round_up(needs.stack, page);
  if (stack != 0 && (stack_stride_ != stack + kGuard || stacks_bytes_ < kGuard + needs.warps * (stack + kGuard))) {
    if (stacks_ != nullptr) munmap(stacks_, stacks_bytes_);
    stack_stride_ = stack + kGuard;
    stacks_bytes_ = kGuard + needs.warps * stack_stride_;
    stacks_ = reserve(stacks_bytes_);
    bool ok = stacks_ != nullptr;
    for (std::uint32_t w = 0; ok && w < needs.warps; ++w)
      ok = mprotect(stacks_ + kGuard + w * stack_stride_, stack, PROT_READ | PROT_WRITE) == 0;
    if (!ok) {
      if (stacks_ != nullptr) munmap(stacks_, stacks_bytes_);
      stacks_ = nullptr;
      stacks_bytes_ = stack_stride_ = 0;
      return false;
    }
  }
  static_assert(kGuard % kSharedAlignment == 0);
  if (stack != 0 && fiber_count_ < needs.warps) {
    fibers_ = std::make_unique<Fiber[]>(needs.warps);
    fiber_count_ = needs.warps;
  }
  needs_ = needs;
  untouched_ = 0;
  cta.shared = window_ + kGuard;
  cta.runtime = this;
  std::uint8_t* at = memory_ + kGuard;
  warps_ = reinterpret_cast<abi::Warp*>(at);
  cta.warps = warps_;
  at += warps_bytes;
  for (std::uint32_t w = 0; w < needs.warps; ++w) {
    abi::Warp& warp = warps_[w];
    warp = {};
    warp.index = w;
    warp.frame = at;
    at += frame;
    warp.local = at = reinterpret_cast<std::uint8_t*>(round_up(reinterpret_cast<std::uintptr_t>(at), alignment));
    at += local;
    if (stack == 0) continue;
    warp.stack = stacks_ + kGuard + w * stack_stride_;
    fibers_[w].use(warp.stack, stack);
    warp.runtime = &fibers_[w];
  }
  return true;
}

void Resident::reset(const abi::Launch& launch) {
  std::fill_n(live_, launch.warps, ~0u);
  std::fill_n(threads_, launch.warps, abi::kWarp);
  std::fill_n(yield_pc_, launch.warps, ~0u);
  std::fill_n(cluster_phase_, launch.warps, 0u);
  if (const std::uint32_t rest = launch.threads % abi::kWarp; rest != 0) {
    live_[launch.warps - 1] = (1u << rest) - 1;
    threads_[launch.warps - 1] = rest;
  }
  for (std::uint32_t w = 0; w < launch.warps; ++w) {
    warps_[w].exists = live_[w];
    warps_[w].completed = 0;
  }
  untouched_ = launch.threads;
}

void Resident::start(const abi::Launch& launch, std::uint64_t index) {
  linear = index;
  cta.ctaid[0] = static_cast<std::uint32_t>(index % launch.grid[0]);
  cta.ctaid[1] = static_cast<std::uint32_t>(index / launch.grid[0] % launch.grid[1]);
  cta.ctaid[2] = static_cast<std::uint32_t>(index / launch.grid[0] / launch.grid[1]);
  cta.current_warp = 0;
  if (untouched_ != launch.threads) reset(launch);
  for (std::uint32_t w = 0; w < launch.warps; ++w) {
    warps_[w].pc = 0;
    warps_[w].live = live_[w];
  }
  if (needs_.stack != 0)
    for (std::uint32_t w = 0; w < launch.warps; ++w) fibers_[w].drop();
  live_threads_ = launch.threads;
  ready_ = all_ = launch.warps == 32 ? ~0u : (1u << launch.warps) - 1;
  next_ready_ = yielded_ = cluster_waiting_ = blocked_ = 0;
  for (std::uint32_t left = active_barriers_; left != 0; left &= left - 1) {
    barriers_[std::countr_zero(left)] = {};
    std::fill_n(lanes_[std::countr_zero(left)], 32, 0);
  }
  active_barriers_ = 0;
}

void Resident::complete(std::uint32_t id) {
  Barrier& b = barriers_[id];
  const std::uint32_t results[4] = {0, b.count, b.all, b.any};
  for (int kind = 1; kind < 4; ++kind)
    for (std::uint32_t left = b.reduces[kind]; left != 0; left &= left - 1) {
      abi::Warp& warp = warps_[std::countr_zero(left)];
      ((b.parked & left & -left) != 0 ? warp.parked_results[id] : warp.barrier_result) = results[kind];
    }
  if (b.parked != 0) untouched_ = 0;
  for (std::uint32_t left = b.parked; left != 0; left &= left - 1) warps_[std::countr_zero(left)].completed |= 1u << id;
  next_ready_ |= b.waiting | (b.parked & blocked_);
  blocked_ &= ~b.parked;
  if (b.expected != 0) std::fill_n(lanes_[id], 32, 0);
  b = {};
  active_barriers_ &= ~(1u << id);
  progress_ = true;
}

// False if the arrival makes no sense.
bool Resident::arrive(std::uint32_t index, abi::Warp& warp, Arrival arrival) {
  const std::uint32_t id = warp.barrier_id;
  if (id > 15) return false;
  Barrier& b = barriers_[id];
  active_barriers_ |= 1u << id;
  std::uint32_t lanes = static_cast<std::uint32_t>(std::popcount(warp.arrived));
  std::uint32_t expected = live_threads_;
  if (warp.barrier_threads != 0) {
    // An explicit count is a multiple of the warp's size and counts whole warps, whatever lanes of them exist.
    if (warp.barrier_threads % abi::kWarp != 0) return false;
    std::uint32_t& come = lanes_[id][index];
    come |= warp.arrived;
    if (come == warp.live) {
      lanes += abi::kWarp - static_cast<std::uint32_t>(std::popcount(warp.live));
      come = 0;
    }
    expected = b.expected = warp.barrier_threads;
  }
  b.arrived += lanes;
  if (arrival == Arrival::waits) b.waiting |= 1u << index;
  if (arrival == Arrival::parks) b.parked |= 1u << index;
  if (warp.barrier_reduction != 0) {
    const std::uint32_t set = warp.barrier_predicates & warp.arrived;
    b.count += static_cast<std::uint32_t>(std::popcount(set));
    b.all &= set == warp.arrived ? 1u : 0u;
    b.any |= set != 0 ? 1u : 0u;
    if (arrival != Arrival::passes) b.reduces[warp.barrier_reduction & 3] |= 1u << index;
  }
  if (b.arrived >= expected) complete(id);
  return true;
}

void Resident::lanes_exited(std::uint32_t index, std::uint32_t live) {
  const std::uint32_t gone = threads_[index] - static_cast<std::uint32_t>(std::popcount(live));
  live_[index] = live;
  threads_[index] -= gone;
  untouched_ = 0;
  count_exited(gone);
}

void Resident::warps_exited(std::uint32_t first, std::uint32_t end) {
  if (first == 0 && untouched_ != 0 && ~0u >> (32 - end) == all_) return count_exited(live_threads_);  // nobody will ask for one of them
  untouched_ = 0;
  std::uint32_t gone = 0;
  for (std::uint32_t w = first; w < end; ++w) {
    gone += threads_[w];
    warps_[w].live = live_[w] = threads_[w] = 0;
  }
  count_exited(gone);
}

void Resident::count_exited(std::uint32_t gone) {
  live_threads_ -= gone;
  progress_ = true;
  // Those who have exited are no longer expected.
  for (std::uint32_t left = active_barriers_; left != 0; left &= left - 1) {
    const auto id = static_cast<std::uint32_t>(std::countr_zero(left));
    if (barriers_[id].expected == 0 && barriers_[id].arrived >= live_threads_) complete(id);
  }
  if (cluster_ != nullptr) {
    cluster_->live -= gone;
    check_cluster();
  }
}

void Resident::check_cluster() {
  if (cluster_->arrived != 0 && cluster_->arrived >= cluster_->live) {
    ++cluster_->phase;
    cluster_->arrived = 0;
    progress_ = true;
  }
}

void Resident::release_cluster_waiters() {
  for (std::uint32_t left = cluster_waiting_; left != 0; left &= left - 1) {
    const int w = std::countr_zero(left);
    if (cluster_->phase != cluster_phase_[w]) {
      cluster_waiting_ &= ~(1u << w);
      ready_ |= 1u << w;
    }
  }
}

// One step of a warp that runs on a fiber: from its beginning, from a cut of the kernel, or from where a function of it waits.
std::uint32_t Resident::step(const abi::Launch& launch, abi::SteppedEntry entry, std::uint32_t index) {
  struct Call {
    const abi::Launch* launch;
    abi::Cta* cta;
    abi::Warp* warp;
    abi::SteppedEntry entry;
  } call{&launch, &cta, &warps_[index], entry};
  return fibers_[index].run(
      [](void* argument) {
        const Call c = *static_cast<const Call*>(argument);
        return c.entry(c.launch, c.cta, c.warp);
      },
      &call);
}

Resident::Outcome Resident::run(const abi::Launch& launch, abi::SteppedEntry entry, std::uint32_t rounds) {
  progress_ = false;
  bool moved = false;  // in any round of this call
  bool polled = false;
  std::uint32_t idle = 0;
  for (std::uint32_t turns = 0;; ++turns) {
    if (polled && turns >= kTurns) {
      progress_ = moved;
      return Outcome::waiting;
    }
    progress_ = false;
    std::uint32_t ready = ready_;
    ready_ = 0;
    // The common case, all threads at barrier 0, is counted in registers and entered once a round: a warp arrives once in a round at
    // most, and the barrier cannot complete before all who live have arrived.
    std::uint32_t arrived = 0, waiting = 0;
    // Compiled code may run whole rounds by itself where nothing but these warps counts.
    std::uint32_t rounds_by_itself = ready == all_ && live_threads_ == launch.threads && active_barriers_ == 0 ? kRounds : 0;
    while (ready != 0) {
      const auto first = static_cast<std::uint32_t>(std::countr_zero(ready));
      cta.current_warp = first;
      cta.turn = 0;
      cta.turn_end = first + static_cast<std::uint32_t>(std::countr_one(ready >> first));
      cta.turn_rounds = rounds_by_itself;
      const auto status = static_cast<abi::Status>(needs_.stack == 0 ? entry(&launch, &cta, &warps_[first]) : step(launch, entry, first));
      const std::uint32_t index = cta.current_warp, bit = 1u << index;
      progress_ |= cta.turn_rounds != rounds_by_itself;
      rounds_by_itself = 0;
      std::uint32_t exited = index;  // the first that has
      if (index != first) {
        const std::uint32_t before = bit - (1u << first);
        ready &= ~before;
        switch (static_cast<abi::Turn>(cta.turn)) {
          case abi::Turn::BARRIER:
            arrived += abi::kWarp * (index - first);
            waiting |= before;
            break;
          case abi::Turn::STEPPED:
            next_ready_ |= before;
            progress_ = true;
            break;
          case abi::Turn::EXITED: exited = first; break;
          case abi::Turn::NONE: break;
        }
      }
      ready &= ~bit;
      abi::Warp& warp = warps_[index];
      const bool too = status == abi::Status::EXITED;
      if (exited != index || too) warps_exited(exited, index + too);
      if (too) continue;
      if (warp.live != live_[index]) lanes_exited(index, warp.live);
      switch (status) {
        case abi::Status::BARRIER:
          if ((warp.barrier_id | warp.barrier_threads | warp.barrier_reduction) == 0 && warp.arrived == live_[index]) [[likely]] {
            arrived += threads_[index];
            waiting |= bit;
            break;
          }
          if (!arrive(index, warp, Arrival::waits)) [[unlikely]]
            invalid_barrier(warp);
          break;
        case abi::Status::PARKED:
          if (!arrive(index, warp, Arrival::parks)) [[unlikely]]
            invalid_barrier(warp);
          next_ready_ |= bit;
          progress_ = true;
          break;
        case abi::Status::PARKED_ALL: (warp.completed != 0 ? next_ready_ : blocked_) |= bit; break;
        case abi::Status::ARRIVED:
          if (!arrive(index, warp, Arrival::passes)) [[unlikely]]
            invalid_barrier(warp);
          next_ready_ |= bit;
          progress_ = true;
          break;
        case abi::Status::YIELD:
          yielded_ |= bit;
          polled = true;
          if (yield_pc_[index] != warp.pc) {
            yield_pc_[index] = warp.pc;
            untouched_ = 0;
            progress_ = true;
          }
          break;
        case abi::Status::STEPPED:
          next_ready_ |= bit;
          progress_ = true;
          break;
        case abi::Status::CLUSTER_ARRIVED:
          next_ready_ |= bit;
          progress_ = true;
          if (cluster_ != nullptr) {
            cluster_phase_[index] = cluster_->phase;
            untouched_ = 0;
            cluster_->arrived += static_cast<std::uint32_t>(std::popcount(warp.arrived));
            check_cluster();
          }
          break;
        case abi::Status::CLUSTER_WAIT:
          if (cluster_ == nullptr || cluster_->phase != cluster_phase_[index])
            next_ready_ |= bit;
          else
            cluster_waiting_ |= bit;
          break;
        case abi::Status::EXITED: break;
      }
    }
    if (waiting != 0) {
      Barrier& b = barriers_[0];
      b.arrived += arrived;
      b.waiting |= waiting;
      active_barriers_ |= 1;
      if (b.arrived >= live_threads_) complete(0);
    }
    moved |= progress_;
    ready_ = next_ready_;
    next_ready_ = 0;
    if (cluster_waiting_ != 0) release_cluster_waiters();
    if (ready_ != 0) {
      // Pollers run again together with those who can go on.
      ready_ |= yielded_;
      yielded_ = 0;
      idle = 0;
      continue;
    }
    if (live_threads_ == 0) {
      progress_ = true;
      return Outcome::finished;
    }
    if (yielded_ == 0) {
      progress_ = moved;
      return cluster_waiting_ != 0 ? Outcome::waiting : Outcome::deadlock;
    }
    idle = progress_ ? 0 : idle + 1;
    if (idle >= rounds) {
      ready_ = yielded_;
      yielded_ = 0;
      progress_ = moved;
      return Outcome::waiting;
    }
    ready_ = yielded_;
    yielded_ = 0;
  }
}

const char* Resident::describe(std::uintptr_t address) const {
  const auto within = [address](const std::uint8_t* base, std::size_t bytes) {
    return base != nullptr && address - reinterpret_cast<std::uintptr_t>(base) < bytes;
  };
  if (within(window_, window_bytes_)) return "shared memory";
  if (within(memory_, memory_bytes_)) return "local memory";
  if (within(stacks_, stacks_bytes_)) return "a call stack";
  return nullptr;
}

bool Resident::in_stack_guard(std::uintptr_t address) const {
  return stacks_ != nullptr && address - reinterpret_cast<std::uintptr_t>(stacks_) < stacks_bytes_;
}

}  // namespace anywarp
