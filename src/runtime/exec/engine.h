// The process's engine: the parts that all contexts share. Made on first use, never destroyed before the process ends; `shut_down` runs at
// exit and in the library's destructor, after which enqueueing returns deinitialized.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "../memory/arena.h"
#include "cache.h"
#include "compiler_client.h"
#include "loader.h"
#include "module.h"
#include "pool.h"
#include "result.h"
#include "stream.h"

namespace anywarp {

class Engine {
 public:
  struct Options {
    int threads = 0;
    std::string cache_directory;       // empty: Cache::default_directory()
    CompilerClient::Options compiler;  // empty command: the installed package
    std::size_t reserve = std::size_t{1} << 40;
  };

  // The process's engine, started with the defaults. Null in a process forked after it was started: CUDA does not work there
  // (CUDA_ERROR_NOT_INITIALIZED).
  static Engine* instance();
  // For tests.
  explicit Engine(const Options& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  memory::Arena& arena() { return arena_; }
  CodeSpace& code() { return code_; }
  Cache& cache() { return cache_; }
  CompilerClient& compiler() { return compiler_; }
  Pool& pool() { return *pool_; }
  // Of the installed compiler; part of every cache key.
  const Digest& fingerprint();
  const std::string& processor();

  bool forked() const { return in_fork_.load(std::memory_order_relaxed); }  // this process is a fork of the engine's
  bool shut_down() const { return stopped_.load(std::memory_order_relaxed); }  // the process is ending
  void stop();             // as at exit: no new work, workers leave
  // %nsmid and the device attribute MULTIPROCESSOR_COUNT.
  std::uint32_t sm_count() const { return static_cast<std::uint32_t>(pool_->threads()); }

 private:
  memory::Arena arena_;
  CodeSpace code_;
  Cache cache_;
  CompilerClient compiler_;
  std::unique_ptr<Pool> pool_;
  std::once_flag fingerprint_once_, processor_once_;
  Digest fingerprint_{};
  std::string processor_;
  static std::atomic<bool> in_fork_;  // set by a fork handler: asking for the process's id is a system call
  std::atomic<bool> stopped_{false};
};

}  // namespace anywarp
