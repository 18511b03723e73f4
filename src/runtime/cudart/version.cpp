#include "cudart/version.h"

namespace anywarp::cudart {

extern const int kMajor = ANYWARP_CUDART_MAJOR;

cudaError_t driverGetVersion(int* version) {
  if (!version) return cudaErrorInvalidValue;
  return error_of(cuDriverGetVersion(version));
}

// The newest minor version whose functions are in the table.
cudaError_t runtimeGetVersion(int* version) {
  if (!version) return cudaErrorInvalidValue;
  *version = kMajor == 11 ? 11080 : kMajor == 12 ? 12090 : 13000;
  return cudaSuccess;
}

}  // namespace anywarp::cudart
