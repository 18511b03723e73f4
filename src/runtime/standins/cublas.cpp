// A cuBLAS and cuBLASLt that say that they are not there (README.md): creating a handle gives CUBLAS_STATUS_NOT_SUPPORTED.
//
// XLA takes its own matrix kernels then. Without any library it ends the process: it prints the status by cublasGetStatusString, which its
// loader cannot find. Names, numbers and meanings: cuBLAS's documentation.
#include <cstddef>

#define CUBLAS extern "C" __attribute__((visibility("default")))

namespace {

constexpr int kSuccess = 0, kNotInitialised = 1, kInvalidValue = 7, kNotSupported = 15;

int create(void** handle) {
  if (!handle) return kInvalidValue;
  *handle = nullptr;
  return kNotSupported;
}

const char* name_of(int status) {
  switch (status) {
    case kSuccess: return "CUBLAS_STATUS_SUCCESS";
    case kNotInitialised: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case kInvalidValue: return "CUBLAS_STATUS_INVALID_VALUE";
    case kNotSupported: return "CUBLAS_STATUS_NOT_SUPPORTED";
    default: return "unknown status";
  }
}

}  // namespace

CUBLAS int cublasCreate_v2(void** handle) { return create(handle); }
CUBLAS int cublasDestroy_v2(void*) { return kNotInitialised; }
CUBLAS const char* cublasGetStatusName(int status) { return name_of(status); }
CUBLAS const char* cublasGetStatusString(int status) { return name_of(status); }

CUBLAS int cublasLtCreate(void** handle) { return create(handle); }
CUBLAS int cublasLtDestroy(void*) { return kNotInitialised; }
CUBLAS const char* cublasLtGetStatusName(int status) { return name_of(status); }
CUBLAS const char* cublasLtGetStatusString(int status) { return name_of(status); }
