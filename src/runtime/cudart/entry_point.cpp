#include "cudart/entry_point.h"

#include "cudart/version.h"

namespace anywarp::cudart {
namespace {

// What the program was built against: the runtime's own version.
unsigned default_version() {
  int version = 0;
  runtimeGetVersion(&version);
  return static_cast<unsigned>(version);
}

}  // namespace

cudaError_t getDriverEntryPoint(const char* symbol, void** function, unsigned long long flags, cudaStream_t default_stream) {
  return getDriverEntryPointByVersion(symbol, function, default_version(), flags, nullptr, default_stream);
}

cudaError_t getDriverEntryPoint(const char* symbol, void** function, unsigned long long flags, cudaDriverEntryPointQueryResult* status,
                                cudaStream_t default_stream) {
  return getDriverEntryPointByVersion(symbol, function, default_version(), flags, status, default_stream);
}

cudaError_t getDriverEntryPointByVersion(const char* symbol, void** function, unsigned version, unsigned long long flags,
                                         cudaDriverEntryPointQueryResult* status, cudaStream_t default_stream) {
  if (!symbol || !*symbol || !function || flags > cudaEnablePerThreadDefaultStream) return cudaErrorInvalidValue;
  CUDART_TRY(use_driver());
  if (flags == cudaEnableDefault) flags = is_per_thread(default_stream) ? cudaEnablePerThreadDefaultStream : cudaEnableLegacyStream;
  CUdriverProcAddressQueryResult found = CU_GET_PROC_ADDRESS_SUCCESS;
  const CUresult result = cuGetProcAddress_v2(symbol, function, static_cast<int>(version), flags, &found);
  if (status) {
    *status = static_cast<cudaDriverEntryPointQueryResult>(found);
    if (result == CUDA_ERROR_NOT_FOUND) return cudaSuccess;  // `status` says it
  }
  return error_of(result);
}

cudaError_t getExportTable(const void** table, const cudaUUID_t* id) {
  return error_of(cuGetExportTable(table, id));
}

}  // namespace anywarp::cudart
