// What kernels start while they run (dynamic parallelism, graphs launched by kernels): a launch is complete when all of it is.
//
// A grid whose kernel may start work has an Offspring of its own, a launch of a graph with such a kernel another. The stream that carries
// the launch polls `finish` behind it. Work of the first kind goes to streams of the Offspring at once; tail launches wait until everything
// else is complete, and then run one after the other; what one of them adds comes before those that wait already.
//
// Locks: mutex_, under which the context's may be taken. References: grids, the polling item and streams' items hold it; it may outlive its
// context, and then touches it no more.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "launch.h"
#include "stream.h"

namespace anywarp {

class Kernel;

// A launch by a kernel that is being described: the buffer that the kernel writes the parameters to, and what it is for.
struct PendingLaunch {
  Kernel* kernel = nullptr;
  LaunchShape shape;
  std::vector<std::uint8_t> buffer;
  std::uint8_t* parameters = nullptr;  // in `buffer`, aligned
  std::size_t bytes = 0;
};

class Offspring {
 public:
  using Start = std::function<Result(Stream&)>;

  // `parent`: of a graph's, where siblings of the graph belong.
  explicit Offspring(Context& context, std::shared_ptr<Offspring> parent = nullptr) : context_(context), parent_(std::move(parent)) {}
  Offspring(const Offspring&) = delete;
  Offspring& operator=(const Offspring&) = delete;

  Context& context() const { return context_; }
  const std::shared_ptr<Offspring>& parent() const { return parent_; }

  // The stream of a CTA, which it may share with others: whatever a kernel starts may wait for whatever it has started.
  StreamRef stream_of(std::uint64_t cta);
  // A stream for work that is in no order.
  StreamRef any_stream();
  // Streams and events by handle. Zero, null, false: there is none of that handle.
  std::uint64_t create_stream();
  StreamRef find_stream(std::uint64_t handle);
  bool destroy_stream(std::uint64_t handle);  // its work still counts
  std::uint64_t create_event();
  std::shared_ptr<Event> find_event(std::uint64_t handle);
  bool destroy_event(std::uint64_t handle);

  // The address for the parameters, 16-byte aligned.
  std::uint8_t* add_pending(std::unique_ptr<PendingLaunch> launch);
  std::unique_ptr<PendingLaunch> take_pending(std::uint64_t parameters);

  void add_tail(Start start);
  bool is_pending();  // something that was started is not complete; not counting tail launches
  // True when everything is complete; starts the next tail launch if it is time. By one thread at a time, until it gives true.
  bool finish();

  // The last error of a thread (a number in its grid): cudaGetLastError.
  void set_error(std::uint64_t thread, std::uint32_t error);
  std::uint32_t error(std::uint64_t thread, bool reset);

 private:
  static constexpr std::size_t kShared = 16;
  static constexpr std::uint64_t kFirstHandle = 0x1000;  // behind the special streams
  StreamRef shared_stream(std::size_t number);
  bool is_pending_locked() const;

  Context& context_;
  const std::shared_ptr<Offspring> parent_;
  std::mutex mutex_;
  std::array<StreamRef, kShared> shared_;
  std::size_t next_shared_ = 0;
  std::vector<StreamRef> streams_;  // all
  std::unordered_map<std::uint64_t, StreamRef> named_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Event>> events_;
  std::uint64_t next_handle_ = kFirstHandle;
  std::unordered_map<std::uint64_t, std::unique_ptr<PendingLaunch>> pending_;
  StreamRef tail_stream_;
  std::deque<Start> tails_;
  std::vector<Start> new_tails_;  // of the part that runs now
  std::unordered_map<std::uint64_t, std::uint32_t> errors_;
};

// One launch of an executable graph.
struct GraphLaunch {
  std::uint64_t exec = 0;  // %current_graph_exec
  std::shared_ptr<Offspring> offspring;  // what its kernels start; null until one may start something

  // Makes it, as a child of a new one, where the graph's siblings belong. Whoever launches the graph waits for both: so this must have been
  // called before a copy is taken for a launch that comes later.
  void need_offspring(Context& context);
};

}  // namespace anywarp
