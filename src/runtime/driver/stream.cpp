#include "driver/stream.h"

#include <algorithm>
#include <cstring>

#include "driver/context.h"
#include "driver/green_context.h"
#include "driver/ipc.h"
#include "driver/memory_pool.h"
#include "driver/stream_capture.h"

namespace anywarp::driver {
namespace {

// The thread's own default streams, one for each context that it has used one of.
struct ThreadStreams {
  struct Entry {
    std::uint64_t context_id;
    Context* engine;  // a primary context that was reset has another
    std::unique_ptr<CUstream_st> object;
  };
  std::vector<Entry> entries;
};
thread_local ThreadStreams t_streams;

CUstream_st* per_thread_stream(CUctx_st& context) {
  for (ThreadStreams::Entry& e : t_streams.entries) {
    if (e.context_id != context.id) continue;
    if (e.engine != context.engine.get()) {
      e.object->stream = context.engine->per_thread();
      e.engine = context.engine.get();
    }
    return e.object.get();
  }
  auto object = std::make_unique<CUstream_st>();
  object->context = &context;
  object->stream = context.engine->per_thread();
  t_streams.entries.push_back({context.id, context.engine.get(), std::move(object)});
  return t_streams.entries.back().object.get();
}

bool is_special(CUstream handle) { return reinterpret_cast<std::uintptr_t>(handle) <= 2; }

}  // namespace

CUresult use_stream(CUstream handle, StreamUse* out) {
  if (is_special(handle)) {
    CUctx_st* context = nullptr;
    ANYWARP_TRY(current_context(&context));
    out->context = context;
    if (reinterpret_cast<std::uintptr_t>(handle) == 2) {
      out->object = per_thread_stream(*context);
      out->stream = out->object->stream.get();
    } else {
      if (context->blocking_captures.load(std::memory_order_relaxed) != 0) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
      out->object = nullptr;
      out->stream = context->engine->legacy().get();
    }
    return CUDA_SUCCESS;
  }
  if (!is_valid(handle)) return CUDA_ERROR_INVALID_HANDLE;
  out->object = handle;
  out->context = handle->context;
  out->stream = handle->stream.get();
  return check_context(handle->context);
}

CUresult streamCreate(CUstream* stream, unsigned flags) { return streamCreateWithPriority(stream, flags, kLeastPriority); }

CUresult streamCreateWithPriority(CUstream* stream, unsigned flags, int priority) {
  if (!stream || (flags & ~static_cast<unsigned>(CU_STREAM_NON_BLOCKING)) != 0) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  auto made = std::make_unique<CUstream_st>();
  made->context = context;
  made->flags = flags;
  made->green = top_green_context();
  made->priority = std::clamp(priority, kGreatestPriority, kLeastPriority);
  made->stream = context->engine->create_stream(
      flags & CU_STREAM_NON_BLOCKING ? Stream::Type::non_blocking : Stream::Type::blocking, made->priority);
  if (made->green) made->stream->limit(made->green->quota);
  const std::lock_guard lock(context->mutex);
  context->streams.insert(made.get());
  *stream = made.release();
  return CUDA_SUCCESS;
}

bool delete_stream(CUstream stream) {
  const bool joined = abandon_capture(*stream);
  stream->magic = Magic::dead;
  if (stream->context->engine) stream->context->engine->forget(stream->stream);
  delete stream;
  return joined;
}

CUresult streamDestroy(CUstream stream) {
  if (is_special(stream) || !is_valid(stream)) return CUDA_ERROR_INVALID_HANDLE;
  {
    const std::lock_guard lock(stream->context->mutex);
    if (stream->context->streams.erase(stream) == 0) return CUDA_ERROR_INVALID_HANDLE;  // a thread's default stream
  }
  return delete_stream(stream) ? CUDA_SUCCESS : CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
}

CUresult streamGetPriority(CUstream stream, int* priority) {
  if (!priority) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  *priority = use.object ? use.object->priority : kLeastPriority;
  return CUDA_SUCCESS;
}

CUresult streamGetDevice(CUstream stream, CUdevice* device) {
  if (!device) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  *device = use.context->device;
  return CUDA_SUCCESS;
}

CUresult streamGetFlags(CUstream stream, unsigned* flags) {
  if (!flags) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  *flags = use.object ? use.object->flags : 0;
  return CUDA_SUCCESS;
}

CUresult streamGetId(CUstream stream, unsigned long long* id) {
  if (!id) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  *id = use.stream->id();
  return CUDA_SUCCESS;
}

CUresult streamGetCtx_v1(CUstream stream, CUcontext* context) {
  if (!context) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  *context = use.context;
  return CUDA_SUCCESS;
}

CUresult streamGetCtx_v2(CUstream stream, CUcontext* context, CUgreenCtx* green) {
  if (!context || !green) return CUDA_ERROR_INVALID_VALUE;
  ANYWARP_TRY(streamGetCtx_v1(stream, context));
  *green = green_context_of(stream);
  return CUDA_SUCCESS;
}

CUresult streamWaitEvent(CUstream stream, CUevent event, unsigned flags) {
  if ((flags & ~static_cast<unsigned>(CU_EVENT_WAIT_EXTERNAL)) != 0) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(event)) return CUDA_ERROR_INVALID_HANDLE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  bool captured = false;
  ANYWARP_TRY(capture_wait(use, *event, flags, &captured));
  if (captured) return CUDA_SUCCESS;
  if (event->ipc) return ipc_wait(*event, *use.stream);
  return api(use.stream->wait(event->event));
}

CUresult streamAddCallback(CUstream stream, CUstreamCallback callback, void* data, unsigned flags) {
  if (!callback || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  if (use.capture()) return invalidate(use, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  return api(use.stream->task([=](Result status) { callback(stream, api(status), data); }, Where::pool));
}

CUresult streamAttachMemAsync(CUstream stream, CUdeviceptr address, size_t, unsigned flags) {
  if (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST && flags != CU_MEM_ATTACH_SINGLE) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  if (use.capture()) return invalidate(use, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  memory::Allocation allocation;
  if (!address || !use.context->engine->engine().arena().lookup(reinterpret_cast<void*>(address), &allocation)) return CUDA_ERROR_INVALID_VALUE;
  // Everybody may access managed memory at any time: there is nothing to move.
  return CUDA_SUCCESS;
}

CUresult streamQuery(CUstream stream) {
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  if (use.capture()) return invalidate(use, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  return api(use.stream->query());
}

CUresult streamSynchronize(CUstream stream) {
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  if (use.capture()) return invalidate(use, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  const Result result = use.stream->synchronize();
  release_unused_memory();
  return api(result);
}

CUresult streamCopyAttributes(CUstream destination, CUstream source) {
  StreamUse to, from;
  ANYWARP_TRY(use_stream(destination, &to));
  ANYWARP_TRY(use_stream(source, &from));
  if (to.context != from.context) return CUDA_ERROR_INVALID_VALUE;
  if (to.object && from.object) std::memcpy(to.object->attributes, from.object->attributes, sizeof to.object->attributes);
  return CUDA_SUCCESS;
}

// Attributes are hints here: they are kept and given back.
CUresult streamGetAttribute(CUstream stream, CUstreamAttrID attribute, CUstreamAttrValue* value) {
  if (!value || attribute >= CUstream_st::kAttributes) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  *value = use.object ? use.object->attributes[attribute] : CUlaunchAttributeValue{};
  if (attribute == CU_LAUNCH_ATTRIBUTE_PRIORITY) value->priority = use.object ? use.object->priority : kLeastPriority;
  return CUDA_SUCCESS;
}

CUresult streamSetAttribute(CUstream stream, CUstreamAttrID attribute, const CUstreamAttrValue* value) {
  if (!value || attribute >= CUstream_st::kAttributes) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  if (use.object) use.object->attributes[attribute] = *value;
  return CUDA_SUCCESS;
}

}  // namespace anywarp::driver
