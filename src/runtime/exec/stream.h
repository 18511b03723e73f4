// Contexts, streams and events: queues of work that run in order, beside one another.
//
// `enqueue_*` returns before the work has run. Positions in a stream are numbers: item n is complete when `completed() >= n`. An item
// may depend on positions of other streams; events and the legacy default stream are expressed that way. A stream is executed by
// one thread at a time (a pool thread, or a thread that waits for it); large kernels and copies spread over the pool.
//
// Locks: Context::mutex_ (list of streams) -> Stream::mutex_. No two streams' locks are held together, no lock is held while work runs.
// Errors of kernels are sticky in the Context: later items are not run, and every call returns the error.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "launch.h"
#include "result.h"

namespace anywarp {

class Context;
class Engine;
class Kernel;
class Stream;
struct GraphLaunch;
struct Item;
struct Quota;

using StreamRef = std::shared_ptr<Stream>;

// A rectangular copy within the address space; host and device memory alike. Pitches in bytes; height and depth may be 1.
struct Copy {
  void* destination = nullptr;
  const void* source = nullptr;
  std::size_t width = 0;  // bytes
  std::size_t height = 1, depth = 1;
  std::size_t destination_pitch = 0, source_pitch = 0;  // row to row
  std::size_t destination_slice = 0, source_slice = 0;  // plane to plane
};

struct Fill {
  void* destination = nullptr;
  std::uint32_t value = 0;
  std::uint32_t element_bytes = 1;  // 1, 2 or 4
  std::size_t width = 0;            // elements
  std::size_t height = 1;
  std::size_t pitch = 0;  // bytes
};

// Where a task may run: `anywhere` also on a thread of the host program that waits for the stream; `pool` never there (host functions).
enum class Where { anywhere, pool };

class Event {
 public:
  // `timing`: take times (CU_EVENT_DISABLE_TIMING is its absence).
  explicit Event(bool timing = true) : timing_(timing) {}

  // Captures the stream's current end.
  Result record(Stream& stream);
  // success, not_ready, or the context's sticky error. An event that was never recorded is complete.
  Result query() const;
  Result synchronize() const;
  // Milliseconds between two completed events. invalid_handle if one was not recorded or takes no times; not_ready.
  static Result elapsed(const Event& start, const Event& end, float* milliseconds);
  bool timing() const { return timing_; }
  bool recorded() const;

  struct Record {
    StreamRef stream;
    std::uint64_t position = 0;
    std::atomic<std::uint64_t> time_ns{0};
  };

 private:
  friend class Stream;
  std::shared_ptr<Record> current() const;

  bool timing_;
  mutable std::mutex mutex_;
  std::shared_ptr<Record> record_;
};

class Stream : public std::enable_shared_from_this<Stream> {
 public:
  enum class Type { legacy, per_thread, blocking, non_blocking };

  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  Context& context() const { return context_; }
  Type type() const { return type_; }
  int priority() const { return priority_; }
  // Kernels of this stream are limited to the quota's threads. Before the first of them.
  void limit(std::shared_ptr<Quota> quota) { quota_ = std::move(quota); }
  std::uint64_t id() const { return id_; }  // cuStreamGetId

  // `graph`: the launch of a graph that this one is part of.
  Result launch(Kernel& kernel, const LaunchShape& shape, const Arguments& arguments, std::string* log = nullptr, GraphLaunch* graph = nullptr);
  Result copy(const Copy& copy);
  Result fill(const Fill& fill);
  // `task` runs even when the context has failed; its argument is the context's state.
  Result task(std::function<void(Result)> task, Where where = Where::anywhere);
  // The stream goes on when `ready` returns true; it is polled and must not block.
  Result poll(std::function<bool()> ready);
  // Later items wait for what the event captured when this was called.
  Result wait(const Event& event);

  // success, not_ready, or the sticky error.
  Result query() const;
  // Waits until everything enqueued before the call is complete. Returns the sticky error if there is one.
  Result synchronize();
  Result synchronize(std::uint64_t position);

  // While it lives, an idle stream only takes work: whoever enqueues much at once is not disturbed by threads that execute it already (each
  // item would go from one core's cache to another's). Nothing may wait for the stream meanwhile.
  class Hold {
   public:
    explicit Hold(Stream& stream);
    ~Hold();
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    Stream& stream_;
    bool held_ = false;
  };

  std::uint64_t submitted() const { return submitted_.load(std::memory_order_acquire); }
  std::uint64_t completed() const { return completed_.load(std::memory_order_acquire); }

 private:
  friend class Context;
  friend class Event;
  friend class Pool;
  Stream(Context& context, Type type, int priority);

  Result enqueue(Item* item);  // takes the reference
  // The owner's: the first item is complete.
  void complete(Item* item);
  // `stream` is queued when this one has completed `position`; false if it has.
  bool add_waiter(std::uint64_t position, const StreamRef& stream);
  void wait_for(std::uint64_t position);
  // If it waits for a stream of another context, it does so no more.
  void stop_waiting_for_others();

  Context& context_;
  const Type type_;
  const int priority_;
  const std::uint64_t id_;

  mutable std::mutex mutex_;
  Item* first_ = nullptr;  // not yet started
  Item* last_ = nullptr;
  struct Waiter {
    std::uint64_t position;
    StreamRef stream;
  };
  std::vector<Waiter> waiters_;
  std::atomic<std::uint32_t> waiter_count_{0};
  StreamRef parked_on_;  // while `parked`: what it waits for
  std::uint64_t parked_position_ = 0;
  std::atomic<bool> forgotten_{false};
  std::shared_ptr<Quota> quota_;
  enum State : std::uint32_t { idle, queued, owned, parked };
  std::atomic<std::uint32_t> state_{idle};
  std::atomic<std::uint64_t> submitted_{0};
  std::atomic<std::uint64_t> completed_{0};
  std::atomic<std::uint32_t> sleepers_{0};
  std::atomic<std::uint32_t> wake_word_{0};
};

// What streams share: the sticky error, and the legacy default stream that orders them.
class Context {
 public:
  Context(Engine& engine, int device, void* api_object = nullptr);
  ~Context();  // waits for all its streams
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  Engine& engine() const { return engine_; }
  int device() const { return device_; }
  void* api_object() const { return api_object_; }

  const StreamRef& legacy() const { return legacy_; }
  // The calling thread's default stream (CU_STREAM_PER_THREAD).
  StreamRef per_thread();
  StreamRef create_stream(Stream::Type type = Stream::Type::blocking, int priority = 0);
  // Takes the stream out of the context; its pending work still completes.
  void forget(const StreamRef& stream);
  std::vector<StreamRef> streams() const;

  bool is_idle() const;  // nothing that was enqueued is left
  // Waits for all streams, and flushes the device's printf.
  Result synchronize();

  // The sticky error. `message` says which kernel, line, block, thread and address.
  Result status() const { return static_cast<Result>(status_.load(std::memory_order_acquire)); }
  std::string message() const;
  // The first error stays. Prints the message to stderr once.
  void fail(Result result, const std::string& message);

  // Of an abandoned context: no stream waits for another context's any more.
  void leave_others();
  // Kernels that run are stopped, what is enqueued is dropped (tasks still run): after an error, and when the context ends.
  void abandon();
  bool is_abandoned() const { return abandoned_.load(std::memory_order_relaxed) != 0; }
  const std::atomic<std::uint32_t>& abandoned_word() const { return abandoned_; }
  // Waits for all streams as long as one of their items ends within `patience_ns`; else abandons the rest.
  void finish(std::uint64_t patience_ns);

  // A thread of the host program that waits for work of this context.
  class Waiting {
   public:
    explicit Waiting(Context& context) : context_(context) { context_.waiting_.fetch_add(1, std::memory_order_relaxed); }
    ~Waiting() { context_.waiting_.fetch_sub(1, std::memory_order_release); }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

   private:
    Context& context_;
  };

  // Limits that cuCtxSetLimit sets.
  std::atomic<std::size_t> printf_fifo_bytes{std::size_t{1} << 20};
  std::atomic<std::size_t> heap_bytes{std::size_t{8} << 20};
  std::atomic<std::size_t> heap_used{0};
  std::atomic<std::size_t> stack_bytes{1024};

 private:
  friend class Stream;
  Engine& engine_;
  const int device_;
  void* const api_object_;
  const std::uint64_t id_;
  std::atomic<std::uint32_t> status_{0};
  std::atomic<std::uint32_t> abandoned_{0};
  std::atomic<std::uint32_t> waiting_{0};
  mutable std::mutex error_mutex_;
  std::string message_;
  mutable std::mutex mutex_;
  std::vector<StreamRef> streams_;  // but the legacy one
  bool forgotten_ = false;          // some of them were destroyed while they had work
  StreamRef legacy_;
};

}  // namespace anywarp
