// A cuDNN that can be asked for its version and for a handle, and for nothing else (README.md).
//
// XLA's CUDA backend compiles no program before cudnnCreate has succeeded. Its own loader answers with an error
// for a function that the library lacks, so what needs cuDNN (convolutions) fails with XLA's message. Names, numbers and meanings: cuDNN's
// documentation ("cudnn_graph Library").
#include <cstddef>
#include <cstdio>
#include <new>

#define CUDNN extern "C" __attribute__((visibility("default")))

namespace {

constexpr int kSuccess = 0, kBadParameter = 2000, kNotSupported = 3000, kInternalError = 4000, kHostAllocationFailed = 4001;
// As new as any client was compiled with: they refuse an older one.
constexpr int kMajor = 9, kMinor = 99, kPatch = 0;
constexpr char kMessage[] = ": this is not cuDNN but Anywarp's stand-in, which has none of its operations";

struct Handle {
  void* stream = nullptr;
};

}  // namespace

CUDNN std::size_t cudnnGetVersion() { return kMajor * 10000 + kMinor * 100 + kPatch; }

// The CUDA runtime that it was built with: none.
CUDNN std::size_t cudnnGetCudartVersion() { return 0; }

CUDNN int cudnnGetProperty(int property, int* value) {
  if (!value || property < 0 || property > 2) return kBadParameter;
  *value = property == 0 ? kMajor : property == 1 ? kMinor : kPatch;
  return kSuccess;
}

CUDNN int cudnnCreate(void** handle) {
  if (!handle) return kBadParameter;
  *handle = new (std::nothrow) Handle;
  return *handle ? kSuccess : kHostAllocationFailed;
}

CUDNN int cudnnDestroy(void* handle) {
  delete static_cast<Handle*>(handle);
  return kSuccess;
}

CUDNN int cudnnSetStream(void* handle, void* stream) {
  if (!handle) return kBadParameter;
  static_cast<Handle*>(handle)->stream = stream;
  return kSuccess;
}

CUDNN int cudnnGetStream(void* handle, void** stream) {
  if (!handle || !stream) return kBadParameter;
  *stream = static_cast<Handle*>(handle)->stream;
  return kSuccess;
}

CUDNN const char* cudnnGetErrorString(int status) {
  switch (status) {
    case kSuccess: return "CUDNN_STATUS_SUCCESS";
    case kBadParameter: return "CUDNN_STATUS_BAD_PARAM";
    case kNotSupported: return "CUDNN_STATUS_NOT_SUPPORTED";
    case kInternalError: return "CUDNN_STATUS_INTERNAL_ERROR";
    case kHostAllocationFailed: return "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED";
    default: return "CUDNN_UNKNOWN_STATUS";
  }
}

CUDNN void cudnnGetLastErrorString(char* message, std::size_t bytes) {
  if (message && bytes) std::snprintf(message, bytes, "%s", kMessage);
}
