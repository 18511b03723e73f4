// The threads that execute streams and grids.
//
// A worker looks, in this order, at the grids that it has CTAs of, at streams that can run, and at grids that want more hands. A small
// kernel runs on the one thread that executes its stream; a grid with more work is published, and idle workers join it, claiming
// CTAs in increasing order. Kernels with cuts keep their CTAs in contexts, so that a worker can put waiting CTAs aside and run
// others, of the same grid or another: whoever waits lets others run.
//
// A thread that waits for a stream executes it itself when nobody else does (`help`).
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "stream.h"

namespace anywarp {

struct Grid;
class Worker;

class Pool {
 public:
  // threads 0: $ANYWARP_NUM_THREADS, else the cores that the process may use.
  explicit Pool(int threads = 0);
  ~Pool();  // lets running items finish, starts no others
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return count_; }

  // A stream has work that can run.
  void submit(StreamRef stream);
  // Executes `stream` on the calling thread if nobody does, until `position` is complete or it must be handed over.
  void help(Stream& stream, std::uint64_t position);
  // Stops the workers without waiting for the work (process exit).
  void abandon();

 private:
  friend class Worker;
  friend class Executor;
  struct Impl;
  std::unique_ptr<Impl> impl_;
  int count_;
};

}  // namespace anywarp
