#include "driver/event.h"

#include "driver/ipc.h"
#include "driver/memory_pool.h"
#include "driver/stream_capture.h"

namespace anywarp::driver {
namespace {

// An event that was recorded in a capturing stream stands for nodes of a graph, not for a point in time.
bool is_captured(CUevent_st& event) {
  const std::lock_guard lock(event.mutex);
  return event.capture != nullptr;
}

CUresult check_event(CUevent event) {
  if (!is_valid(event)) return CUDA_ERROR_INVALID_HANDLE;
  ANYWARP_TRY(check_context(event->context));
  return is_captured(*event) ? CUDA_ERROR_CAPTURED_EVENT : CUDA_SUCCESS;
}

}  // namespace

CUresult eventCreate(CUevent* event, unsigned flags) {
  constexpr unsigned kFlags = CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;
  if (!event || (flags & ~kFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
  if ((flags & CU_EVENT_INTERPROCESS) != 0 && (flags & CU_EVENT_DISABLE_TIMING) == 0) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  auto made = std::make_unique<CUevent_st>(flags);
  made->context = context;
  if (flags & CU_EVENT_INTERPROCESS) {
    made->ipc = make_ipc_event();
    if (!made->ipc) return CUDA_ERROR_OUT_OF_MEMORY;
  }
  const std::lock_guard lock(context->mutex);
  context->events.insert(made.get());
  *event = made.release();
  return CUDA_SUCCESS;
}

CUresult eventRecord(CUevent event, CUstream stream) { return eventRecordWithFlags(event, stream, CU_EVENT_RECORD_DEFAULT); }

CUresult eventRecordWithFlags(CUevent event, CUstream stream, unsigned flags) {
  if ((flags & ~static_cast<unsigned>(CU_EVENT_RECORD_EXTERNAL)) != 0) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(event)) return CUDA_ERROR_INVALID_HANDLE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  if (use.context != event->context) return CUDA_ERROR_INVALID_HANDLE;
  bool captured = false;
  ANYWARP_TRY(capture_record(use, *event, flags, &captured));
  if (captured) return CUDA_SUCCESS;
  if (event->ipc) return ipc_record(*event, *use.stream);
  return api(event->event.record(*use.stream));
}

CUresult eventQuery(CUevent event) {
  ANYWARP_TRY(check_event(event));
  if (event->ipc) return ipc_query(*event);
  return api(event->event.query());
}

CUresult eventSynchronize(CUevent event) {
  ANYWARP_TRY(check_event(event));
  const CUresult result = event->ipc ? ipc_synchronize(*event) : api(event->event.synchronize());
  release_unused_memory();
  return result;
}

CUresult eventDestroy(CUevent event) {
  if (!is_valid(event)) return CUDA_ERROR_INVALID_HANDLE;
  {
    const std::lock_guard lock(event->context->mutex);
    event->context->events.erase(event);
  }
  event->magic = Magic::dead;
  delete event;
  return CUDA_SUCCESS;
}

CUresult eventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
  if (!milliseconds) return CUDA_ERROR_INVALID_VALUE;
  ANYWARP_TRY(check_event(start));
  ANYWARP_TRY(check_event(end));
  if (start->context != end->context) return CUDA_ERROR_INVALID_HANDLE;
  return api(Event::elapsed(start->event, end->event, milliseconds));
}

}  // namespace anywarp::driver
