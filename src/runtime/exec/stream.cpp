#include "stream.h"

#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "engine.h"
#include "fault.h"
#include "futex.h"
#include "grid.h"
#include "hand.h"
#include "item.h"
#include "offspring.h"
#include "services.h"

namespace anywarp {

namespace {

std::atomic<std::uint64_t> next_stream_id{1};
std::atomic<std::uint64_t> next_context_id{1};

// A thread that waits looks this long before it sleeps.
constexpr std::uint64_t kSpinNs = 30'000;
// Copies and fills from this size on are shared among hands, in pieces of this size.
constexpr std::size_t kPiece = std::size_t{1} << 20;

// An item that only marks a position: a wait's dependencies, an event's time.
struct Marker final : Item {
  Marker() { is_marker = true; }
  std::shared_ptr<Event::Record> record;
  bool timing = false;
  Progress run(Hand&) override {
    if (record != nullptr && timing) record->time_ns.store(now_ns(), std::memory_order_release);
    return Progress::done;
  }
};

struct TaskItem final : Item {
  std::function<void(Result)> task;
  Where where = Where::anywhere;
  Context* context = nullptr;
  Progress run(Hand& hand) override {
    if (where == Where::pool && !hand.is_worker) return Progress::pool;
    task(context->is_abandoned() && context->status() == Result::success ? Result::context_is_destroyed : context->status());
    return Progress::done;
  }
};

struct PollItem final : Item {
  std::function<bool()> ready;
  Context* context = nullptr;
  Progress run(Hand&) override {
    if (context->is_abandoned() || ready()) return Progress::done;
    sched_yield();
    return Progress::later;
  }
};

// Work on ranges of bytes of the user's, split into rows or pieces. Faults are the context's errors.
class MemoryJob : public Job {
 public:
  Context* context = nullptr;

  Progress run(Hand& hand) override {
    if (units == 0 || context->is_abandoned()) return Progress::done;
    hands.store(1, std::memory_order_relaxed);
    if (units > 1 && most_hands > 1) hand.pool.publish(*this, most_hands - 1);
    return work(hand) ? Progress::done : Progress::working;
  }
  bool work(Hand&) override {
    bool last = false;
    struct Call {
      MemoryJob* job;
      std::uint64_t first, count;
    } call{this, 0, 0};
    const auto body = [](void* argument) {
      const auto& c = *static_cast<const Call*>(argument);
      c.job->move(c.first, c.count);
    };
    while (!last) {
      call.count = claim(units_at_once, &call.first);
      if (call.count == 0) break;
      Fault fault;
      if (!Guard::run(body, &call, &fault)) {
        char message[160];
        std::snprintf(message, sizeof message, "anywarp: a %s %s address %p, which is not accessible", what(),
                      fault.write_known ? (fault.write ? "writes to" : "reads from") : "uses", reinterpret_cast<void*>(fault.address));
        context->fail(Result::illegal_address, message);
        last = finish_units(cancel() + call.count);
        break;
      }
      last = finish_units(call.count);
    }
    hands.fetch_sub(1, std::memory_order_relaxed);
    return last;
  }

 protected:
  virtual void move(std::uint64_t first, std::uint64_t count) = 0;
  virtual const char* what() const = 0;
  void split(std::uint64_t count, std::uint64_t bytes_of_unit, int threads) {
    set_units(count);
    units_at_once = std::max<std::uint64_t>(1, kPiece / std::max<std::uint64_t>(1, bytes_of_unit));
    most_hands = count > units_at_once ? threads : 1;
  }
  std::uint64_t units_at_once = 1;
};

struct CopyJob final : MemoryJob {
  Copy c;
  bool linear = false;  // units are pieces of one row; else rows
  CopyJob(const Copy& copy, int threads) : c(copy) {
    if (c.width == 0) c.height = 0;
    // Rows without gaps are one row.
    if (c.destination_pitch == c.width && c.source_pitch == c.width && c.height > 0) {
      const bool planes = c.depth <= 1 || (c.destination_slice == c.width * c.height && c.source_slice == c.width * c.height);
      if (planes) {
        c.width *= c.height * std::max<std::size_t>(c.depth, 1);
        c.height = c.depth = 1;
      }
    }
    linear = c.height == 1 && c.depth == 1;
    if (linear)
      split((c.width + kPiece - 1) / kPiece, kPiece, threads);
    else
      split(c.height * c.depth, c.width, threads);
  }
  void move(std::uint64_t first, std::uint64_t count) override {
    auto* to = static_cast<char*>(c.destination);
    const auto* from = static_cast<const char*>(c.source);
    if (linear) {
      const std::size_t begin = first * kPiece, end = std::min(c.width, (first + count) * kPiece);
      std::memmove(to + begin, from + begin, end - begin);
      return;
    }
    for (std::uint64_t row = first; row < first + count; ++row) {
      const std::size_t y = row % c.height, z = row / c.height;
      std::memmove(to + z * c.destination_slice + y * c.destination_pitch, from + z * c.source_slice + y * c.source_pitch, c.width);
    }
  }
  const char* what() const override { return "copy"; }
};

struct FillJob final : MemoryJob {
  Fill f;
  bool linear = false;
  FillJob(const Fill& fill, int threads) : f(fill) {
    if (f.width == 0) f.height = 0;
    if (f.height > 1 && f.pitch == f.width * f.element_bytes) {
      f.width *= f.height;
      f.height = 1;
    }
    linear = f.height == 1;
    if (linear)
      split((f.width * f.element_bytes + kPiece - 1) / kPiece, kPiece, threads);
    else
      split(f.height, f.width * f.element_bytes, threads);
  }
  void move(std::uint64_t first, std::uint64_t count) override {
    if (linear) {
      const std::size_t piece = kPiece / f.element_bytes;
      const std::size_t begin = first * piece, end = std::min(f.width, (first + count) * piece);
      row(static_cast<char*>(f.destination) + begin * f.element_bytes, end - begin);
      return;
    }
    for (std::uint64_t y = first; y < first + count; ++y) row(static_cast<char*>(f.destination) + y * f.pitch, f.width);
  }
  void row(char* to, std::size_t elements) const {
    // A single word may be one that a stream or a kernel waits for (cuStreamWaitValue).
    if (elements == 1 && f.element_bytes == 4 && reinterpret_cast<std::uintptr_t>(to) % 4 == 0) {
      __atomic_store_n(reinterpret_cast<std::uint32_t*>(to), f.value, __ATOMIC_RELEASE);
      return;
    }
    switch (f.element_bytes) {
      case 1: std::memset(to, static_cast<int>(f.value & 0xff), elements); break;
      case 2: std::fill_n(reinterpret_cast<std::uint16_t*>(to), elements, static_cast<std::uint16_t>(f.value)); break;
      default: std::fill_n(reinterpret_cast<std::uint32_t*>(to), elements, f.value); break;
    }
  }
  const char* what() const override { return "memset"; }
};

}  // namespace

// ---- Stream

Stream::Stream(Context& context, Type type, int priority)
    : context_(context), type_(type), priority_(priority), id_(next_stream_id.fetch_add(1, std::memory_order_relaxed)) {}

Stream::~Stream() {
  while (first_ != nullptr) {
    Ref<Item> item(first_, true);  // only at process exit
    first_ = item->next;
  }
}

Result Stream::enqueue(Item* raw) {
  Ref<Item> item(raw, true);
  Engine& engine = context_.engine();
  if (engine.shut_down()) return Result::deinitialized;
  item->stream = shared_from_this();
  // The legacy default stream waits for all blocking streams and they for it.
  if (type_ == Type::legacy) {
    const std::lock_guard lock(context_.mutex_);
    for (const StreamRef& other : context_.streams_) {
      if (other->type_ == Type::non_blocking) continue;
      const std::uint64_t position = other->submitted();
      if (other->completed() < position) item->dependencies.push_back({other, position});
    }
  } else if (type_ != Type::non_blocking) {
    const StreamRef& legacy = context_.legacy_;
    const std::uint64_t position = legacy->submitted();
    if (legacy->completed() < position) item->dependencies.push_back({legacy, position});
  }
  bool start = false;
  {
    const std::lock_guard lock(mutex_);
    item->position = submitted_.load(std::memory_order_relaxed) + 1;
    if (item->is_marker) {
      auto* marker = static_cast<Marker*>(item.get());
      if (marker->record != nullptr) marker->record->position = item->position;
      // Nothing is before it: complete at once.
      if (first_ == nullptr && item->dependencies.empty() && state_.load(std::memory_order_relaxed) == idle) {
        if (marker->record != nullptr && marker->timing) marker->record->time_ns.store(now_ns(), std::memory_order_release);
        submitted_.store(item->position, std::memory_order_release);
        completed_.store(item->position, std::memory_order_seq_cst);
        return Result::success;
      }
    }
    submitted_.store(item->position, std::memory_order_release);
    Item* added = item.release();
    if (first_ == nullptr)
      first_ = added;
    else
      last_->next = added;
    last_ = added;
    if (state_.load(std::memory_order_relaxed) == idle) {
      state_.store(queued, std::memory_order_release);
      start = true;
    }
  }
  if (start) engine.pool().submit(shared_from_this());
  return Result::success;
}

Stream::Hold::Hold(Stream& stream) : stream_(stream) {
  const std::lock_guard lock(stream_.mutex_);
  if (stream_.first_ != nullptr || stream_.state_.load(std::memory_order_relaxed) != idle) return;
  stream_.state_.store(owned, std::memory_order_release);
  held_ = true;
}

Stream::Hold::~Hold() {
  if (!held_) return;
  {
    const std::lock_guard lock(stream_.mutex_);
    stream_.state_.store(stream_.first_ == nullptr ? idle : queued, std::memory_order_release);
    if (stream_.first_ == nullptr) return;
  }
  stream_.context_.engine().pool().submit(stream_.shared_from_this());
}

void Stream::complete(Item* item) {
  const std::uint64_t position = item->position;
  {
    const std::lock_guard lock(mutex_);
    first_ = item->next;
    if (first_ == nullptr) last_ = nullptr;
  }
  completed_.store(position, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) != 0) {
    wake_word_.fetch_add(1, std::memory_order_seq_cst);
    futex_wake(wake_word_);
  }
  if (waiter_count_.load(std::memory_order_seq_cst) != 0) {
    std::vector<StreamRef> ready;
    {
      const std::lock_guard lock(mutex_);
      for (std::size_t i = 0; i < waiters_.size();) {
        if (waiters_[i].position > position) {
          ++i;
          continue;
        }
        ready.push_back(std::move(waiters_[i].stream));
        waiters_[i] = std::move(waiters_.back());
        waiters_.pop_back();
      }
      waiter_count_.store(static_cast<std::uint32_t>(waiters_.size()), std::memory_order_seq_cst);
    }
    for (StreamRef& stream : ready) {
      // Through the waiter's context: this stream's may be gone once its last item is complete.
      Pool& pool = stream->context_.engine().pool();
      stream->state_.store(queued, std::memory_order_release);
      pool.submit(std::move(stream));
    }
  }
  Ref<Item> dropped(item, true);
}

bool Stream::add_waiter(std::uint64_t position, const StreamRef& stream) {
  const std::lock_guard lock(mutex_);
  waiter_count_.fetch_add(1, std::memory_order_seq_cst);
  if (completed_.load(std::memory_order_seq_cst) >= position) {
    waiter_count_.fetch_sub(1, std::memory_order_seq_cst);
    return false;
  }
  waiters_.push_back({position, stream});
  return true;
}

Result Stream::launch(Kernel& kernel, const LaunchShape& shape, const Arguments& arguments, std::string* log, GraphLaunch* graph) {
  if (const Result r = context_.status(); r != Result::success) return r;
  Ref<Grid> grid;
  if (const Result r = Grid::make(context_, kernel, shape, arguments, &grid, log); r != Result::success) return r;
  std::shared_ptr<Offspring> offspring;
  if ((grid->code().manifest.flags & KernelManifest::starts_work) != 0) {
    grid->offspring = offspring = std::make_shared<Offspring>(context_);
    if (graph != nullptr) {
      graph->need_offspring(context_);
      grid->set_graph(graph->exec, graph->offspring);
    }
  }
  if (quota_ != nullptr) {
    grid->quota = quota_;
    grid->most_hands = std::min(grid->most_hands, quota_->most);
  }
  if (const Result r = enqueue(grid.release()); r != Result::success || offspring == nullptr) return r;
  auto behind = make_item<PollItem>();
  behind->ready = [offspring] { return offspring->finish(); };
  behind->context = &context_;
  return enqueue(behind.release());
}

Result Stream::copy(const Copy& copy) {
  if (const Result r = context_.status(); r != Result::success) return r;
  auto job = make_item<CopyJob>(copy, context_.engine().pool().threads());
  job->context = &context_;
  return enqueue(job.release());
}

Result Stream::fill(const Fill& fill) {
  if (const Result r = context_.status(); r != Result::success) return r;
  if (fill.element_bytes != 1 && fill.element_bytes != 2 && fill.element_bytes != 4) return Result::invalid_value;
  auto job = make_item<FillJob>(fill, context_.engine().pool().threads());
  job->context = &context_;
  return enqueue(job.release());
}

Result Stream::task(std::function<void(Result)> task, Where where) {
  auto item = make_item<TaskItem>();
  item->task = std::move(task);
  item->where = where;
  item->context = &context_;
  return enqueue(item.release());
}

Result Stream::poll(std::function<bool()> ready) {
  if (const Result r = context_.status(); r != Result::success) return r;
  auto item = make_item<PollItem>();
  item->ready = std::move(ready);
  item->context = &context_;
  return enqueue(item.release());
}

Result Stream::wait(const Event& event) {
  const std::shared_ptr<Event::Record> record = event.current();
  if (record == nullptr || record->stream.get() == this) return Result::success;
  if (record->stream->completed() >= record->position) return Result::success;
  auto item = make_item<Marker>();
  item->dependencies.push_back({record->stream, record->position});
  return enqueue(item.release());
}

Result Stream::query() const {
  if (const Result r = context_.status(); r != Result::success) return r;
  return completed() >= submitted() ? Result::success : Result::not_ready;
}

Result Stream::synchronize() { return synchronize(submitted()); }

void Stream::wait_for(std::uint64_t position) {
  Pool& pool = context_.engine().pool();
  std::uint64_t deadline = 0;
  while (completed() < position) {
    if (pool.help(*this, position)) {
      deadline = 0;
      continue;
    }
    // It may wait for another stream, which this thread can execute as well.
    if (state_.load(std::memory_order_acquire) == parked) {
      Item::Dependency dependency{nullptr, 0};
      {
        const std::lock_guard lock(mutex_);
        // The owner changes dependencies only while the state is `owned`, and takes this lock before it becomes so.
        if (state_.load(std::memory_order_acquire) == parked && parked_on_ != nullptr) dependency = {parked_on_, parked_position_};
      }
      if (dependency.stream != nullptr && dependency.stream.get() != this && pool.help(*dependency.stream, dependency.position)) {
        deadline = 0;
        continue;
      }
    }
    if (context_.engine().shut_down()) return;
    if (deadline == 0) deadline = now_ns() + kSpinNs;
    bool again = false;
    for (int i = 0; i < 64 && !again; ++i) {
      pause_briefly();
      again = completed() >= position || state_.load(std::memory_order_relaxed) == queued;
    }
    if (again || now_ns() < deadline) continue;
    if (context_.is_abandoned()) {
      interrupt_threads();
      context_.leave_others();
    }
    const std::uint32_t seen = wake_word_.load(std::memory_order_seq_cst);
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    if (completed_.load(std::memory_order_seq_cst) < position && !context_.engine().shut_down())
      futex_wait(wake_word_, seen, 100'000'000);
    sleepers_.fetch_sub(1, std::memory_order_seq_cst);
  }
}

void Stream::stop_waiting_for_others() {
  StreamRef other;
  {
    const std::lock_guard lock(mutex_);
    if (state_.load(std::memory_order_acquire) != parked || parked_on_ == nullptr || &parked_on_->context_ == &context_) return;
    other = parked_on_;
  }
  {
    // Whoever takes it off the list queues it.
    const std::lock_guard lock(other->mutex_);
    const auto found = std::find_if(other->waiters_.begin(), other->waiters_.end(), [this](const Waiter& w) { return w.stream.get() == this; });
    if (found == other->waiters_.end()) return;
    other->waiters_.erase(found);
    other->waiter_count_.store(static_cast<std::uint32_t>(other->waiters_.size()), std::memory_order_seq_cst);
  }
  state_.store(queued, std::memory_order_release);
  context_.engine().pool().submit(shared_from_this());
}

Result Stream::synchronize(std::uint64_t position) {
  const Context::Waiting waiting(context_);
  wait_for(position);
  flush_printf();
  return context_.status();
}

// ---- Event

std::shared_ptr<Event::Record> Event::current() const {
  const std::lock_guard lock(mutex_);
  return record_;
}

bool Event::recorded() const { return current() != nullptr; }

Result Event::record(Stream& stream) {
  if (const Result r = stream.context().status(); r != Result::success) return r;
  auto record = std::make_shared<Record>();
  record->stream = stream.shared_from_this();
  auto item = make_item<Marker>();
  item->record = record;
  item->timing = timing_;
  if (const Result r = stream.enqueue(item.release()); r != Result::success) return r;
  const std::lock_guard lock(mutex_);
  record_ = std::move(record);
  return Result::success;
}

Result Event::query() const {
  const auto record = current();
  if (record == nullptr) return Result::success;
  if (const Result r = record->stream->context().status(); r != Result::success) return r;
  return record->stream->completed() >= record->position ? Result::success : Result::not_ready;
}

Result Event::synchronize() const {
  const auto record = current();
  return record == nullptr ? Result::success : record->stream->synchronize(record->position);
}

Result Event::elapsed(const Event& start, const Event& end, float* milliseconds) {
  const auto a = start.current(), b = end.current();
  if (a == nullptr || b == nullptr || !start.timing_ || !end.timing_) return Result::invalid_handle;
  for (const auto& r : {a, b})
    if (r->stream->completed() < r->position) return Result::not_ready;
  if (const Result r = a->stream->context().status(); r != Result::success) return r;
  const auto first = static_cast<std::int64_t>(a->time_ns.load(std::memory_order_acquire));
  const auto second = static_cast<std::int64_t>(b->time_ns.load(std::memory_order_acquire));
  *milliseconds = static_cast<float>(static_cast<double>(second - first) * 1e-6);
  return Result::success;
}

// ---- Context

Context::Context(Engine& engine, int device, void* api_object)
    : engine_(engine), device_(device), api_object_(api_object), id_(next_context_id.fetch_add(1)),
      legacy_(new Stream(*this, Stream::Type::legacy, 0)) {}

Context::~Context() {
  (void)synchronize();
  const std::lock_guard lock(mutex_);
  streams_.clear();
}

StreamRef Context::create_stream(Stream::Type type, int priority) {
  StreamRef stream(new Stream(*this, type, priority));
  const std::lock_guard lock(mutex_);
  streams_.push_back(stream);
  return stream;
}

StreamRef Context::per_thread() {
  // By the context's number, not its address, which may be another context's later.
  thread_local std::vector<std::pair<std::uint64_t, std::weak_ptr<Stream>>> own;
  for (const auto& [id, stream] : own)
    if (id == id_)
      if (StreamRef found = stream.lock()) return found;
  StreamRef stream = create_stream(Stream::Type::per_thread, 0);
  own.emplace_back(id_, stream);
  return stream;
}

void Context::forget(const StreamRef& stream) {
  // Those that still have work stay known to the legacy stream's order and to synchronize.
  const std::lock_guard lock(mutex_);
  if (stream->completed() < stream->submitted()) {
    forgotten_ = true;
    stream->forgotten_.store(true, std::memory_order_relaxed);
    return;
  }
  streams_.erase(std::remove(streams_.begin(), streams_.end(), stream), streams_.end());
}

std::vector<StreamRef> Context::streams() const {
  const std::lock_guard lock(mutex_);
  std::vector<StreamRef> result;
  for (const StreamRef& s : streams_)
    if (!s->forgotten_.load(std::memory_order_relaxed)) result.push_back(s);
  return result;
}

bool Context::is_idle() const {
  const std::lock_guard lock(mutex_);
  const auto done = [](const StreamRef& s) { return s->completed() >= s->submitted(); };
  return done(legacy_) && std::all_of(streams_.begin(), streams_.end(), done);
}

Result Context::synchronize() {
  const Waiting waiting(*this);
  std::vector<StreamRef> all;
  {
    const std::lock_guard lock(mutex_);
    all = streams_;
  }
  all.push_back(legacy_);
  for (const StreamRef& s : all) s->wait_for(s->submitted());
  {
    const std::lock_guard lock(mutex_);
    if (forgotten_) {
      std::erase_if(streams_, [](const StreamRef& s) { return s->forgotten_.load(std::memory_order_relaxed) && s->completed() >= s->submitted(); });
      forgotten_ = std::any_of(streams_.begin(), streams_.end(), [](const StreamRef& s) { return s->forgotten_.load(std::memory_order_relaxed); });
    }
  }
  flush_printf();
  return status();
}

std::string Context::message() const {
  const std::lock_guard lock(error_mutex_);
  return message_;
}

void Context::fail(Result result, const std::string& message) {
  const std::lock_guard lock(error_mutex_);
  std::uint32_t expected = 0;
  if (!status_.compare_exchange_strong(expected, static_cast<std::uint32_t>(result))) return;
  message_ = message;
  std::fprintf(stderr, "%s\n", message.c_str());
  abandon();
}

void Context::abandon() {
  abandoned_.store(1, std::memory_order_seq_cst);
  interrupt_threads();
}

void Context::leave_others() {
  std::vector<StreamRef> all;
  {
    const std::lock_guard lock(mutex_);
    all = streams_;
  }
  all.push_back(legacy_);
  for (const StreamRef& s : all) s->stop_waiting_for_others();
}

void Context::finish(std::uint64_t patience_ns) {
  std::vector<StreamRef> all;
  {
    const std::lock_guard lock(mutex_);
    all = streams_;
  }
  all.push_back(legacy_);
  // This thread runs none of it: it could not stop itself.
  std::uint64_t seen = ~std::uint64_t{0}, deadline = 0;
  long pause_ns = 0;
  while (!is_abandoned()) {
    std::uint64_t completed = 0;
    bool busy = false;
    for (const StreamRef& s : all) {
      completed += s->completed();
      busy |= s->completed() < s->submitted();
    }
    if (!busy || engine_.shut_down()) break;
    const std::uint64_t now = now_ns();
    if (completed != seen) {
      seen = completed;
      deadline = now + patience_ns;
      pause_ns = 0;
    }
    if (now > deadline) {
      abandon();
      break;
    }
    if (now < deadline - patience_ns + kSpinNs) {
      pause_briefly();
      continue;
    }
    pause_ns = std::min(2 * pause_ns + 20'000, 5'000'000L);
    const timespec pause{0, pause_ns};
    nanosleep(&pause, nullptr);
  }
  [[maybe_unused]] const Result ignored = synchronize();
  // Other threads that waited for the work go on before their streams are gone. They must not be there; a program that resets a hung device has them.
  for (const std::uint64_t end = now_ns() + 1'000'000'000; waiting_.load(std::memory_order_acquire) != 0 && now_ns() < end;) sched_yield();
}

}  // namespace anywarp
