// What every entry point of libcuda does around the implementation that it calls. Included by the generated entry points only.
#pragma once

#include <new>

#include "api/trace.h"
#include "driver/driver.h"

namespace anywarp::driver {

// A function of the API that has no implementation; `reason` is the table's.
template <typename R>
R missing(const char* symbol, const char* reason = "") {
  trace::report_missing(symbol, reason);
  const CUresult result = CUDA_ERROR_NOT_SUPPORTED;
  if (trace::is_on()) trace::Line(symbol, false).finish(result, trace::now_ns());
  return result;
}

// Calls `body`; nothing that the implementation throws gets out.
template <typename Body>
CUresult guarded(const Body& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  } catch (const std::exception&) {
    return CUDA_ERROR_UNKNOWN;
  }
}

template <typename Body, typename Arguments>
CUresult traced(const char* symbol, const Body& body, const Arguments& arguments) {
  const std::uint64_t start = trace::now_ns();
  const CUresult result = guarded(body);
  trace::Line line(symbol, result == CUDA_SUCCESS);
  arguments(line);
  line.finish(result, start);
  return result;
}

// A function that may be called before cuInit.
template <typename Body, typename Arguments>
CUresult enter_early(const char* symbol, const Body& body, const Arguments& arguments) {
  if (trace::is_on()) return traced(symbol, body, arguments);
  return guarded(body);
}

// Any other function.
template <typename Body, typename Arguments>
CUresult enter(const char* symbol, const Body& body, const Arguments& arguments) {
  const auto checked = [&]() -> CUresult {
    const ApiCall call;
    if (!is_ready()) {
      if (const CUresult why = why_not_ready(); why != CUDA_SUCCESS) return why;
    }
    return body();
  };
  if (trace::is_on()) return traced(symbol, checked, arguments);
  return guarded(checked);
}

}  // namespace anywarp::driver
