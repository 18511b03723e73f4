// What every entry point of libcudart does around the implementation that it calls. Included by the generated entry points only.
#pragma once

#include <exception>
#include <new>
#include <type_traits>

#include "api/trace.h"
#include "cudart/cudart.h"
#include "cudart/forward.h"

namespace anywarp::cudart {

// Calls `body`; nothing that the implementation throws gets out. An error becomes the thread's last error if `keep` says so.
template <bool keep, typename Body>
auto guarded(const Body& body) -> decltype(body()) {
  if constexpr (std::is_same_v<decltype(body()), cudaError_t>) {
    cudaError_t result = cudaErrorUnknown;
    try {
      result = body();
    } catch (const std::bad_alloc&) {
      result = cudaErrorMemoryAllocation;
    } catch (const std::exception&) {
      result = cudaErrorUnknown;
    }
    if (keep && result != cudaSuccess) remember_error(result);
    return result;
  } else {
    return body();
  }
}

template <bool keep, typename Body, typename Arguments>
auto traced(const char* symbol, const Body& body, const Arguments& arguments) -> decltype(body()) {
  const std::uint64_t start = trace::now_ns();
  if constexpr (std::is_void_v<decltype(body())>) {
    body();
    trace::Line line(symbol, true);
    arguments(line);
    line.finish(start);
  } else {
    const auto result = guarded<keep>(body);
    bool ok = true;
    if constexpr (std::is_same_v<decltype(body()), cudaError_t>) ok = result == cudaSuccess;
    trace::Line line(symbol, ok);
    arguments(line);
    line.finish(result, start);
    return result;
  }
}

template <typename Body, typename Arguments>
auto enter(const char* symbol, const Body& body, const Arguments& arguments) -> decltype(body()) {
  if (trace::is_on()) return traced<true>(symbol, body, arguments);
  return guarded<true>(body);
}

// A function whose result is not kept as the last error.
template <typename Body, typename Arguments>
auto enter_quiet(const char* symbol, const Body& body, const Arguments& arguments) -> decltype(body()) {
  if (trace::is_on()) return traced<false>(symbol, body, arguments);
  return guarded<false>(body);
}

// A function of the API that has no implementation; `reason` is the table's.
template <typename R>
R missing(const char* symbol, const char* reason = "") {
  trace::report_missing(symbol, reason);
  const auto nothing = [](trace::Line&) {};
  if constexpr (std::is_same_v<R, cudaError_t>) return enter(symbol, [] { return cudaErrorNotSupported; }, nothing);
  else return enter(symbol, []() -> R { return R(); }, nothing);
}

}  // namespace anywarp::cudart
