#include "api/trace.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <mutex>
#include <set>

namespace anywarp::trace {
namespace {

// The file descriptor to write to; -1 if the trace is off.
int target() {
  static const int fd = [] {
    const char* value = std::getenv("ANYWARP_TRACE");
    if (!value || !*value || std::strcmp(value, "0") == 0) return -1;
    if (std::strcmp(value, "1") == 0) return STDERR_FILENO;
    const int file = open(value, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file < 0) std::fprintf(stderr, "anywarp: ANYWARP_TRACE: cannot write to %s: %s\n", value, std::strerror(errno));
    return file;
  }();
  return fd;
}

}  // namespace

bool is_on() {
  static const bool on = target() >= 0;
  return on;
}

std::uint64_t now_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1000000000u + static_cast<std::uint64_t>(t.tv_nsec);
}

Line::Line(const char* symbol, bool ok) : ok_(ok) {
  text_ = "[" + std::to_string(syscall(SYS_gettid)) + "] " + symbol + "(";
}

void Line::separate(const char* name) {
  if (!first_) text_ += ", ";
  first_ = false;
  text_ += name;
  text_ += '=';
}

void Line::natural(std::uint64_t value) {
  char buffer[32];
  // Device addresses are integers in this API; numbers of that size are not read as decimals.
  std::snprintf(buffer, sizeof buffer, value >> 32 ? "0x%" PRIx64 : "%" PRIu64, value);
  text_ += buffer;
}

void Line::integer(std::int64_t value) { text_ += std::to_string(value); }

void Line::real(double value) {
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, "%.9g", value);
  text_ += buffer;
}

void Line::pointer(const void* value) {
  if (!value) {
    text_ += "null";
    return;
  }
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "0x%" PRIxPTR, reinterpret_cast<std::uintptr_t>(value));
  text_ += buffer;
}

void Line::string(const char* value) {
  if (!value) {
    text_ += "null";
    return;
  }
  constexpr std::size_t kLimit = 200;
  const std::size_t length = strnlen(value, kLimit + 1);
  text_ += '"';
  for (std::size_t i = 0; i < length && i < kLimit; ++i) {
    const char c = value[i];
    if (c == '\n') text_ += "\\n";
    else if (static_cast<unsigned char>(c) < 32) text_ += '?';
    else text_ += c;
  }
  text_ += length > kLimit ? "...\"" : "\"";
}

void Line::write(std::uint64_t started_ns) {
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, ", %.1f us\n", static_cast<double>(now_ns() - started_ns) / 1000);
  text_ += buffer;
  // One write a line, so that lines of several threads and processes stay whole.
  [[maybe_unused]] const ssize_t written = ::write(target(), text_.data(), text_.size());
}

void report_missing(const char* symbol, const char* reason) {
  static std::mutex mutex;
  static std::set<std::string>* seen = new std::set<std::string>;  // never destroyed: calls come during exit too
  const std::lock_guard lock(mutex);
  if (!seen->insert(symbol).second) return;
  if (*reason) std::fprintf(stderr, "anywarp: %s is not supported: %s\n", symbol, reason);
  else std::fprintf(stderr, "anywarp: %s is not implemented; it returns \"not supported\"\n", symbol);
}

}  // namespace anywarp::trace
