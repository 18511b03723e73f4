#include "cudart/profiler.h"

namespace anywarp::cudart {

cudaError_t profilerStart() {
  CUDART_TRY(use_context());
  return error_of(cuProfilerStart());
}

cudaError_t profilerStop() {
  CUDART_TRY(use_context());
  return error_of(cuProfilerStop());
}

}  // namespace anywarp::cudart
