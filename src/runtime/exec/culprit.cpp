#include "culprit.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "engine.h"
#include "futex.h"
#include "grid.h"
#include "services.h"

namespace anywarp {

namespace {

constexpr std::uint64_t kPatienceNs = 10'000'000'000;  // for the copy of the process
constexpr std::size_t kHeap = std::size_t{64} << 20;   // of the copy, for the kernel's malloc
constexpr std::uint64_t kNear = 4096;  // a vector access is reported at its first byte, or at the first in a page that is not there

// In memory that both processes see.
struct Answer {
  std::atomic<std::uint32_t> found{0};
  std::uint32_t ctaid[3], warp;
  const std::uint8_t *shared, *local;  // of the copy's CTA and warp
  Culprit culprit;
};

// The copy's only thread has these to itself.
Answer* answer = nullptr;
std::uint8_t* heap = nullptr;
std::size_t heap_used = 0;

// Of the warp that runs: a straight kernel's warps share one.
bool is_straight = false;
const std::uint8_t* local_of(const abi::Cta& cta) { return cta.warps[is_straight ? 0 : cta.current_warp].local; }

struct Access {
  const std::uint64_t* addresses;
  std::uint32_t lanes, writes;
};

void touch(void* argument) {
  const auto& a = *static_cast<const Access*>(argument);
  for (std::uint32_t left = a.lanes; left != 0; left &= left - 1) {
    auto* byte = reinterpret_cast<std::uint8_t*>(a.addresses[std::countr_zero(left)]);
    if (a.writes != 0)
      __atomic_fetch_or(byte, std::uint8_t{0}, __ATOMIC_RELAXED);
    else
      (void)__atomic_load_n(byte, __ATOMIC_RELAXED);
  }
}

void probe(const abi::Launch*, abi::Cta* cta, std::uint32_t lanes, const std::uint64_t* addresses, std::uint32_t line, std::uint32_t writes) {
  Access access{addresses, lanes, writes};
  Fault fault;
  if (Guard::run(touch, &access, &fault)) return;
  Culprit& c = answer->culprit;
  c.lanes = 0;
  for (std::uint32_t left = lanes; left != 0; left &= left - 1) {
    access.lanes = left & -left;
    if (!Guard::run(touch, &access, &fault)) c.lanes |= access.lanes;
  }
  std::copy_n(addresses, 32, c.addresses);
  c.line = line;
  std::copy_n(cta->ctaid, 3, answer->ctaid);
  answer->warp = cta->current_warp;
  answer->shared = cta->shared;
  answer->local = local_of(*cta);
  answer->found.store(1, std::memory_order_release);
  syscall(SYS_exit_group, 0);
}

// The other services: nothing that another thread's lock could hold up, nothing that leaves the process.
void no_vprintf(const abi::Launch*, abi::Cta*, std::uint32_t lanes, const std::uint64_t*, const std::uint64_t*, std::uint32_t* results) {
  for (std::uint32_t left = lanes; left != 0; left &= left - 1) results[std::countr_zero(left)] = 0;
}

void malloc_from_heap(const abi::Launch*, abi::Cta*, std::uint32_t lanes, const std::uint64_t* bytes, std::uint64_t* results) {
  for (std::uint32_t left = lanes; left != 0; left &= left - 1) {
    const int lane = std::countr_zero(left);
    const std::size_t rest = kHeap - heap_used;
    results[lane] = 0;
    if (bytes[lane] == 0 || bytes[lane] > rest) continue;
    results[lane] = reinterpret_cast<std::uint64_t>(heap + heap_used);
    heap_used += std::min<std::size_t>(rest, (bytes[lane] + 15) / 16 * 16);
  }
}

void no_free(const abi::Launch*, abi::Cta*, std::uint32_t, const std::uint64_t*) {}

// Nothing is started; a buffer for parameters can be written to.
void no_device(const abi::Launch* launch, abi::Cta* cta, std::uint32_t lanes, const std::uint64_t* functions, const std::uint64_t*,
               std::uint64_t* results) {
  constexpr std::uint64_t kParameters = 4096;
  for (std::uint32_t left = lanes; left != 0; left &= left - 1) {
    const int lane = std::countr_zero(left);
    const auto function = static_cast<abi::DeviceFunction>(functions[lane]);
    results[lane] = 0;
    if (function != abi::DeviceFunction::PARAMETER_BUFFER && function != abi::DeviceFunction::PLAIN_PARAMETER_BUFFER) continue;
    std::uint64_t bytes[abi::kWarp];
    bytes[lane] = kParameters;
    malloc_from_heap(launch, cta, 1u << lane, bytes, results);
  }
}

[[noreturn]] void end() {
  syscall(SYS_exit_group, 1);
  __builtin_unreachable();
}

void end_at_assert(const abi::Launch*, abi::Cta*, std::uint32_t, const std::uint64_t*, const std::uint64_t*, const std::uint32_t*,
                   const std::uint64_t*) {
  end();
}
void end_at_trap(const abi::Launch*, abi::Cta*, std::uint32_t, std::uint32_t, std::uint64_t) { end(); }
void no_sleep(std::uint32_t) {}

abi::Services probing_services() {
  abi::Services s = kServices;
  s.vprintf = no_vprintf;
  s.malloc = malloc_from_heap;
  s.free = no_free;
  s.assertfail = end_at_assert;
  s.trap = end_at_trap;
  s.nanosleep = no_sleep;
  s.probe = probe;
  s.device = no_device;
  return s;
}

struct Run {
  const KernelCode* code;
  const abi::Launch* launch;
  const Grid* grid;
  std::uint64_t unit;
  Resident* straight;  // for a straight kernel
  Team* team;          // for a stepped one
};

void run(void* argument) {
  const auto& r = *static_cast<const Run*>(argument);
  if (r.team != nullptr) {
    r.team->start(r.unit);
    for (int i = 0; i < 64 && r.team->run(64) == Resident::Outcome::waiting && r.team->progress(); ++i) {
    }
    return;
  }
  for (std::uint32_t rank = 0; rank < r.grid->ctas_of_unit(); ++rank) {
    r.straight->cta.cluster_rank = rank;
    r.code->straight(r.launch, &r.straight->cta, r.grid->cta_of_unit(r.unit, rank), 1);
  }
}

// Runs it in a copy of the process and waits for the end.
void run_in_copy(Run& what) {
  const pid_t parent = getpid();
  // Not fork: no handlers of the program's run, and with no signal at its end nobody but us hears of this child.
  const long pid = syscall(SYS_clone, 0L, nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (syscall(SYS_getppid) != parent) end();
    Fault ignored;
    Guard::run(run, &what, &ignored);
    end();
  }
  if (pid < 0) return;
  const std::uint64_t begin = now_ns();
  for (long pause = 50'000;; pause = std::min(2 * pause, 5'000'000L)) {
    const pid_t ended = waitpid(static_cast<pid_t>(pid), nullptr, __WALL | WNOHANG);
    if (ended != 0) return;
    if (now_ns() - begin > kPatienceNs) {
      kill(static_cast<pid_t>(pid), SIGKILL);
      waitpid(static_cast<pid_t>(pid), nullptr, __WALL);
      return;
    }
    const timespec nap{0, pause};
    nanosleep(&nap, nullptr);
  }
}

// Whether it is the same access; its addresses are then the first run's.
bool fits(Answer& a, const abi::Cta& where, const Fault& fault, std::uint32_t line) {
  Culprit& c = a.culprit;
  if (!std::equal(a.ctaid, a.ctaid + 3, where.ctaid) || a.warp != where.current_warp) return false;
  if (!fault.address_known) return line == 0 || c.line == line;
  // The line may be another: LLVM makes a load part of the instruction that uses its value.
  // Shared and local memory lay elsewhere in the first run.
  for (const std::ptrdiff_t distance : {std::ptrdiff_t{0}, where.shared - a.shared, local_of(where) - a.local})
    for (std::uint32_t left = c.lanes; left != 0; left &= left - 1) {
      const std::uint64_t address = c.addresses[std::countr_zero(left)] + static_cast<std::uint64_t>(distance);
      if (std::max<std::uint64_t>(address, fault.address) - std::min<std::uint64_t>(address, fault.address) >= kNear) continue;
      for (std::uint64_t& each : c.addresses) each += static_cast<std::uint64_t>(distance);
      return true;
    }
  return false;
}

}  // namespace

std::optional<Culprit> find_culprit(const Grid& grid, const abi::Cta& where, const Fault& fault, std::uint32_t line) {
#if defined(__SANITIZE_THREAD__)  // which does not allow a copy of a process with threads to go on
  return std::nullopt;
#endif
  const KernelCode* code = nullptr;
  if (grid.code().kernel->probing_code(grid.launch().block, &code) != Result::success) return std::nullopt;
  abi::Launch launch = grid.launch();
  const abi::Services services = probing_services();
  launch.services = &services;
  launch.symbols = code->symbols.data();
  launch.static_shared = code->manifest.static_shared_bytes;
  Needs needs = grid.needs();
  needs.frame = code->manifest.frame_bytes;
  needs.local = std::size_t{code->manifest.local_bytes} * abi::kWarp;
  needs.warps = code->straight != nullptr ? 1 : launch.warps;

  constexpr std::size_t kPage = 4096;
  static_assert(sizeof(Answer) <= kPage);
  void* shared = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  void* space = mmap(nullptr, kHeap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  std::optional<Culprit> result;
  Resident resident;
  std::vector<std::uint8_t*> bases;
  std::unique_ptr<Team> team;
  Run what{code, &launch, &grid, grid.unit_of_cta(where.ctaid), nullptr, nullptr};
  bool ready = shared != MAP_FAILED && space != MAP_FAILED;
  if (ready && code->straight != nullptr) {
    ready = resident.provide(needs);
    bases.assign(grid.ctas_of_unit(), resident.cta.shared);
    resident.cta.cluster = bases.data();
    resident.cta.smid = where.smid;
    if (ready) resident.cta.warps[0].exists = resident.cta.warps[0].live = ~0u;
    what.straight = &resident;
  } else if (ready) {
    team = std::make_unique<Team>(grid, launch, code->stepped, needs);
    ready = team->provide(where.smid);
    what.team = team.get();
  }
  if (ready) {
    // One at a time in the process: the copy finds its way by these.
    static std::mutex one;
    const std::lock_guard lock(one);
    answer = new (shared) Answer;
    is_straight = code->straight != nullptr;
    heap = static_cast<std::uint8_t*>(space);
    heap_used = 0;
    run_in_copy(what);
    if (answer->found.load(std::memory_order_acquire) != 0 && fits(*answer, where, fault, line)) result = answer->culprit;
    answer = nullptr;
  }
  if (shared != MAP_FAILED) munmap(shared, kPage);
  if (space != MAP_FAILED) munmap(space, kHeap);
  return result;
}

}  // namespace anywarp
