#include "driver/logs.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <deque>
#include <fstream>

struct CUlogsCallbackEntry_st {
  CUlogsCallback function;
  void* data;
};

namespace anywarp::driver {
namespace {

constexpr std::size_t kMost = 100;  // messages that are kept

struct Log {
  std::mutex mutex;
  unsigned first = 0;  // number of the oldest message that is kept
  std::deque<std::string> messages;
  std::vector<std::unique_ptr<CUlogsCallbackEntry_st>> callbacks;
  unsigned end() const { return first + static_cast<unsigned>(messages.size()); }
};
Log& the_log() {
  static auto* log = new Log;
  return *log;
}

constexpr const char* kTruncated = "(older messages were dropped)\n";

// The lines from the iterator on, and the iterator moved to the end. The log's lock is held.
std::vector<std::string> take(Log& log, CUlogIterator* iterator) {
  const unsigned start = iterator ? *iterator : 0;
  std::vector<std::string> lines;
  if (start < log.first) lines.emplace_back(kTruncated);
  for (unsigned i = std::max(start, log.first); i < log.end(); ++i) lines.push_back(log.messages[i - log.first] + "\n");
  return lines;
}

}  // namespace

void log_error(const std::string& message) {
  std::fprintf(stderr, "anywarp: %s\n", message.c_str());
  Log& log = the_log();
  std::vector<CUlogsCallbackEntry_st> callbacks;
  {
    const std::lock_guard lock(log.mutex);
    log.messages.push_back(message);
    if (log.messages.size() > kMost) log.messages.pop_front(), ++log.first;
    for (const auto& c : log.callbacks) callbacks.push_back(*c);
  }
  // Outside the lock: a callback may ask for the log.
  std::string copy = message;
  for (const CUlogsCallbackEntry_st& c : callbacks) c.function(c.data, CU_LOG_LEVEL_ERROR, copy.data(), copy.size());
}

CUresult logsRegisterCallback(CUlogsCallback callback, void* data, CUlogsCallbackHandle* handle) {
  if (!callback) return CUDA_ERROR_INVALID_VALUE;
  Log& log = the_log();
  const std::lock_guard lock(log.mutex);
  log.callbacks.push_back(std::make_unique<CUlogsCallbackEntry_st>(CUlogsCallbackEntry_st{callback, data}));
  if (handle) *handle = log.callbacks.back().get();
  return CUDA_SUCCESS;
}

CUresult logsUnregisterCallback(CUlogsCallbackHandle handle) {
  Log& log = the_log();
  const std::lock_guard lock(log.mutex);
  const std::size_t removed = std::erase_if(log.callbacks, [&](const auto& c) { return c.get() == handle; });
  return removed ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult logsCurrent(CUlogIterator* iterator, unsigned flags) {
  if (!iterator || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  Log& log = the_log();
  const std::lock_guard lock(log.mutex);
  *iterator = log.end();
  return CUDA_SUCCESS;
}

CUresult logsDumpToFile(CUlogIterator* iterator, const char* path, unsigned flags) {
  if (!path || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  Log& log = the_log();
  const std::lock_guard lock(log.mutex);
  std::ofstream out(path);
  for (const std::string& line : take(log, iterator)) out << line;
  out.flush();
  if (!out) return CUDA_ERROR_INVALID_VALUE;
  if (iterator) *iterator = log.end();
  return CUDA_SUCCESS;
}

// As many of the newest messages as fit, the last one being the most recent.
CUresult logsDumpToMemory(CUlogIterator* iterator, char* buffer, size_t* size, unsigned flags) {
  if (!buffer || !size || *size == 0 || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  Log& log = the_log();
  const std::lock_guard lock(log.mutex);
  std::vector<std::string> lines = take(log, iterator);
  std::size_t total = 0;
  for (const std::string& line : lines) total += line.size();
  std::size_t skipped = 0;
  if (total >= *size) {
    total += std::strlen(kTruncated);
    while (skipped < lines.size() && total >= *size) total -= lines[skipped++].size();
    if (skipped == lines.size()) {
      *size = 0;
      return CUDA_ERROR_INVALID_VALUE;
    }
  }
  std::string text = skipped ? kTruncated : "";
  for (std::size_t i = skipped; i < lines.size(); ++i) text += lines[i];
  std::memcpy(buffer, text.c_str(), text.size() + 1);
  *size = text.size();
  if (iterator) *iterator = log.end();
  return CUDA_SUCCESS;
}

}  // namespace anywarp::driver
