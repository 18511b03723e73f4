#include "offspring.h"

#include <algorithm>

namespace anywarp {

StreamRef Offspring::shared_stream(std::size_t number) {
  StreamRef& stream = shared_[number % kShared];
  if (stream == nullptr) {
    stream = context_.create_stream(Stream::Type::non_blocking);
    streams_.push_back(stream);
  }
  return stream;
}

StreamRef Offspring::stream_of(std::uint64_t cta) {
  const std::lock_guard lock(mutex_);
  return shared_stream(cta);
}

StreamRef Offspring::any_stream() {
  const std::lock_guard lock(mutex_);
  return shared_stream(next_shared_++);
}

std::uint64_t Offspring::create_stream() {
  const std::lock_guard lock(mutex_);
  const std::uint64_t handle = next_handle_++;
  streams_.push_back(named_[handle] = context_.create_stream(Stream::Type::non_blocking));
  return handle;
}

StreamRef Offspring::find_stream(std::uint64_t handle) {
  const std::lock_guard lock(mutex_);
  const auto found = named_.find(handle);
  return found == named_.end() ? nullptr : found->second;
}

bool Offspring::destroy_stream(std::uint64_t handle) {
  const std::lock_guard lock(mutex_);
  return named_.erase(handle) != 0;
}

std::uint64_t Offspring::create_event() {
  const std::lock_guard lock(mutex_);
  events_[next_handle_] = std::make_shared<Event>(false);
  return next_handle_++;
}

std::shared_ptr<Event> Offspring::find_event(std::uint64_t handle) {
  const std::lock_guard lock(mutex_);
  const auto found = events_.find(handle);
  return found == events_.end() ? nullptr : found->second;
}

bool Offspring::destroy_event(std::uint64_t handle) {
  const std::lock_guard lock(mutex_);
  return events_.erase(handle) != 0;
}

std::uint8_t* Offspring::add_pending(std::unique_ptr<PendingLaunch> launch) {
  constexpr std::size_t kAlignment = 16;
  launch->buffer.resize(launch->bytes + kAlignment);
  void* at = launch->buffer.data();
  std::size_t space = launch->buffer.size();
  launch->parameters = static_cast<std::uint8_t*>(std::align(kAlignment, launch->bytes, at, space));
  std::uint8_t* const parameters = launch->parameters;
  const std::lock_guard lock(mutex_);
  pending_[reinterpret_cast<std::uint64_t>(parameters)] = std::move(launch);
  return parameters;
}

std::unique_ptr<PendingLaunch> Offspring::take_pending(std::uint64_t parameters) {
  const std::lock_guard lock(mutex_);
  const auto found = pending_.find(parameters);
  if (found == pending_.end()) return nullptr;
  std::unique_ptr<PendingLaunch> launch = std::move(found->second);
  pending_.erase(found);
  return launch;
}

void Offspring::add_tail(Start start) {
  const std::lock_guard lock(mutex_);
  new_tails_.push_back(std::move(start));
}

bool Offspring::is_pending_locked() const {
  return std::any_of(streams_.begin(), streams_.end(), [](const StreamRef& s) { return s->completed() < s->submitted(); });
}

bool Offspring::is_pending() {
  const std::lock_guard lock(mutex_);
  return is_pending_locked();
}

bool Offspring::finish() {
  Start start;
  {
    const std::lock_guard lock(mutex_);
    if (is_pending_locked()) return false;
    tails_.insert(tails_.begin(), std::make_move_iterator(new_tails_.begin()), std::make_move_iterator(new_tails_.end()));
    new_tails_.clear();
    if (tails_.empty()) {
      for (const StreamRef& stream : streams_) context_.forget(stream);
      streams_.clear();
      return true;
    }
    start = std::move(tails_.front());
    tails_.pop_front();
    if (tail_stream_ == nullptr) streams_.push_back(tail_stream_ = context_.create_stream(Stream::Type::non_blocking));
  }
  if (const Result result = start(*tail_stream_); result != Result::success)
    context_.fail(result, "anywarp: a tail launch of a kernel could not be carried out");
  return false;
}

void Offspring::set_error(std::uint64_t thread, std::uint32_t error) {
  const std::lock_guard lock(mutex_);
  errors_[thread] = error;
}

std::uint32_t Offspring::error(std::uint64_t thread, bool reset) {
  const std::lock_guard lock(mutex_);
  const auto found = errors_.find(thread);
  if (found == errors_.end()) return 0;
  const std::uint32_t error = found->second;
  if (reset) errors_.erase(found);
  return error;
}

void GraphLaunch::need_offspring(Context& context) {
  if (offspring == nullptr) offspring = std::make_shared<Offspring>(context, std::make_shared<Offspring>(context));
}

}  // namespace anywarp
