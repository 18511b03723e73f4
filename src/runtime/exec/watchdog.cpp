#include "watchdog.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "fault.h"
#include "futex.h"

namespace anywarp {

namespace {

double seconds(const char* name, double standard) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == 0) return standard;
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  if (*end == 0 && value >= 0 && value < 1e9) return value;
  std::fprintf(stderr, "anywarp: %s=%s is no number of seconds; %g is used\n", name, text, standard);
  return standard;
}

// Late kernels are found within a quarter of the bound.
void* watch(void*) {
  pthread_setname_np(pthread_self(), "anywarp-watch");
  const double period = std::clamp(watchdog_seconds() / 4, 0.001, 0.5);
  const timespec pause{0, static_cast<long>(period * 1e9)};
  for (;;) {
    nanosleep(&pause, nullptr);
    interrupt_threads();
  }
}

void start() {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  pthread_t thread{};
  if (pthread_create(&thread, nullptr, watch, nullptr) == 0) pthread_detach(thread);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace

double watchdog_seconds() {
  static const double value = seconds("ANYWARP_LAUNCH_TIMEOUT", 0);
  return value;
}

std::uint64_t watchdog_deadline() {
  static const auto bound = static_cast<std::uint64_t>(watchdog_seconds() * 1e9);
  if (bound == 0) return 0;
  static std::once_flag once;
  std::call_once(once, start);
  return now_ns() + bound;
}

std::uint64_t stop_patience_ns() {
  static const auto patience = static_cast<std::uint64_t>(seconds("ANYWARP_STOP_TIMEOUT", 5) * 1e9);
  return patience;
}

}  // namespace anywarp
