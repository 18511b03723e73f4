// The runtime's own state, which all chapters share: which device a thread uses, when contexts begin, and each thread's last error.
//
// libcudart stands over the driver API alone. A call that needs a context gets the calling thread's current one, whoever made it current;
// else the primary context of the thread's device, which is retained once a process and made current. Types with the same tag or layout in
// both APIs (streams, events, graphs, kernels, libraries, pools) are one object.
#pragma once

#include <bit>
#include <cstdint>

#include "cudart_abi.h"
#include "driver_functions.h"

namespace anywarp::cudart {

// The major version of this libcudart: 11, 12 or 13. Layouts of a few structs depend on it (version.cpp).
extern const int kMajor;

// Result codes of the driver have the same numbers in the runtime.
inline cudaError_t error_of(CUresult result) { return static_cast<cudaError_t>(result); }
inline cudaError_t error_of(cudaError_t result) { return result; }

// Returns from the calling function if `expression` (of either API) is no success.
#define CUDART_TRY(expression)                                                                                         \
  do {                                                                                                                 \
    if (const cudaError_t result_ = ::anywarp::cudart::error_of(expression); result_ != cudaSuccess) return result_;   \
  } while (false)

// The driver is initialized.
cudaError_t use_driver();
// A context is current; makes the primary context of the thread's device current if there is none.
cudaError_t use_context();
// The device of the current context, else the one that the thread chose.
cudaError_t current_device(CUdevice* device);
// An ordinal that the program gave: cudaErrorInvalidDevice.
cudaError_t check_device(int device);

// The thread's last error; cudaErrorNotReady is none.
void remember_error(cudaError_t error);
// Errors that a context keeps until it is destroyed: later calls return them again.
bool is_sticky(cudaError_t error);

// Of an implementation's stream parameter: it stands for the default stream of each thread.
inline bool is_per_thread(cudaStream_t stream) { return stream == reinterpret_cast<cudaStream_t>(std::uintptr_t{2}); }
// One of a function's two forms in the driver, by the default stream that a call without a stream parameter means.
template <typename Function>
Function* form(cudaStream_t stream, Function* legacy, Function* per_thread) {
  return is_per_thread(stream) ? per_thread : legacy;
}

inline CUdeviceptr address(const void* pointer) { return reinterpret_cast<CUdeviceptr>(pointer); }

}  // namespace anywarp::cudart
