#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "fault.h"
#include "futex.h"
#include "grid.h"
#include "hand.h"

namespace anywarp {

namespace {

// An idle worker looks for work this long before it sleeps: about what being woken costs.
constexpr std::uint64_t kSpinNs = 50'000;
// A stream with a long queue lets others have a turn after this many items.
constexpr int kTurn = 64;
// A helping thread keeps waiting CTAs for this many rounds before it hands them over.
constexpr int kHelperRounds = 200;
constexpr std::size_t kStackBytes = std::size_t{8} << 20, kStackGuardBytes = std::size_t{1} << 20;
constexpr std::uint64_t kForever = ~std::uint64_t{0};

int default_threads() {
  if (const char* text = std::getenv("ANYWARP_NUM_THREADS"); text != nullptr && *text != 0) {
    const long n = std::strtol(text, nullptr, 10);
    if (n > 0) return static_cast<int>(std::min(n, 1024L));
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
}

}  // namespace

Pool::Pool(int threads) : count_(threads > 0 ? threads : default_threads()) {}

Pool::~Pool() {
  stop();
  for (const pthread_t t : threads_) pthread_join(t, nullptr);
}

void Pool::stop() {
  stopping_.store(true);
  epoch_.fetch_add(1);
  futex_wake(epoch_);
}

void Pool::start_threads() {
  std::call_once(started_, [this] {
    // The host program's signals are for its own threads.
    sigset_t all, before;
    sigfillset(&all);
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) sigdelset(&all, signal);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    // Compiled code does not probe its stack: the guard is bigger than any frame.
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, kStackBytes);
    pthread_attr_setguardsize(&attributes, kStackGuardBytes);
    struct Start {
      Pool* pool;
      std::uint32_t number;
    };
    for (int i = 0; i < count_; ++i) {
      auto* start = new Start{this, static_cast<std::uint32_t>(i)};
      pthread_t thread{};
      const auto body = [](void* argument) -> void* {
        const std::unique_ptr<Start> s(static_cast<Start*>(argument));
        s->pool->worker(s->number);
        return nullptr;
      };
      if (pthread_create(&thread, &attributes, body, start) != 0) {
        delete start;
        break;  // fewer threads; with none at all, whoever waits does the work
      }
      threads_.push_back(thread);
    }
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  });
}

void Pool::notify(int count) {
  epoch_.fetch_add(1, std::memory_order_seq_cst);
  const int spinning = spinners_.load(std::memory_order_seq_cst);
  if (count > spinning && sleepers_.load(std::memory_order_seq_cst) > 0) futex_wake(epoch_, count - spinning);
}

void Pool::submit(StreamRef stream) {
  start_threads();
  {
    const bool urgent = stream->priority() < 0;
    const std::lock_guard lock(queue_mutex_);
    (urgent ? urgent_ : queue_).push_back(std::move(stream));
    queued_.fetch_add(1, std::memory_order_relaxed);
  }
  notify(1);
}

StreamRef Pool::pop() {
  if (queued_.load(std::memory_order_relaxed) == 0) return nullptr;
  StreamRef stream;
  bool more = false;
  {
    const std::lock_guard lock(queue_mutex_);
    auto& queue = urgent_.empty() ? queue_ : urgent_;
    while (!queue.empty() && stream == nullptr) {
      StreamRef candidate = std::move(queue.front());
      queue.pop_front();
      queued_.fetch_sub(1, std::memory_order_relaxed);
      // A helper may have taken it meanwhile.
      std::uint32_t expected = Stream::queued;
      if (candidate->state_.compare_exchange_strong(expected, Stream::owned)) stream = std::move(candidate);
    }
    more = queued_.load(std::memory_order_relaxed) > 0;
  }
  // The submission may have counted on a spinning worker that took something else.
  if (more && sleepers_.load(std::memory_order_relaxed) > 0) notify(spinners_.load(std::memory_order_relaxed) + 1);
  return stream;
}

void Pool::publish(Job& job, int hands) {
  start_threads();
  if (job.published.exchange(true, std::memory_order_relaxed)) return;
  {
    const std::lock_guard lock(jobs_mutex_);
    jobs_.emplace_back(&job, false);
    job_count_.fetch_add(1, std::memory_order_relaxed);
  }
  notify(hands);
}

Ref<Job> Pool::join() {
  if (job_count_.load(std::memory_order_relaxed) == 0) return {};
  const std::lock_guard lock(jobs_mutex_);
  for (std::size_t i = 0; i < jobs_.size();) {
    Job& job = *jobs_[i];
    if (job.exhausted()) {
      jobs_.erase(jobs_.begin() + static_cast<std::ptrdiff_t>(i));
      job_count_.fetch_sub(1, std::memory_order_relaxed);
      continue;
    }
    if (job.enter()) return jobs_[i];
    ++i;
  }
  return {};
}

void Pool::worker(std::uint32_t number) {
  char name[16];
  std::snprintf(name, sizeof name, "anywarp-%u", number);
  pthread_setname_np(pthread_self(), name);
  prepare_thread_for_faults();
  Hand hand(*this, number, true);
  int unlucky = 0;
  while (!stopping_.load(std::memory_order_relaxed)) {
    bool progress = !hand.waiting.empty() && step_waiting(hand, kForever);
    if (!progress) {
      // Nobody here can go on: more CTAs of the same grids, then other work.
      if (adopt_orphan(hand)) {
        progress = true;
      } else if (StreamRef stream = pop()) {
        execute(std::move(stream), hand, kForever);
        progress = true;
      } else if (!hand.waiting.empty() && widen(hand, kForever)) {
        progress = true;
      } else if (Ref<Job> job = join()) {
        if (job->work(hand)) finish_job(*job, hand, kForever);
        progress = true;
      }
    }
    if (progress) {
      unlucky = 0;
    } else if (hand.waiting.empty()) {
      idle();
    } else if (++unlucky > 64) {
      // What they wait for is done by other threads, perhaps the host program's.
      if (unlucky > 4096) {
        timespec pause{0, 50'000};
        nanosleep(&pause, nullptr);
      } else {
        sched_yield();
      }
    } else {
      pause_briefly();
    }
  }
}

void Pool::idle() {
  const std::uint32_t seen = epoch_.load(std::memory_order_seq_cst);
  // Jobs that are full or exhausted are no work; they are looked at once for each epoch.
  if (queued_.load(std::memory_order_seq_cst) > 0 || orphan_count_.load(std::memory_order_seq_cst) > 0 || stopping_.load()) return;
  if (job_count_.load(std::memory_order_seq_cst) > 0) {
    if (Ref<Job> job = join()) {
      job->leave();
      return;
    }
  }
  int expected = 0;
  if (spinners_.compare_exchange_strong(expected, 1, std::memory_order_seq_cst)) {
    const std::uint64_t end = now_ns() + kSpinNs;
    bool found = false;
    do {
      for (int i = 0; i < 16 && !found; ++i) {
        found = epoch_.load(std::memory_order_relaxed) != seen;
        if (!found) pause_briefly();
      }
    } while (!found && now_ns() < end);
    spinners_.fetch_sub(1, std::memory_order_seq_cst);
    if (found) return;
  }
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  if (epoch_.load(std::memory_order_seq_cst) == seen) futex_wait(epoch_, seen);
  sleepers_.fetch_sub(1, std::memory_order_seq_cst);
}

void Pool::execute(StreamRef stream, Hand& hand, std::uint64_t until) {
  keep_fault_handlers();
  for (int turn = 0;; ++turn) {
    Item* first;
    {
      const std::lock_guard lock(stream->mutex_);
      first = stream->first_;
      if (first == nullptr) {
        stream->state_.store(Stream::idle, std::memory_order_release);
        return;
      }
    }
    const bool reached = stream->completed() >= until;
    if (reached || (turn >= kTurn && hand.is_worker && queued_.load(std::memory_order_relaxed) > 0) ||
        stopping_.load(std::memory_order_relaxed)) {
      stream->state_.store(Stream::queued, std::memory_order_release);
      submit(std::move(stream));
      return;
    }
    bool parked = false;
    while (!first->dependencies.empty()) {
      const Item::Dependency& dependency = first->dependencies.back();
      // An abandoned context waits for its own streams only: another's may never come so far.
      const bool waits = !stream->context_.is_abandoned() || &dependency.stream->context_ == &stream->context_;
      if (waits && dependency.stream->completed() < dependency.position) {
        // From the moment that it is listed there, somebody else may take it.
        const StreamRef other = dependency.stream;
        const std::uint64_t position = dependency.position;
        {
          const std::lock_guard lock(stream->mutex_);
          stream->parked_on_ = other;
          stream->parked_position_ = position;
          stream->state_.store(Stream::parked, std::memory_order_release);
        }
        if (other->add_waiter(position, stream)) {
          parked = true;
          break;
        }
        stream->state_.store(Stream::owned, std::memory_order_release);
      }
      first->dependencies.pop_back();
    }
    if (parked) return;
    if (stream->parked_on_ != nullptr) {
      const std::lock_guard lock(stream->mutex_);
      stream->parked_on_ = nullptr;  // it may hold this stream in turn
    }
    const Ref<Item> item(first, false);  // whoever finishes a job drops the stream's reference
    switch (item->run(hand)) {
      case Item::Progress::done: stream->complete(item.get()); break;
      case Item::Progress::working: return;
      case Item::Progress::pool:
      case Item::Progress::later:
        stream->state_.store(Stream::queued, std::memory_order_release);
        submit(std::move(stream));
        return;
    }
  }
}

void Pool::finish_job(Job& job, Hand& hand, std::uint64_t until) {
  job.finished();
  StreamRef stream = job.stream;
  stream->complete(&job);
  execute(std::move(stream), hand, hand.is_worker ? kForever : until);
}

bool Pool::step_waiting(Hand& hand, std::uint64_t until) {
  bool progress = false;
  for (std::size_t i = 0; i < hand.waiting.size();) {
    std::unique_ptr<Team> team = std::move(hand.waiting[i]);
    Grid& grid = team->grid();
    bool finished = false;
    const Grid::Step step = grid.step(*team, &finished);
    if (step != Grid::Step::ended) {
      progress |= step == Grid::Step::progress;
      hand.waiting[i++] = std::move(team);
      continue;
    }
    progress = true;
    hand.waiting.erase(hand.waiting.begin() + static_cast<std::ptrdiff_t>(i));
    const Ref<Grid> hold(&grid, false);
    team->give_back(hand);
    team.reset();
    if (finished) {
      finish_job(*hold, hand, until);
    } else {
      // Its place is free for the next CTA of the grid.
      if (grid.widen(hand, &finished) && finished) finish_job(*hold, hand, until);
    }
  }
  return progress;
}

bool Pool::widen(Hand& hand, std::uint64_t until) {
  for (std::size_t i = 0; i < hand.waiting.size(); ++i) {
    const Ref<Grid> grid(&hand.waiting[i]->grid(), false);
    bool finished = false;
    if (grid->widen(hand, &finished)) {
      if (finished) finish_job(*grid, hand, until);
      return true;
    }
  }
  return false;
}

bool Pool::adopt_orphan(Hand& hand) {
  if (orphan_count_.load(std::memory_order_relaxed) == 0) return false;
  const std::lock_guard lock(orphans_mutex_);
  if (orphans_.empty()) return false;
  hand.waiting.push_back(std::move(orphans_.back()));
  orphans_.pop_back();
  orphan_count_.fetch_sub(1, std::memory_order_relaxed);
  hand.waiting.back()->move_to(hand);
  return true;
}

void Pool::abandon_waiting(Hand& hand) {
  if (hand.waiting.empty()) return;
  const int count = static_cast<int>(hand.waiting.size());
  {
    const std::lock_guard lock(orphans_mutex_);
    for (auto& team : hand.waiting) orphans_.push_back(std::move(team));
    orphan_count_.fetch_add(count, std::memory_order_seq_cst);
  }
  hand.waiting.clear();
  start_threads();
  notify(count);
}

bool Pool::help(Stream& stream, std::uint64_t position) {
  static thread_local int depth = 0;
  if (depth > 0 || stopping_.load(std::memory_order_relaxed) || !has_stack_for_kernels()) return false;
  std::uint32_t expected = Stream::queued;
  if (!stream.state_.compare_exchange_strong(expected, Stream::owned)) return false;
  ++depth;
  prepare_thread_for_faults();
  thread_local std::unique_ptr<Hand> own;
  if (own == nullptr || &own->pool != this) own = std::make_unique<Hand>(*this, 0, false);
  Hand& hand = *own;
#if defined(__x86_64__)
  // The host program's floating-point settings are not the kernel's.
  const unsigned mode = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(0x1f80);
#endif
  execute(stream.shared_from_this(), hand, position);
  for (int round = 0; !hand.waiting.empty() && round < kHelperRounds; ++round)
    if (step_waiting(hand, position)) round = 0;
  abandon_waiting(hand);
#if defined(__x86_64__)
  __builtin_ia32_ldmxcsr(mode);
#endif
  --depth;
  return true;
}

}  // namespace anywarp
