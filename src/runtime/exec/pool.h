// The threads that execute streams and grids.
//
// A worker looks, in this order, at CTAs that it has put aside, at streams that can run, and at jobs that want more hands. A small kernel
// runs on the one thread that executes its stream; a job with more work is published, and idle workers join it, claiming units
// in increasing order. A worker whose CTAs all wait for somebody takes more CTAs, other jobs and other streams: whoever waits lets
// others run.
//
// A thread of the host program that waits for a stream executes it itself when nobody else does (`help`); what it cannot finish
// (waiting CTAs, host functions) it hands to the workers.
//
// Idle workers spin for a moment, one at a time, then sleep on `epoch_`, which every submission increments.
// Locks: queue_mutex_, jobs_mutex_, orphans_mutex_; none is held while another is taken, or while work runs.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "item.h"
#include "stream.h"

namespace anywarp {

class Hand;
class Team;

class Pool {
 public:
  // threads 0: $ANYWARP_NUM_THREADS, else the cores that the process may use. Threads start with the first work.
  explicit Pool(int threads = 0);
  ~Pool();  // lets running items finish, starts no others
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return count_; }

  // A stream has work that can run; its state is `queued`.
  void submit(StreamRef stream);
  // Others may join the job; up to `hands` of them are woken.
  void publish(Job& job, int hands);
  // Executes `stream` on the calling thread when nobody else does, until `position` is complete or there is nothing for it to do.
  // False if somebody else executes it.
  bool help(Stream& stream, std::uint64_t position);
  // Workers leave as soon as they can; does not wait (process exit).
  void stop();

 private:
  void start_threads();
  void worker(std::uint32_t number);
  // The calling thread owns the stream. Returns when it owns it no more.
  void execute(StreamRef stream, Hand& hand, std::uint64_t until);
  void finish_job(Job& job, Hand& hand, std::uint64_t until);
  bool step_waiting(Hand& hand, std::uint64_t until);  // true if there was progress
  bool widen(Hand& hand, std::uint64_t until);
  StreamRef pop();
  Ref<Job> join();
  bool adopt_orphan(Hand& hand);
  void abandon_waiting(Hand& hand);  // to the workers
  void notify(int count);
  void idle();

  int count_;
  std::once_flag started_;
  std::vector<pthread_t> threads_;
  std::atomic<bool> stopping_{false};

  alignas(64) std::atomic<std::uint32_t> epoch_{0};
  std::atomic<int> spinners_{0};
  std::atomic<int> sleepers_{0};

  alignas(64) std::mutex queue_mutex_;
  std::deque<StreamRef> urgent_, queue_;
  std::atomic<int> queued_{0};

  std::mutex jobs_mutex_;
  std::vector<Ref<Job>> jobs_;
  std::atomic<int> job_count_{0};

  std::mutex orphans_mutex_;
  std::vector<std::unique_ptr<Team>> orphans_;
  std::atomic<int> orphan_count_{0};
};

}  // namespace anywarp
