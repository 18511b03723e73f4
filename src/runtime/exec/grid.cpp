#include "grid.h"

#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <bit>
#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "culprit.h"
#include "engine.h"
#include "futex.h"
#include "hand.h"
#include "services.h"
#include "watchdog.h"

namespace anywarp {

namespace {

// Below this estimate a grid runs on one thread: waking another costs some microseconds.
constexpr std::uint64_t kSpreadNs = 15'000;
// A claim is worth at least this much work, so that the counter is no bottleneck.
constexpr std::uint64_t kChunkNs = 5'000;
// Rounds over polling warps without progress before the thread looks for other work; fewer where CTAs are known to wait for others.
constexpr std::uint32_t kPatience = 64, kShortPatience = 2;
// Waiting CTAs of one grid that all threads hold together, unless the launch is cooperative: about what fits on a GPU.
constexpr std::size_t kMostTeams = 2048;

// An address so far from an allocation was hardly meant to be in it.
constexpr std::uintptr_t kFar = std::uintptr_t{1} << 30;

std::atomic<std::uint64_t> next_grid_id{1};

std::uint32_t round_up(std::uint32_t value, std::uint32_t multiple) { return (value + multiple - 1) / multiple * multiple; }

std::string text(const char* format, ...) __attribute__((format(printf, 1, 2)));
std::string text(const char* format, ...) {
  char buffer[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(buffer, sizeof buffer, format, arguments);
  va_end(arguments);
  return buffer;
}

}  // namespace

Team::Team(Ref<Grid> grid)
    : owner_(std::move(grid)), grid_(*owner_), launch_(owner_->launch()), entry_(owner_->code().stepped), needs_(owner_->needs()) {}

Team::Team(const Grid& grid, const abi::Launch& launch, abi::SteppedEntry entry, const Needs& needs)
    : grid_(grid), launch_(launch), entry_(entry), needs_(needs) {}

bool Team::provide(Hand& hand) {
  while (ctas_.size() < grid_.ctas_of_unit()) {
    auto resident = hand.take();
    if (!resident->provide(needs_)) return false;
    resident->cta.smid = hand.number;
    ctas_.push_back(std::move(resident));
  }
  return join();
}

bool Team::provide(std::uint32_t smid) {
  while (ctas_.size() < grid_.ctas_of_unit()) {
    auto resident = std::make_unique<Resident>();
    if (!resident->provide(needs_)) return false;
    resident->cta.smid = smid;
    ctas_.push_back(std::move(resident));
  }
  return join();
}

bool Team::join() {
  for (auto& cta : ctas_) bases_.push_back(cta->cta.shared);
  for (std::size_t rank = 0; rank < ctas_.size(); ++rank) {
    ctas_[rank]->cta.cluster = bases_.data();
    ctas_[rank]->cta.cluster_rank = static_cast<std::uint32_t>(rank);
    ctas_[rank]->join(ctas_.size() > 1 ? &cluster_ : nullptr);
  }
  return true;
}

void Team::start(std::uint64_t unit) {
  for (std::uint32_t rank = 0; rank < ctas_.size(); ++rank) ctas_[rank]->start(launch_, grid_.cta_of_unit(unit, rank));
  cluster_ = {0, 0, static_cast<std::uint32_t>(ctas_.size()) * launch_.threads};
  running_ = 0;
}

void Team::move_to(const Hand& hand) {
  for (auto& cta : ctas_) cta->cta.smid = hand.number;
}

void Team::give_back(Hand& hand) {
  for (auto& cta : ctas_) {
    cta->join(nullptr);
    hand.give(std::move(cta));
  }
  ctas_.clear();
  bases_.clear();
}

Resident::Outcome Team::run(std::uint32_t rounds) {
  if (ctas_.size() == 1) {
    const Resident::Outcome outcome = ctas_[0]->run(launch_, entry_, rounds);
    progress_ = ctas_[0]->progress();
    return outcome;
  }
  bool moved = false;
  for (;;) {
    bool round = false, finished = true, waits = false;
    for (running_ = 0; running_ < ctas_.size(); ++running_) {
      Resident& cta = *ctas_[running_];
      if (cta.is_finished()) continue;
      cta.release_cluster_waiters();
      const Resident::Outcome outcome = cta.run(launch_, entry_, 1);
      round |= cta.progress();
      if (outcome == Resident::Outcome::finished) continue;
      finished = false;
      waits |= cta.polls();
      // A CTA whose warps all wait for barriers that cannot complete: others of the cluster cannot help it.
      if (outcome == Resident::Outcome::deadlock) return outcome;
    }
    moved |= round;
    progress_ = moved;
    if (finished) return Resident::Outcome::finished;
    if (!round) {
      running_ = 0;
      // Without anybody polling, nothing outside can change what they wait for.
      if (!waits) return Resident::Outcome::deadlock;
      return Resident::Outcome::waiting;
    }
  }
}

Result Grid::make(Context& context, Kernel& kernel, const LaunchShape& shape, const Arguments& arguments, Ref<Grid>* out, std::string* log) {
  const EntryInfo& info = kernel.info();
  const auto fail = [&](Result result, const std::string& why) {
    if (log != nullptr) *log = "anywarp: launch of '" + info.name + "': " + why;
    return result;
  };
  for (int i = 0; i < 3; ++i) {
    if (shape.grid[i] == 0 || shape.block[i] == 0) return fail(Result::invalid_value, "a dimension of the grid or block is zero");
    if (shape.grid[i] > kMaxGrid[i]) return fail(Result::invalid_value, "grid too big");
    if (shape.block[i] > kMaxBlock[i]) return fail(Result::invalid_value, "block too big");
  }
  const std::uint64_t threads = std::uint64_t{shape.block[0]} * shape.block[1] * shape.block[2];
  if (threads > kMaxThreads) return fail(Result::invalid_value, "more than 1024 threads in a block");
  if (info.reqntid[0] != 0 &&
      (info.reqntid[0] != shape.block[0] || std::max(info.reqntid[1], 1u) != shape.block[1] || std::max(info.reqntid[2], 1u) != shape.block[2]))
    return fail(Result::invalid_value, "the kernel requires another block shape (.reqntid)");
  if (info.maxntid[0] != 0) {
    const std::uint64_t most = std::uint64_t{info.maxntid[0]} * std::max(info.maxntid[1], 1u) * std::max(info.maxntid[2], 1u);
    if (threads > most) return fail(Result::invalid_value, "more threads than the kernel declares (.maxntid)");
  }
  std::uint32_t cluster[3];
  for (int i = 0; i < 3; ++i) cluster[i] = shape.cluster[i] != 0 ? shape.cluster[i] : info.cluster[i] != 0 ? info.cluster[i] : 1;
  for (int i = 0; i < 3; ++i)
    if (shape.grid[i] % cluster[i] != 0) return fail(Result::invalid_value, "the grid is no multiple of the cluster");
  const std::uint64_t cluster_ctas = std::uint64_t{cluster[0]} * cluster[1] * cluster[2];
  if (cluster_ctas > kMaxClusterCtas) return fail(Result::invalid_value, "more than 16 CTAs in a cluster");

  const KernelCode* code = nullptr;
  if (const Result r = kernel.code(shape.block, &code, log); r != Result::success) return r;
  const KernelManifest& manifest = code->manifest;
  const std::uint64_t shared = std::uint64_t{round_up(manifest.static_shared_bytes, 16)} + shape.dynamic_shared;
  if (shared > kMaxShared) return fail(Result::invalid_value, "more than 227 KiB of shared memory");
  const std::uint64_t ctas = std::uint64_t{shape.grid[0]} * shape.grid[1] * shape.grid[2];
  if (shape.cooperative && ctas > kMaxCooperativeCtas) return fail(Result::cooperative_launch_too_large, "too many CTAs for a cooperative launch");

  Ref<Grid> grid(new Grid, true);
  std::uint8_t* params = grid->inline_params_;
  if (info.param_bytes > kInline) {
    grid->params_ = std::make_unique<std::uint8_t[]>(info.param_bytes);
    params = grid->params_.get();
  }
  if (arguments.buffer != nullptr) {
    if (arguments.buffer_bytes < info.param_bytes && info.param_bytes != 0) {
      // Trailing padding may be missing, a parameter may not.
      const std::size_t needed = info.params.empty() ? 0 : info.params.back().offset + info.params.back().bytes;
      if (arguments.buffer_bytes < needed) return fail(Result::invalid_value, "the parameter buffer is too small");
    }
    std::memcpy(params, arguments.buffer, std::min<std::size_t>(arguments.buffer_bytes, info.param_bytes));
  } else if (!info.params.empty()) {
    if (arguments.pointers == nullptr) return fail(Result::invalid_value, "no parameters were given");
    for (std::size_t i = 0; i < info.params.size(); ++i) {
      if (arguments.pointers[i] == nullptr) return fail(Result::invalid_value, "a parameter's pointer is null");
      std::memcpy(params + info.params[i].offset, arguments.pointers[i], info.params[i].bytes);
    }
  }
  abi::Launch& l = grid->launch_;
  l.params = params;
  l.symbols = code->symbols.data();
  l.services = &kServices;
  for (int i = 0; i < 3; ++i) {
    l.grid[i] = shape.grid[i];
    l.block[i] = shape.block[i];
    l.cluster[i] = cluster[i];
    grid->clusters_[i] = shape.grid[i] / cluster[i];
  }
  l.threads = static_cast<std::uint32_t>(threads);
  l.warps = static_cast<std::uint32_t>((threads + abi::kWarp - 1) / abi::kWarp);
  l.static_shared = manifest.static_shared_bytes;
  l.dynamic_shared = shape.dynamic_shared;
  l.total_shared = static_cast<std::uint32_t>(shared);
  l.sm_count = context.engine().sm_count();
  l.grid_id = next_grid_id.fetch_add(1, std::memory_order_relaxed);
  // Where nvcc's cooperative groups keep the grid's barrier (their header details/driver_abi.h).
  l.grid_workspace = shape.cooperative ? reinterpret_cast<std::uint64_t>(grid->workspace_) : 0;
  l.runtime = grid.get();
  grid->context_ = &context;
  grid->limits_.abandoned = &context.abandoned_word();
  grid->code_ = code;
  grid->ctas_ = ctas;
  grid->ctas_of_unit_ = static_cast<std::uint32_t>(cluster_ctas);
  grid->cooperative_ = shape.cooperative;
  grid->may_spin_ = shape.cooperative || (manifest.flags & KernelManifest::may_spin) != 0;
  grid->straight_ = code->straight != nullptr;
  grid->cta_ns_ = code->cta_ns.load(std::memory_order_relaxed);
  grid->needs_.warps = grid->straight_ ? 1 : l.warps;
  grid->needs_.shared = shared;
  grid->needs_.frame = manifest.frame_bytes;
  grid->needs_.local = std::size_t{manifest.local_bytes} * abi::kWarp;
  if ((manifest.flags & KernelManifest::needs_stack) != 0)
    grid->needs_.stack = std::max<std::size_t>(std::size_t{1} << 20, context.stack_bytes.load(std::memory_order_relaxed) * abi::kWarp);
  grid->set_units(ctas / cluster_ctas);
  grid->most_hands = static_cast<int>(std::min<std::uint64_t>(grid->units, static_cast<std::uint64_t>(context.engine().pool().threads())));
  *out = std::move(grid);
  return Result::success;
}

Grid::~Grid() = default;

std::uint64_t Grid::cta_of_unit(std::uint64_t unit, std::uint32_t rank) const {
  if (ctas_of_unit_ == 1) return unit;
  const std::uint64_t x = unit % clusters_[0] * launch_.cluster[0] + rank % launch_.cluster[0];
  const std::uint64_t y = unit / clusters_[0] % clusters_[1] * launch_.cluster[1] + rank / launch_.cluster[0] % launch_.cluster[1];
  const std::uint64_t z = unit / clusters_[0] / clusters_[1] * launch_.cluster[2] + rank / launch_.cluster[0] / launch_.cluster[1];
  return (z * launch_.grid[1] + y) * launch_.grid[0] + x;
}

std::uint64_t Grid::unit_of_cta(const std::uint32_t ctaid[3]) const {
  const std::uint64_t x = ctaid[0] / launch_.cluster[0], y = ctaid[1] / launch_.cluster[1], z = ctaid[2] / launch_.cluster[2];
  return (z * clusters_[1] + y) * clusters_[0] + x;
}

void Grid::measure(std::uint64_t ns, std::uint64_t ctas) {
  if (ctas == 0) return;
  const std::uint64_t now = std::max<std::uint64_t>(1, ns / ctas), before = code_->cta_ns.load(std::memory_order_relaxed);
  code_->cta_ns.store(before == 0 ? now : (3 * before + now) / 4 + 1, std::memory_order_relaxed);
}

Item::Progress Grid::run(Hand& hand) {
  if (context_->is_abandoned()) return Progress::done;
  if (!enter()) {  // others of its quota work
    sched_yield();
    return Progress::later;
  }
  limits_.deadline_ns = watchdog_deadline();
  const bool small = cta_ns_ != 0 && cta_ns_ * ctas_ < kSpreadNs;
  if (units > 1 && most_hands > 1 && (!small || may_spin_)) hand.pool.publish(*this, most_hands - 1);
  return work(hand) ? Progress::done : Progress::working;
}

bool Grid::work(Hand& hand) { return straight_ ? work_straight(hand) : work_stepped(hand); }

bool Grid::stop(std::uint64_t mine) {
  const std::uint64_t count = cancel() + given_up_.exchange(0, std::memory_order_relaxed) + mine;
  return count != 0 && finish_units(count);
}

bool Grid::work_straight(Hand& hand) {
  struct Call {
    Grid* grid;
    abi::Cta* cta;
    std::uint64_t first, count;
  } call{this, nullptr, 0, 0};
  const auto body = [](void* argument) {
    const auto& c = *static_cast<const Call*>(argument);
    const Grid& grid = *c.grid;
    if (grid.ctas_of_unit_ == 1) {
      grid.code_->straight(&grid.launch_, c.cta, c.first, c.count);
      return;
    }
    for (std::uint64_t unit = c.first; unit < c.first + c.count; ++unit)
      for (std::uint32_t rank = 0; rank < grid.ctas_of_unit_; ++rank) {
        c.cta->cluster_rank = rank;
        grid.code_->straight(&grid.launch_, c.cta, grid.cta_of_unit(unit, rank), 1);
      }
  };
  std::unique_ptr<Resident> resident;
  std::uint8_t* bases[kMaxClusterCtas];
  std::uint64_t cta_ns = cta_ns_, done = 0;
  std::uint64_t held = 0;  // units that were run and are not finished yet: the last ones, so that the launch is not complete
  const std::uint64_t begin = now_ns();
  bool last = false;
  Fault fault;
  for (;;) {
    // A quarter of each hand's share of what is left: big pieces first, small ones at the end, so that all end together.
    const std::uint64_t least = cta_ns == 0 ? 1 : std::max<std::uint64_t>(1, kChunkNs / (cta_ns * ctas_of_unit_));
    const std::uint64_t share = remaining() / (4 * static_cast<std::uint64_t>(published.load(std::memory_order_relaxed) ? most_hands : 1));
    call.count = claim(cta_ns == 0 ? 1 : std::max(least, share), &call.first);
    if (held != 0) {
      if (call.count == 0) measure(now_ns() - begin, done);
      last = finish_units(held);
      held = 0;
    }
    if (call.count == 0) break;
    if (resident == nullptr) {
      resident = hand.take();
      if (!resident->provide(needs_)) {
        context_->fail(Result::launch_out_of_resources, "anywarp: kernel '" + code_->manifest.entry + "': no memory for a CTA");
        last = stop(call.count);
        break;
      }
      abi::Cta& cta = resident->cta;
      cta.smid = hand.number;
      cta.warps[0].exists = cta.warps[0].live = ~0u;
      std::fill(std::begin(bases), std::end(bases), cta.shared);
      cta.cluster = bases;
      cta.cluster_rank = 0;
      call.cta = &cta;
    }
    const bool late = is_late();
    if (late) fault.cause = Fault::Cause::timed_out;
    if (late || !Guard::run(body, &call, &fault, &limits_)) {
      const abi::Cta& cta = resident->cta;
      resident->linear = (std::uint64_t{cta.ctaid[2]} * launch_.grid[1] + cta.ctaid[1]) * launch_.grid[0] + cta.ctaid[0];
      fail(fault, *resident);
      last = stop(call.count);
      break;
    }
    done += call.count * ctas_of_unit_;
    held = call.count;
    if (cta_ns == 0 || (!published.load(std::memory_order_relaxed) && most_hands > 1 && remaining() > 0)) {
      cta_ns = std::max<std::uint64_t>(1, (now_ns() - begin) / done);
      // More work than was thought.
      if (!published.load(std::memory_order_relaxed) && most_hands > 1 && cta_ns * remaining() * ctas_of_unit_ >= kSpreadNs)
        hand.pool.publish(*this, most_hands - 1);
    }
  }
  if (resident != nullptr) hand.give(std::move(resident));
  leave();
  return last;
}

bool Grid::work_stepped(Hand& hand) {
  const std::uint64_t begin = now_ns();
  std::uint64_t done = 0;
  bool last = false;
  std::unique_ptr<Team> team;
  for (std::uint64_t unit = 0; !last && claim(1, &unit) != 0;) {
    if (team == nullptr) {
      team = std::make_unique<Team>(Ref<Grid>(this, false));
      if (!team->provide(hand)) {
        context_->fail(Result::launch_out_of_resources, "anywarp: kernel '" + code_->manifest.entry + "': no memory for a CTA");
        last = stop(1);
        break;
      }
    }
    team->start(unit);
    const Step outcome = run(*team);
    if (outcome == Step::ended) {
      done += ctas_of_unit_;
      const bool spread = !published.load(std::memory_order_relaxed) && most_hands > 1;
      if (spread || exhausted()) {
        const std::uint64_t ns = now_ns() - begin;
        if (spread && ns / done * remaining() * ctas_of_unit_ >= kSpreadNs) hand.pool.publish(*this, most_hands - 1);
        if (exhausted()) measure(ns, done);
      }
      last = cancelled.load(std::memory_order_acquire) ? stop(1) : finish_units(1);
      continue;
    }
    hand.waiting.push_back(std::move(team));
    // Its CTAs may wait for others of the grid; those of a cooperative launch are all there from the beginning.
    if (!published.load(std::memory_order_relaxed) && most_hands > 1 && remaining() > 0) hand.pool.publish(*this, most_hands - 1);
    if (!cooperative_) break;
  }
  if (team != nullptr) team->give_back(hand);
  leave();
  return last;
}

Grid::Step Grid::step(Team& team, bool* finished) {
  *finished = false;
  const Step outcome = cancelled.load(std::memory_order_acquire) ? Step::ended : run(team);
  if (outcome == Step::ended) *finished = cancelled.load(std::memory_order_acquire) ? stop(1) : finish_units(1);
  return outcome;
}

// The team's unit stays claimed also when it has ended.
Grid::Step Grid::run(Team& team) {
  struct Call {
    Team* team;
    std::uint32_t rounds;
    Resident::Outcome outcome;
  } call{&team, may_spin_ ? kShortPatience : kPatience, Resident::Outcome::waiting};
  Fault fault;
  const auto body = [](void* argument) {
    auto& c = *static_cast<Call*>(argument);
    c.outcome = c.team->run(c.rounds);
  };
  const bool late = is_late();
  if (late) fault.cause = Fault::Cause::timed_out;
  if (late || !Guard::run(body, &call, &fault, &limits_)) {
    fail(fault, team.running());
    cancelled.store(true, std::memory_order_release);
    return Step::ended;
  }
  switch (call.outcome) {
    case Resident::Outcome::finished: return Step::ended;
    case Resident::Outcome::deadlock:
      fault.cause = Fault::Cause::deadlock;
      fail(fault, team.running());
      cancelled.store(true, std::memory_order_release);
      return Step::ended;
    case Resident::Outcome::waiting: break;
  }
  return team.progress() ? Step::progress : Step::idle;
}

bool Grid::widen(Hand& hand, bool* finished) {
  *finished = false;
  std::size_t held = 0;
  for (const auto& team : hand.waiting) held += &team->grid() == this ? 1 : 0;
  if (held >= std::max<std::size_t>(16, kMostTeams / static_cast<std::size_t>(hand.pool.threads())) && !cooperative_) return false;
  if (exhausted()) return false;
  if (!enter()) return false;
  *finished = work_stepped(hand);
  return true;
}

void Grid::fail(Fault& fault, const Resident& where) {
  if (failed_.exchange(true)) return;  // the first is reported, the others' hands only stop
  given_up_.fetch_add(cancel(), std::memory_order_relaxed);
  if (context_->status() != Result::success) return;  // it was stopped because of that
  const bool interrupted = fault.cause == Fault::Cause::abandoned || fault.cause == Fault::Cause::timed_out;
  const bool by_signal = fault.cause == Fault::Cause::signal;
  if (by_signal && where.in_stack_guard(fault.address)) fault.stack = true;
  std::optional<std::uint32_t> line = fault.line != 0 ? fault.line : code_->object->line(fault.pc);
  for (std::uint32_t i = 0; !line && (by_signal || interrupted) && i < fault.caller_count; ++i) line = code_->object->line(fault.callers[i] - 1);
  const std::uint32_t lane0 = where.cta.current_warp * abi::kWarp;
  const std::uint32_t lane1 = std::min(lane0 + abi::kWarp, launch_.threads) - 1;
  if (by_signal && lane0 == lane1) fault.lanes = 1;
  if (by_signal && fault.lanes == 0 && !fault.stack && (fault.signal == SIGSEGV || fault.signal == SIGBUS))
    if (const auto culprit = find_culprit(*this, where.cta, fault, line.value_or(0))) {
      fault.lanes = culprit->lanes;
      fault.address = culprit->addresses[std::countr_zero(culprit->lanes)];
      fault.address_known = true;
      line = culprit->line;
    }
  std::string what;
  switch (fault.cause) {
    case Fault::Cause::signal:
      if (fault.signal == SIGFPE) {
        what = "arithmetic exception";
      } else if (fault.signal == SIGILL) {
        what = "illegal instruction";
      } else if (!fault.address_known) {
        what = "access to an address outside the address space";
      } else {
        what = text("illegal %s address 0x%" PRIxPTR, fault.write_known ? (fault.write ? "write to" : "read from") : "access to", fault.address);
        memory::Allocation near;
        if (fault.stack) {
          what += ", the call stack is exhausted";
        } else if (const char* own = where.describe(fault.address)) {
          what += text(", outside %s of the CTA", own);
        } else if (context_->engine().arena().nearest(reinterpret_cast<const void*>(fault.address), &near)) {
          if (near.contains(fault.address))
            what += text(", inside the %s allocation at 0x%" PRIxPTR " of %zu bytes", memory::name(near.kind), near.base, near.size);
          else if (std::min(fault.address - near.base, near.base - fault.address) > kFar)
            what += ", far from every allocation";
          else if (fault.address < near.base)
            what += text(", %" PRIuPTR " bytes before the %s allocation at 0x%" PRIxPTR " of %zu bytes", near.base - fault.address,
                         memory::name(near.kind), near.base, near.size);
          else
            what += text(", %" PRIuPTR " bytes past the end of the %s allocation at 0x%" PRIxPTR " of %zu bytes",
                         fault.address - near.base - near.size, memory::name(near.kind), near.base, near.size);
        }
      }
      break;
    case Fault::Cause::trap:
      switch (fault.trap) {
        case abi::Trap::TRAP: what = "trap"; break;
        case abi::Trap::BREAKPOINT: what = "breakpoint without a debugger"; break;
        case abi::Trap::MISALIGNED: what = text("misaligned address 0x%" PRIx64, fault.detail); break;
        case abi::Trap::BAD_ADDRESS: what = text("address 0x%" PRIx64 " outside its state space", fault.detail); break;
        case abi::Trap::STACK_OVERFLOW: what = "call stack overflow"; break;
        case abi::Trap::UNREACHABLE: what = "control flow went where PTX defines nothing"; break;
        case abi::Trap::INVALID_BARRIER: what = text("invalid barrier (%" PRIu64 ")", fault.detail); break;
      }
      break;
    case Fault::Cause::assertion: what = "device-side assertion"; break;
    case Fault::Cause::deadlock: what = "deadlock: every warp of the CTA waits at a barrier that cannot complete"; break;
    case Fault::Cause::timed_out: what = text("ran longer than the %g s that ANYWARP_LAUNCH_TIMEOUT allows", watchdog_seconds()); break;
    case Fault::Cause::abandoned: what = "stopped, as it did not end and its context is being destroyed"; break;
    case Fault::Cause::none: break;
  }
  std::string message = "anywarp: kernel '" + code_->manifest.entry + "': " + what;
  if (line) message += text("; PTX line %u", *line);
  message += text("; block [%u,%u,%u], ",where.cta.ctaid[0], where.cta.ctaid[1], where.cta.ctaid[2]);
  const auto thread = [this](std::uint32_t t) {
    return text("[%u,%u,%u]", t % launch_.block[0], t / launch_.block[0] % launch_.block[1], t / launch_.block[0] / launch_.block[1]);
  };
  if (fault.lanes != 0) {
    const int others = std::popcount(fault.lanes) - 1;
    message += "thread " + thread(lane0 + static_cast<std::uint32_t>(std::countr_zero(fault.lanes)));
    if (others != 0) message += text(" and %d more of warp %u", others, where.cta.current_warp);
  } else {
    message += (by_signal && !fault.stack ? "one of threads " : "threads ") + thread(lane0) + " to " + thread(lane1) +
               text(" (warp %u)", where.cta.current_warp);
  }
  context_->fail(result_of(fault), message);
}

}  // namespace anywarp
