// Manual: stream management, without capture (stream_capture.h).
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult streamCreate(CUstream* stream, unsigned flags);
CUresult streamCreateWithPriority(CUstream* stream, unsigned flags, int priority);
CUresult streamDestroy(CUstream stream);
CUresult streamGetPriority(CUstream stream, int* priority);
CUresult streamGetDevice(CUstream stream, CUdevice* device);
CUresult streamGetFlags(CUstream stream, unsigned* flags);
CUresult streamGetId(CUstream stream, unsigned long long* id);
CUresult streamGetCtx_v1(CUstream stream, CUcontext* context);
CUresult streamGetCtx_v2(CUstream stream, CUcontext* context, CUgreenCtx* green);
CUresult streamWaitEvent(CUstream stream, CUevent event, unsigned flags);
CUresult streamAddCallback(CUstream stream, CUstreamCallback callback, void* data, unsigned flags);
CUresult streamAttachMemAsync(CUstream stream, CUdeviceptr address, size_t length, unsigned flags);
CUresult streamQuery(CUstream stream);
CUresult streamSynchronize(CUstream stream);
CUresult streamCopyAttributes(CUstream destination, CUstream source);
CUresult streamGetAttribute(CUstream stream, CUstreamAttrID attribute, CUstreamAttrValue* value);
CUresult streamSetAttribute(CUstream stream, CUstreamAttrID attribute, const CUstreamAttrValue* value);

// Destroys the object; its pending work still completes. The context has forgotten it.
// False where that spoils a capture.
bool delete_stream(CUstream stream);

}  // namespace anywarp::driver
