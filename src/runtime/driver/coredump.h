// Manual: core dump control. What is written when a kernel fails is a text: the message, the process, the memory that was allocated. The
// environment variables of CUDA-GDB's manual win over what a program sets, as documented.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult coredumpGetAttribute(CUcoredumpSettings attribute, void* value, size_t* size);
CUresult coredumpGetAttributeGlobal(CUcoredumpSettings attribute, void* value, size_t* size);
CUresult coredumpSetAttribute(CUcoredumpSettings attribute, void* value, size_t* size);
CUresult coredumpSetAttributeGlobal(CUcoredumpSettings attribute, void* value, size_t* size);
CUresult coredumpRegisterStartCallback(CUcoredumpStatusCallback callback, void* data, CUcoredumpCallbackHandle* handle);
CUresult coredumpRegisterCompleteCallback(CUcoredumpStatusCallback callback, void* data, CUcoredumpCallbackHandle* handle);
CUresult coredumpDeregisterStartCallback(CUcoredumpCallbackHandle handle);
CUresult coredumpDeregisterCompleteCallback(CUcoredumpCallbackHandle handle);

// The context has failed: writes the dump if one is wanted, once a context.
void report_context_error(CUctx_st& context);

}  // namespace anywarp::driver
