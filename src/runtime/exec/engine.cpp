#include "engine.h"

#include <pthread.h>

#include <cstdlib>

#include "fault.h"

namespace anywarp {

std::atomic<bool> Engine::in_fork_{false};

Engine* Engine::instance() {
  // Never destroyed: threads may still run when the process ends, and destructors of static objects come in no order that helps.
  static Engine* const engine = [] {
    auto* made = new Engine(Options());
    std::atexit([] {
      if (Engine* e = Engine::instance()) e->stop();
    });
    return made;
  }();
  return engine->forked() ? nullptr : engine;
}

Engine::Engine(const Options& options)
    : arena_({options.reserve}),
      cache_(options.cache_directory.empty() ? Cache::default_directory() : options.cache_directory),
      compiler_(options.compiler),
      pool_(std::make_unique<Pool>(options.threads)) {
  static std::once_flag once;
  std::call_once(once, [] { pthread_atfork(nullptr, nullptr, [] { in_fork_.store(true); }); });
  install_fault_handlers();
}

Engine::~Engine() {
  stop();
  pool_.reset();
}

void Engine::stop() {
  stopped_.store(true);
  if (forked()) return;
  pool_->stop();
}

const Digest& Engine::fingerprint() {
  std::call_once(fingerprint_once_, [this] {
    const std::string parent = package_parent();
    fingerprint_ = anywarp::fingerprint(parent.empty() ? "" : parent + "/anywarp");
  });
  return fingerprint_;
}

const std::string& Engine::processor() {
  std::call_once(processor_once_, [this] { processor_ = host_processor(); });
  return processor_;
}

}  // namespace anywarp
