#include "driver/initialization.h"

#include <pthread.h>

#include <cstdio>
#include <cstdlib>

#include "driver/checkpoint.h"
#include "driver/device.h"
#include "driver/device_runtime.h"

namespace anywarp::driver {
namespace {

enum class State : int { none, ready, locked, forked };
std::atomic<State> g_state{State::none};
std::atomic<Engine*> g_engine{nullptr};
std::mutex g_mutex;

void after_fork_in_child() {
  if (g_state.load() != State::ready && g_state.load() != State::locked) return;
  g_state.store(State::forked);
}

}  // namespace

bool is_ready() {
  return g_state.load(std::memory_order_acquire) == State::ready && !g_engine.load(std::memory_order_relaxed)->shut_down();
}

CUresult why_not_ready() {
  switch (g_state.load()) {
    case State::ready: return CUDA_ERROR_DEINITIALIZED;
    case State::locked:
      wait_for_unlock();
      return g_state.load() == State::ready && !is_ready() ? CUDA_ERROR_DEINITIALIZED : CUDA_SUCCESS;
    case State::forked: {
      static std::once_flag once;
      std::call_once(once, [] {
        std::fputs("anywarp: this process was forked from one that uses CUDA, which does not work in it; start processes with exec "
                   "(Python: multiprocessing.set_start_method(\"spawn\"))\n", stderr);
      });
      return CUDA_ERROR_NOT_INITIALIZED;
    }
    default: return CUDA_ERROR_NOT_INITIALIZED;
  }
}

void set_locked(bool is_locked) { g_state.store(is_locked ? State::locked : State::ready, std::memory_order_seq_cst); }

int driver_version() {
  static const int version = [] {
    constexpr int kNewest = 13050;
    const char* text = std::getenv("ANYWARP_DRIVER_VERSION");
    if (!text || !*text) return kNewest;
    int major = 0, minor = 0;
    char rest = 0;
    if (std::sscanf(text, "%d.%d%c", &major, &minor, &rest) == 2 && major > 0 && minor >= 0) return major * 1000 + minor * 10;
    if (std::sscanf(text, "%d%c", &major, &rest) == 1 && major >= 1000) return major;
    std::fprintf(stderr, "anywarp: ANYWARP_DRIVER_VERSION=%s is no version such as 13050 or 13.5; %d is reported\n", text, kNewest);
    return kNewest;
  }();
  return version;
}

CUresult init(unsigned flags) {
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  if (g_state.load() == State::locked) return CUDA_SUCCESS;
  if (g_state.load(std::memory_order_acquire) == State::ready) return is_ready() ? CUDA_SUCCESS : CUDA_ERROR_DEINITIALIZED;
  const std::lock_guard lock(g_mutex);
  if (g_state.load() == State::ready) return CUDA_SUCCESS;
  if (g_state.load() == State::forked) return why_not_ready();
  Engine* engine = Engine::instance();
  if (!engine) return CUDA_ERROR_NOT_INITIALIZED;
  ANYWARP_TRY(start_devices(*engine));
  pthread_atfork(nullptr, nullptr, after_fork_in_child);
  serve_device_runtime();
  g_engine.store(engine);
  g_state.store(State::ready, std::memory_order_release);
  serve_checkpoints();
  return CUDA_SUCCESS;
}

CUresult driverGetVersion(int* version) {
  if (!version) return CUDA_ERROR_INVALID_VALUE;
  *version = driver_version();
  return CUDA_SUCCESS;
}

}  // namespace anywarp::driver
